//! Simulated incidents as a user meets them: `simulate`, `drill`, and the same bytes from run to run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hypocenter::simulate::fault::kinds::KINDS;
use hypocenter::simulate::incident::play;
use hypocenter::simulate::scenario::{Choice, QUIET};
use hypocenter::simulate::write::TraceFormat;

fn hypocenter(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hypocenter")).args(args).output().unwrap()
}

fn succeeds(args: &[&str]) -> String {
    let output = hypocenter(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(args: &[&str], code: i32) -> String {
    let output = hypocenter(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Everything below a folder: path and bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The judgement at the end of a drill, its first word.
fn judged(report: &str) -> &str {
    let (_, told) = report.split_once("\nWhat really happened\n").expect(report);
    let words = ["RIGHT", "HALF RIGHT", "WRONG", "MISSED"];
    let judgement = told.lines().find_map(|line| words.into_iter().find(|word| line.starts_with(word)));
    judgement.unwrap_or_else(|| panic!("no judgement in {told}"))
}

/// Every kind can be drilled; the table shows how each went. A cause is named in no quiet case, and most faults that
/// nobody can overlook are found: below that something is broken, in the simulation or in the engine.
#[test]
fn every_kind_of_fault_can_be_drilled() {
    let mut right = 0;
    for kind in KINDS {
        let report = succeeds(&["drill", "--fault", kind.name, "--severity", "severe", "--system", "shop"]);
        println!("{:20} {}", kind.name, judged(&report));
        right += usize::from(judged(&report) == "RIGHT");
    }
    for quiet in QUIET {
        let report = succeeds(&["drill", "--fault", quiet.name()]);
        assert_eq!(judged(&report), "RIGHT", "{}: {report}", quiet.name());
    }
    let two = succeeds(&["drill", "--fault", "two"]);
    assert!(!judged(&two).is_empty());
    assert!(3 * right >= 2 * KINDS.len(), "{right} of {} were right", KINDS.len());
}

#[test]
fn cases_are_the_same_bytes_however_they_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, cases: &str, jobs: &str, threads: &str| {
        let out = dir.path().join(name);
        let args = ["simulate", "--seed", "5", "--spans", "8000", "--traces", "parquet", "--cases", cases];
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
        command.args(args).args(["--jobs", jobs, "--out", out.to_str().unwrap()]).env("POLARS_MAX_THREADS", threads);
        assert!(command.output().unwrap().status.success());
        contents(&out)
    };
    let one = make("one", "4", "1", "1");
    let two = make("two", "4", "2", "3");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&two));
    for (name, bytes) in &one {
        assert!(two[name] == *bytes, "{name} differs");
    }
    let more = make("more", "6", "2", "2");
    assert!(one.iter().all(|(name, bytes)| more[name] == *bytes), "a case depends on how many there are");
}

/// The digests of one case, as they are on every machine.
#[test]
fn a_case_is_fixed() {
    let choice = Choice { system: Some("shop".to_owned()), spans: Some(4000), ..Choice::default() };
    let played = play(&choice, 11, 3, TraceFormat::OtlpJson).unwrap();
    let digest = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let files: Vec<String> =
        played.files.iter().map(|file| format!("{} {:016x}", file.name, digest(&file.bytes))).collect();
    insta::assert_snapshot!(format!("{}/{}\n{}", played.system, played.name, files.join("\n")));
}

/// `datasets/simulated` is what the command in its README writes. With UPDATE_DATASETS=1 the test writes it.
#[test]
fn the_cases_in_datasets_are_what_the_command_writes() {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let kept = datasets.join("simulated");
    let readme = fs::read_to_string(datasets.join("README.md")).unwrap();
    let command = readme.lines().find_map(|line| line.strip_prefix("hypocenter simulate --out datasets/simulated "));
    let words: Vec<&str> = command.unwrap().split(' ').collect();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("simulated");
    succeeds(&[&["simulate", "--out", out.to_str().unwrap()], &words[..]].concat());
    let made = contents(&out);
    if std::env::var_os("UPDATE_DATASETS").is_some() {
        fs::remove_dir_all(&kept).ok();
        for (name, bytes) in &made {
            let path = kept.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let kept = contents(&kept);
    assert_eq!(made.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    for (name, bytes) in &made {
        assert!(kept[name] == *bytes, "datasets/simulated/{name} is not what the command writes: UPDATE_DATASETS=1");
    }
    // The example in the README names a case that is there.
    let named = readme.lines().find_map(|line| line.strip_prefix("hypocenter analyze --case datasets/simulated/"));
    let named = named.unwrap();
    assert!(kept.keys().any(|name| name.starts_with(named)), "{named} is not there");
}

#[test]
fn cases_are_analysed_and_measured_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cases");
    let out = out.to_str().unwrap();
    let args = ["simulate", "--out", out, "--cases", "2", "--fault", "slow-database", "--severity", "severe"];
    succeeds(&[&args[..], &["--system", "shop", "--spans", "20000"]].concat());
    let table = succeeds(&["eval", out, "--format", "case", "--method", "hypocenter"]);
    for part in ["2 incidents", "slow-database", "by severity", "severe", "shop"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    let again = fails(&["simulate", "--out", out], 2);
    assert!(again.contains("is not empty"), "{again}");
}

#[test]
fn the_list_names_everything_that_can_be_asked_for() {
    let list = succeeds(&["simulate", "--list"]);
    let names = KINDS.iter().map(|kind| kind.name).chain(QUIET.map(|quiet| quiet.name()));
    for name in names.chain(["shop", "booking", "generated", "two", "none"]) {
        assert!(list.contains(&format!("  {name} ")), "{name} is not in {list}");
    }
    let unknown = fails(&["drill", "--fault", "gremlins"], 2);
    assert!(unknown.contains("`gremlins`") && unknown.contains("simulate --list"), "{unknown}");
    let nowhere = fails(&["drill", "--system", "no-such-file.json"], 1);
    assert!(nowhere.contains("no-such-file.json") && nowhere.contains("shop"), "{nowhere}");
}

/// A graph that was drawn from telemetry is a system to drill on, and its telemetry gives the same graph again.
#[test]
fn a_graph_of_ones_own_can_be_drilled_on() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/checkout-db-latency");
    let graph = succeeds(&["graph", "--case", case.to_str().unwrap(), "-o", "json"]);
    let mine = write("mine.json", &graph);
    let out = dir.path().join("cases");
    let out = out.to_str().unwrap();
    succeeds(&["simulate", "--out", out, "--system", &mine, "--fault", "quiet-day", "--seed", "3"]);
    let made = Path::new(out).join("own/0000-quiet-day");
    let again = succeeds(&["graph", "--case", made.to_str().unwrap(), "-o", "json"]);
    let ends = |graph: &str, list: &str, keys: &[&str]| -> Vec<String> {
        let graph: serde_json::Value = serde_json::from_str(graph).unwrap();
        let items = graph[list].as_array().unwrap().iter();
        items.map(|item| keys.iter().map(|key| item[*key].as_str().unwrap()).collect::<Vec<_>>().join(" -> ")).collect()
    };
    let missing = |list: &str, keys: &[&str]| -> Vec<String> {
        let found = ends(&again, list, keys);
        ends(&graph, list, keys).into_iter().filter(|end| !found.contains(end)).collect()
    };
    assert_eq!(missing("nodes", &["name"]), Vec::<String>::new());
    assert_eq!(missing("edges", &["caller", "callee"]), Vec::<String>::new());
    let report = succeeds(&["drill", "--system", &mine, "--fault", "slow-database", "--severity", "severe"]);
    assert!(!judged(&report).is_empty());
    let broken = write("broken.json", "{\"nodes\": 3}");
    let told = fails(&["drill", "--system", &broken], 1);
    assert!(told.contains("broken.json") && told.contains("line 1 column 11"), "{told}");
}
