//! When did the level change?

/// Where a series left its old level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangePoint {
    /// Index of the first value at the new level, by maximum likelihood.
    pub first: usize,
    /// Earliest index that is not much less likely.
    pub earliest: usize,
    /// Latest such index.
    pub latest: usize,
}

/// Log-likelihood below the maximum at which a change point counts as much less likely: half the 95 % quantile of
/// chi-squared with one degree of freedom. (The change point is discrete, so the coverage is approximate.)
const LIKELIHOOD_DROP: f64 = 1.92;

/// The maximum-likelihood time of a change from a known level `before` to the level `after`, for values in order of
/// time with normal noise of standard deviation `scale`.
///
/// ```text
/// k* = argmax over k of max over e >= k of sum over k <= i <= e of (clip(x_i) - (before + after) / 2) (after - before) / scale^2
/// ```
///
/// the log-likelihood ratio of "the values from k to e are at the new level" against "none" (D. V. Hinkley, Biometrika
/// 57, 1970, <https://doi.org/10.1093/biomet/57.1.1>, with an end, so that a change that is over again is still dated by
/// its beginning; the sum is Page's CUSUM read backwards). Values are clipped at a quarter step beyond either level, so
/// that one wild value followed by two ordinary ones cannot decide. Earliest of equals. Values that are not finite are
/// gaps. A scale below 1 % of the step is raised to it.
///
/// `None` when there are no finite values, the levels are equal, or no k is more likely than "no change".
pub fn onset(values: &[f64], before: f64, after: f64, scale: f64) -> Option<ChangePoint> {
    let step = after - before;
    if !step.is_finite() || step.abs() <= 0.0 {
        return None;
    }
    let noise = (if scale.is_finite() { (scale / step).abs() } else { 1.0 }).max(0.01);
    let gain = |value: f64| {
        // 0 at the old level, 1 at the new one
        let place = ((value - before) / step).clamp(-0.25, 1.25);
        if value.is_finite() { (place - 0.5) / (noise * noise) } else { 0.0 }
    };
    let mut likelihood = vec![0.0; values.len()];
    let mut from_next = 0.0_f64;
    for at in (0..values.len()).rev() {
        from_next = gain(values[at]) + from_next.max(0.0);
        likelihood[at] = from_next;
    }
    let mut first: Option<usize> = None;
    for at in 0..values.len() {
        let better = first.is_none_or(|best| likelihood[at] > likelihood[best]);
        if values[at].is_finite() && likelihood[at] > 0.0 && better {
            first = Some(at);
        }
    }
    let first = first?;
    let near = |at: &usize| values[*at].is_finite() && likelihood[first] - likelihood[*at] <= LIKELIHOOD_DROP;
    Some(ChangePoint {
        first,
        earliest: (0..=first).find(near).unwrap_or(first),
        latest: (first..values.len()).rev().find(near).unwrap_or(first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_step_is_dated_exactly() {
        let values = [1.0, 1.1, 0.9, 1.0, 5.0, 5.1, 4.9];
        assert_eq!(onset(&values, 1.0, 5.0, 0.1), Some(ChangePoint { first: 4, earliest: 4, latest: 4 }));
        let falling: Vec<f64> = values.iter().map(|v| -v).collect();
        assert_eq!(onset(&falling, -1.0, -5.0, 0.1).unwrap().first, 4);
        // one wild value before does not decide
        assert_eq!(onset(&[1.0, 1e9, 1.0, 1.0, 5.0, 5.0], 1.0, 5.0, 0.5).unwrap().first, 4);
        // the change ends again
        assert_eq!(onset(&[1.0, 1.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0], 1.0, 5.0, 0.3).unwrap().first, 2);
    }

    #[test]
    fn noise_widens_the_interval() {
        // x = numpy.clip(values, -.5, 2.5); scipy.stats.norm.logpdf: argmax over k of norm.logpdf(x[:k], 0, 2).sum() + norm.logpdf(x[k:], 2, 2).sum(),
        // and the k within 1.92 of its maximum
        let values = [-0.6, 1.9, 0.4, -1.2, 2.6, 0.8, 3.1, 1.7, 2.2, 3.9];
        let found = onset(&values, 0.0, 2.0, 2.0).unwrap();
        assert_eq!(found, ChangePoint { first: 4, earliest: 0, latest: 8 });
    }

    #[test]
    fn nothing_to_tell() {
        assert_eq!(onset(&[], 0.0, 1.0, 1.0), None);
        assert_eq!(onset(&[f64::NAN, f64::NAN], 0.0, 1.0, 1.0), None);
        assert_eq!(onset(&[1.0, 1.0], 1.0, 1.0, 1.0), None);
        assert_eq!(onset(&[0.0, 0.1, 0.0], 0.0, 1.0, 0.1), None);
        assert_eq!(onset(&[0.0, f64::NAN, 1.0, 1.0], 0.0, 1.0, 0.0).unwrap().first, 2);
        assert_eq!(onset(&[0.0, 1.0], 0.0, 1.0, f64::NAN).unwrap().first, 1);
    }
}
