//! Templates by the line of code that wrote them: two lines may say the same, and one of them may fall silent.
//!
//! Where messages name their line (`telemetry::code_line`), each line of a template is one of its own, for a line is what
//! a message comes from and the words are only what it says. A deploy moves lines: lines of one source that followed one
//! another in time are taken to be one statement that moved, so that a harmless deploy changes nothing.

use std::collections::BTreeMap;

use super::templates::WILD;
use crate::telemetry::code_line;

/// Of one template and source there are no more lines than these; more numbers than that are ids and no lines.
const MAX_LINES: usize = 32;
/// Lines that both come during more than this share of the time of either are two: old and new code run side by side only
/// for the time of a deploy.
const BOTH: f64 = 0.25;

/// First and last instant of a message.
pub(super) type Seen = (i64, i64);

/// The message without its line's number, for mining.
pub(super) fn without_line(message: &str) -> Option<String> {
    let (_, line) = code_line::find(message)?;
    Some(format!("{}{WILD}{}", &message[..line.start], &message[line.end..]))
}

/// A line of code: template, source with separator, number.
type Line<'m> = (u32, &'m str, &'m str);

/// Splits the templates of one service by line. `groups` are indices of templates by message, and change.
pub(super) fn split(messages: &[&str], seen: &[Seen], templates: &mut Vec<String>, groups: &mut [u32]) {
    let line_of = |at: usize, group: u32| -> Option<Line<'_>> {
        let (position, line) = code_line::find(messages[at])?;
        Some((group, &messages[at][position.start..line.start], &messages[at][line]))
    };
    let mut lines: BTreeMap<Line<'_>, Seen> = BTreeMap::new();
    for (at, &group) in groups.iter().enumerate() {
        let Some(line) = line_of(at, group) else { continue };
        let known = lines.entry(line).or_insert(seen[at]);
        *known = (known.0.min(seen[at].0), known.1.max(seen[at].1));
    }
    let lines: Vec<(Line<'_>, Seen)> = lines.into_iter().collect();
    let mut statement_of: BTreeMap<Line<'_>, u32> = BTreeMap::new();
    for of_source in lines.chunk_by(|a, b| (a.0.0, a.0.1) == (b.0.0, b.0.1)) {
        if of_source.len() > MAX_LINES {
            continue;
        }
        let first_of = moved(of_source);
        for (place, (line, _)) in of_source.iter().enumerate() {
            let is_alone = first_of.iter().filter(|first| **first == first_of[place]).count() == 1;
            if first_of[place] == place {
                let (group, source, number) = *line;
                let text = at_line(&templates[group as usize], source, if is_alone { number } else { WILD });
                templates.push(text);
                statement_of.insert(*line, u32::try_from(templates.len() - 1).unwrap_or(u32::MAX));
            } else if let Some(&statement) = statement_of.get(&of_source[first_of[place]].0) {
                statement_of.insert(*line, statement);
            }
        }
    }
    for (at, group) in groups.iter_mut().enumerate() {
        if let Some(statement) = line_of(at, *group).and_then(|line| statement_of.get(&line)) {
            *group = *statement;
        }
    }
}

/// For each line the first of the lines that are the same statement.
fn moved(lines: &[(Line<'_>, Seen)]) -> Vec<usize> {
    let mut first_of: Vec<usize> = (0..lines.len()).collect();
    for later in 1..lines.len() {
        for earlier in 0..later {
            if follow(lines[earlier].1, lines[later].1) {
                let (to, from) = (first_of[earlier].min(first_of[later]), first_of[earlier].max(first_of[later]));
                first_of.iter_mut().filter(|first| **first == from).for_each(|first| *first = to);
            }
        }
    }
    first_of
}

/// Whether one came after the other, but for a short time.
fn follow(a: Seen, b: Seen) -> bool {
    let both = (a.1.min(b.1) as f64 - a.0.max(b.0) as f64).max(0.0);
    let shorter = ((a.1 - a.0) as f64).min((b.1 - b.0) as f64);
    let apart = a.1 < b.0 || b.1 < a.0;
    apart || (both < BOTH * shorter && (a.0 < b.0) == (a.1 < b.1))
}

/// The template with the line's number, before it where the template does not name its source.
fn at_line(template: &str, source: &str, number: &str) -> String {
    let any = format!("{source}{WILD}");
    let position = format!("{source}{number}");
    if template.contains(&any) { template.replacen(&any, &position, 1) } else { format!("{position} {template}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statements of messages `a.B#<line> says <text>` that were seen at these times.
    fn statements(messages: &[(&str, Seen)]) -> Vec<String> {
        let texts: Vec<&str> = messages.iter().map(|m| m.0).collect();
        let seen: Vec<Seen> = messages.iter().map(|m| m.1).collect();
        let mut templates = vec!["a.Bc#<*> says <*>".to_owned()];
        let mut groups = vec![0; texts.len()];
        split(&texts, &seen, &mut templates, &mut groups);
        groups.iter().map(|group| templates[*group as usize].clone()).collect()
    }

    #[test]
    fn two_lines_that_say_the_same_are_two() {
        let told =
            statements(&[("a.Bc#47 says x", (0, 100)), ("a.Bc#53 says y", (0, 60)), ("a.Bc#53 says z", (2, 50))]);
        assert_eq!(told, ["a.Bc#47 says <*>", "a.Bc#53 says <*>", "a.Bc#53 says <*>"]);
    }

    #[test]
    fn a_line_that_moved_is_still_the_same() {
        let told = statements(&[("a.Bc#47 says x", (0, 60)), ("a.Bc#49 says x", (61, 100))]);
        assert_eq!(told, ["a.Bc#<*> says <*>", "a.Bc#<*> says <*>"]);
        // Old and new pods answer side by side for a while.
        let told = statements(&[("a.Bc#47 says x", (0, 60)), ("a.Bc#49 says x", (52, 100))]);
        assert_eq!(told, ["a.Bc#<*> says <*>", "a.Bc#<*> says <*>"]);
    }

    #[test]
    fn many_numbers_are_ids() {
        let texts: Vec<String> = (0..40).map(|id| format!("a.Bc#{id} says x")).collect();
        let messages: Vec<(&str, Seen)> = texts.iter().map(|text| (text.as_str(), (0, 100))).collect();
        assert!(statements(&messages).iter().all(|text| text == "a.Bc#<*> says <*>"));
    }

    #[test]
    fn a_message_is_mined_without_its_line() {
        assert_eq!(without_line("INFO a.Bc#47 says 3").as_deref(), Some("INFO a.Bc#<*> says 3"));
        assert_eq!(without_line("says 3"), None);
    }
}
