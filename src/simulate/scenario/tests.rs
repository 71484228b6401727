//! What is drawn: how often, within which bounds, and from the seed and the index alone.

use std::collections::BTreeMap;

use super::{Choice, Scenario, ScenarioError, draw};
use crate::simulate::fault::kinds::KINDS;
use crate::simulate::fault::tests::shop::shop;
use crate::simulate::fault::{Onset, Severity};
use crate::simulate::observe::Sampling;
use crate::simulate::system::{System, Visibility};

fn systems(name: &str, _seed: u64) -> Option<System> {
    ["shop", "booking", "generated"].contains(&name).then(|| System { name: name.to_owned(), ..shop() })
}

fn drawn(n: u64) -> Vec<Scenario> {
    (0..n).map(|index| draw(&Choice::default(), &systems, 7, index).unwrap()).collect()
}

#[test]
fn a_case_is_a_function_of_seed_and_index_alone() {
    let all = drawn(40);
    let twentieth = draw(&Choice::default(), &systems, 7, 20).unwrap();
    assert_eq!(all[20], twentieth);
    assert_ne!(draw(&Choice::default(), &systems, 8, 20).unwrap(), twentieth);
    let names: std::collections::BTreeSet<String> = all.iter().map(Scenario::name).collect();
    assert_eq!(names.len(), 40);
}

/// Shares over 420 cases (12 blocks), within four standard errors where they are drawn one by one.
#[test]
fn cases_are_spread_as_promised() {
    let cases = drawn(420);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        let kind = match case.faults.as_slice() {
            [] => "quiet",
            [one] => one.kind,
            _ => "two",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds["quiet"], 84);
    assert_eq!(kinds["two"], 36);
    assert!(KINDS.iter().all(|kind| kinds[kind.name] == 12), "{kinds:?}");
    let single: Vec<_> = cases.iter().filter(|case| case.faults.len() == 1).map(|case| &case.faults[0]).collect();
    let share = |what: &str, wanted: f64, n: usize, of: usize| {
        let error = (wanted * (1.0 - wanted) / of as f64).sqrt();
        let found = n as f64 / of as f64;
        assert!((found - wanted).abs() < 4.0 * error, "{what}: {found}, not {wanted}");
    };
    for (severity, wanted) in Severity::ALL.into_iter().zip([0.2, 0.4, 0.25, 0.15]) {
        let n = single.iter().filter(|fault| fault.severity == severity).count();
        share(severity.name(), wanted, n, single.len());
    }
    share("sudden", 0.65, single.iter().filter(|fault| fault.onset == Onset::Sudden).count(), single.len());
    let counted = |has: &dyn Fn(&Scenario) -> bool| cases.iter().filter(|case| has(case)).count();
    share("tail", 0.2, counted(&|case| matches!(case.imperfections.sampling, Sampling::Tail { .. })), 420);
    // Every code service but the gateway and the causes can lack spans.
    let hidden =
        |case: &Scenario| case.system.services.iter().zip(&shop().services).any(|(a, b)| a.visibility != b.visibility);
    share("without spans", 0.25, counted(&hidden), 420);
    share("gaps", 0.25, counted(&|case| !case.imperfections.scrape_gaps.is_empty()), 420);
    let faulty = cases.iter().filter(|case| !case.faults.is_empty()).count();
    let deployed = |case: &Scenario| case.herrings.iter().any(|told| told.starts_with("harmless-deploy"));
    let n = cases.iter().filter(|case| !case.faults.is_empty() && deployed(case)).count();
    share("unrelated deploys", 0.5, n, faulty);
}

