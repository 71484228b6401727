//! A command that a reader can paste into a shell.

use std::fmt;
use std::path::Path;

use crate::telemetry::time::Window;
use crate::timespec::window_text;

/// A command line under construction; shown quoted for a POSIX shell.
#[derive(Clone)]
pub(super) struct CommandLine {
    words: Vec<String>,
}

impl CommandLine {
    pub(super) fn new(subcommand: &str) -> Self {
        Self { words: vec!["hypocenter".to_owned(), subcommand.to_owned()] }
    }

    /// The command line that this process was called with.
    pub(super) fn as_given() -> Self {
        let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
        Self { words: std::iter::once("hypocenter".to_owned()).chain(words).collect() }
    }

    /// A flag with one value.
    pub(super) fn flag(mut self, flag: &str, value: &str) -> Self {
        self.words.push(flag.to_owned());
        self.words.push(quoted(value));
        self
    }

    /// A flag with a value if there is one.
    pub(super) fn flag_if(self, flag: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.flag(flag, value),
            None => self,
        }
    }

    /// A flag with several paths, or nothing.
    pub(super) fn paths<P: AsRef<Path>>(mut self, flag: &str, paths: &[P]) -> Self {
        if !paths.is_empty() {
            self.words.push(flag.to_owned());
            self.words.extend(paths.iter().map(|path| quoted(&path.as_ref().to_string_lossy())));
        }
        self
    }

    /// The windows, as fixed instants.
    pub(super) fn windows(self, incident: &Window, baselines: &[Window]) -> Self {
        let with_incident = self.flag("--incident", &window_text(incident));
        baselines.iter().fold(with_incident, |line, baseline| line.flag("--baseline", &window_text(baseline)))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// One word for a POSIX shell. Control characters stay inside `$'…'`, so that no terminal obeys them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_unprintable) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut escaped = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => escaped.extend(['\\', c]),
            c if is_unprintable(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    escaped.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => escaped.push(c),
        }
    }
    escaped.push('\'');
    escaped
}

/// What a terminal would obey or not show: what the report's escaping removes.
fn is_unprintable(c: char) -> bool {
    c != ' ' && crate::report::terminal_text(&format!("x{c}x"), 8).chars().count() != 3 || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain/path-1.json", "two words", "it's", "a\u{1b}[31m", "$HOME", "*", "", "bidi\u{202e}x", "ä"] {
            let line = CommandLine::new("x").flag("-p", word).to_string();
            let shown = line.strip_prefix("hypocenter x -p ").unwrap();
            assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
            let output = std::process::Command::new("bash").args(["-c", &format!("printf %s {shown}")]).output();
            // Without bash the first assertion still holds.
            if let Ok(output) = output {
                assert_eq!(String::from_utf8_lossy(&output.stdout), word);
            }
        }
    }

    #[test]
    fn windows_are_fixed_instants() {
        let hour = Window::new(0, 3_600_000_000_000).unwrap();
        let line = CommandLine::new("analyze").windows(&hour, &[hour]).to_string();
        let window = "1970-01-01T00:00:00Z/1970-01-01T01:00:00Z";
        assert_eq!(line, format!("hypocenter analyze --incident {window} --baseline {window}"));
    }
}
