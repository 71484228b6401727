//! From an incident script to findings.

use super::*;
use crate::graph::ServiceGraph;
use crate::telemetry::calls::{CallKey, CallNode, CallRow, CallStats, Entry, InstanceRow, SpanCoverage};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::{Series, Statistic};
use crate::telemetry::sketch::Sketch;
use crate::telemetry::time::{Grid, Window};
use crate::telemetry::topology::{EdgeMode, NodeKind};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Repeatable noise (Knuth's MMIX generator).
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

fn window(from: i64, to: i64) -> Window {
    Window::new(from * MINUTE, to * MINUTE).unwrap()
}

/// Baseline from minute 0 to 30, incident from 40 to 50.
fn quiet() -> Incident {
    Incident {
        name: "test".into(),
        window: window(40, 50),
        baselines: vec![window(0, 30)],
        entry: None,
        symptom: None,
        calls: CallStats::empty(Grid::new(MINUTE)),
        series: Vec::new(),
        graph: ServiceGraph::default(),
        logs: crate::telemetry::logs::LogStats::empty(Grid::new(MINUTE)),
        changes: Vec::new(),
        dialects: Vec::new(),
        cut_files: std::collections::BTreeSet::new(),
        alert: None,
        warnings: Vec::new(),
    }
}

fn service(name: &str) -> Subject {
    Subject::Service(ServiceId::new(name))
}

fn edge(caller: &str, callee: &str) -> Subject {
    Subject::Edge { caller: ServiceId::new(caller), callee: ServiceId::new(callee) }
}

/// A series with a sample each minute from 0 to 50.
fn series(name: &str, signal: Signal, unit: Unit, mut value: impl FnMut(i64) -> Option<f64>) -> Series {
    Series {
        subject: service(name),
        signal,
        statistic: Statistic::Mean,
        unit,
        name: "gauge".into(),
        samples: (0..50).filter_map(|minute| Some((minute * MINUTE, value(minute)?))).collect(),
    }
}

/// The only finding of a single series.
fn one(series: Series) -> Finding {
    let mut incident = quiet();
    incident.series.push(series);
    let mut findings = detect(&incident, &Settings::default());
    assert_eq!(findings.len(), 1);
    findings.remove(0)
}

fn find<'a>(findings: &'a [Finding], subject: &Subject, signal: Signal, name: &str) -> &'a Finding {
    findings
        .iter()
        .find(|f| f.subject == *subject && f.signal == signal && f.name.contains(name))
        .unwrap_or_else(|| panic!("no finding {name:?} of {subject}"))
}

fn sane(findings: &[Finding]) {
    for f in findings {
        for share in [f.p_value, f.q_value] {
            assert!((0.0..=1.0).contains(&share), "{f:?}");
        }
        assert!(f.q_value >= f.p_value && f.z.is_finite() && f.z >= 0.0, "{f:?}");
        assert!((0.0..=Settings::default().max_bits).contains(&f.bits), "{f:?}");
    }
}

#[test]
fn a_planted_shift_is_found_and_dated_among_noise() {
    let mut noise = Noise(1);
    let mut incident = quiet();
    for at in 0..40 {
        incident.series.push(series(&format!("s{at:02}"), Signal::Cpu, Unit::Cores, |minute| {
            let level = if at == 17 && minute >= 42 { 0.8 } else { 0.4 };
            Some(level + 0.04 * noise.normal())
        }));
    }
    let findings = detect(&incident, &Settings::default());
    sane(&findings);
    let significant: Vec<&Finding> = findings.iter().filter(|f| f.significant).collect();
    assert_eq!(significant.len(), 1, "{significant:?}");
    let found = significant[0];
    assert_eq!((&found.subject, found.change), (&service("s17"), Change::Rise));
    assert!((found.z - 10.0).abs() < 3.0, "{found:?}");
    assert_eq!(found.onset, Some(Onset { at_ns: 42 * MINUTE, uncertainty_ns: MINUTE }));
    assert_eq!((found.n_baseline, found.n_incident), (30, 10));
    // an onset before the alert fired
    let early = one(series("s", Signal::Cpu, Unit::Cores, |m| Some(if m >= 36 { 0.9 } else { 0.3 })));
    assert_eq!(early.onset.unwrap().at_ns, 36 * MINUTE);
}

/// Analyses of 40 series of noise with an alarm, of 200. Without any true change the false-discovery rate is the chance of
/// any alarm: 5 %, which is 10, with three standard deviations sqrt(200 * .05 * .95) = 3.1 on top.
fn alarms_in_noise(windows: &Incident, noise: &mut Noise) -> usize {
    let mut alarms = 0;
    for _ in 0..200 {
        let mut incident = windows.clone();
        for at in 0..40 {
            // wide noise, so that size alone keeps nothing out; a quarter of the series is heavy-tailed
            incident.series.push(series(&format!("s{at:02}"), Signal::Cpu, Unit::Cores, |_| {
                let step = noise.normal();
                Some(if at % 4 == 0 { (0.5 * step).exp() } else { 1.0 + 0.2 * step })
            }));
        }
        alarms += usize::from(detect(&incident, &Settings::default()).iter().any(|f| f.significant));
    }
    alarms
}

