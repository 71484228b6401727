//! Which time the telemetry covers: whether its kinds cover the same, and whether the windows hold any.

use crate::ingest::Telemetry;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};
use crate::timespec::{rfc3339, window_text};

use super::{Facts, Finding, Severity, Windows, counted};

/// The time that one kind of telemetry covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// `traces`, `metrics`, `logs`, `changes` or `alerts`.
    pub kind: &'static str,
    /// From the first to the last record, without records whose time cannot be right.
    pub range: Window,
}

const MINUTE_NS: i64 = 60 * NANOS_PER_SECOND;
/// 2000-01-01 and 2100-01-01: what lies outside was written in another unit, or never set.
const PLAUSIBLE: (i64, i64) = (946_684_800 * NANOS_PER_SECOND, 4_102_444_800 * NANOS_PER_SECOND);
/// Two windows of less than this would hold chance.
const SHORT_NS: i64 = 5 * MINUTE_NS;
/// Zones differ by multiples of this, and by 14 hours at most.
const ZONE_STEP_NS: i64 = 30 * MINUTE_NS;
const ZONE_STEPS: i64 = 28;

/// From the first to the last of some intervals; `None` when there is none.
pub(super) fn extent_of(intervals: impl Iterator<Item = (i64, i64)>) -> Option<Window> {
    let (first, last) = intervals.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    Window::new(first, last.saturating_add(1)).ok()
}

/// The ranges, and findings about times that cannot be right.
pub(super) fn ranges(telemetry: &Telemetry) -> (Vec<Range>, Vec<Finding>) {
    let mut findings = Vec::new();
    let plausible = |at: &i64| (PLAUSIBLE.0..PLAUSIBLE.1).contains(at);
    let spans = &telemetry.spans;
    let of_spans = || spans.start_ns.iter().zip(&spans.duration_ns);
    let span_ends = of_spans().filter(|(start, _)| plausible(start));
    let traces = extent_of(span_ends.map(|(start, length)| (*start, start.saturating_add_unsigned(*length))));
    let series = || telemetry.series.iter().filter_map(|s| Some((s.samples.first()?.0, s.samples.last()?.0)));
    let metrics = extent_of(series().filter(|(first, last)| plausible(first) && plausible(last)));
    let odd_spans = spans.start_ns.iter().filter(|at| !plausible(at)).count() as u64;
    let odd_series = series().filter(|(first, last)| !(plausible(first) && plausible(last))).count() as u64;
    for (odd, all, one, many) in [
        (odd_spans, spans.len(), "span starts", "spans start"),
        (odd_series, telemetry.series.len(), "series has samples", "series have samples"),
    ] {
        if odd > 0 {
            findings.push(Finding {
                severity: Severity::Gap,
                id: "implausible_times",
                weight: odd as f64 / all.max(1) as f64,
                what: format!("{} before 2000 or after 2100", counted(odd, one, many)),
                advice: "the time's unit is wrong or it was never set: for tables name the unit (`start=Start:ms` in \
                         --span-columns)"
                    .to_owned(),
            });
        }
    }
    let logs = extent_of(telemetry.logs.at_ns.iter().filter(|at| plausible(at)).map(|at| (*at, *at)));
    let changes = extent_of(telemetry.changes.iter().map(|c| (c.at_ns, c.at_ns)));
    let alerts = extent_of(telemetry.alerts.iter().filter_map(|a| {
        let starts_ns = a.starts_ns?;
        Some((starts_ns, a.ends_ns.unwrap_or(starts_ns)))
    }));
    let ranges = [("traces", traces), ("metrics", metrics), ("logs", logs), ("changes", changes), ("alerts", alerts)];
    let ranges = ranges.into_iter().filter_map(|(kind, range)| range.map(|range| Range { kind, range }));
    (ranges.collect(), findings)
}

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let range = |kind: &str| facts.ranges.iter().find(|r| r.kind == kind).map(|r| r.range);
    let mut findings = Vec::new();
    let (traces, metrics) = (range("traces"), range("metrics"));
    if let (Some(traces), Some(metrics)) = (&traces, &metrics) {
        findings.extend(overlap(("traces", traces), ("metrics", metrics)));
    }
    if let (Some((kind, other)), Some(logs)) =
        (traces.map(|t| ("traces", t)).or(metrics.map(|m| ("metrics", m))), range("logs"))
    {
        findings.extend(overlap((kind, &other), ("logs", &logs)));
    }
    let all = extent_of([traces, metrics].iter().flatten().map(|w| (w.start_ns(), w.end_ns())));
    if let (Some(all), Some(alerts)) = (&all, range("alerts"))
        && !all.overlaps(&alerts)
    {
        findings.push(Finding {
            severity: Severity::Gap,
            id: "alert_outside",
            weight: 0.7,
            what: format!("the alert fired {}, outside the telemetry ({})", rfc3339(alerts.start_ns()), interval(all)),
            advice: zone(all, &alerts).unwrap_or_else(|| {
                "export the hour before the alert and the time while it fired, or give the alert that belongs to this"
                    .to_owned()
            }),
        });
    }
    match (facts.windows, &all) {
        (Some(windows), Some(all)) => findings.extend(in_windows(facts, windows, all)),
        (None, Some(all)) => findings.extend(too_short(all)),
        (_, None) => {}
    }
    findings
}

