//! Text from telemetry is hostile: whoever can name a span or a label must not steer a terminal, a ticket or a chat.

/// What no output shows: control characters of C0 and C1 (with them every ANSI sequence loses its beginning),
/// marks that reorder text (bidirectional overrides and isolates), characters without width, tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line without control characters, at most `limit` characters; what was cut ends in `…`.
///
/// Line breaks and tabs become single spaces. A whole ANSI sequence goes, not only its escape character.
pub(super) fn terminal(text: &str, limit: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(limit * 4));
    let mut length = 0;
    let mut characters = without_sequences(text).peekable();
    while let Some(c) = characters.next() {
        let c = match c {
            '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
            c if is_unsafe(c) => continue,
            c => c,
        };
        if c == ' ' && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        if length + 1 == limit && characters.peek().is_some() {
            clean.push('…');
            break;
        }
        clean.push(c);
        length += 1;
        if length == limit {
            break;
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// The characters outside ANSI escape sequences: CSI (`ESC [` … letter), OSC and the like up to their terminator.
fn without_sequences(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut characters = text.chars().peekable();
    std::iter::from_fn(move || {
        loop {
            let introducer = match characters.next()? {
                '\u{1b}' => match characters.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
                    Some(c) => c,
                    None => continue,
                },
                '\u{9b}' => '[',
                '\u{9d}' => ']',
                c => return Some(c),
            };
            match introducer {
                '[' => while characters.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {},
                ']' | 'P' | 'X' | '^' | '_' => {
                    while characters.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}')).is_some() {}
                    continue;
                }
                _ => continue,
            }
            // The final character of a CSI sequence.
            characters.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
    })
}

/// A line of [`terminal`] with each character as `escape` writes it, which is given the line and where in it that stands.
fn each(text: &str, limit: usize, escape: impl Fn(&str, usize, char, &mut String)) -> String {
    let clean = terminal(text, limit);
    let mut escaped = String::with_capacity(clean.len() + 16);
    clean.char_indices().for_each(|(index, c)| escape(&clean, index, c, &mut escaped));
    escaped
}

/// Plain text inside GitHub-flavoured Markdown, safe in a sentence and in a table cell: nothing is markup, mentions
/// nobody, links nowhere, refers to no issue.
pub(super) fn markdown(text: &str, limit: usize) -> String {
    each(text, limit, |clean, index, c, escaped| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Mentions and references are recognised after entities are resolved, so a character has to stand between.
            '@' | '#' => {
                escaped.push(c);
                escaped.push_str("&#8203;");
            }
            // Breaks the automatic links of `https://…` and `www.…`.
            '/' if clean[..index].ends_with(':') => escaped.push_str("&#8203;/"),
            '.' if clean[..index].to_ascii_lowercase().ends_with("www") => escaped.push_str("&#8203;."),
            // A line that begins like a list, a heading or a rule.
            '-' | '+' | '=' if index == 0 => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    })
}

/// Plain text inside Slack's mrkdwn: nothing is markup, notifies nobody, links nowhere.
pub(super) fn slack(text: &str, limit: usize) -> String {
    each(text, limit, |clean, index, c, escaped| {
        match c {
            // The only three that Slack resolves: no `<!channel>`, no `<@U1>`, no `<http://…|text>`.
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Slack has no escape for the rest: a character without width keeps them from being markup, and what speaks
            // Slack's dialect from taking `@here` for a mention.
            '*' | '~' | '`' => {
                escaped.push(ZERO_WIDTH);
                escaped.push(c);
                escaped.push(ZERO_WIDTH);
            }
            '_' if !is_inside_a_word(clean, index) => {
                escaped.push(ZERO_WIDTH);
                escaped.push(c);
                escaped.push(ZERO_WIDTH);
            }
            '@' => {
                escaped.push(c);
                escaped.push(ZERO_WIDTH);
            }
            c => escaped.push(c),
        }
    })
}

/// Plain text inside Jira's wiki markup: no macro, no mention, no link, no emphasis.
pub(super) fn jira(text: &str, limit: usize) -> String {
    each(text, limit, |clean, index, c, escaped| {
        match c {
            // A backslash before another one is a line break, so it goes by its number.
            '\\' => escaped.push_str("&#92;"),
            '&' => escaped.push_str("&amp;"),
            '{' | '}' | '[' | ']' | '|' | '!' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '*' | '_' | '-' | '+' | '^' | '~' | '?' if !is_inside_a_word(clean, index) => {
                escaped.push('\\');
                escaped.push(c);
            }
            '@' => {
                escaped.push(c);
                escaped.push(ZERO_WIDTH);
            }
            '/' if clean[..index].ends_with(':') => {
                escaped.push(ZERO_WIDTH);
                escaped.push('/');
            }
            '.' if clean[..index].to_ascii_lowercase().ends_with("www") => {
                escaped.push(ZERO_WIDTH);
                escaped.push('.');
            }
            c => escaped.push(c),
        }
    })
}