#[test]
fn noise_raises_no_more_alarms_than_promised() {
    let mut noise = Noise(7);
    let mut windows = quiet();
    let mut counts = Vec::new();
    for (incident, baselines) in [
        (window(40, 50), vec![window(0, 30)]),
        (window(40, 50), vec![window(0, 10), window(10, 20), window(20, 30)]),
        (window(40, 43), vec![window(10, 40)]),
        (window(40, 45), vec![window(30, 40)]),
        (window(40, 41), vec![window(20, 40)]),
    ] {
        (windows.window, windows.baselines) = (incident, baselines);
        counts.push(alarms_in_noise(&windows, &mut noise));
    }
    println!("{counts:?} alarms in 200 analyses of noise each");
    assert!(counts.iter().all(|&alarms| alarms <= 19), "{counts:?}");
}

#[test]
fn zero_spread_and_few_samples_have_a_meaning() {
    // constant zero, then half a core: many floors, not infinitely many
    let rise = one(series("s", Signal::Cpu, Unit::Cores, |m| Some(if m < 40 { 0.0 } else { 0.5 })));
    assert!((rise.z - 100.0).abs() < 1e-9 && rise.significant, "{rise:?}");
    // below the floor: no finding, however sure
    let small = one(series("s", Signal::Cpu, Unit::Cores, |m| Some(if m < 40 { 0.0 } else { 0.004 })));
    assert!(!small.significant && small.z < 1.0, "{small:?}");
    let constant = one(series("s", Signal::Memory, Unit::Bytes, |_| Some(5e8)));
    assert!(constant.z.abs() < 1e-12 && !constant.significant && constant.bits.abs() < 1e-12);
    // unknown unit at constant zero: one scale by definition
    let unknown = one(series("s", Signal::Other, Unit::None, |m| Some(if m < 40 { 0.0 } else { 1e300 })));
    assert!((unknown.z - 1.0).abs() < 1e-12, "{unknown:?}");
    // one sample in the incident
    let single = one(series("s", Signal::Cpu, Unit::Cores, |m| match m {
        0..30 => Some(0.3 + 0.01 * (m % 5) as f64),
        45 => Some(2.0),
        _ => None,
    }));
    assert!(single.significant && single.n_incident == 1, "{single:?}");
    // one sample in either: nothing is known of the noise
    let two = one(series("s", Signal::Cpu, Unit::Cores, |m| [3, 45].contains(&m).then_some(m as f64)));
    assert!(!two.significant && two.p_value >= 1.0, "{two:?}");
    // gaps only make fewer samples
    let gaps = one(series("s", Signal::Cpu, Unit::Cores, |m| {
        (m % 3 == 0).then_some(if m < 40 { 0.3 + 0.01 * (m % 7) as f64 } else { 0.9 })
    }));
    assert!(gaps.significant && gaps.n_baseline == 10, "{gaps:?}");
}

#[test]
fn a_lone_maximum_is_nothing_and_a_held_level_is() {
    let mut noise = Noise(3);
    let spike = one(series("s", Signal::Cpu, Unit::Cores, |m| {
        Some(0.3 + 0.01 * noise.normal() + if m == 44 { 50.0 } else { 0.0 })
    }));
    assert!(!spike.significant, "{spike:?}");
    let held = one(series("s", Signal::Cpu, Unit::Cores, |m| {
        Some(0.3 + 0.01 * noise.normal() + if (44..48).contains(&m) { 0.5 } else { 0.0 })
    }));
    assert!(held.significant && held.name == "gauge (sustained)", "{held:?}");
    assert_eq!(held.onset.unwrap().at_ns, 44 * MINUTE);
    let bistable = one(series("s", Signal::Cpu, Unit::Cores, |m| Some(if m % 10 < 4 { 0.9 } else { 0.2 })));
    assert!(!bistable.significant, "{bistable:?}");
}

#[test]
fn what_differs_from_day_to_day_is_not_news() {
    let mut noise = Noise(11);
    let mut incident = quiet();
    incident.baselines = vec![window(0, 10), window(10, 20), window(20, 30)];
    incident.series.push(series("daily", Signal::Memory, Unit::Bytes, |m| {
        let level = [1e9, 2e9, 1.5e9, 0.0, 2.4e9][(m / 10) as usize];
        Some(level + 1e7 * noise.normal())
    }));
    let daily = incident.series[0].clone();
    let found = &detect(&incident, &Settings::default())[0];
    assert!(!found.significant && found.z < 4.0, "{found:?}");
    incident.baselines.truncate(1);
    incident.series[0] = daily;
    let found = &detect(&incident, &Settings::default())[0];
    assert!(found.significant && found.z > 10.0, "{found:?}");
}

