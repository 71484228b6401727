//! How many spans of the real traffic a span stands for, as its source says.
//!
//! Two sources are known: the `tracestate` of OpenTelemetry's consistent probability sampling, and an attribute that the
//! user names. Both give the *adjusted count*, the inverse of the probability with which the span was kept. It becomes a
//! whole number here, up or down by a hash of the trace, so that sums are right on average and neither order nor machine
//! changes them, and so that the spans of a trace agree.

use std::path::Path;

use crate::telemetry::id::TraceId;

use super::Telemetry;
use super::json_stream::Scalar;

/// The greatest weight that is believed; `th:ffffffffffffff` would let one span outweigh a whole system.
pub(crate) const MAX_WEIGHT: u32 = 1 << 20;

/// Number of thresholds and of random values of consistent probability sampling, 2^56.
const THRESHOLDS: u64 = 1 << 56;
const THRESHOLD_DIGITS: usize = 14;

const BAD_THRESHOLD: &str = "spans say in tracestate how they were sampled, but not so that it can be read (`ot=th:` takes 1 \
     to 14 hexadecimal digits, `ot=p:` 0 to 62); they count as what the rest of their trace says, else once";
const BAD_RATE: &str = "spans have a sampling attribute that is neither a probability nor a rate (1 in N); they count as what \
     the rest of their trace says, else once";
pub(super) const TOO_GREAT: &str = "spans say that they stand for more than 1 048 576 others; they count as so many";

/// What a span's source says of its sampling.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Said {
    /// Nothing.
    Nothing,
    /// So many spans, this one included: at least 1, not always a whole number.
    AdjustedCount(f64),
    /// Something, but what it is cannot be understood.
    Unreadable(&'static str),
}

impl Said {
    /// This, or the other where this is nothing.
    pub(crate) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Nothing { other() } else { self }
    }

    /// The weight of a span of `trace` for the span table, where 0 means that nothing is known, and what is odd about it.
    pub(crate) fn weight(self, trace: TraceId) -> (u32, Option<&'static str>) {
        match self {
            Self::Nothing => (0, None),
            Self::Unreadable(message) => (0, Some(message)),
            Self::AdjustedCount(count) if count > f64::from(MAX_WEIGHT) => (MAX_WEIGHT, Some(TOO_GREAT)),
            Self::AdjustedCount(count) => {
                // 32 bits of chance, against which the fraction is held.
                let chance = (trace.mixed() >> 32) as f64 / (1_u64 << 32) as f64;
                let up = count.fract() > chance;
                (count.trunc().max(1.0) as u32 + u32::from(up), None)
            }
        }
    }

    /// As [`Said::weight`], with the oddity counted in `out`.
    pub(crate) fn weight_at(self, trace: TraceId, out: &mut Telemetry, path: &Path, place: &dyn Fn() -> String) -> u32 {
        let (weight, odd) = self.weight(trace);
        if let Some(message) = odd {
            out.warn(path, place(), message, 1);
        }
        weight
    }
}

/// What a W3C `tracestate` says: the OpenTelemetry entry's threshold `th`, or the power of two `p` that it replaced.
///
/// ```text
/// T = the hexadecimal digits of th, filled up with zeros on the right to 14 digits
/// adjusted count = 2^56 / (2^56 - T)
/// ```
/// OpenTelemetry specification, TraceState Handling (`th`, status: development); TraceState: Probability Sampling, 2022
/// (`p`, experimental). `p:63` marks a span that was recorded for another reason than chance: it stands for itself.
pub(crate) fn of_trace_state(text: &str) -> Said {
    let entries = text.split(',').filter_map(|entry| entry.trim().split_once('='));
    let Some((_, ours)) = entries.into_iter().find(|(key, _)| *key == "ot") else { return Said::Nothing };
    let value_of =
        |wanted: &str| ours.split(';').filter_map(|pair| pair.split_once(':')).find(|(key, _)| *key == wanted);
    if let Some((_, digits)) = value_of("th") {
        let digits = digits.trim_end();
        if digits.is_empty() || digits.len() > THRESHOLD_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Said::Unreadable(BAD_THRESHOLD);
        }
        let Ok(leading) = u64::from_str_radix(digits, 16) else { return Said::Unreadable(BAD_THRESHOLD) };
        let threshold = leading << (4 * (THRESHOLD_DIGITS - digits.len()));
        return Said::AdjustedCount(THRESHOLDS as f64 / (THRESHOLDS - threshold) as f64);
    }
    match value_of("p").map(|(_, power)| power.trim_end().parse::<u8>()) {
        None => Said::Nothing,
        Some(Ok(63)) => Said::AdjustedCount(1.0),
        Some(Ok(power @ 0..=62)) => Said::AdjustedCount((1_u64 << power) as f64),
        Some(_) => Said::Unreadable(BAD_THRESHOLD),
    }
}

