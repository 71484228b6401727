//! Parts of distributions by the ends of their names: buckets, sum, count.

/// Part of a histogram or summary that a name's suffix marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Cumulative count of observations up to the label `le`.
    Bucket,
    /// Sum of observations.
    Sum,
    /// Count of observations.
    Count,
    /// A whole metric.
    None,
}

/// Splits a histogram part's suffix off.
pub(crate) fn split_part(name: &str) -> (&str, Part) {
    for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
        if let Some(base) = name.strip_suffix(suffix) {
            return (base, part);
        }
    }
    (name, Part::None)
}