#[test]
fn counters_are_read_as_rates_and_restarts_as_events() {
    let counter = |values: fn(i64) -> f64, signal, unit| {
        let mut counter = series("s", signal, unit, |m| Some(values(m)));
        counter.statistic = Statistic::Counter;
        one(counter)
    };
    // cpu seconds: 0.2 cores, with a reset, then 0.9 cores
    let cpu = counter(
        |m| if m < 20 { 12.0 * m as f64 } else { 12.0 * (m - 20) as f64 + 42.0 * (m - 39).max(0) as f64 },
        Signal::Cpu,
        Unit::Seconds,
    );
    assert_eq!(cpu.unit, Unit::Cores);
    assert!((cpu.baseline - 0.2).abs() < 1e-9 && (cpu.incident - 0.9).abs() < 1e-9 && cpu.significant, "{cpu:?}");
    let idle = counter(|_| 0.0, Signal::Disk, Unit::Bytes);
    assert!(!idle.significant && idle.unit == Unit::BytesPerSecond && idle.z.abs() < 1e-12);
    let restarts = counter(|m| (m - 40).clamp(0, 8) as f64, Signal::Restarts, Unit::Count);
    assert!(restarts.significant && restarts.change == Change::Appeared, "{restarts:?}");
    // the same as a rate over the minute before: one restart a minute for eight minutes
    let rate = one(series("s", Signal::Restarts, Unit::PerSecond, |m| {
        Some(if (41..49).contains(&m) { 1.0 / 60.0 } else { 0.0 })
    }));
    assert!(rate.significant && rate.change == Change::Appeared && rate.n_incident == 8, "{rate:?}");
    let never = {
        let mut incident = quiet();
        incident.series.push(series("s", Signal::Restarts, Unit::Count, |_| Some(3.0)));
        detect(&incident, &Settings::default())
    };
    assert!(never.is_empty());
}

#[test]
fn telemetry_that_vanishes_or_appears_is_told() {
    let gone = one(series("s", Signal::Cpu, Unit::Cores, |m| (m < 35).then_some(0.2)));
    assert!(gone.change == Change::Vanished && gone.significant && gone.bits > 7.0, "{gone:?}");
    let new = one(series("s", Signal::Cpu, Unit::Cores, |m| (m >= 42).then_some(0.2)));
    assert!(new.change == Change::Appeared && new.significant, "{new:?}");
    let mut incident = quiet();
    incident.series.push(series("s", Signal::Cpu, Unit::Cores, |m| (30..40).contains(&m).then_some(0.2)));
    assert!(detect(&incident, &Settings::default()).is_empty());
}

#[test]
fn traffic_from_zero_does_not_outweigh_everything() {
    let mut noise = Noise(5);
    let mut incident = quiet();
    for at in 0..20 {
        incident.series.push(series(&format!("s{at:02}"), Signal::Cpu, Unit::Cores, |m| {
            Some(0.3 + 0.01 * noise.normal() + if at == 3 && m >= 40 { 0.4 } else { 0.0 })
        }));
    }
    incident.series.push(series("disk", Signal::Disk, Unit::BytesPerSecond, |m| Some(if m < 40 { 0.0 } else { 1e9 })));
    let findings = detect(&incident, &Settings::default());
    let disk = find(&findings, &service("disk"), Signal::Disk, "");
    let cpu = find(&findings, &service("s03"), Signal::Cpu, "");
    assert!(disk.bits <= cpu.bits && disk.z <= cpu.z && disk.significant, "{disk:?} {cpu:?}");
}

/// Calls of one edge and operation in one minute.
struct Calls {
    caller: Option<&'static str>,
    callee: &'static str,
    minute: i64,
    durations_ms: Vec<f64>,
    errors: u64,
}