/// What the attribute or column says that the user named: a probability above 0 and up to 1, or from 1 on a rate, one span
/// kept of so many.
pub(crate) fn of_number(number: f64) -> Said {
    if !number.is_finite() || number <= 0.0 {
        Said::Unreadable(BAD_RATE)
    } else if number < 1.0 {
        Said::AdjustedCount(1.0 / number)
    } else {
        Said::AdjustedCount(number)
    }
}

/// As [`of_number`], for a value of any type; one that is absent or empty says nothing.
pub(crate) fn of_value(value: &Scalar<'_>) -> Said {
    match value {
        Scalar::Absent => Said::Nothing,
        Scalar::Text(text) if text.trim().is_empty() => Said::Nothing,
        Scalar::Text(text) => text.trim().parse().map_or(Said::Unreadable(BAD_RATE), of_number),
        Scalar::Integer(number) => of_number(*number as f64),
        Scalar::Float(number) => of_number(*number),
        Scalar::Bool(_) | Scalar::Nested => Said::Unreadable(BAD_RATE),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ingest::{ReadOptions, read_bytes};

    /// What is warned of where the attribute `rate` was named.
    fn warned(name: &str, text: &str) -> Vec<String> {
        let options = ReadOptions { sampling_attribute: Some("rate".to_owned()), ..ReadOptions::default() };
        let telemetry = read_bytes(Path::new(name), text.as_bytes(), &options).expect("recognised");
        telemetry.warnings.iter().map(|warning| warning.message.clone()).collect()
    }

    #[test]
    fn an_attribute_that_no_span_carries_is_told() {
        let otlp = |key: &str| {
            format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"00000000000000000000000000000001",
                "spanId":"0000000000000002","name":"a","startTimeUnixNano":"1772445600000000000",
                "endTimeUnixNano":"1772445600000000005","attributes":[{{"key":"{key}","value":{{"intValue":"8"}}}}]}}]}}]}}]}}"#
            )
        };
        let table = |key: &str| {
            let header = "trace_id,span_id,parent_id,service,start_us,duration_us,attributes";
            format!("{header}\n1,2,,cart,1772445600000000,5,\"{{\"\"{key}\"\":8}}\"\n")
        };
        let row = |key: &str| {
            format!(
                r#"{{"trace_id":"1","span_id":"2","service":"cart","start_us":1772445600000000,"duration_us":5,"attributes":{{"{key}":8}}}}"#
            )
        };
        let is_told =
            |name: &str, text: &str| warned(name, text).iter().any(|w| w.starts_with("no span has the attribute"));
        for (name, text) in [("a.json", &otlp as &dyn Fn(&str) -> String), ("a.csv", &table), ("a.jsonl", &row)] {
            assert!(!is_told(name, &text("rate")), "{name}");
            assert!(is_told(name, &text("raet")), "{name}");
        }
        assert!(!is_told("a.prom", "up{job=\"cart\"} 1 1772445600\n# EOF\n"), "there are no spans");
    }

    #[test]
    fn thresholds_are_those_of_the_specification() {
        // Probabilities and adjusted counts from the tests of the OpenTelemetry Collector's pkg/sampling
        // (oteltracestate_test.go): th:8 is 2, th:c is 4, th:e is 8, th:f is 16, th:555 is 1 / (1 - 0x555 / 0x1000).
        for (text, count) in [
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("ot=th:c", 4.0),
            ("ot=th:e", 8.0),
            ("ot=th:f", 16.0),
            ("ot=th:F", 16.0),
            ("ot=th:555", 4096.0 / (4096.0 - 1365.0)),
            ("ot=th:ffffffffffffff", 72_057_594_037_927_936.0),
            ("rojo=00f067aa0ba902b7 , ot=rv:abcdefabcdefab;th:8;a:b,congo=t61rcWkgMzE", 2.0),
            ("ot=p:3;r:5", 8.0),
            ("ot=p:0", 1.0),
            ("ot=p:63", 1.0),
            ("ot=p:3;th:c", 4.0),
        ] {
            assert_eq!(of_trace_state(text), Said::AdjustedCount(count), "{text}");
        }
        for text in ["", "ot=rv:abcdefabcdefab", "congo=th:8", "tenant@ot=th:8", "ot", "th:8", "x=ot=th:8", ",,=;:"] {
            assert_eq!(of_trace_state(text), Said::Nothing, "{text}");
        }
        for text in
            ["ot=th:", "ot=th:fffffffffffffff", "ot=th:-1", "ot=th:+8", "ot=th:0x8", "ot=th:8.0", "ot=p:64", "ot=p:x"]
        {
            assert!(matches!(of_trace_state(text), Said::Unreadable(_)), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_probability_up_to_one_and_a_rate_from_there() {
        for (value, count) in [
            (Scalar::Float(0.05), 20.0),
            (Scalar::Float(1.0), 1.0),
            (Scalar::Integer(1), 1.0),
            (Scalar::Integer(20), 20.0),
            (Scalar::Text(" 2.5 ".into()), 2.5),
        ] {
            assert_eq!(of_value(&value), Said::AdjustedCount(count), "{value:?}");
        }
        for value in [
            Scalar::Integer(0),
            Scalar::Float(f64::NAN),
            Scalar::Integer(-5),
            Scalar::Text("inf".into()),
            Scalar::Bool(true),
        ] {
            assert!(matches!(of_value(&value), Said::Unreadable(_)), "{value:?}");
        }
        assert_eq!(of_value(&Scalar::Text("".into())), Said::Nothing);
    }

    #[test]
    fn rounding_is_right_on_average_and_the_same_for_a_trace() {
        // th:f333 keeps 5.0003 %: 19.9988 each. Consistent sampling keeps traces whose last 56 bits are high, which must
        // not show in the rounding. 200 000 traces: five standard errors of a fraction f are 5 sqrt(f (1 - f) / 200 000).
        for (text, threshold) in
            [("ot=th:f333", 0xf333_u64 << 40), ("ot=th:5", 0x5_u64 << 52), ("ot=th:555", 0x555_u64 << 44)]
        {
            let said = of_trace_state(text);
            let Said::AdjustedCount(count) = said else { panic!("{text}") };
            let traces = (0..200_000_u128).map(|n| {
                let random = TraceId(n).mixed() % (THRESHOLDS - threshold) + threshold;
                TraceId((n << 64) | u128::from(random))
            });
            let mean = traces.map(|trace| f64::from(said.weight(trace).0)).sum::<f64>() / 200_000.0;
            let allowed = 5.0 * (count.fract() * (1.0 - count.fract()) / 200_000.0).sqrt();
            assert!((mean - count).abs() < allowed, "{text}: {mean} is not {count}");
        }
        assert_eq!(Said::AdjustedCount(1e9).weight(TraceId(1)), (MAX_WEIGHT, Some(TOO_GREAT)));
    }
}
