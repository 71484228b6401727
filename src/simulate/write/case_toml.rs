//! The description of a case: windows, entry and the truth, as [`crate::case`] documents them.

use std::fmt::Write as _;

use super::CaseFile;
use crate::simulate::alert::Firing;
use crate::simulate::fault::Fault;
use crate::simulate::scenario::Scenario;
use crate::simulate::system::{ServiceIdx, System};
use crate::simulate::windows::Windows;
use crate::telemetry::time::Window;
use crate::timespec::rfc3339;

/// The description of a scenario that was played.
pub fn case_toml(scenario: &Scenario, firings: &[Firing], windows: &Windows) -> CaseFile {
    let Scenario { name, system, faults, .. } = scenario;
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    line("name", quoted(name));
    line("system", quoted(&system.name));
    // What woke people counts before what waits for the morning.
    let is_page = |firing: &&Firing| firing.labels.iter().any(|label| label.0 == "severity" && label.1 == "critical");
    let first = firings.iter().min_by_key(|firing| (!is_page(firing), firing.pending_since_ns));
    if let Some(first) = first {
        line("entry", quoted(first.service()));
        line("symptom", quoted(if first.rule.starts_with("Latency") { "latency" } else { "errors" }));
    }
    let window = |of: &Window| format!("start = {}\nend = {}\n", rfc3339(of.start_ns()), rfc3339(of.end_ns()));
    text.push_str(&format!("\n[incident]\n{}\n[[baseline]]\n", window(&windows.incident)));
    text.push_str(&window(&windows.baseline));
    text.push_str("\n[truth]\n");
    text.push_str(&truth(scenario, faults, &felt_at(system, firings)));
    CaseFile { name: crate::case::CASE_FILE.to_owned(), bytes: text.into_bytes() }
}

fn truth(scenario: &Scenario, faults: &[Fault], felt_at: &[ServiceIdx]) -> String {
    let system = &scenario.system;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        writeln!(text, "{key} = {value}").expect("writing into a String does not fail");
    };
    let herrings = scenario.herrings.join(" ");
    let Some(first) = faults.first() else {
        line("none", "true".to_owned());
        line("kind", quoted(scenario.kind));
        line("description", quoted(&herrings));
        return text;
    };
    let names = |fault: &Fault| -> Vec<String> {
        let mut names: Vec<String> = fault.causes.iter().flat_map(|cause| system.names_of(*cause)).collect();
        names.sort();
        names.dedup();
        names
    };
    if faults.len() > 1 {
        line("causes", format!("[{}]", faults.iter().map(|fault| list(&names(fault))).collect::<Vec<_>>().join(", ")));
    } else {
        line("services", list(&names(first)));
    }
    let least = faults.iter().map(|fault| fault.severity).min().unwrap_or(first.severity);
    line("kind", quoted(scenario.kind));
    line("severity", quoted(least.name()));
    line("onset", quoted(first.onset.name()));
    line("at", rfc3339(first.from_ns));
    let service = |place: &ServiceIdx| system.services[*place].name.clone();
    line("entries", list(&felt_at.iter().map(service).collect::<Vec<_>>()));
    line("path", list(&path(system, first, felt_at).iter().map(service).collect::<Vec<_>>()));
    let described: Vec<&str> = faults.iter().map(|fault| fault.description.as_str()).collect();
    let beside = if herrings.is_empty() { String::new() } else { format!(" Beside it, meaning nothing: {herrings}") };
    line("description", quoted(&format!("{}{beside}", described.join(" "))));
    text
}

/// Services that alerts name, in the order of the system.
fn felt_at(system: &System, firings: &[Firing]) -> Vec<ServiceIdx> {
    let named = |place: &ServiceIdx| firings.iter().any(|firing| firing.service() == system.services[*place].name);
    (0..system.services.len()).filter(named).collect()
}

/// The shortest way from an entry, one at which it was felt if there is one, to a cause.
fn path(system: &System, fault: &Fault, felt_at: &[ServiceIdx]) -> Vec<ServiceIdx> {
    let ways = system.entries.iter().flat_map(|entry| {
        let is_felt = felt_at.contains(&system.operations[entry.operation].service);
        fault.causes.iter().filter_map(move |cause| Some((!is_felt, system.path(entry, *cause)?)))
    });
    ways.min_by_key(|(unfelt, way)| (*unfelt, way.len())).map(|(_, way)| way).unwrap_or_default()
}

fn list(names: &[String]) -> String {
    format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "))
}

/// A TOML basic string; what JSON escapes, TOML reads alike.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string can always be written").replace('\u{7f}', "\\u007f")
}