fn too_short(all: &Window) -> Option<Finding> {
    let length_ns = all.end_ns() - all.start_ns();
    let (severity, what) = match length_ns {
        l if l < 2 * NANOS_PER_SECOND => (Severity::Stops, "less than two seconds"),
        l if l < SHORT_NS => (Severity::Gap, "less than five minutes"),
        _ => return None,
    };
    Some(Finding {
        severity,
        id: "no_baseline",
        weight: 0.9,
        what: format!("all telemetry lies within {what} ({}): there is no normal time to compare with", interval(all)),
        advice: "export the hour before the incident too".to_owned(),
    })
}

/// Whether two kinds of telemetry cover the same time.
fn overlap((kind, one): (&str, &Window), (other_kind, other): (&str, &Window)) -> Option<Finding> {
    let shared = one.end_ns().min(other.end_ns()) - one.start_ns().max(other.start_ns());
    let shorter = (one.end_ns() - one.start_ns()).min(other.end_ns() - other.start_ns());
    if shared > 0 && shared as f64 >= 0.5 * shorter as f64 {
        return None;
    }
    let (id, what) = if shared > 0 {
        ("little_overlap", format!("{kind} and {other_kind} share {} only", minutes(shared)))
    } else {
        ("no_overlap", format!("{kind} and {other_kind} do not cover the same time"))
    };
    let zone = if shared > 0 { None } else { zone(one, other) };
    Some(Finding {
        severity: Severity::Gap,
        id: if zone.is_some() { "time_zone" } else { id },
        weight: 0.95,
        what: format!("{what}: {kind} {}, {other_kind} {}", interval(one), interval(other)),
        advice: zone.unwrap_or_else(|| "export both for the same time, incident and baseline".to_owned()),
    })
}

/// What to say where one range is the other moved by a time zone.
fn zone(one: &Window, other: &Window) -> Option<String> {
    let hours = zone_shift(one, other)?.abs() as f64 / (60 * MINUTE_NS) as f64;
    Some(format!(
        "the times differ by {hours} h, as local time written without its zone would: write times in UTC or with their offset"
    ))
}

/// By how much `other` is later, where that is a time zone's offset and nothing else explains it: the ranges are
/// apart, begin or end that far from each other to two minutes, and would overlap without it.
fn zone_shift(one: &Window, other: &Window) -> Option<i64> {
    if one.overlaps(other) {
        return None;
    }
    let length = |w: &Window| w.end_ns() - w.start_ns();
    // Ranges longer than an hour or two touch by chance when moved by half hours; an alert is an instant in a range.
    let tolerance_ns = (2 * MINUTE_NS).max(length(one).max(length(other)) / 10).min(5 * MINUTE_NS);
    [other.start_ns() - one.start_ns(), other.end_ns() - one.end_ns()].into_iter().find_map(|distance| {
        let steps = (distance as f64 / ZONE_STEP_NS as f64).round() as i64;
        let shift_ns = steps * ZONE_STEP_NS;
        let fits = steps != 0 && steps.abs() <= ZONE_STEPS && (distance - shift_ns).abs() <= tolerance_ns;
        fits.then_some(shift_ns)
    })
}

