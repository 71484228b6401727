//! Which windows to compare, when they are not or only partly given: from the alert, else refused with a proposal.

use std::path::Path;

use anyhow::Context;

use crate::ingest::Telemetry;
use crate::telemetry::time::Window;
use crate::timespec::{rfc3339, window_text};
use crate::windows::{Chosen, Rules, ceil_second, extent, floor_second, holds_telemetry};

use super::command_line::CommandLine;
use super::errors::Usage;

/// Completes what was given, from the alert and from what telemetry there is.
///
/// # Errors
/// [`Usage`] when no window can be derived, or a window holds no telemetry; with the range that does and a command.
/// Another error when there is no telemetry at all, which no other window would mend.
pub(super) fn choose(
    incident: Option<Window>,
    baselines: &[Window],
    telemetry: &Telemetry,
    command: &CommandLine,
) -> anyhow::Result<Chosen> {
    let Some(extent) = extent(telemetry) else { return Err(no_telemetry(telemetry)) };
    let refuse = |why: String| {
        let faults = match faults(telemetry).as_str() {
            "" => String::new(),
            faults => format!("\nWhat was wrong with the files:\n{faults}\n"),
        };
        let separator = if faults.is_empty() { " " } else { "" };
        Err(Usage(format!("{why}{faults}{separator}{}", proposal(&extent, command))).into())
    };
    let incident = match incident.or_else(|| from_alert(telemetry, &extent)) {
        Some(incident) => incident,
        None => return refuse("when was it?".to_owned()),
    };
    let derived = baselines.is_empty();
    let baselines = if derived {
        match before(&incident, &extent) {
            Some(before) => vec![before],
            None => return refuse(format!("there is no telemetry before the incident {}.", window_text(&incident))),
        }
    } else {
        baselines.to_vec()
    };
    for (name, window) in std::iter::once(("incident", &incident)).chain(baselines.iter().map(|b| ("baseline", b))) {
        if !holds_telemetry(telemetry, window) {
            return refuse(format!("the {name} window {} holds no telemetry.", window_text(window)));
        }
    }
    Ok(Chosen { incident, baselines })
}

/// Completes what was given before anything is pulled from live sources: from the alert, and as if there were telemetry of
/// all time up to now.
///
/// # Errors
/// [`Usage`] when neither a window nor an alert tells when it was.
pub(super) fn before_pull(
    incident: Option<Window>,
    baselines: &[Window],
    alert: Option<&Telemetry>,
    now_ns: i64,
) -> anyhow::Result<Chosen> {
    let extent = Window::new(0, now_ns).context("the clock of this machine stands before 1970")?;
    // An alert that fires says when it will end if nobody renews it: there is no telemetry of what is to come.
    let until_now = |window: Window| Window::new(window.start_ns(), window.end_ns().min(now_ns)).ok();
    let incident = incident.or_else(|| from_alert(alert?, &extent).and_then(until_now)).ok_or_else(|| {
        Usage("when was it? Name the window, for example --incident now-15m/now, or give --alert".to_owned())
    })?;
    let baselines = match (baselines, before(&incident, &extent)) {
        ([], Some(before)) => vec![before],
        ([], None) => return Err(Usage("there is no time before the incident; name --baseline".to_owned()).into()),
        (given, _) => given.to_vec(),
    };
    Ok(Chosen { incident, baselines })
}

/// What has to be read so that [`choose`] can choose; nothing where neither a window nor an alert says when.
pub(super) fn to_read(incident: Option<Window>, baselines: &[Window], alert: &Telemetry) -> Vec<Window> {
    let starts = alert.alerts.iter().filter_map(|alert| alert.starts_ns).min();
    let longest =
        starts.and_then(|start| Window::new(start, start.saturating_add(Rules::default().longest_firing_ns)).ok());
    let Some(incident) = incident.or_else(|| from_alert(alert, &longest?)) else { return baselines.to_vec() };
    let baseline_ns = Rules::default().baseline_ns;
    let before = Window::new(incident.start_ns().saturating_sub(baseline_ns), incident.start_ns()).ok();
    let before = before.filter(|_| baselines.is_empty());
    std::iter::once(incident).chain(before).chain(baselines.iter().copied()).collect()
}

/// So many faults of files stand in a message; the report itself has them all.
const FAULTS_SHOWN: usize = 5;

