//! `case.toml` of a played scenario: the windows, where it was felt, and the truth.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::CaseFile;
use crate::case::CASE_FILE;
use crate::case::quoted;
use crate::simulate::fault::Fault;
use crate::simulate::fault::traffic::{Need, Traffic};
use crate::simulate::scenario::Scenario;
use crate::simulate::system::{ServiceIdx, System};
use crate::simulate::windows::Windows;

/// Where and how users felt it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Felt<'a> {
    /// Name of the entry's service; `None`: nobody said.
    pub entry: Option<&'a str>,
    /// `latency` or `errors`; `None`: nobody said.
    pub symptom: Option<&'a str>,
    /// Whether an alert fired, which then lies beside the case.
    pub alerted: bool,
}

/// Share of an entry's requests that meet a cause, from which on the entry counts as affected.
const AFFECTED: f64 = 0.05;

/// The description of the case.
pub fn case_toml(scenario: &Scenario, windows: &Windows, felt: &Felt<'_>) -> CaseFile {
    let mut text = String::from(if felt.alerted {
        "# Simulated. An alert fired: alert.json has its body, and the windows follow it.\n"
    } else {
        "# Simulated. No alert fired: the windows are where an incident was planned.\n"
    });
    line(&mut text, "name", &quoted(&scenario.name()));
    line(&mut text, "system", &quoted(&scenario.system.name));
    if let Some(entry) = felt.entry {
        line(&mut text, "entry", &quoted(entry));
    }
    if let Some(symptom) = felt.symptom {
        line(&mut text, "symptom", &quoted(symptom));
    }
    window(&mut text, "[incident]", windows.incident);
    window(&mut text, "[[baseline]]", windows.baseline);
    text.push_str("\n[truth]\n");
    if scenario.faults.is_empty() {
        quiet(&mut text, scenario)
    } else {
        truth(&mut text, scenario, felt)
    }
    CaseFile { name: CASE_FILE.to_owned(), bytes: text.into_bytes() }
}

fn quiet(text: &mut String, scenario: &Scenario) {
    line(text, "none", "true");
    line(text, "kind", &quoted(scenario.kind));
    line(text, "description", &quoted(&scenario.herrings.join("; ")));
}

fn truth(text: &mut String, scenario: &Scenario, felt: &Felt<'_>) {
    let system = &scenario.system;
    let faults = &scenario.faults;
    let causes: Vec<Vec<String>> = faults.iter().map(|fault| accepted(system, fault)).collect();
    line(text, "services", &list(&unique(causes.iter().flatten().cloned())));
    if causes.len() > 1 {
        let sets: Vec<String> = causes.iter().map(|names| list(names)).collect();
        line(text, "causes", &format!("[{}]", sets.join(", ")));
    }
    line(text, "kind", &quoted(scenario.kind));
    // Of two faults the worse one counts, and the one that began first.
    let severity = faults.iter().map(|fault| fault.severity).max().unwrap_or(faults[0].severity);
    line(text, "severity", &quoted(severity.name()));
    line(text, "onset", &quoted(faults[0].onset.name()));
    line(text, "at", &time(faults.iter().map(|fault| fault.from_ns).min().unwrap_or(faults[0].from_ns)));
    let entries = affected_entries(system, faults);
    let names = unique(entries.iter().map(|&entry| entry_name(system, entry).to_owned()));
    line(text, "entries", &list(&names));
    line(text, "path", &list(&path(system, &faults[0], &entries, felt)));
    let told: Vec<&str> = faults.iter().map(|fault| fault.description.as_str()).collect();
    let mut description = told.join("; ");
    if !scenario.herrings.is_empty() {
        description.push_str(". Not the cause: ");
        description.push_str(&scenario.herrings.join("; "));
    }
    line(text, "description", &quoted(&description));
}

/// All names of all right answers.
fn accepted(system: &System, fault: &Fault) -> Vec<String> {
    if !fault.outside.is_empty() {
        return fault.outside.clone();
    }
    unique(fault.causes.iter().flat_map(|&cause| system.names_of(cause)))
}

/// Entries of which enough requests, or the messages that they send, meet a cause; those with most requests first.
fn affected_entries(system: &System, faults: &[Fault]) -> Vec<usize> {
    let traffic = Traffic::of(system, 1.0);
    let meets = |&entry: &usize| {
        let mut causes = faults.iter().flat_map(|fault| &fault.causes);
        causes.any(|&cause| traffic.visits_of(Need::Message, entry, cause) >= AFFECTED)
    };
    let mut entries: Vec<usize> = (0..system.entries.len()).filter(meets).collect();
    entries.sort_by(|&a, &b| traffic.share_of(b).total_cmp(&traffic.share_of(a)).then(a.cmp(&b)));
    entries
}

/// From the entry where it was felt, else from the affected one with most requests, to the first right answer; and on to
/// the second where the fault lies between the two.
fn path(system: &System, fault: &Fault, entries: &[usize], felt: &Felt<'_>) -> Vec<String> {
    let from_felt = entries.iter().filter(|&&entry| Some(entry_name(system, entry)) == felt.entry);
    let candidates = from_felt.chain(entries);
    let Some(&first) = fault.causes.first() else { return Vec::new() };
    let way = candidates.into_iter().find_map(|&entry| system.path(&system.entries[entry], first));
    let mut way: Vec<ServiceIdx> = way.unwrap_or_else(|| vec![first]);
    if let &[caller, callee] = fault.causes.as_slice()
        && system.link(caller, callee).is_some()
    {
        way.push(callee);
    }
    way.into_iter().filter_map(|service| system.names_of(service).into_iter().next()).collect()
}

