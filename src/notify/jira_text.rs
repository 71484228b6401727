//! The two dialects of Jira: documents (ADF) and wiki markup. Below the brief stands the whole report, as text that is
//! nothing but text.

use serde_json::{Value, json};

use super::Outcome;
use super::content::Content;
use super::cut::{Kind, cut, units, units_as_json};
use crate::report::jira_text;

/// Characters of a description or comment. Of a document its JSON is counted here, which is more than any way to count.
const TEXT: usize = 32_767;
/// The macro of text without markup.
const NOFORMAT: &str = "{noformat}";

/// The message as a document.
pub(super) fn adf(outcome: &Outcome<'_>, content: &Content) -> Value {
    let mut blocks = vec![
        json!({ "type": "heading", "attrs": { "level": 3 }, "content": [text(&content.title)] }),
        json!({ "type": "paragraph", "content": [strong(&content.brief.headline)] }),
        list(&content.lead()),
    ];
    for section in &content.sections {
        blocks.push(json!({ "type": "paragraph", "content": [strong(&section.title)] }));
        blocks.push(list(&section.lines));
    }
    let page = match &content.link {
        Some(link) => json!({
            "type": "text", "text": link, "marks": [{ "type": "link", "attrs": { "href": link } }],
        }),
        None => text(&content.whole()),
    };
    let foot = [text(&format!("{}; the whole of it: ", content.which())), page];
    blocks.push(json!({ "type": "paragraph", "content": foot }));
    let marker = json!({ "type": "paragraph", "content": [text(&content.marker())] });
    let folded = |report: &str| {
        let code = json!({ "type": "codeBlock", "attrs": {}, "content": [text(report)] });
        json!({ "type": "expand", "attrs": { "title": "The report" }, "content": [code] })
    };
    let document = |blocks: &[Value]| json!({ "type": "doc", "version": 1, "content": blocks });
    let without = document(&[blocks.as_slice(), &[folded(""), marker.clone()]].concat()).to_string();
    let room = TEXT.saturating_sub(units(&without) + 1);
    let report = cut(&outcome.text(), Kind::Plain, room, units_as_json, &content.whole());
    // An empty text is none in a document.
    if !report.is_empty() {
        blocks.push(folded(&report));
    }
    blocks.push(marker);
    document(&blocks)
}

/// The message in wiki markup.
pub(super) fn wiki(outcome: &Outcome<'_>, content: &Content) -> String {
    let bullets = |lines: &[String]| lines.iter().map(|line| format!("* {}\n", escaped(line))).collect::<String>();
    let mut head = format!("h3. {}\n\n*{}*\n\n", escaped(&content.title), escaped(&content.brief.headline));
    head.push_str(&bullets(&content.lead()));
    for section in &content.sections {
        head.push_str(&format!("\n*{}*\n\n{}", escaped(&section.title), bullets(&section.lines)));
    }
    let page = content.link.clone().unwrap_or_else(|| escaped(&content.whole()));
    let foot = format!("\n{}; the whole of it: {page}\n", content.which());
    let marker = format!("\n{}\n", content.marker());
    let macros = format!("\n{NOFORMAT}\n{NOFORMAT}\n");
    let room = TEXT.saturating_sub(units(&marker) + units(&foot));
    let head = cut(&head, Kind::Plain, room, units, &escaped(&content.whole()));
    let room = room.saturating_sub(units(&head) + units(&macros));
    // The one thing that ends such a text early.
    let report = outcome.text().replace("{noformat", "{\u{200b}noformat");
    let report = cut(&report, Kind::Plain, room, units, &content.whole());
    let report = if report.is_empty() { String::new() } else { format!("\n{NOFORMAT}\n{report}{NOFORMAT}\n") };
    format!("{head}{report}{foot}{marker}")
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn strong(text: &str) -> Value {
    json!({ "type": "text", "text": text, "marks": [{ "type": "strong" }] })
}

/// A list; none of its lines is empty.
fn list(lines: &[String]) -> Value {
    let item = |line: &String| {
        let paragraph = json!({ "type": "paragraph", "content": [text(line)] });
        json!({ "type": "listItem", "content": [paragraph] })
    };
    json!({ "type": "bulletList", "content": lines.iter().map(item).collect::<Vec<Value>>() })
}

fn escaped(text: &str) -> String {
    jira_text(text, 1_000)
}
