//! The part of PromQL that the rules need: one tree gives both the text of an expression and its values.
//!
//! Every expression here has at most one value at an instant, because all series are summed. Values are those of
//! Prometheus 2 (`promql/functions.go`: `extrapolatedRate`; `promql/quantile.go`: `bucketQuantile`); a test holds them
//! against a real one.

use std::fmt::{self, Display, Formatter};

use crate::simulate::metrics::{Family, MetricSeries};

/// How far an instant selector looks back for the last sample: Prometheus' default, ns.
const LOOKBACK_NS: i64 = 300 * SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;

/// An expression; it has a value at an instant or none.
#[derive(Clone, PartialEq, Debug)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// `sum(selector)`.
    Sum(Selector),
    /// `sum(rate(selector[range]))`.
    SumRate(Selector, Range),
    /// `sum(delta(selector[range]))`.
    SumDelta(Selector, Range),
    /// `histogram_quantile(q, sum by (le) (rate(selector[range])))`; the selector is of buckets.
    Quantile(f64, Selector, Range),
    /// Quotient.
    Divide(Box<Expression>, Box<Expression>),
    /// Product.
    Times(Box<Expression>, Box<Expression>),
    /// The left value where it is above the right one.
    Above(Box<Expression>, Box<Expression>),
    /// The left value where it is below the right one.
    Below(Box<Expression>, Box<Expression>),
    /// The left value where the right one is there.
    And(Box<Expression>, Box<Expression>),
}

/// Which series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    /// Name of the family.
    pub family: &'static str,
    /// Suffix of the samples.
    pub suffix: &'static str,
    /// Labels with the values that they may have.
    pub labels: Vec<(&'static str, Vec<String>)>,
}

/// Length of a range and how far back it ends, seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Length.
    pub length_s: u32,
    /// How long before the instant it ends.
    pub offset_s: u32,
}

impl Range {
    /// The range that ends now.
    pub const fn last(length_s: u32) -> Self {
        Self { length_s, offset_s: 0 }
    }
}

impl Selector {
    fn fits(&self, series: &MetricSeries) -> bool {
        let has = |name: &str, wanted: &[String]| {
            series.labels.iter().any(|(label, value)| *label == name && wanted.contains(value))
        };
        series.suffix == self.suffix && self.labels.iter().all(|(name, wanted)| has(name, wanted))
    }

    fn of<'f>(&self, families: &'f [Family]) -> Vec<&'f MetricSeries> {
        let of_family = families.iter().filter(|family| family.name == self.family);
        of_family.flat_map(|family| &family.series).filter(|series| self.fits(series)).collect()
    }
}

impl Expression {
    /// `self > limit`.
    pub fn above(self, limit: Self) -> Self {
        Self::Above(Box::new(self), Box::new(limit))
    }

    /// `self < limit`.
    pub fn below(self, limit: Self) -> Self {
        Self::Below(Box::new(self), Box::new(limit))
    }

    /// `self and other`.
    pub fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    /// `self / other`.
    pub fn over(self, other: Self) -> Self {
        Self::Divide(Box::new(self), Box::new(other))
    }

    /// `factor * self`.
    pub fn times(self, factor: f64) -> Self {
        Self::Times(Box::new(Self::Number(factor)), Box::new(self))
    }

    /// The value at each instant (Unix ns) over the samples of `families`.
    pub fn values(&self, families: &[Family], instants: &[i64]) -> Vec<Option<f64>> {
        let sums = |selector: &Selector, value: &ValueAt<'_>| -> Vec<Option<f64>> {
            let series = selector.of(families);
            let sum = |at_ns: &i64| total(series.iter().filter_map(|series| value(&series.samples, *at_ns)));
            instants.iter().map(sum).collect()
        };
        let pairs = |left: &Self, right: &Self, value: &dyn Fn(f64, f64) -> Option<f64>| -> Vec<Option<f64>> {
            let (left, right) = (left.values(families, instants), right.values(families, instants));
            left.into_iter().zip(right).map(|(left, right)| value(left?, right?)).collect()
        };
        match self {
            Self::Number(number) => vec![Some(*number); instants.len()],
            Self::Sum(selector) => sums(selector, &last),
            Self::SumRate(selector, range) => sums(selector, &|samples, at_ns| rate(samples, *range, at_ns)),
            Self::SumDelta(selector, range) => sums(selector, &|samples, at_ns| delta(samples, *range, at_ns)),
            Self::Quantile(q, selector, range) => {
                let buckets = buckets(selector, families);
                instants.iter().map(|at_ns| quantile(*q, &buckets, *range, *at_ns)).collect()
            }
            Self::Divide(left, right) => pairs(left, right, &|left, right| Some(left / right)),
            Self::Times(left, right) => pairs(left, right, &|left, right| Some(left * right)),
            Self::Above(left, right) => pairs(left, right, &|left, right| (left > right).then_some(left)),
            Self::Below(left, right) => pairs(left, right, &|left, right| (left < right).then_some(left)),
            Self::And(left, right) => pairs(left, right, &|left, _| Some(left)),
        }
    }
}

