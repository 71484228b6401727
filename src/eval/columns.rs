//! Tables in plain text.

use std::io::{self, Write};

/// What stands in place of a figure.
const WORDS: [&str; 6] = ["-", "ok", "alarm", "failed", "quiet ", "<0."];

/// Writes left-aligned texts and right-aligned figures, two spaces between columns, no space at line ends.
pub(super) fn write_columns(rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> =
        (0..columns).map(|c| cells(c).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let is_figure = |cell: &String| {
        cell.starts_with(|c: char| c.is_ascii_digit()) || WORDS.iter().any(|word| cell.starts_with(word))
    };
    // The first column names things, even where the names begin with a digit.
    let figures: Vec<bool> = (0..columns).map(|c| c > 0 && cells(c).skip(1).all(is_figure)).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            line.push_str(if column == 0 { "" } else { "  " });
            if figures[column] { line.extend([padding.as_str(), cell]) } else { line.extend([cell, padding.as_str()]) }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Names come from files: control characters would reach the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A share with three digits.
pub(super) fn share(value: f64) -> String {
    format!("{value:.3}")
}

/// A figure that there may be none of.
pub(super) fn or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), share)
}

/// A p-value; small ones by their bound.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { share(p) }
}