/// What was wrong with the files, a line each; empty when nothing was.
fn faults(telemetry: &Telemetry) -> String {
    let shown = telemetry.warnings.iter().take(FAULTS_SHOWN).map(|warning| format!("  {warning}"));
    let more = telemetry.warnings.len().saturating_sub(FAULTS_SHOWN);
    let more = (more > 0).then(|| format!("  and {more} more"));
    shown.chain(more).collect::<Vec<_>>().join("\n")
}

/// Says of each file why nothing came out of it.
pub(super) fn no_telemetry(telemetry: &Telemetry) -> anyhow::Error {
    let blamed = |path: &Path| telemetry.warnings.iter().any(|warning| Path::new(&warning.source) == path);
    let silent = telemetry.files.iter().filter(|file| !blamed(&file.path)).take(FAULTS_SHOWN);
    let silent = silent.map(|file| {
        let (path, format) = (file.path.display(), file.format.name());
        format!("  {path}: as {format}, it holds neither spans nor series")
    });
    let faults = Some(faults(telemetry)).filter(|faults| !faults.is_empty());
    let reasons: Vec<String> = faults.into_iter().chain(silent).collect();
    if reasons.is_empty() {
        anyhow::anyhow!("no telemetry was read: the folders and patterns hold no file")
    } else {
        anyhow::anyhow!("no telemetry was read; what was wrong:\n{}", reasons.join("\n"))
    }
}

/// What the alert that was given says of the incident.
fn from_alert(telemetry: &Telemetry, extent: &Window) -> Option<Window> {
    Rules::default().incident_of(&telemetry.alerts, extent.end_ns())
}

fn before(incident: &Window, extent: &Window) -> Option<Window> {
    Rules::default().baseline_before(incident, extent.start_ns())
}

/// Windows that hold telemetry: from the alert, else the last third (half an hour at most) against what is before. Of the
/// time of the spans where there are any, since they say most.
pub(super) fn proposed(telemetry: &Telemetry) -> Option<Chosen> {
    let extent = extent(telemetry)?;
    let spans = &telemetry.spans.start_ns;
    let of_spans = spans.iter().min().zip(spans.iter().max());
    let of_spans = of_spans.and_then(|(first, last)| Window::new(*first, last.saturating_add(1)).ok());
    let from_alert = || {
        let incident = from_alert(telemetry, &extent)?;
        Some(Chosen { incident, baselines: vec![before(&incident, &extent)?] })
    };
    let holds = |chosen: &Chosen| {
        let all = std::iter::once(&chosen.incident).chain(&chosen.baselines);
        all.clone().count() > 1 && all.into_iter().all(|window| holds_telemetry(telemetry, window))
    };
    let split = |extent: &Window| {
        let (first, last) = (extent.start_ns(), extent.end_ns());
        let split = ceil_second(last - ((last - first) / 3).min(Rules::default().longest_firing_ns));
        let incident = Window::new(split, ceil_second(last)).ok()?;
        Some(Chosen { incident, baselines: vec![Window::new(floor_second(first), split).ok()?] })
    };
    from_alert()
        .filter(&holds)
        .or_else(|| of_spans.as_ref().and_then(split).filter(&holds))
        .or_else(|| split(&extent).filter(&holds))
}

