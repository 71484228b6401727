//! How numbers are written, in one place: three significant digits, a unit, always the value before and during.

use crate::explain::BeforeAfter;
use crate::telemetry::alert::Symptom;
use crate::telemetry::series::Unit;
use crate::telemetry::time::{NANOS_PER_SECOND, Window};

/// Three significant digits without trailing zeros: `1.2`, `0.0415`, `340`, `1234`.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        return format!("{value:.0}");
    }
    if size < 1e-9 {
        return "0".to_owned();
    }
    // The first significant digit's place; 9.996 must count as 10, hence the rounding before the logarithm.
    let rounded: f64 = format!("{size:.2e}").parse().unwrap_or(size);
    let decimals = (2 - rounded.log10().floor() as i32).clamp(0, 11) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The value in the largest of the units, each `factor` of the smallest, in which it is at least 1 as written.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let smallest = units.first().copied().unwrap_or((1.0, ""));
    // 999.6 ms would be written as 1000 ms: it belongs to the next unit.
    let fits = |(factor, _): &&(f64, &str)| value.abs() >= factor * 0.9995;
    let (factor, unit) = units.iter().rev().find(fits).copied().unwrap_or(smallest);
    format!("{}{unit}", digits(value / factor))
}

/// A duration in seconds: `1.2 s`, `340 ms`, `15 µs`.
pub(crate) fn seconds(value: f64) -> String {
    if value.abs() < 1e-12 {
        return "0 s".to_owned();
    }
    scaled(value, &[(1e-9, " ns"), (1e-6, " µs"), (1e-3, " ms"), (1.0, " s")])
}

/// A duration in nanoseconds.
pub(crate) fn nanoseconds(value: u64) -> String {
    seconds(value as f64 / NANOS_PER_SECOND as f64)
}

/// A share, 0 to 1, in percent. Rounding never makes a part out to be all or nothing.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_01 {
        return "<0.001 %".to_owned();
    }
    if (0.9995..1.0).contains(&share) {
        return ">99.9 %".to_owned();
    }
    format!("{} %", digits(share * 100.0))
}

/// A probability, in whole percent: more digits would promise more than a calibration can keep.
pub(crate) fn probability(value: f64) -> String {
    match value {
        v if v.is_nan() => "unknown".to_owned(),
        v if v > 0.0 && v < 0.01 => "<1 %".to_owned(),
        v if v < 1.0 && v > 0.99 => ">99 %".to_owned(),
        v => format!("{:.0} %", v * 100.0),
    }
}

/// The word for a probability, after the scale of the Intergovernmental Panel on Climate Change (Mastrandrea et al.,
/// Guidance Note on Consistent Treatment of Uncertainties, 2010, table 1), which readers of forecasts were tested on.
pub(crate) fn likelihood(probability: f64) -> &'static str {
    match probability {
        p if p > 0.99 => "virtually certain",
        p if p > 0.90 => "very likely",
        p if p > 0.66 => "likely",
        p if p >= 0.33 => "about as likely as not",
        _ => "unlikely",
    }
}

/// A value with its unit.
pub(crate) fn value(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    const BINARY: [&str; 5] = [" B", " KiB", " MiB", " GiB", " TiB"];
    let binary: Vec<(f64, &str)> = BINARY.iter().enumerate().map(|(i, u)| (1024_f64.powi(i as i32), *u)).collect();
    match unit {
        Unit::Seconds => seconds(value),
        Unit::PerSecond => format!("{}/s", digits(value)),
        Unit::Ratio => percent(value),
        Unit::Cores => format!("{} cores", digits(value)),
        Unit::Bytes => scaled(value, &binary),
        Unit::BytesPerSecond => format!("{}/s", scaled(value, &binary)),
        Unit::Count | Unit::None => digits(value),
    }
}

/// A value before and during the incident with their ratio: `40 ms → 1.2 s (×30)`.
pub(crate) fn change(before: f64, during: f64, unit: Unit) -> String {
    let ratio = ratio(before, during).map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{} → {}{ratio}", value(before, unit), value(during, unit))
}

/// How often the value before fits into the value during; nothing where that says nothing.
fn ratio(before: f64, during: f64) -> Option<String> {
    const NOTHING: f64 = 1e-12;
    if !before.is_finite() || !during.is_finite() || before < 0.0 || during < 0.0 {
        return None;
    }
    match (before < NOTHING, during < NOTHING) {
        (true, true) => None,
        (true, false) => Some("from nothing".to_owned()),
        (false, true) => Some("to nothing".to_owned()),
        (false, false) => {
            let ratio = during / before;
            let text = match ratio {
                r if r > 9_999.0 => ">×9999".to_owned(),
                r if r < 0.001 => "<×0.001".to_owned(),
                // Close to 1 the second decimal is what matters; elsewhere two digits are enough for a factor.
                r if (0.9..1.1).contains(&r) => format!("×{r:.2}"),
                r if r < 9.95 => format!("×{}", digits(format!("{r:.1e}").parse().unwrap_or(r))),
                r => format!("×{r:.0}"),
            };
            Some(text)
        }
    }
}

