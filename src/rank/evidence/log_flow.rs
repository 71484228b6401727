//! After the same message the program goes another way than before: template transitions within traces.
//!
//! For each message `a` of a service, the distribution of what it logs next in the same trace is compared:
//!
//! ```text
//! bits_a = max(0, -log2 min(2 m p, 2 m_e p_e)) * w        w = (lost + min(lost, failing)) / 2
//! lost    = sum over b of max(0, P(b | a) before - P(b | a) during)      b not an error
//! failing = sum over b of max(0, P(b | a) during - P(b | a) before)      b an error, or nothing more
//! ```
//! with p the G-test's over all that follows, p_e the exact test's of errors among what follows, m the number of messages
//! tested in the whole system and m_e of those that an error follows: Bonferroni's correction, in which the few tests of
//! errors get half of the chance of a false alarm (weighted as by Genovese, Roeder and Wasserman, Biometrika 93, 2006,
//! <https://doi.org/10.1093/biomet/93.3.509>), for a new error is what one looks for first. `lost` is the total variation
//! distance where no error goes away, and 0 where errors only became fewer: things getting better are no cause. What turns
//! to errors, or ends, counts in full; what goes another way at half, for programs branch on their data.
//!
//! Because `a` is given, more requests of one kind and fewer of another change nothing here, as they do in mere counts.

use std::collections::BTreeMap;

use super::log_windows::Windows;
use super::logs::{LogChange, Shown};
use crate::incident::Incident;
use crate::stats::g_test::homogeneity_p_value;
use crate::stats::proportion::fisher_two_sided;
use crate::telemetry::logs::{LogTransition, Severity, WHOLE_TRACE};

/// Traces with a message, before and during, under which nothing is compared: with less the G-test's law does not hold.
const MIN_TRACES: f64 = 3.0;

type State = (u32, Severity);

/// Traces by what follows, before and during.
type Next = BTreeMap<Option<State>, [f64; 2]>;

/// The strongest change of each service (index into the logs' services).
pub(super) fn changes(incident: &Incident, windows: &Windows) -> Vec<(u32, LogChange)> {
    let same = |a: &LogTransition, b: &LogTransition| (a.service, a.from) == (b.service, b.from);
    let compared: Vec<(u32, u32, Next)> = incident
        .logs
        .transitions
        .chunk_by(same)
        .filter_map(|rows| {
            let next = next(rows, windows);
            let enough = totals(&next).iter().all(|traces| *traces >= MIN_TRACES);
            (enough && next.len() > 1).then_some((rows[0].service, rows[0].from.0, next))
        })
        .collect();
    let tests = Tests {
        all: compared.len() as f64,
        errors: compared.iter().filter(|(_, _, next)| next.keys().any(is_error)).count() as f64,
    };
    let mut strongest: BTreeMap<u32, LogChange> = BTreeMap::new();
    for (service, from, next) in compared {
        let change = change(from, &next, &tests);
        let known = strongest.entry(service).or_insert(change);
        if change.bits > known.bits {
            *known = change;
        }
    }
    strongest.into_iter().filter(|(_, change)| change.bits > 0.0).collect()
}

fn next(rows: &[LogTransition], windows: &Windows) -> Next {
    let mut next = Next::new();
    for row in rows {
        let side = match (windows.in_baseline(row.bin), windows.in_incident(row.bin)) {
            (true, _) => 0,
            (_, true) => 1,
            _ => continue,
        };
        next.entry(row.to).or_default()[side] += row.millionths as f64 / WHOLE_TRACE as f64;
    }
    next
}

fn totals(next: &Next) -> [f64; 2] {
    next.values().fold([0.0, 0.0], |sum, of| [sum[0] + of[0], sum[1] + of[1]])
}

/// Messages after which it is looked for a change.
struct Tests {
    all: f64,
    /// Those that an error follows.
    errors: f64,
}

fn is_error(to: &Option<State>) -> bool {
    matches!(to, Some((_, Severity::Error | Severity::Fatal)))
}

/// Bits by which the distribution of what follows surprises, after the correction for many tests.
fn surprise(next: &Next, tests: &Tests) -> f64 {
    let (before, during): (Vec<f64>, Vec<f64>) = next.values().map(|of| (of[0], of[1])).unzip();
    let p_any = 2.0 * tests.all * homogeneity_p_value(&before, &during);
    let total = totals(next);
    let mut errors = [0.0, 0.0];
    for of in next.iter().filter(|(to, _)| is_error(to)).map(|(_, of)| of) {
        errors = [errors[0] + of[0], errors[1] + of[1]];
    }
    let whole = |traces: f64| traces.round() as u64;
    let p_errors = if errors[1] > 0.0 {
        2.0 * tests.errors * fisher_two_sided(whole(errors[1]), whole(total[1]), whole(errors[0]), whole(total[0]))
    } else {
        1.0
    };
    (-p_any.min(p_errors).max(f64::MIN_POSITIVE).log2()).max(0.0)
}

fn change(from: u32, next: &Next, tests: &Tests) -> LogChange {
    let total = totals(next);
    let surprise = surprise(next, tests);
    let (mut lost, mut failing) = (0.0, 0.0);
    let mut shown = (0.0, Shown::Flow { from, to: None, before: 0.0, during: 0.0 });
    for (to, of) in next {
        let [before, during] = [of[0] / total[0], of[1] / total[1]];
        if !is_error(to) {
            lost += (before - during).max(0.0);
        }
        if is_error(to) || to.is_none() {
            failing += (during - before).max(0.0);
        }
        if (during - before).abs() > shown.0 {
            let to = to.map(|state| state.0);
            shown = ((during - before).abs(), Shown::Flow { from, to, before, during });
        }
    }
    LogChange { bits: surprise * (lost + failing.min(lost)) / 2.0, shown: shown.1 }
}
