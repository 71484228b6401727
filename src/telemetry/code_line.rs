//! Where in a program a log message was written, as logging libraries put it into the message.
//!
//! `r.c.RouteController#47` (Logback, `%logger{0}#%line`), `com.shop.Cart:47` (Log4j, `%c:%L`), `main.go:123` (Go's
//! `log.Lshortfile`, zap), `server.cc:120]` (glog), `RouteController.java:47` (`%F:%L`), `views.py:12` (Python, `%(filename)s:%(lineno)d`).

use std::ops::Range;

/// Digits of the longest line number: what is longer is an id, a port has nothing before it that these rules take.
const MAX_DIGITS: usize = 5;

/// Endings of source files.
const EXTENSIONS: &[&str] = &[
    "c", "cc", "clj", "cpp", "cs", "cxx", "dart", "erl", "ex", "exs", "fs", "go", "groovy", "h", "hpp", "hs", "java",
    "js", "jsx", "kt", "lua", "mjs", "ml", "php", "pl", "py", "rb", "rs", "scala", "swift", "ts", "tsx", "vb",
];

/// The length of the position that the text begins with, in bytes, and where in it the line's number lies.
pub(crate) fn leading(text: &str) -> Option<(usize, Range<usize>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '-');
    let end = text.find(|c: char| !is_name(c))?;
    let (name, rest) = text.split_at(end);
    let separator = rest.chars().next().filter(|c| matches!(c, '#' | ':'))?;
    let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    let line = end + 1..end + 1 + digits;
    let ends = !text[line.end..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let (scope, last) = name.rsplit_once('.')?;
    let is_file = separator == ':' && EXTENSIONS.contains(&last) && !scope.is_empty();
    let is_class = last.starts_with(|c: char| c.is_ascii_uppercase())
        && last.contains(|c: char| c.is_ascii_lowercase())
        && scope.starts_with(|c: char| c.is_ascii_lowercase());
    ((1..=MAX_DIGITS).contains(&digits) && ends && (is_file || is_class)).then_some((line.end, line))
}

/// The first position in the text, and where in the text the line's number lies.
pub(crate) fn find(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let mut at = 0;
    while let Some(start) = text[at..].find(char::is_alphanumeric).map(|found| at + found) {
        if let Some((length, line)) = leading(&text[start..]) {
            return Some((start..start + length, start + line.start..start + line.end));
        }
        let word = text[start..].find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '$' | '-'));
        at = start + word?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_as_logging_libraries_write_them() {
        for (text, position, line) in [
            ("<*> INFO r.c.RouteController#47 TraceID: <*>", "r.c.RouteController#47", "47"),
            ("INFO com.shop.Cart:112 - full", "com.shop.Cart:112", "112"),
            ("2009/01/23 01:23:23 main.go:23: message", "main.go:23", "23"),
            ("I0829 server.cc:120] started", "server.cc:120", "120"),
            ("/src/app/views.py:12 refused", "views.py:12", "12"),
            ("[Http2Client.java:7]", "Http2Client.java:7", "7"),
        ] {
            let (found, digits) = find(text).expect(text);
            assert_eq!((&text[found], &text[digits]), (position, line));
        }
    }

    #[test]
    fn ids_and_addresses_are_no_positions() {
        for text in [
            "Order#1234 placed",
            "order.Number#1234567 placed",
            "connected to db.internal:5432",
            "took 1.5:3",
            "user.name:12",
            "r.c.RouteController#<*>",
            "a.go:12ms",
            "",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