/// What the samples of one series say at an instant.
type ValueAt<'v> = dyn Fn(&[(i64, f64)], i64) -> Option<f64> + 'v;

/// The sum; `None` of nothing.
fn total(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

fn last(samples: &[(i64, f64)], at_ns: i64) -> Option<f64> {
    let end = samples.partition_point(|sample| sample.0 <= at_ns);
    let (sampled_ns, value) = *samples.get(end.checked_sub(1)?)?;
    (sampled_ns > at_ns - LOOKBACK_NS).then_some(value)
}

fn rate(samples: &[(i64, f64)], range: Range, at_ns: i64) -> Option<f64> {
    let (within, from_ns, until_ns) = within(samples, range, at_ns);
    let drops = within.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1).sum::<f64>();
    let (first, last) = (within.first()?, within.last()?);
    let grown = last.1 - first.1 + drops;
    // A counter cannot have been below zero before its first sample.
    let to_zero = if grown > 0.0 && first.1 >= 0.0 { first.1 / grown } else { f64::INFINITY };
    Some(grown * extrapolated(within, from_ns, until_ns, to_zero)? / f64::from(range.length_s))
}

fn delta(samples: &[(i64, f64)], range: Range, at_ns: i64) -> Option<f64> {
    let (within, from_ns, until_ns) = within(samples, range, at_ns);
    let (first, last) = (within.first()?, within.last()?);
    Some((last.1 - first.1) * extrapolated(within, from_ns, until_ns, f64::INFINITY)?)
}

/// Samples of a range, its begin and its end. A sample at the very begin is the only thing that versions of Prometheus
/// disagree on; samples and rules are never at the same instants.
fn within(samples: &[(i64, f64)], range: Range, at_ns: i64) -> (&[(i64, f64)], i64, i64) {
    let until_ns = at_ns - i64::from(range.offset_s) * SECOND_NS;
    let from_ns = until_ns - i64::from(range.length_s) * SECOND_NS;
    let begin = samples.partition_point(|sample| sample.0 <= from_ns);
    let end = samples.partition_point(|sample| sample.0 <= until_ns);
    (&samples[begin..end], from_ns, until_ns)
}

