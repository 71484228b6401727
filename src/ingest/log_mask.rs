//! Messages of logs without what varies from record to record, so that millions of records have few distinct texts.
//!
//! Only the text itself decides what is masked, never other records: the same message gives the same mask in any file,
//! in any order. What letters alone tell (names of users, of cities) is left to the templates (`aggregate::templates`).

use crate::telemetry::code_line;

/// What stands for a masked part, as Drain writes it.
pub(crate) const WILD: &str = "<*>";

/// Longest masked message in bytes: templates are told apart by how they begin.
const MAX_BYTES: usize = 400;

/// Letters after a number that are a unit and not part of an id.
const UNITS: &[&str] = &[
    "ns", "us", "ms", "s", "sec", "secs", "m", "min", "mins", "h", "hr", "hrs", "d", "b", "k", "kb", "mb", "gb", "kib",
    "mib", "gib", "mi", "gi", "px", "x", "st", "nd", "rd", "th",
];

/// A word without digits that is this long is an encoded value, no word of any language.
const LONGEST_WORD: usize = 40;

/// The message on one line with `<*>` for numbers, ids, addresses, dates and the like, cut at 400 bytes.
///
/// - UUIDs, and words that mix letters and digits, are masked whole; `user42` keeps its letters, `300ms` its unit.
/// - Masked parts that only punctuation joins are one: `10.0.0.1:80`, `2026-03-02T10:00:00Z` and `1, 2, 3` are `<*>` each.
/// - The line of code that a message names is kept, `Cart.java:47`: many messages come from one line.
/// - Of several lines (a stack trace) the first and the last that is not indented count: what failed, and its root cause.
pub(crate) fn masked(message: &str) -> String {
    let (first, last) = telling_lines(message);
    let mut out = String::with_capacity(first.len().min(MAX_BYTES + 64));
    mask_line(first, &mut out);
    if !last.is_empty() && out.len() < MAX_BYTES {
        out.push(' ');
        mask_line(last, &mut out);
    }
    let mut end = out.len().min(MAX_BYTES);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.truncate(out.trim_end().len());
    out
}

/// The first line with text, and the last one after it that does not belong to a stack's frames; empty if there is none.
fn telling_lines(message: &str) -> (&str, &str) {
    let message = message.trim();
    let Some((first, rest)) = message.split_once('\n') else { return (message, "") };
    let is_frame = |line: &&str| line.starts_with([' ', '\t', '}', ')']) || line.starts_with("at ") || line.is_empty();
    let last = rest.lines().rev().take(MOST_LINES).find(|line| !is_frame(line)).unwrap_or_default();
    (first.trim_end(), last.trim_end())
}

/// Lines of one message that are looked at from its end.
const MOST_LINES: usize = 200;