fn table(calls: &[Calls], step_ns: i64) -> CallStats {
    let mut names: Vec<&str> = calls.iter().flat_map(|c| c.caller.into_iter().chain([c.callee])).collect();
    names.sort_unstable();
    names.dedup();
    let index = |name: &str| names.iter().position(|n| *n == name).unwrap() as u32;
    let mut stats = CallStats::empty(Grid::new(step_ns));
    stats.nodes = names.iter().map(|n| CallNode { id: ServiceId::new(n), kind: NodeKind::Service }).collect();
    stats.operations = vec!["get".into()];
    stats.entries = vec![Entry { service: 0, operation: 0 }];
    stats.coverage = SpanCoverage::default();
    stats.rows = calls
        .iter()
        .filter(|c| !c.durations_ms.is_empty())
        .map(|c| {
            let mut durations = Sketch::default();
            c.durations_ms.iter().for_each(|ms| durations.add((ms * 1e6) as u64));
            let total = c.durations_ms.iter().map(|ms| (ms * 1e6) as u64).sum();
            CallRow {
                calls: c.durations_ms.len() as u64,
                observed: c.durations_ms.len() as u64,
                weight_squares: c.durations_ms.len() as u64,
                error_weight_squares: c.errors,
                errors: c.errors,
                caller_errors: c.errors,
                origin_errors: c.errors,
                duration_ns: total,
                self_ns: total,
                part_ns: total,
                self_times: durations.clone(),
                durations,
                ..CallRow::empty(CallKey {
                    caller: c.caller.map(index),
                    callee: index(c.callee),
                    operation: 0,
                    mode: EdgeMode::Sync,
                    entry: 0,
                    bin: Grid::new(step_ns).bin(c.minute * MINUTE),
                })
            }
        })
        .collect();
    stats.rows.sort_by_key(|row| row.key);
    stats
}

/// web calls cart and stock once a request; `rate` requests a minute, log-normal durations around 20 ms.
fn shop(noise: &mut Noise, rate: f64) -> Vec<Calls> {
    let mut calls = Vec::new();
    for minute in 0..50 {
        // load drifts, so counts are not Poisson
        let requests = noise.poisson(rate * (1.0 + 0.1 * (minute as f64 / 3.0).sin())) as usize;
        for (caller, callee) in [(None, "web"), (Some("web"), "cart"), (Some("web"), "stock")] {
            let durations_ms = (0..requests).map(|_| 20.0 * (0.4 * noise.normal()).exp()).collect();
            calls.push(Calls { caller, callee, minute, durations_ms, errors: 0 });
        }
    }
    calls
}

/// The table with every call of a minute standing for so many.
fn weighted(mut stats: CallStats, weight: impl Fn(i64) -> u64) -> CallStats {
    for row in &mut stats.rows {
        let w = weight(row.key.bin);
        row.weight_squares *= w * w;
        row.error_weight_squares *= w * w;
        for count in [&mut row.calls, &mut row.errors, &mut row.origin_errors, &mut row.caller_errors] {
            *count *= w;
        }
        for time in [&mut row.duration_ns, &mut row.self_ns, &mut row.part_ns] {
            *time *= w;
        }
        for sketch in [&mut row.durations, &mut row.self_times] {
            *sketch = Sketch::from_counts(sketch.counts().iter().map(|(bucket, n)| (*bucket, n * w)).collect());
        }
    }
    stats
}

/// The calls of `shop`, of which from minute 40 on every call is kept with a chance of one in `weight`.
fn sampled_in_the_incident(noise: &mut Noise, rate: f64, weight: u64) -> CallStats {
    let mut calls = shop(noise, rate);
    for c in calls.iter_mut().filter(|c| c.minute >= 40) {
        c.durations_ms.retain(|_| noise.uniform() * (weight as f64) < 1.0);
    }
    weighted(table(&calls, MINUTE), |minute| if minute >= 40 { weight } else { 1 })
}

fn detect_calls(calls: &[Calls]) -> Vec<Finding> {
    detect_table(table(calls, MINUTE))
}

fn detect_table(calls: CallStats) -> Vec<Finding> {
    let mut incident = quiet();
    incident.calls = calls;
    let findings = detect(&incident, &Settings::default());
    sane(&findings);
    findings
}

#[test]
fn quiet_calls_raise_no_more_alarms_than_promised() {
    let mut noise = Noise(23);
    let mut alarms = 0;
    for at in 0..60 {
        let findings = detect_calls(&shop(&mut noise, if at % 2 == 0 { 6.0 } else { 60.0 }));
        assert!(findings.len() > 15, "{}", findings.len());
        alarms += usize::from(findings.iter().any(|f| f.significant));
    }
    // 5 % of 60 and three standard deviations
    println!("{alarms} alarms in 60 analyses of quiet calls");
    assert!(alarms <= 8, "{alarms}");
}

#[test]
fn slow_calls_are_found_where_they_are_slow() {
    let mut noise = Noise(31);
    let mut calls = shop(&mut noise, 40.0);
    for c in calls.iter_mut().filter(|c| c.callee == "cart" && c.minute >= 43) {
        c.durations_ms.iter_mut().for_each(|ms| *ms *= 3.0);
    }
    let findings = detect_calls(&calls);
    let found = find(&findings, &service("cart"), Signal::Latency, "p50");
    assert!(found.significant && found.change == Change::Rise && found.z > 5.0, "{found:?}");
    assert_eq!(found.onset.unwrap().at_ns, 43 * MINUTE);
    assert!((found.baseline - 0.02).abs() < 0.003 && (found.incident - 0.05).abs() < 0.02, "{found:?}");
    assert!(find(&findings, &edge("web", "cart"), Signal::SelfTime, "").significant);
    assert!(findings.iter().all(|f| !f.significant || f.subject.service().as_str() == "cart"));
    // only the slowest fifth gets slower
    let mut calls = shop(&mut noise, 40.0);
    for c in calls.iter_mut().filter(|c| c.callee == "cart" && c.minute >= 40) {
        c.durations_ms.iter_mut().step_by(5).for_each(|ms| *ms *= 20.0);
    }
    let findings = detect_calls(&calls);
    assert!(find(&findings, &service("cart"), Signal::Latency, "p90").significant);
}