#[test]
fn a_case_stays_within_its_bounds() {
    for case in drawn(140) {
        let plan = &case.plan;
        let end_ns = plan.start_ns + plan.duration_ns;
        let day = jiff::Timestamp::from_nanosecond(i128::from(plan.start_ns)).unwrap().to_string();
        assert!(day.starts_with("2026-0"), "{day}");
        assert!((27 * 60..=31 * 60).contains(&(plan.duration_ns / 1_000_000_000)));
        assert!(plan.load.factor > 0.0 && plan.load.factor < 5.0, "{:?}", plan.load);
        assert!(plan.effects.iter().all(|effect| effect.from_ns >= plan.start_ns && effect.until_ns <= end_ns));
        assert!(plan.deploys.iter().all(|deploy| deploy.at_ns > plan.start_ns && deploy.at_ns < end_ns));
        for fault in &case.faults {
            assert!((8 * 60 - 61..=601).contains(&((end_ns - fault.from_ns) / 1_000_000_000)), "{}", case.name());
            assert!(fault.effects.iter().all(|effect| plan.effects.contains(effect)));
            for &cause in &fault.causes {
                let visibility = case.system.services[cause].visibility;
                assert_eq!(visibility, shop().services[cause].visibility, "{}: the cause is hidden", case.name());
                assert!(case.imperfections.lost_batches.iter().all(|gap| gap.0 != cause));
                let herring = plan.deploys.iter().filter(|deploy| !fault.deploys.contains(deploy));
                assert!(case.faults.len() > 1 || herring.into_iter().all(|deploy| deploy.service != cause));
            }
        }
        if let [first, second] = case.faults.as_slice() {
            assert_ne!(first.kind, second.kind);
            assert!(first.severity >= Severity::Middle && second.severity >= Severity::Middle);
            assert!(first.causes.iter().all(|cause| !second.causes.contains(cause)), "{}", case.name());
        }
        if case.faults.is_empty() {
            let kind = case.herrings[0].split(':').next().unwrap();
            assert!(super::QUIET.iter().any(|quiet| quiet.name() == kind), "{kind}");
        }
        if let Sampling::Head(share) = case.imperfections.sampling {
            assert!(share >= 0.1 && share * 12.0 * plan.load.factor >= 2.99, "{share}");
        }
    }
}

#[test]
fn choices_are_kept() {
    let choice = |fault: &str| Choice {
        system: Some("shop".to_owned()),
        fault: Some(fault.to_owned()),
        severity: Some(Severity::Total),
        onset: Some(Onset::Creeping),
        ..Choice::default()
    };
    for kind in KINDS {
        let case = draw(&choice(kind.name), &systems, 1, 3).unwrap();
        assert_eq!((case.faults[0].kind, case.faults[0].severity), (kind.name, Severity::Total));
        assert_eq!((case.faults[0].onset, case.system.name.as_str()), (Onset::Creeping, "shop"));
        assert_eq!(case.name(), format!("0003-{}-total", kind.name));
    }
    assert_eq!(draw(&choice("two"), &systems, 1, 3).unwrap().faults.len(), 2);
    assert!(draw(&choice("none"), &systems, 1, 3).unwrap().faults.is_empty());
    assert_eq!(draw(&choice("harmless-burst"), &systems, 1, 3).unwrap().plan.load.bursts.len(), 1);
    let unknown = ScenarioError::UnknownFault { name: "gremlins".to_owned() };
    assert_eq!(draw(&choice("gremlins"), &systems, 1, 3), Err(unknown));
    let unknown = ScenarioError::UnknownSystem { name: "moon".to_owned() };
    assert_eq!(draw(&Choice { system: Some("moon".to_owned()), ..Choice::default() }, &systems, 1, 3), Err(unknown));
}

/// One service that asks nobody: what does not fit is said when it was asked for, and replaced when it was not.
#[test]
fn a_system_without_a_place_for_a_fault_gets_another() {
    let mut lonely = shop();
    lonely.operations.truncate(1);
    lonely.operations[0].steps.truncate(1);
    lonely.services.truncate(1);
    lonely.entries.truncate(1);
    lonely.links.clear();
    lonely.topics.clear();
    let given = Choice { given: Some(lonely), ..Choice::default() };
    for index in 0..70 {
        let case = draw(&given, &systems, 5, index).unwrap();
        assert!(case.faults.len() <= 1, "there is no second place");
        assert!(case.system.services[0].visibility == Visibility::Full);
    }
    let flush = Choice { fault: Some("cache-flush".to_owned()), ..given };
    let error = draw(&flush, &systems, 5, 0).unwrap_err();
    assert_eq!(error.to_string(), "small has no place for `cache-flush`");
}