fn in_windows(facts: &Facts<'_>, windows: &Windows, all: &Window) -> Vec<Finding> {
    let telemetry = facts.telemetry;
    let mut findings = Vec::new();
    let named =
        std::iter::once(("incident", &windows.incident)).chain(windows.baselines.iter().map(|b| ("baseline", b)));
    for (name, window) in named {
        let spans = telemetry.spans.start_ns.iter().filter(|at| window.contains(**at)).count();
        let series = telemetry.series.iter().filter(|s| s.has_sample_in(window)).count();
        let what = format!("the {name} window {}", window_text(window));
        let advice = || {
            // A short window lies at a round distance by chance, too: the first piece of advice stands in any case.
            let zone = zone(all, window).map(|zone| format!("; perhaps {zone}")).unwrap_or_default();
            format!("choose windows inside the telemetry, which covers {}{zone}", interval(all))
        };
        if spans == 0 && series == 0 {
            findings.push(Finding {
                severity: Severity::Stops,
                id: "empty_window",
                weight: 1.0,
                what: format!("{what} holds no telemetry"),
                advice: advice(),
            });
        } else if spans == 0 && !telemetry.spans.is_empty() {
            findings.push(Finding {
                severity: Severity::Gap,
                id: "window_without_spans",
                weight: 0.9,
                what: format!("{what} holds no spans"),
                advice: advice(),
            });
        } else if series == 0 && !telemetry.series.is_empty() {
            findings.push(Finding {
                severity: Severity::Gap,
                id: "window_without_metrics",
                weight: 0.8,
                what: format!("{what} holds no samples of metrics"),
                advice: advice(),
            });
        }
    }
    if windows.baselines.is_empty() {
        findings.push(Finding {
            severity: Severity::Gap,
            id: "no_baseline",
            weight: 0.9,
            what: "no baseline window is named".to_owned(),
            advice: "name normal operation: --baseline START/END, the hour before or the same hour of earlier days"
                .to_owned(),
        });
    }
    findings
}

pub(super) fn interval(window: &Window) -> String {
    // To whole seconds: the nanosecond after the last is of no use to a reader.
    let second = |ns: i64| rfc3339(ns.div_euclid(NANOS_PER_SECOND).saturating_mul(NANOS_PER_SECOND));
    format!("{} to {}", second(window.start_ns()), second(window.end_ns()))
}

pub(super) fn minutes(length_ns: i64) -> String {
    match length_ns / NANOS_PER_SECOND {
        s if s < 120 => format!("{s} s"),
        s if s < 7_200 => format!("{} min", (s + 30) / 60),
        s if s < 172_800 => format!("{:.1} h", s as f64 / 3_600.0),
        s => format!("{:.1} days", s as f64 / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_told_from_another_time() {
        let minutes = |from: i64, to: i64| Window::new(from * MINUTE_NS, to * MINUTE_NS).unwrap();
        let traces = minutes(600, 615);
        for (other, hours) in [
            (minutes(600 + 480, 615 + 480), Some(8.0)),
            (minutes(600 - 330, 616 - 330), Some(-5.5)),
            (minutes(600 + 481, 620 + 481), Some(8.0)),
            (minutes(605, 900), None),
            (minutes(600 + 495, 615 + 495), None),
            (minutes(600 + 1440, 615 + 1440), None),
        ] {
            let shift = zone_shift(&traces, &other).map(|ns| ns as f64 / (60 * MINUTE_NS) as f64);
            assert_eq!(shift, hours, "{other:?}");
        }
    }
}