#[test]
fn sure_but_tiny_is_not_significant() {
    let mut noise = Noise(37);
    let mut calls = shop(&mut noise, 500.0);
    for c in calls.iter_mut().filter(|c| c.callee == "cart" && c.minute >= 40) {
        c.durations_ms.iter_mut().for_each(|ms| *ms *= 1.04);
    }
    let findings = detect_calls(&calls);
    let found = find(&findings, &service("cart"), Signal::Latency, "");
    assert!(!found.significant && found.p_value < 0.01, "{found:?}");
}

#[test]
fn errors_are_found_by_count() {
    let mut noise = Noise(41);
    let mut calls = shop(&mut noise, 40.0);
    for c in calls.iter_mut().filter(|c| c.callee == "stock" && c.minute >= 41) {
        c.errors = (c.durations_ms.len() / 3) as u64;
    }
    // one error of another service is chance
    calls.iter_mut().find(|c| c.callee == "cart" && c.minute == 45).unwrap().errors = 1;
    let findings = detect_calls(&calls);
    let found = find(&findings, &service("stock"), Signal::ErrorRatio, "errors");
    assert!(found.significant && found.change == Change::Rise && found.bits > 5.0, "{found:?}");
    assert_eq!(found.onset.unwrap().at_ns, 41 * MINUTE);
    assert!(find(&findings, &edge("web", "stock"), Signal::OriginErrorRatio, "origin errors").significant);
    assert!(!find(&findings, &service("cart"), Signal::ErrorRatio, "errors").significant);
    // no errors at all: not a test
    assert!(!findings.iter().any(|f| f.signal == Signal::ErrorRatio && f.subject == service("web")));
}

#[test]
fn a_weight_does_not_make_noise_significant() {
    let mut noise = Noise(97);
    for rate in [6.0, 60.0] {
        let mut calls = shop(&mut noise, rate);
        for c in &mut calls {
            c.errors = c.durations_ms.iter().filter(|_| noise.uniform() < 0.05).count() as u64;
        }
        let seen = detect_calls(&calls);
        let told = detect_table(weighted(table(&calls, MINUTE), |_| 100));
        assert_eq!(seen.len(), told.len());
        for (seen, told) in seen.iter().zip(&told) {
            assert_eq!((&seen.subject, &seen.name, seen.n_incident), (&told.subject, &told.name, told.n_incident));
            let close = (seen.p_value - told.p_value).abs() <= 1e-6 * seen.p_value.max(1e-3);
            assert!(close, "as sure as what was seen, and not a hundred times more: {seen:?} {told:?}");
            let factor = if seen.signal == Signal::Requests && seen.unit == Unit::PerSecond { 100.0 } else { 1.0 };
            assert!((told.incident - factor * seen.incident).abs() <= 1e-9 * told.incident, "{seen:?} {told:?}");
        }
    }
}

#[test]
fn windows_sampled_at_different_rates_compare_right() {
    let mut noise = Noise(101);
    let mut alarms = 0;
    for at in 0..60 {
        let (rate, weight) = if at % 2 == 0 { (60.0, 5) } else { (200.0, 20) };
        let findings = detect_table(sampled_in_the_incident(&mut noise, rate, weight));
        let requests = find(&findings, &service("web"), Signal::Requests, "requests");
        let noise_of_rate = (weight as f64 * requests.baseline / 600.0).sqrt();
        assert!((requests.incident - requests.baseline).abs() < 5.0 * noise_of_rate + 0.1 * requests.baseline);
        alarms += usize::from(findings.iter().any(|f| f.significant));
    }
    // 5 % of 60 and three standard deviations
    println!("{alarms} alarms in 60 analyses of incidents that were sampled and baselines that were not");
    assert!(alarms <= 8, "{alarms}");
    // that nothing of a rare edge was kept is no silence
    let mut calls = shop(&mut noise, 100.0);
    for minute in 0..40 {
        calls.push(Calls { caller: Some("web"), callee: "rare", minute, durations_ms: vec![5.0], errors: 0 });
    }
    calls.iter_mut().filter(|c| c.minute >= 40).for_each(|c| c.durations_ms.retain(|_| noise.uniform() < 0.02));
    let findings = detect_table(weighted(table(&calls, MINUTE), |minute| if minute >= 40 { 50 } else { 1 }));
    let rare = find(&findings, &edge("web", "rare"), Signal::Requests, "requests");
    assert!(rare.change == Change::Vanished && !rare.significant, "{rare:?}");
}

