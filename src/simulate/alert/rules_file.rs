//! The rules as a file that Prometheus loads.

use super::promql::Duration;
use super::{INTERVAL_S, rules};
use crate::simulate::system::System;
use crate::simulate::write::CaseFile;

/// The file of all rules of a system. Texts are quoted as in JSON, which YAML understands.
pub fn rules_file(system: &System) -> CaseFile {
    let mut text = format!("groups:\n  - name: {}\n    interval: {INTERVAL_S}s\n    rules:\n", quoted(&system.name));
    for rule in rules(system) {
        text += &format!("      - alert: {}\n", rule.name);
        text += &format!("        expr: {}\n", quoted(&rule.expression.to_string()));
        text += &format!("        for: {}\n        labels:\n", Duration(rule.for_s));
        for (name, value) in &rule.labels {
            text += &format!("          {name}: {}\n", quoted(&untemplated(value)));
        }
        text += &format!("        annotations:\n          summary: {}\n", quoted(&untemplated(&rule.summary)));
    }
    CaseFile { name: "rules.yml".to_owned(), bytes: text.into_bytes() }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Labels and annotations are templates: braces of a name must not begin an action.
fn untemplated(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}
