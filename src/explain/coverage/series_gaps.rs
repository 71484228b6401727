//! Series in which samples are missing.

use crate::telemetry::series::Series;
use crate::telemetry::time::Window;

use super::{SeriesGap, SeriesName};

/// A gap is a distance of more than this many typical steps.
const GAP_STEPS: i64 = 3;

/// The series with gaps between the first and the last sample of a window, those first in which most is missing.
pub(crate) fn series_gaps(series: &[Series], windows: &[Window]) -> Vec<SeriesGap> {
    let mut found: Vec<SeriesGap> = series.iter().filter_map(|series| gap(series, windows)).collect();
    found.sort_by(|a, b| b.missing_ns.cmp(&a.missing_ns).then_with(|| a.series.cmp(&b.series)));
    found
}

fn gap(series: &Series, windows: &[Window]) -> Option<SeriesGap> {
    let mut missing_ns = 0;
    let mut longest: Option<Window> = None;
    for window in windows {
        let from = series.samples.partition_point(|s| s.0 < window.start_ns());
        let to = series.samples.partition_point(|s| s.0 < window.end_ns());
        let samples = &series.samples[from..to];
        let Some(typical) = typical_step(samples) else { continue };
        for pair in samples.windows(2) {
            let step = pair[1].0.saturating_sub(pair[0].0);
            if step <= typical.saturating_mul(GAP_STEPS) {
                continue;
            }
            missing_ns += step.saturating_sub(typical).unsigned_abs();
            if let Ok(hole) = Window::new(pair[0].0, pair[1].0)
                && longest.is_none_or(|known| hole.seconds() > known.seconds())
            {
                longest = Some(hole);
            }
        }
    }
    let series = SeriesName { subject: series.subject.clone(), name: series.name.clone() };
    longest.map(|longest| SeriesGap { series, missing_ns, longest })
}

/// The median distance of two samples.
fn typical_step(samples: &[(i64, f64)]) -> Option<i64> {
    let mut steps: Vec<i64> = samples.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::series::{Signal, Statistic, Subject, Unit};

    fn series(name: &str, seconds: impl Iterator<Item = i64>) -> Series {
        Series {
            subject: Subject::Service("a".into()),
            signal: Signal::Cpu,
            statistic: Statistic::Mean,
            unit: Unit::Cores,
            name: name.into(),
            samples: seconds.map(|s| (s * 1_000_000_000, 1.0)).collect(),
        }
    }

    #[test]
    fn the_worst_gap_comes_first_with_its_place() {
        let windows = [(0, 300), (300, 600)].map(|(a, b)| Window::new(a * 1_000_000_000, b * 1_000_000_000).unwrap());
        let whole = series("whole", (0..600).step_by(15));
        let small = series("small", (0..600).step_by(15).filter(|s| !(60..120).contains(s)));
        let large = series("large", (0..600).step_by(15).filter(|s| !(330..480).contains(s) && *s != 60));
        let found = series_gaps(&[whole, small, large], &windows);
        let told: Vec<_> = found
            .iter()
            .map(|g| {
                let second = |ns: i64| ns / 1_000_000_000;
                (
                    g.series.name.as_str(),
                    g.missing_ns / 1_000_000_000,
                    second(g.longest.start_ns()),
                    second(g.longest.end_ns()),
                )
            })
            .collect();
        // One missing sample is no gap, and neither is what lies between the windows.
        assert_eq!(told, [("large", 150, 315, 480), ("small", 60, 45, 120)]);
    }
}