#[test]
fn a_slow_callee_is_found_in_an_incident_of_which_little_was_kept() {
    let mut noise = Noise(103);
    let mut calls = shop(&mut noise, 200.0);
    for c in calls.iter_mut().filter(|c| c.minute >= 40) {
        c.durations_ms.retain(|_| noise.uniform() < 0.05);
        if c.callee == "cart" {
            c.durations_ms.iter_mut().for_each(|ms| *ms *= 3.0);
        }
    }
    let findings = detect_table(weighted(table(&calls, MINUTE), |minute| if minute >= 40 { 20 } else { 1 }));
    let found = find(&findings, &service("cart"), Signal::Latency, "p50");
    assert!(found.significant && found.change == Change::Rise, "{found:?}");
    assert!(findings.iter().all(|f| !f.significant || f.subject.service().as_str() == "cart"));
}

#[test]
fn silence_and_news_on_edges() {
    let mut noise = Noise(43);
    let mut calls = shop(&mut noise, 20.0);
    calls.retain(|c| c.callee != "cart" || c.minute < 40);
    for minute in 40..50 {
        calls.push(Calls { caller: Some("web"), callee: "retry", minute, durations_ms: vec![5.0; 15], errors: 0 });
    }
    let findings = detect_calls(&calls);
    for name in ["requests", "calls per caller request"] {
        let gone = find(&findings, &edge("web", "cart"), Signal::Requests, name);
        assert!(gone.change == Change::Vanished && gone.significant && gone.bits > 7.9, "{gone:?}");
        assert_eq!(gone.onset.unwrap().at_ns, 40 * MINUTE);
        let new = find(&findings, &edge("web", "retry"), Signal::Requests, name);
        assert!(new.change == Change::Appeared && new.significant, "{new:?}");
    }
    // two calls in half an hour lets expect less than one in ten minutes
    let mut calls = shop(&mut noise, 20.0);
    for minute in [3, 17] {
        calls.push(Calls { caller: Some("web"), callee: "rare", minute, durations_ms: vec![5.0], errors: 0 });
    }
    let findings = detect_calls(&calls);
    let rare = find(&findings, &service("rare"), Signal::Requests, "requests");
    assert!(rare.change == Change::Vanished && !rare.significant && rare.bits < 1.0, "{rare:?}");
}

#[test]
fn calls_per_request_do_not_follow_the_load() {
    let mut noise = Noise(47);
    let mut calls = shop(&mut noise, 30.0);
    for c in calls.iter_mut().filter(|c| c.minute >= 40) {
        let copies = if c.callee == "stock" { 9 } else { 3 };
        c.durations_ms = c.durations_ms.repeat(copies);
    }
    let findings = detect_calls(&calls);
    let name = "calls per caller request";
    let cart = find(&findings, &edge("web", "cart"), Signal::Requests, name);
    assert!(!cart.significant && (cart.incident - 1.0).abs() < 1e-9, "{cart:?}");
    let stock = find(&findings, &edge("web", "stock"), Signal::Requests, name);
    assert!(stock.significant && (stock.incident - 3.0).abs() < 1e-9 && stock.unit == Unit::Count, "{stock:?}");
    assert!(find(&findings, &edge("web", "cart"), Signal::Requests, "requests").significant);
}

#[test]
fn a_gap_in_the_collection_is_not_a_fall() {
    let mut noise = Noise(53);
    let mut calls = shop(&mut noise, 40.0);
    calls.retain(|c| !(42..49).contains(&c.minute));
    assert!(!detect_calls(&calls).iter().any(|f| f.significant));
    // a baseline of which no traces were kept does not dilute the others
    let mut incident = quiet();
    incident.calls = table(&calls, MINUTE);
    incident.baselines.insert(0, window(-60, -30));
    assert!(!detect(&incident, &Settings::default()).iter().any(|f| f.significant));
    // but all calls gone is silence
    let mut incident = quiet();
    calls.retain(|c| c.minute < 40);
    incident.calls = table(&calls, MINUTE);
    let findings = detect(&incident, &Settings::default());
    let gone = find(&findings, &service("web"), Signal::Requests, "requests");
    assert!(gone.change == Change::Vanished && gone.significant, "{gone:?}");
}