/// Separates characters that would mean something together. Text from telemetry never has one.
const ZERO_WIDTH: char = '\u{200b}';

/// Whether the character (of one byte) at an index has letters or digits on both sides, where it begins no markup.
fn is_inside_a_word(text: &str, index: usize) -> bool {
    text[..index].ends_with(char::is_alphanumeric) && text[index + 1..].starts_with(char::is_alphanumeric)
}

/// The label of a Mermaid node or edge, to stand between double quotes.
pub(super) fn mermaid(text: &str, limit: usize) -> String {
    each(text, limit, |_clean, _index, c, escaped| {
        match c {
            // Mermaid's own entities, by number: quotes would end the label, the others are markup inside it.
            '"' | '#' | '<' | '>' | '&' | '`' | ';' | '\\' | '|' | '[' | ']' | '{' | '}' | '@' | '*' | '_' => {
                escaped.push_str(&format!("#{};", u32::from(c)));
            }
            c => escaped.push(c),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        for (hostile, expected) in [
            ("plain name", "plain name"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://evil\u{1b}\\text", "text"),
            ("a\u{8}\u{8}b\u{7f}", "ab"),
            ("two\r\nlines\tand  a tab", "two lines and a tab"),
            ("abc\u{202e}txt.exe", "abctxt.exe"),
            ("in\u{200b}vis\u{feff}ible", "invisible"),
            ("ends in \u{1b}", "ends in"),
            ("ünïcode → stays", "ünïcode → stays"),
        ] {
            assert_eq!(terminal(hostile, 80), expected, "{hostile:?}");
        }
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(terminal("abcdef", 6), "abcdef");
        assert_eq!(terminal("abcdefg", 6), "abcde…");
        assert_eq!(terminal("ééééééé", 3), "éé…");
        assert_eq!(terminal(&"x".repeat(10_000_000), 100).chars().count(), 100);
    }

    #[test]
    fn tickets_are_not_steered() {
        for (hostile, expected) in [
            ("a|b", "a\\|b"),
            ("<script>&", "&lt;script&gt;&amp;"),
            ("**bold** _it_ `code`", "\\*\\*bold\\*\\* \\_it\\_ \\`code\\`"),
            ("[x](http://evil)", "\\[x\\](http:&#8203;//evil)"),
            ("www.evil.example", "www&#8203;.evil.example"),
            ("@team see #1", "@&#8203;team see #&#8203;1"),
            ("- item", "\\- item"),
            ("a\n\n# heading", "a #&#8203; heading"),
            ("![i](x)", "\\!\\[i\\](x)"),
        ] {
            assert_eq!(markdown(hostile, 80), expected, "{hostile:?}");
        }
    }

    #[test]
    fn chats_and_wikis_are_not_steered() {
        for (hostile, in_slack, in_jira) in [
            ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;@\u{200b}U1&gt;", "<\\!channel> &amp; <@\u{200b}U1>"),
            ("@here", "@\u{200b}here", "@\u{200b}here"),
            ("{code}[~admin]{code}", "{code}[\u{200b}~\u{200b}admin]{code}", "\\{code\\}\\[\\~admin\\]\\{code\\}"),
            ("cart_v2_blue own-time", "cart_v2_blue own-time", "cart_v2_blue own-time"),
            ("_a_ -b-", "\u{200b}_\u{200b}a\u{200b}_\u{200b} -b-", "\\_a\\_ \\-b\\-"),
            ("a\\{b", "a\\{b", "a&#92;\\{b"),
            ("http://evil", "http://evil", "http:\u{200b}//evil"),
            ("!x.png! |a|", "!x.png! |a|", "\\!x.png\\! \\|a\\|"),
            ("a\n\u{202e}b\u{200b}c", "a bc", "a bc"),
        ] {
            assert_eq!((slack(hostile, 80).as_str(), jira(hostile, 80).as_str()), (in_slack, in_jira), "{hostile:?}");
        }
    }

    #[test]
    fn labels_of_graphs_do_not_end_early() {
        assert_eq!(mermaid("a\"] --> b", 80), "a#34;#93; --#62; b");
    }
}