/// A measured change.
pub(crate) fn measured(before_after: &BeforeAfter) -> String {
    change(before_after.baseline, before_after.incident, before_after.unit)
}

/// The unit in which a symptom is measured.
pub(crate) fn symptom_unit(symptom: Symptom) -> Unit {
    match symptom {
        Symptom::Latency => Unit::Seconds,
        Symptom::Errors => Unit::Ratio,
    }
}

/// A count with spaces between thousands: `12 345`.
pub(crate) fn count(value: u64) -> String {
    let plain = value.to_string();
    if plain.len() < 5 {
        return plain;
    }
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// The length of a window: `5 min`, `1 h 30 min`, `2 d 1 h`.
pub(crate) fn length(window: &Window) -> String {
    let total = window.seconds();
    if total < 60.0 {
        return seconds(total);
    }
    let whole = total.round() as u64;
    let parts = [(whole / 86_400, "d"), (whole / 3_600 % 24, "h"), (whole / 60 % 60, "min"), (whole % 60, "s")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_unit() {
        for (number, unit, expected) in [
            (1.2, Unit::Seconds, "1.2 s"),
            (0.34, Unit::Seconds, "340 ms"),
            (0.012_345, Unit::Seconds, "12.3 ms"),
            (0.999_6, Unit::Seconds, "1 s"),
            (0.000_999_96, Unit::Seconds, "1 ms"),
            (9.996e-6, Unit::Seconds, "10 µs"),
            (3e-10, Unit::Seconds, "0.3 ns"),
            (0.0, Unit::Seconds, "0 s"),
            (130.0, Unit::Seconds, "130 s"),
            (-0.005, Unit::Seconds, "-5 ms"),
            (0.041, Unit::Ratio, "4.1 %"),
            (0.0, Unit::Ratio, "0 %"),
            (1.0, Unit::Ratio, "100 %"),
            (0.999_99, Unit::Ratio, ">99.9 %"),
            (0.000_000_1, Unit::Ratio, "<0.001 %"),
            (12.3, Unit::PerSecond, "12.3/s"),
            (12_345.6, Unit::PerSecond, "12346/s"),
            (1.5, Unit::Cores, "1.5 cores"),
            (536_870_912.0, Unit::Bytes, "512 MiB"),
            (1_023.9, Unit::Bytes, "1 KiB"),
            (0.0, Unit::Bytes, "0 B"),
            (2048.0, Unit::BytesPerSecond, "2 KiB/s"),
            (7.0, Unit::Count, "7"),
            (f64::NAN, Unit::Seconds, "unknown"),
        ] {
            assert_eq!(value(number, unit), expected, "{number} {unit:?}");
        }
    }

    #[test]
    fn changes_show_both_values_and_their_ratio() {
        for (before, during, unit, expected) in [
            (0.04, 1.2, Unit::Seconds, "40 ms → 1.2 s (×30)"),
            (0.0, 0.041, Unit::Ratio, "0 % → 4.1 % (from nothing)"),
            (12.0, 0.0, Unit::PerSecond, "12/s → 0/s (to nothing)"),
            (0.0, 0.0, Unit::Ratio, "0 % → 0 %"),
            (2.0, 2.1, Unit::Count, "2 → 2.1 (×1.05)"),
            (8.0, 2.0, Unit::Count, "8 → 2 (×0.25)"),
            (1.0, 9.96, Unit::Count, "1 → 9.96 (×10)"),
            (1e-6, 1.0, Unit::Seconds, "1 µs → 1 s (>×9999)"),
        ] {
            assert_eq!(change(before, during, unit), expected);
        }
    }

    #[test]
    fn probabilities_never_round_to_certainty() {
        assert_eq!(probability(0.943), "94 %");
        assert_eq!(probability(0.9999), ">99 %");
        assert_eq!(probability(0.0001), "<1 %");
        assert_eq!(probability(1.0), "100 %");
        assert_eq!(likelihood(0.943), "very likely");
        assert_eq!(likelihood(0.5), "about as likely as not");
    }

    #[test]
    fn counts_and_lengths_are_readable() {
        assert_eq!(count(1234), "1234");
        assert_eq!(count(12_345), "12 345");
        assert_eq!(count(1_234_567), "1 234 567");
        let window = |seconds| Window::new(0, seconds * NANOS_PER_SECOND).unwrap();
        assert_eq!(length(&window(300)), "5 min");
        assert_eq!(length(&window(5400)), "1 h 30 min");
        assert_eq!(length(&window(30)), "30 s");
        assert_eq!(length(&window(86_400)), "1 d");
    }
}