#[test]
fn a_slow_instance_stands_out_from_its_service() {
    let mut noise = Noise(59);
    let mut incident = quiet();
    incident.calls = table(&shop(&mut noise, 40.0), MINUTE);
    for minute in 0..50 {
        for (instance, version) in [("cart-a", "1"), ("cart-b", "2")] {
            let bad = instance == "cart-b" && minute >= 40;
            let calls = 15 + noise.poisson(5.0);
            let mean_ns = (20e6 + 1e6 * noise.normal()) as u64 * if bad { 4 } else { 1 };
            incident.calls.instances.push(InstanceRow {
                service: 0,
                instance: instance.into(),
                version: version.into(),
                bin: minute,
                calls,
                observed: calls,
                weight_squares: calls,
                error_weight_squares: if bad { calls / 2 } else { 0 },
                errors: if bad { calls / 2 } else { 0 },
                origin_errors: 0,
                duration_ns: mean_ns * calls,
                self_ns: mean_ns * calls,
            });
        }
    }
    let findings = detect(&incident, &Settings::default());
    let instance = |name: &str| Subject::Instance { service: ServiceId::new("cart"), instance: name.into() };
    assert!(find(&findings, &instance("cart-b"), Signal::Latency, "mean of durations").significant);
    assert!(find(&findings, &instance("cart-b"), Signal::ErrorRatio, "errors").significant);
    assert!(!findings.iter().any(|f| f.subject == instance("cart-a") && f.significant));
    let version = Subject::Version { service: ServiceId::new("cart"), version: "2".into() };
    assert!(find(&findings, &version, Signal::SelfTime, "mean of self-times").significant);
}

#[test]
fn one_short_baseline_window_is_enough_for_a_clear_change() {
    // a minute of traces in bins of 10 s, as the spans of a recorded fault-free minute
    let mut noise = Noise(61);
    let mut incident = quiet();
    (incident.baselines, incident.window) = (vec![window(0, 1)], window(40, 41));
    let mut calls = Vec::new();
    for minute in [0, 40] {
        for callee in ["web", "cart"] {
            let slow = if minute == 40 && callee == "cart" { 8.0 } else { 1.0 };
            let durations_ms = (0..60).map(|_| slow * 20.0 * (0.5 * noise.normal()).exp()).collect();
            calls.push(Calls { caller: None, callee, minute, durations_ms, errors: 0 });
        }
    }
    incident.calls = table(&calls, MINUTE);
    let findings = detect(&incident, &Settings::default());
    assert!(find(&findings, &service("cart"), Signal::Latency, "p50").significant);
    assert!(!find(&findings, &service("web"), Signal::Latency, "").significant);
}

#[test]
fn the_order_of_input_does_not_matter() {
    let mut noise = Noise(67);
    let mut incident = quiet();
    let mut calls = shop(&mut noise, 20.0);
    calls.iter_mut().filter(|c| c.minute >= 40).for_each(|c| c.errors = c.durations_ms.len() as u64 / 2);
    incident.calls = table(&calls, MINUTE);
    for at in 0..10 {
        incident.series.push(series(&format!("s{at}"), Signal::Cpu, Unit::Cores, |_| Some(noise.uniform())));
    }
    let expected = detect(&incident, &Settings::default());
    incident.series.reverse();
    incident.calls.rows.reverse();
    assert_eq!(detect(&incident, &Settings::default()), expected);
}

#[test]
fn wild_values_stay_finite() {
    let mut incident = quiet();
    let wild = [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, 0.0, -0.0, f64::MIN_POSITIVE, -1e-300];
    for (at, unit) in [Unit::None, Unit::Seconds, Unit::Ratio, Unit::BytesPerSecond].into_iter().enumerate() {
        for shift in 0..wild.len() {
            incident.series.push(series(&format!("s{at}{shift}"), Signal::Other, unit, |m| {
                Some(wild[(m as usize * (shift + 1)) % wild.len()])
            }));
            incident.series.push(series(&format!("t{at}{shift}"), Signal::Other, unit, |m| {
                Some(if m < 40 { 0.0 } else { wild[shift] })
            }));
        }
    }
    let findings = detect(&incident, &Settings::default());
    assert!(findings.len() > 50);
    sane(&findings);
    // rows that point nowhere, bins far away
    incident.series.clear();
    incident.calls = table(&shop(&mut Noise(71), 5.0), MINUTE);
    incident.calls.rows[0].key.callee = 99;
    incident.calls.rows[1].key.bin = i64::MIN;
    incident.calls.rows[2].key.operation = 99;
    incident.calls.rows[3].calls = u64::MAX;
    incident.calls.rows[4].errors = u64::MAX;
    sane(&detect(&incident, &Settings::default()));
}