/// By what the difference of the first and last sample is multiplied so that it stands for the whole range: up to its
/// borders where samples come near them, else for half an interval further. `to_zero` is how many times the sampled
/// time ago the counter was at zero. `None` for less than two samples.
fn extrapolated(within: &[(i64, f64)], from_ns: i64, until_ns: i64, to_zero: f64) -> Option<f64> {
    let (first, last) = (within.first()?, within.last()?);
    let sampled_s = seconds(last.0 - first.0);
    if within.len() < 2 || sampled_s <= 0.0 {
        return None;
    }
    let average_s = sampled_s / (within.len() - 1) as f64;
    let near = |gap_s: f64| if gap_s < average_s * 1.1 { gap_s } else { average_s / 2.0 };
    let to_start_s = seconds(first.0 - from_ns).min(sampled_s * to_zero);
    Some((sampled_s + near(to_start_s) + near(seconds(until_ns - last.0))) / sampled_s)
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// Series of buckets by their upper bound, ascending.
fn buckets<'f>(selector: &Selector, families: &'f [Family]) -> Vec<(f64, Vec<&'f MetricSeries>)> {
    let mut buckets: Vec<(f64, Vec<&MetricSeries>)> = Vec::new();
    for series in selector.of(families) {
        let bound = series.labels.iter().find(|(name, _)| *name == "le").and_then(|(_, bound)| bound.parse().ok());
        let Some(bound): Option<f64> = bound else { continue };
        match buckets.iter_mut().find(|bucket| bucket.0.total_cmp(&bound).is_eq()) {
            Some((_, all)) => all.push(series),
            None => buckets.push((bound, vec![series])),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// Between the bounds of the bucket into which the rank falls it is interpolated evenly; NaN where nothing was counted.
fn quantile(q: f64, buckets: &[(f64, Vec<&MetricSeries>)], range: Range, at_ns: i64) -> Option<f64> {
    let mut most = 0.0_f64;
    let mut counted: Vec<(f64, f64)> = Vec::with_capacity(buckets.len());
    for (bound, series) in buckets {
        if let Some(count) = total(series.iter().filter_map(|series| rate(&series.samples, range, at_ns))) {
            // Scrapes that fall between two increments may leave buckets out of step.
            most = most.max(count);
            counted.push((*bound, most));
        }
    }
    let (_, all) = *counted.last().filter(|(bound, _)| *bound == f64::INFINITY)?;
    if counted.len() < 2 || all <= 0.0 {
        return Some(f64::NAN);
    }
    let rank = q * all;
    let place = counted[..counted.len() - 1].partition_point(|(_, count)| *count < rank);
    if place == counted.len() - 1 {
        return Some(counted[place - 1].0);
    }
    let (end, up_to_end) = counted[place];
    let (start, up_to_start) = place.checked_sub(1).map_or((0.0, 0.0), |before| counted[before]);
    Some(start + (end - start) * ((rank - up_to_start) / (up_to_end - up_to_start)))
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Sum(selector) => write!(f, "sum({selector})"),
            Self::SumRate(selector, range) => write!(f, "sum(rate({selector}{range}))"),
            Self::SumDelta(selector, range) => write!(f, "sum(delta({selector}{range}))"),
            Self::Quantile(q, selector, range) => {
                write!(f, "histogram_quantile({q}, sum by (le) (rate({selector}{range})))")
            }
            Self::Divide(left, right) => write!(f, "{left} / {right}"),
            Self::Times(left, right) => write!(f, "{left} * ({right})"),
            Self::Above(left, right) => write!(f, "{left} > {right}"),
            Self::Below(left, right) => write!(f, "{left} < {right}"),
            Self::And(left, right) => write!(f, "{left} and {right}"),
        }
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{{", self.family, self.suffix)?;
        for (position, (name, values)) in self.labels.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match values.as_slice() {
                [value] => write!(f, "{comma}{name}=\"{}\"", quoted(value))?,
                several => {
                    let one_of: Vec<String> = several.iter().map(|value| literal(value)).collect();
                    write!(f, "{comma}{name}=~\"{}\"", quoted(&one_of.join("|")))?;
                }
            }
        }
        f.write_str("}")
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", Duration(self.length_s))?;
        if self.offset_s > 0 {
            write!(f, " offset {}", Duration(self.offset_s))?;
        }
        Ok(())
    }
}

/// Seconds as Prometheus writes them: `2m`, `90s`.
pub(super) struct Duration(pub(super) u32);

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(60) { write!(f, "{}m", self.0 / 60) } else { write!(f, "{}s", self.0) }
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A regular expression (RE2) that fits this text alone.
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::metrics::FamilyKind;

    const MINUTE_NS: i64 = 60 * SECOND_NS;

    /// A sample every five minutes.
    fn series(labels: &[(&'static str, &str)], values: impl IntoIterator<Item = f64>) -> MetricSeries {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        MetricSeries { suffix: "", labels, samples: (0..).map(|n| n * 5 * MINUTE_NS).zip(values).collect() }
    }

    fn family(series: Vec<MetricSeries>) -> [Family; 1] {
        [Family { name: "m", help: "", kind: FamilyKind::Counter, series }]
    }

    fn selector(labels: &[(&'static str, &str)]) -> Selector {
        let labels = labels.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect();
        Selector { family: "m", suffix: "", labels }
    }

    fn at_50m(expression: &Expression, families: &[Family]) -> f64 {
        expression.values(families, &[50 * MINUTE_NS])[0].unwrap()
    }

    /// `promql/promqltest/testdata/functions.test` of Prometheus: `increase(http_requests[100m])` at 50 minutes.
    #[test]
    fn rates_are_those_of_prometheus() {
        let steady = series(&[("path", "/foo")], (0..11).map(|n| f64::from(n) * 10.0));
        let reset = series(&[("path", "/bar")], (0..11).map(|n| f64::from(n % 6) * 10.0));
        let families = family(vec![steady, reset]);
        for (path, increase) in [("/foo", 100.0), ("/bar", 90.0)] {
            let rate = Expression::SumRate(selector(&[("path", path)]), Range::last(6000));
            let found = at_50m(&rate, &families) * 6000.0;
            assert!((found - increase).abs() < 1e-9, "{path}: {found}");
        }
        let nothing = Expression::SumRate(selector(&[("path", "/none")]), Range::last(6000));
        assert_eq!(nothing.values(&families, &[50 * MINUTE_NS]), [None]);
        // One sample makes no rate, but stands for five minutes.
        let single = Expression::SumRate(selector(&[]), Range::last(300));
        assert_eq!(single.values(&families, &[50 * MINUTE_NS + SECOND_NS]), [None]);
        let sum = Expression::Sum(selector(&[]));
        assert_eq!(sum.values(&families, &[55 * MINUTE_NS - 1, 55 * MINUTE_NS]), [Some(140.0), None]);
    }

    /// `promql/promqltest/testdata/histograms.test` of Prometheus: `testhistogram_bucket{start="positive"}`.
    #[test]
    fn quantiles_are_those_of_prometheus() {
        let bucket = |bound, step: i32| series(&[("le", bound)], (0..11).map(|n| f64::from(n * step)));
        let families = family(vec![bucket("0.1", 5), bucket(".2", 7), bucket("1e0", 11), bucket("+Inf", 12)]);
        for (q, value) in [(0.0, 0.0), (0.2, 0.048), (0.5, 0.15), (0.8, 0.72), (1.0, 1.0)] {
            let quantile = Expression::Quantile(q, selector(&[]), Range::last(1500));
            let found = at_50m(&quantile, &families);
            assert!((found - value).abs() < 1e-9, "{q}: {found}");
        }
    }

    #[test]
    fn names_are_escaped_in_the_text() {
        let mut selector = selector(&[("span_name", "GET /a\"b\\")]);
        assert_eq!(selector.to_string(), r#"m{span_name="GET /a\"b\\"}"#);
        selector.labels[0].1.push("/cart/{id}".to_owned());
        assert_eq!(selector.to_string(), r#"m{span_name=~"GET /a\"b\\\\|/cart/\\{id\\}"}"#);
    }
}