/// The range of the telemetry and a command that would run: its last third, half an hour at most, against what is before.
fn proposal(extent: &Window, command: &CommandLine) -> String {
    let (first, last) = (extent.start_ns(), extent.end_ns());
    let range =
        format!("The telemetry reaches from {} to {}", rfc3339(floor_second(first)), rfc3339(ceil_second(last)));
    let split = ceil_second(last - ((last - first) / 3).min(Rules::default().longest_firing_ns));
    match (Window::new(floor_second(first), split), Window::new(split, ceil_second(last))) {
        (Ok(baseline), Ok(incident)) => {
            let command = command.clone().windows(&incident, &[baseline]);
            format!("{range}. Name the windows, for example:\n  {command}")
        }
        _ => format!("{range}: too short to compare two windows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::alert::Alert;
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};
    use crate::telemetry::time::NANOS_PER_SECOND;

    const MINUTE_NS: i64 = 60 * NANOS_PER_SECOND;

    fn minutes(from: i64, to: i64) -> Window {
        Window::new(from * MINUTE_NS, to * MINUTE_NS).unwrap()
    }

    /// A sample each minute.
    fn telemetry(from: i64, to: i64) -> Telemetry {
        let series = Series {
            subject: Subject::Service("a".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: "cpu".into(),
            samples: (from..to).map(|minute| (minute * MINUTE_NS, 1.0)).collect(),
        };
        Telemetry { series: vec![series], ..Telemetry::default() }
    }

    fn alerting(mut telemetry: Telemetry, starts: i64, ends: Option<i64>) -> Telemetry {
        let starts_ns = Some(starts * MINUTE_NS);
        telemetry.alerts.push(Alert { starts_ns, ends_ns: ends.map(|m| m * MINUTE_NS), ..Alert::default() });
        telemetry
    }

    fn chosen(incident: Option<Window>, baselines: &[Window], telemetry: &Telemetry) -> Result<Chosen, String> {
        let command = CommandLine::new("analyze");
        choose(incident, baselines, telemetry, &command).map_err(|error| error.to_string())
    }

    #[test]
    fn an_alert_gives_both_windows() {
        let resolved = alerting(telemetry(0, 200), 100, Some(110));
        let expected = Chosen { incident: minutes(95, 110), baselines: vec![minutes(35, 85)] };
        assert_eq!(chosen(None, &[], &resolved).unwrap(), expected);
        let firing = alerting(telemetry(0, 111), 100, None);
        assert_eq!(chosen(None, &[], &firing).unwrap().incident.end_ns(), 110 * MINUTE_NS + NANOS_PER_SECOND);
        let long = alerting(telemetry(0, 500), 100, None);
        assert_eq!(chosen(None, &[], &long).unwrap().incident, minutes(95, 130));
    }

    #[test]
    fn a_pull_has_windows_before_there_is_telemetry() {
        let day = 24 * 60;
        let of = |incident, baselines: &[Window], alert: Option<&Telemetry>| {
            before_pull(incident, baselines, alert, 2 * day * MINUTE_NS).map_err(|error| error.to_string())
        };
        let derived = of(Some(minutes(day, day + 10)), &[], None).unwrap();
        assert_eq!(derived.baselines, [minutes(day - 60, day - 10)]);
        let given = of(Some(minutes(day, day + 10)), &[minutes(3, 5)], None).unwrap();
        assert_eq!(given.baselines, [minutes(3, 5)]);
        let firing = alerting(Telemetry::default(), day, None);
        assert_eq!(of(None, &[], Some(&firing)).unwrap().incident, minutes(day - 5, day + 30));
        let ends_later = alerting(Telemetry::default(), 2 * day - 10, Some(2 * day + 5));
        assert_eq!(of(None, &[], Some(&ends_later)).unwrap().incident, minutes(2 * day - 15, 2 * day));
        assert!(of(None, &[], None).unwrap_err().contains("--incident"));
    }

    #[test]
    fn the_earliest_alert_counts() {
        let two = alerting(alerting(telemetry(0, 200), 120, Some(130)), 100, Some(110));
        assert_eq!(chosen(None, &[], &two).unwrap().incident, minutes(95, 110));
    }

    #[test]
    fn a_short_past_gives_a_short_baseline() {
        let chosen = chosen(Some(minutes(10, 15)), &[], &telemetry(1, 15)).unwrap();
        assert_eq!(chosen.baselines, [minutes(1, 7)]);
    }

    #[test]
    fn what_is_given_is_taken() {
        let chosen = chosen(Some(minutes(10, 15)), &[minutes(0, 4)], &alerting(telemetry(0, 20), 18, None)).unwrap();
        assert_eq!(chosen, Chosen { incident: minutes(10, 15), baselines: vec![minutes(0, 4)] });
    }

    #[test]
    fn refusals_show_the_range_and_a_command_that_runs() {
        for (incident, baselines, telemetry) in [
            (None, vec![], telemetry(0, 31)),
            (Some(minutes(40, 50)), vec![], telemetry(0, 31)),
            (Some(minutes(0, 10)), vec![], telemetry(0, 31)),
            (Some(minutes(10, 20)), vec![minutes(50, 60)], telemetry(0, 31)),
        ] {
            let message = chosen(incident, &baselines, &telemetry).unwrap_err();
            assert!(message.contains("from 1970-01-01T00:00:00Z to 1970-01-01T00:30:01Z"), "{message}");
            let command = message.lines().last().unwrap().trim();
            let words: Vec<&str> = command.split(' ').collect();
            let given = |flag: &str| {
                let at = words.iter().position(|word| *word == flag).unwrap();
                crate::timespec::parse_window(words[at + 1], 0).unwrap()
            };
            let again = chosen(Some(given("--incident")), &[given("--baseline")], &telemetry);
            assert!(again.is_ok_and(|c| !c.incident.overlaps(&c.baselines[0])), "{message}");
        }
        assert!(chosen(None, &[], &Telemetry::default()).unwrap_err().contains("no telemetry"));
    }
}