#[test]
fn every_setting_is_read() {
    let mut noise = Noise(73);
    let mut incident = quiet();
    incident.calls = table(&shop(&mut noise, 20.0), MINUTE);
    incident.calls.rows.retain(|row| row.key.caller.is_none() || row.key.bin < 40 || row.key.callee != 0);
    for at in 0..12 {
        incident.series.push(series(&format!("s{at:02}"), Signal::Cpu, Unit::Cores, |m| {
            let shift = if m >= 40 { 0.004 * f64::from(at) } else { 0.0 };
            Some(0.3 + shift + 0.002 * noise.normal())
        }));
    }
    let usual = Settings::default();
    let expected = detect(&incident, &usual);
    let floors = Floors { cores: 0.1, ..Floors::default() };
    for other in [
        Settings { false_discovery_rate: 0.0, ..usual.clone() },
        Settings { max_bits: 1.0, ..usual.clone() },
        Settings { relative_floor: 0.5, ..usual.clone() },
        Settings { min_relative_change: 0.1, ..usual.clone() },
        Settings { min_expected_calls: 1e6, ..usual.clone() },
        Settings { floors, ..usual },
    ] {
        assert_ne!(detect(&incident, &other), expected, "{other:?}");
    }
}

/// One finding per pod for processor use, incident from the injection for three minutes; the baseline is the day from five
/// minutes after each injection to the next.
fn cpu_findings(day: &std::path::Path, injected: &[i64], at: i64, pods: &[String]) -> Vec<Finding> {
    let mut incident = quiet();
    incident.window = Window::new(at * SECOND, (at + 180) * SECOND).unwrap();
    incident.baselines =
        injected.windows(2).filter_map(|pair| Window::new((pair[0] + 300) * SECOND, pair[1] * SECOND).ok()).collect();
    for pod in pods {
        let file = std::fs::File::open(day.join("metric").join(format!("{pod}_metric.csv.zst"))).unwrap();
        let mut reader = csv::Reader::from_reader(zstd::Decoder::new(file).unwrap());
        let column = |name: &str, headers: &csv::StringRecord| headers.iter().position(|h| h == name).unwrap();
        let headers = reader.headers().unwrap().clone();
        let (time, cpu) = (column("TimeStamp", &headers), column("CpuUsage(m)", &headers));
        let mut samples: Vec<(i64, f64)> = reader
            .records()
            .filter_map(|row| {
                let row = row.ok()?;
                Some((row[time].parse::<i64>().ok()? * SECOND, row[cpu].parse::<f64>().ok()? / 1000.0))
            })
            .collect();
        samples.sort_by_key(|s| s.0);
        samples.dedup_by_key(|s| s.0);
        incident.series.push(Series { samples, ..series(pod, Signal::Cpu, Unit::Cores, |_| None) });
    }
    detect(&incident, &Settings::default())
}

/// Recorded processor faults of the Nezha data set (Online Boutique and Train Ticket): the guilty pod's finding leads.
#[test]
fn recorded_cpu_faults_lead_in_the_guilty_pod() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets/nezha/rca_data");
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    let (mut first, mut significant, mut others, mut all) = (0, 0, 0, 0);
    for day in ["2022-08-23", "2023-01-30"] {
        let folder = data.join(day);
        let mut pods: Vec<String> = std::fs::read_dir(folder.join("metric"))
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix("_metric.csv.zst")?.to_owned()))
            .collect();
        pods.sort();
        let faults = std::fs::read_to_string(folder.join(format!("{day}-fault_list.json"))).unwrap();
        let faults: std::collections::BTreeMap<String, Vec<std::collections::BTreeMap<String, serde_json::Value>>> =
            serde_json::from_str(&faults).unwrap();
        let seconds = |fault: &std::collections::BTreeMap<String, serde_json::Value>| {
            let time = fault["inject_time"].as_str().unwrap().replace(' ', "T") + "Z";
            time.parse::<jiff::Timestamp>().unwrap().as_second()
        };
        let mut injected: Vec<i64> = faults.values().flatten().map(seconds).collect();
        injected.sort_unstable();
        for fault in faults.values().flatten().filter(|f| f["inject_type"].as_str().unwrap().starts_with("cpu")) {
            let findings = cpu_findings(&folder, &injected, seconds(fault), &pods);
            let guilty = fault["inject_pod"].as_str().unwrap();
            let best = findings.iter().max_by(|a, b| a.bits.total_cmp(&b.bits)).unwrap();
            let own = find(&findings, &service(guilty), Signal::Cpu, "");
            all += 1;
            first += usize::from(best.subject == service(guilty));
            significant += usize::from(own.significant);
            others += findings.iter().filter(|f| f.significant && f.subject != service(guilty)).count();
            println!(
                "{guilty} {}: {:.4} -> {:.4} z {:.1} bits {:.2} p {:.1e} {}; best {} {:.2}",
                fault["inject_type"],
                own.baseline,
                own.incident,
                own.z,
                own.bits,
                own.p_value,
                own.significant,
                best.subject,
                best.bits
            );
        }
    }
    println!("{first} of {all} first, {significant} significant, {others} significant findings of other pods");
    assert!(
        first * 10 >= all * 9 && significant * 10 >= all * 7 && others <= 3,
        "{first}, {significant}, {others} of {all}"
    );
}
