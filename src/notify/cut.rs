//! One way to cut a text to what a sink takes: at line ends, with all that was opened closed, and what was left out said.

/// How a sink counts.
pub(super) type Measure = fn(&str) -> usize;

/// UTF-16 units, as the Java and JavaScript behind GitHub, Jira and Slack count; never fewer than characters.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A line of at most so many units, which ends in `…` where it was cut.
pub(super) fn line(text: &str, limit: usize) -> String {
    if units(text) <= limit {
        return text.to_owned();
    }
    let mut size = 1;
    let fits = |c: &char| {
        size += c.len_utf16();
        size <= limit
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", kept.trim_end())
}

/// UTF-16 units of a text inside a JSON string.
pub(super) fn units_as_json(text: &str) -> usize {
    let escaped = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf16(),
    };
    text.chars().map(escaped).sum()
}

/// What the lines of a text can open that has to be closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Code fences and folded parts.
    Markdown,
    /// Nothing.
    Plain,
}

/// The text if it fits, or its first lines and a last one that says how many were left out and where the whole is.
///
/// What the limit has no room for even then is left out as well: a text is never longer than its limit.
pub(super) fn cut(text: &str, kind: Kind, limit: usize, measure: Measure, whole: &str) -> String {
    if measure(text) <= limit {
        return text.to_owned();
    }
    let n_lines = text.lines().count();
    // Room for the longest sentence of the kind, and for closing a fence.
    let said = |left_out: usize| {
        let noun = if left_out == 1 { "line" } else { "lines" };
        format!("… {left_out} {noun} left out; the whole report: {whole}\n")
    };
    let mut kept = String::new();
    let mut size = 0;
    let mut open = Open { kind, is_in_fence: false, folds: 0 };
    let mut n_kept = 0;
    for line in text.lines() {
        let next = open.after(line);
        let ending = format!("{}\n{}", next.closing(), said(n_lines));
        let with = size + measure(line) + measure("\n");
        if with + measure(&ending) > limit {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
        (size, open, n_kept) = (with, next, n_kept + 1);
    }
    let before = if open.kind == Kind::Markdown && n_kept > 0 { "\n" } else { "" };
    let ending = format!("{}{before}{}", open.closing(), said(n_lines - n_kept));
    if size + measure(&ending) <= limit { format!("{kept}{ending}") } else { kept }
}

/// What is open at a line's end.
#[derive(Clone, Copy)]
struct Open {
    kind: Kind,
    is_in_fence: bool,
    folds: usize,
}

impl Open {
    fn after(self, line: &str) -> Self {
        let line = line.trim_start();
        match self.kind {
            Kind::Plain => self,
            Kind::Markdown if line.starts_with("```") => Self { is_in_fence: !self.is_in_fence, ..self },
            Kind::Markdown if self.is_in_fence => self,
            Kind::Markdown if line.starts_with("<details>") => Self { folds: self.folds + 1, ..self },
            Kind::Markdown if line.starts_with("</details>") => Self { folds: self.folds.saturating_sub(1), ..self },
            Kind::Markdown => self,
        }
    }

    fn closing(self) -> String {
        let fence = if self.is_in_fence { "```\n" } else { "" };
        format!("{fence}{}", "\n</details>\n".repeat(self.folds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_stays_as_it_is() {
        assert_eq!(cut("a\nb\n", Kind::Markdown, 4, units, "x"), "a\nb\n");
    }

    #[test]
    fn what_is_open_is_closed_and_what_is_left_out_is_said() {
        let text = "head\n<details><summary>x</summary>\n\n```sh\none\ntwo\nthree\n```\n\n</details>\n".to_owned()
            + &"tail\n".repeat(40);
        let shown = cut(&text, Kind::Markdown, 115, units, "http://h/1");
        assert_eq!(
            shown,
            "head\n<details><summary>x</summary>\n\n```sh\none\n```\n\n</details>\n\n… 45 lines left out; the whole report: \
             http://h/1\n"
        );
        // A fence in a text that is no Markdown is a line as any other.
        let plain = cut(&text, Kind::Plain, 105, units, "http://h/1");
        assert!(plain.ends_with("\n```sh\none\ntwo\n… 44 lines left out; the whole report: http://h/1\n"), "{plain}");
    }

    #[test]
    fn nothing_is_longer_than_its_limit() {
        let text = "```\n".to_owned() + &"<details>\nä𝄞 line\n".repeat(50) + &"x".repeat(500) + "\n";
        for limit in 0..400 {
            for (measure, kind) in
                [(units as Measure, Kind::Markdown), (units_as_json, Kind::Plain), (str::len, Kind::Markdown)]
            {
                let shown = cut(&text, kind, limit, measure, "here");
                assert!(measure(&shown) <= limit, "{limit}: {shown}");
                assert_eq!(shown.matches("```").count() % 2 * usize::from(kind == Kind::Markdown), 0, "{shown}");
            }
        }
    }

    #[test]
    fn lines_are_cut_by_units() {
        assert_eq!([line("abc", 3), line("ab c", 3), line("𝄞𝄞", 4), line("𝄞𝄞", 3)], ["abc", "ab…", "𝄞𝄞", "𝄞…"]);
    }

    #[test]
    fn text_in_json_is_measured_as_it_is_written() {
        let text = "a\"\\\n\t\u{1}ä𝄞\u{7f}";
        let written = serde_json::to_string(text).unwrap();
        assert_eq!(units_as_json(text), units(&written) - 2);
    }
}
