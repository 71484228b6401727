//! What a user adds to the tables of this room, as data: [`crate::ingest::ReadOptions`] carries it, the settings file
//! fills it.

use std::fmt;

use crate::telemetry::series::{Signal, Unit};

/// How metrics are to be understood where the tables do not tell. The default adds nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSettings {
    /// Labels that name the service, tried in this order before the known ones.
    pub service_labels: Vec<String>,
    /// Rules for metric names, tried in this order before the known ones.
    pub rules: Vec<MetricRule>,
    /// New names for what labels call a service: the first pattern that fits counts.
    pub services: Vec<(NamePattern, String)>,
}

/// What the samples of a metric are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only ever grows, until it is reset: its rate counts.
    Counter,
    /// A value as it stands.
    Gauge,
    /// The parts `_bucket`, `_sum` and `_count`.
    Histogram,
    /// A series for each `quantile`, with `_sum` and `_count`.
    Summary,
}

/// What the metrics of one name mean.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRule {
    /// The names it is for, without the suffix of a histogram's parts.
    pub name: NamePattern,
    /// What is measured.
    pub signal: Signal,
    /// What the samples are.
    pub kind: MetricKind,
    /// Unit after `scale`.
    pub unit: Unit,
    /// Factor from the source's unit to `unit`.
    pub scale: f64,
    /// For a counter of failures: the counter of all requests, of which it is a share.
    pub of: Option<String>,
    /// Label that names the service; `None` looks at the usual ones.
    pub service_label: Option<String>,
    /// Label that names the operation.
    pub operation_label: Option<String>,
}

/// A name in which `*` stands for any text and `?` for any one letter.
#[derive(Clone, PartialEq, Eq)]
pub struct NamePattern(glob::Pattern);

impl NamePattern {
    /// Reads a pattern; `None` when it is empty or its brackets do not close.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { None } else { glob::Pattern::new(text).ok().map(Self) }
    }

    /// Whether the pattern fits the whole name.
    pub fn fits(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl MetricSettings {
    /// The rule for a metric name, given whole and without the suffix of a histogram's part.
    pub(crate) fn rule(&self, whole: &str, base: &str) -> Option<&MetricRule> {
        self.rules.iter().find(|rule| {
            rule.name.fits(whole)
                || (matches!(rule.kind, MetricKind::Histogram | MetricKind::Summary) && rule.name.fits(base))
        })
    }

    /// The new name of a service, if it was given one.
    pub(crate) fn renamed(&self, service: &str) -> Option<&str> {
        self.services.iter().find(|(pattern, _)| pattern.fits(service)).map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        let pattern = NamePattern::parse("shop_*_ms").unwrap();
        assert!(pattern.fits("shop_checkout_ms") && pattern.fits("shop_a/b_ms"));
        assert!(!pattern.fits("shop_checkout_ms_total") && !pattern.fits("a_shop_x_ms"));
        assert!(NamePattern::parse("").is_none() && NamePattern::parse("[a").is_none());
    }
}
