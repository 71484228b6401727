//! `docs/faults.md` says what the table of kinds says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::simulate::fault::kinds::{KINDS, Kind};
use crate::simulate::scenario::QUIET;

const BEGIN: &str = "<!-- table:begin -->\n";
const END: &str = "<!-- table:end -->";

/// With UPDATE_DOCS=1 the test writes the tables.
#[test]
fn the_document_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let expected = format!("{head}{BEGIN}{}{END}{tail}", tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let now = fs::read_to_string(&path).unwrap();
    assert!(now == expected, "docs/faults.md shows another table than the code: run the tests with UPDATE_DOCS=1");
}

#[test]
fn names_are_unique_and_say_something() {
    let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).chain(QUIET.map(|quiet| quiet.name())).collect();
    assert!(KINDS.len() >= 20);
    names.sort_unstable();
    let n = names.len();
    names.dedup();
    assert_eq!(names.len(), n);
    for kind in KINDS {
        let texts = [kind.about, kind.place, kind.answer, kind.seen, kind.parameter];
        assert!(texts.iter().all(|text| text.len() > 4 && !text.contains('|')), "{}", kind.name);
    }
}

fn tables() -> String {
    let mut text =
        String::from("| kind | what happens | where | right answer | what is seen |\n|---|---|---|---|---|\n");
    for Kind { name, about, place, answer, seen, .. } in KINDS {
        writeln!(text, "| `{name}` | {about} | {place} | {answer} | {seen} |").unwrap();
    }
    text.push_str("\n| kind | size | subtle | middle | severe | total |\n|---|---|---|---|---|---|\n");
    for Kind { name, parameter, sizes, .. } in KINDS {
        let [subtle, middle, severe, total] = sizes.map(range);
        writeln!(text, "| `{name}` | {parameter} | {subtle} | {middle} | {severe} | {total} |").unwrap();
    }
    text.push_str("\n| quiet case | what happens |\n|---|---|\n");
    for quiet in QUIET {
        writeln!(text, "| `{}` | {} |", quiet.name(), quiet.about()).unwrap();
    }
    text
}

fn range((low, high): (f64, f64)) -> String {
    if low > 1e9 {
        "no connection".to_owned()
    } else if high > low {
        format!("{low} to {high}")
    } else {
        format!("{low}")
    }
}