fn entry_name(system: &System, entry: usize) -> &str {
    &system.services[system.operations[system.entries[entry].operation].service].name
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

fn window(text: &mut String, header: &str, (start_ns, end_ns): (i64, i64)) {
    text.push('\n');
    text.push_str(header);
    text.push('\n');
    line(text, "start", &time(start_ns));
    line(text, "end", &time(end_ns));
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key} = {value}").expect("a string takes any text");
}

/// RFC 3339, which TOML takes without quotes.
fn time(at_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(at_ns)).expect("64 bits of nanoseconds end in 2262").to_string()
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::fault::tests::shop::shop;
    use crate::simulate::scenario::{Choice, draw};

    const WINDOWS: Windows = Windows {
        incident: (1_772_000_600_000_000_000, 1_772_000_900_500_000_000),
        baseline: (1_772_000_000_000_000_000, 1_772_000_600_000_000_000),
    };

    fn drawn(system: System, fault: &str) -> Scenario {
        let choice = Choice { given: Some(system), fault: Some(fault.to_owned()), ..Choice::default() };
        draw(&choice, &|_, _| None, 4, 2).unwrap()
    }

    fn written(scenario: &Scenario) -> toml::Table {
        let felt = Felt { entry: Some("gateway"), symptom: Some("latency"), alerted: true };
        let file = case_toml(scenario, &WINDOWS, &felt);
        assert_eq!(file.name, "case.toml");
        toml::from_str(std::str::from_utf8(&file.bytes).unwrap()).unwrap()
    }

    fn strings(value: &toml::Value) -> Vec<&str> {
        value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    fn at(value: &toml::Value) -> String {
        value.as_datetime().unwrap().to_string()
    }

    #[test]
    fn the_truth_of_a_database_names_it_as_reports_do() {
        let mut scenario = drawn(shop(), "slow-database");
        scenario.faults[0].causes = vec![6];
        let case = written(&scenario);
        let truth = case["truth"].as_table().unwrap();
        assert_eq!(strings(&truth["services"]), ["postgresql/products-db", "products-db"]);
        assert_eq!(truth["kind"].as_str(), Some("slow-database"));
        assert_eq!(strings(&truth["entries"]), ["gateway"]);
        assert_eq!(strings(&truth["path"]), ["gateway", "catalog", "postgresql/products-db"]);
        assert_eq!(at(&case["incident"]["start"]), "2026-02-25T06:23:20Z");
        assert_eq!(at(&case["incident"]["end"]), "2026-02-25T06:28:20.5Z");
        assert_eq!(case["baseline"].as_array().unwrap().len(), 1);
        let begin = at(&truth["at"]).parse::<Timestamp>().unwrap();
        assert_eq!(begin.as_nanosecond(), i128::from(scenario.faults[0].from_ns));
        assert!(!truth.contains_key("none") && !truth.contains_key("causes"));
    }

    #[test]
    fn two_faults_are_two_sets_of_answers() {
        let scenario = drawn(shop(), "two");
        let truth = written(&scenario)["truth"].as_table().unwrap().clone();
        let sets: Vec<Vec<&str>> = truth["causes"].as_array().unwrap().iter().map(strings).collect();
        assert_eq!(sets.len(), 2);
        let union: std::collections::BTreeSet<&str> = sets.into_iter().flatten().collect();
        let services = strings(&truth["services"]);
        assert_eq!(services.len(), union.len());
        assert!(services.iter().all(|name| union.contains(name)));
        assert_eq!(truth["kind"].as_str(), Some("two-faults"));
    }

    #[test]
    fn a_partition_leads_to_its_far_end() {
        let mut scenario = drawn(shop(), "partition");
        scenario.faults[0].causes = vec![2, 3];
        let truth = written(&scenario)["truth"].as_table().unwrap().clone();
        assert_eq!(strings(&truth["path"]), ["gateway", "orders", "payments"]);
    }

    #[test]
    fn a_quiet_case_has_no_answer() {
        let truth = written(&drawn(shop(), "noisy-service"))["truth"].as_table().unwrap().clone();
        assert_eq!(truth["none"].as_bool(), Some(true));
        assert_eq!(truth["kind"].as_str(), Some("noisy-service"));
        assert!(!truth.contains_key("services") && !truth.contains_key("at"));
    }

    #[test]
    fn hostile_names_stay_what_they_are() {
        let hostile = "a\"b\\c\nd\u{7f}\u{0}é'''\"\"\"#";
        let mut system = shop();
        system.name = hostile.to_owned();
        for service in &mut system.services {
            service.name.push_str(hostile);
        }
        let mut scenario = drawn(system, "crash");
        scenario.faults[0].causes = vec![2];
        let case = written(&scenario);
        assert_eq!(case["system"].as_str(), Some(hostile));
        assert_eq!(strings(&case["truth"]["services"]), [format!("orders{hostile}")]);
    }
}
