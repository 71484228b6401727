//! Lines for a terminal: styles, labels at the left, words that are broken between, never inside, a number and its unit.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::wording::{self, MOST_ROWS};

pub(crate) const TITLE: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
pub(crate) const ALARM: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CALM: Style = AnsiColor::Green.on_default().bold();
pub(crate) const DOUBT: Style = AnsiColor::Yellow.on_default().bold();

/// Width of the labels at the left of the first lines.
const LABEL: usize = 10;

/// A space at which no line is broken.
const UNBROKEN: char = '\u{a0}';

/// What must not stand alone at the beginning of a line.
const UNITS: [&str; 18] = [
    "%", "ns", "µs", "ms", "s", "min", "h", "d", "B", "KiB", "MiB", "GiB", "TiB", "KiB/s", "MiB/s", "cores", "bits",
    "→",
];

/// Keeps numbers and their units together.
fn with_units(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for word in text.split(' ') {
        if !joined.is_empty() {
            let unit = word.trim_end_matches([',', ';', '.', ':', ')']);
            let after_number = joined.ends_with(|c: char| c.is_ascii_digit());
            joined.push(if after_number && UNITS.contains(&unit) { UNBROKEN } else { ' ' });
        }
        joined.push_str(word);
    }
    joined
}

/// Where the report goes, and how.
pub(crate) struct Page<'a> {
    pub(crate) out: &'a mut dyn Write,
    colour: bool,
    width: usize,
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, colour: bool, width: usize) -> Self {
        Self { out, colour, width }
    }

    pub(crate) fn styled(&mut self, style: Style, text: &str) -> io::Result<()> {
        if self.colour && !text.is_empty() {
            write!(self.out, "{style}{text}{style:#}")
        } else {
            write!(self.out, "{text}")
        }
    }

    /// A section's title after an empty line.
    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        for line in wrap(text, self.width) {
            self.styled(TITLE, &line)?;
            writeln!(self.out)?;
        }
        Ok(())
    }

    pub(crate) fn fact(&mut self, label: &str, text: &str) -> io::Result<()> {
        self.wrapped(&format!("{label:LABEL$}"), text)
    }

    pub(crate) fn dim(&mut self, text: &str) -> io::Result<()> {
        write!(self.out, "  ")?;
        self.styled(DIM, text)?;
        writeln!(self.out)
    }

    pub(crate) fn omitted(&mut self, total: usize) -> io::Result<()> {
        match wording::omitted(total, MOST_ROWS) {
            Some(more) => self.dim(&more),
            None => Ok(()),
        }
    }

    /// The text after a label, further lines indented by the label's width. A path's vertical line goes on.
    pub(crate) fn wrapped(&mut self, label: &str, text: &str) -> io::Result<()> {
        let mut lead = label.to_owned();
        // A label that leaves too little room stands on a line of its own.
        if lead.chars().count() + 24 > self.width {
            writeln!(self.out, "{}", lead.trim_end())?;
            lead = " ".repeat(6);
        }
        let continued: String = lead.chars().map(|c| if matches!(c, '│' | '┊') { c } else { ' ' }).collect();
        for (index, line) in wrap(&with_units(text), self.width - lead.chars().count()).iter().enumerate() {
            let lead = if index == 0 { &lead } else { &continued };
            writeln!(self.out, "{}", format!("{lead}{line}").replace(UNBROKEN, " ").trim_end())?;
        }
        Ok(())
    }
}

/// Breaks a line between words; a word longer than the line is broken where it must be. At least one line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while used == 0 && word.len() > width {
            let rest = word.split_off(width);
            lines.last_mut().expect("there is always a line").extend(word);
            lines.push(String::new());
            word = rest;
        }
        let line = lines.last_mut().expect("there is always a line");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        used += word.len();
        line.extend(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("x abcdefgh", 4), ["x", "abcd", "efgh"]);
    }
}