fn mask_line(line: &str, out: &mut String) {
    let mut rest = line;
    let mut has_line = false;
    while let Some(first) = rest.chars().next() {
        if out.len() >= MAX_BYTES + WILD.len() {
            return;
        }
        if first.is_alphanumeric() {
            if is_uuid(rest.as_bytes()) {
                wild(out);
                rest = rest.get(UUID_BYTES..).unwrap_or_default();
                continue;
            }
            // Once: a second one belongs to what the message tells.
            if let Some((length, _)) = code_line::leading(rest).filter(|_| !has_line) {
                has_line = true;
                let (position, after) = rest.split_at(length);
                out.push_str(position);
                rest = after;
                continue;
            }
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            mask_word(word, out);
            rest = after;
        } else {
            if !first.is_whitespace() {
                out.push(first);
            } else if !out.ends_with(' ') && !out.is_empty() {
                out.push(' ');
            }
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
}

fn mask_word(word: &str, out: &mut String) {
    let has_digit = word.bytes().any(|b| b.is_ascii_digit());
    if !has_digit {
        return if word.len() > LONGEST_WORD { wild(out) } else { out.push_str(word) };
    }
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let only_hex = letters.bytes().all(|b| b.is_ascii_hexdigit());
    if !letters.is_empty() && !only_hex && !letters.bytes().any(|b| b.is_ascii_digit()) && letters.len() <= LONGEST_WORD
    {
        out.push_str(letters);
        return wild(out);
    }
    wild(out);
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    if UNITS.iter().any(|known| unit.eq_ignore_ascii_case(known)) {
        out.push_str(unit);
    }
}

/// Adds `<*>`, joined with one that stands before it.
fn wild(out: &mut String) {
    // A sign belongs to its number.
    if let Some(unsigned) = out.strip_suffix(['-', '+'])
        && (unsigned.is_empty() || unsigned.ends_with([' ', '=', '(', '[', '{', ',', ':', '_', '"', '\'']))
    {
        out.truncate(unsigned.len());
    }
    let bare = out.trim_end_matches(' ');
    let joined = bare.strip_suffix(['.', ':', '-', '_', '/', ',', '+']).unwrap_or(bare);
    if joined.ends_with(WILD) {
        out.truncate(joined.len());
    } else {
        out.push_str(WILD);
    }
}

const UUID_BYTES: usize = 36;

fn is_uuid(text: &[u8]) -> bool {
    let Some(uuid) = text.get(..UUID_BYTES) else { return false };
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    uuid.iter().enumerate().all(fits) && !text.get(UUID_BYTES).is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_masked_and_what_tells_is_kept() {
        for (message, expected) in [
            ("connected to 10.0.0.1", "connected to <*>"),
            ("connected to 10.0.0.1:8080", "connected to <*>"),
            ("Hex number 0xDEADBEAF", "Hex number <*>"),
            ("user davidoh logged in", "user davidoh logged in"),
            ("user42 paid 12.50 USD in 300ms", "user<*> paid <*> USD in <*>ms"),
            ("at 2023-01-29T08:48:42.425293566Z: ok", "at <*>: ok"),
            ("16:48:42.424 INFO  t.s.Service#532 done", "<*> INFO t.s.Service#532 done"),
            ("16:48:42.424 INFO  t.s.Cart#532 r.s.Cart#7 main.go:12", "<*> INFO t.s.Cart#532 r.s.Cart#<*> main.go:<*>"),
            ("[OrderId: 4129c155-16e5-4f66-96df-7e15370b161a]", "[OrderId: <*>]"),
            ("Route ID：f3d4d4ef-693b-4456-8eed-59c0d717dd08", "Route ID：<*>"),
            ("TraceID: b8eab8b5ba03e26a534452add95d4ceb", "TraceID: <*>"),
            ("Deleting block blk_-1608999687919862906", "Deleting block blk_<*>"),
            ("distances=[0, 50, 175], left=-3", "distances=[<*>], left=<*>"),
            ("HTTP/1.1 503 from pay-7d9f8b-x2x4z", "HTTP/<*> from pay-<*>"),
            ("took 1.5e-3 s, 45%", "took <*> s, <*>%"),
            ("  many\t\tspaces \r\n", "many spaces"),
            ("ñandú 7 naïve", "ñandú <*> naïve"),
            ("", ""),
        ] {
            assert_eq!(masked(message), expected, "{message}");
        }
    }

    #[test]
    fn of_a_stack_trace_the_failure_and_its_root_cause_are_kept() {
        let java = "Request 17 failed\njava.lang.IllegalStateException: no route\n\tat a.B.c(B.java:12)\n\
                    Caused by: java.net.ConnectException: refused\n\tat x.Y.z(Y.java:7)\n\t... 3 more\n";
        assert_eq!(masked(java), "Request <*> failed Caused by: java.net.ConnectException: refused");
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\nKeyError: 'x'";
        assert_eq!(masked(python), "Traceback (most recent call last): KeyError: 'x'");
    }

    #[test]
    fn a_mask_is_short_and_masking_it_again_changes_nothing() {
        for message in ["é".repeat(5000), "a1 ".repeat(5000), "x".repeat(5000), "word ".repeat(5000), "\n".repeat(5000)]
        {
            let once = masked(&message);
            assert!(once.len() <= MAX_BYTES);
            assert_eq!(masked(&once), once);
        }
        let message = "GET /cart/42?x=-1 → 500 (12 ms) for <*>";
        assert_eq!(masked(&masked(message)), masked(message));
    }
}
