//! Ordinary least squares over a baseline, applied to an incident: residuals of both.

use crate::stats::correlation::pearson;

/// Most explaining variables; of more, those that correlate most with the explained one, so that a hub with thousands
/// of callees costs no more than its samples times this.
const MAX_PARENTS: usize = 32;
/// What is left of a column, as a share of it, below which the others already hold it.
const COLLINEAR: f64 = 1e-10;

/// Residuals before and during, of `explained` on `explaining` and a constant, fitted on what was before.
///
/// By orthogonalising the columns one after the other (modified Gram-Schmidt; Björck, "Numerical methods for least
/// squares problems", 1996): the incident's values undergo the same steps, so coefficients are never needed, and a
/// column that others hold already adds nothing. `O(samples * parents^2)`.
pub(super) fn residuals(explained: (&[f64], &[f64]), explaining: &[(&[f64], &[f64])]) -> (Vec<f64>, Vec<f64>) {
    let mut basis: Vec<Column> = Vec::new();
    // With as many columns as samples the fit would be exact and say nothing.
    let most = explained.0.len().saturating_sub(2);
    for parent in strongest(explained.0, explaining) {
        if basis.len() >= most {
            break;
        }
        let mut column = Column::centered(parent.0, parent.1);
        let whole = column.square();
        column.reduce(&basis);
        if column.square() > whole * COLLINEAR && whole > 0.0 {
            basis.push(column);
        }
    }
    let mut rest = Column::centered(explained.0, explained.1);
    rest.reduce(&basis);
    (rest.before, rest.during)
}

/// At most [`MAX_PARENTS`] of the explaining columns, in the order given.
fn strongest<'a>(explained: &[f64], explaining: &[(&'a [f64], &'a [f64])]) -> Vec<(&'a [f64], &'a [f64])> {
    let mut ranked: Vec<(f64, usize)> =
        explaining.iter().enumerate().map(|(at, parent)| (pearson(parent.0, explained).abs(), at)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.truncate(MAX_PARENTS);
    let mut chosen: Vec<usize> = ranked.into_iter().map(|(_, at)| at).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|at| explaining[at]).collect()
}

/// A column less the mean of its first part.
struct Column {
    before: Vec<f64>,
    during: Vec<f64>,
}

impl Column {
    fn centered(before: &[f64], during: &[f64]) -> Self {
        let mean = before.iter().sum::<f64>() / before.len().max(1) as f64;
        let less = |values: &[f64]| values.iter().map(|value| value - mean).collect();
        Self { before: less(before), during: less(during) }
    }

    fn square(&self) -> f64 {
        self.before.iter().map(|value| value * value).sum()
    }

    /// Takes off what lies along the basis.
    fn reduce(&mut self, basis: &[Column]) {
        for axis in basis {
            let along = axis.before.iter().zip(&self.before).map(|(a, b)| a * b).sum::<f64>() / axis.square();
            for (value, a) in self.before.iter_mut().zip(&axis.before) {
                *value -= along * a;
            }
            for (value, a) in self.during.iter_mut().zip(&axis.during) {
                *value -= along * a;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_are_those_of_numpy() {
        let y = ([1.0, 2.0, 2.5, 4.5, 4.0], [9.0]);
        let (a, b) = (([1.0, 2.0, 3.0, 4.0, 5.0], [6.0]), ([0.5, 0.1, 0.9, 0.3, 0.2], [0.4]));
        let twice = ([2.0, 4.0, 6.0, 8.0, 10.0], [12.0]);
        let got = residuals((&y.0, &y.1), &[(&a.0, &a.1), (&b.0, &b.1), (&twice.0, &twice.1)]);
        // X = np.c_[a, b, np.ones(5)]; w = np.linalg.lstsq(X, y)[0]; y - X @ w; 9 - [6, .4, 1] @ w
        for (got, expected) in got.0.iter().chain(&got.1).zip(NUMPY) {
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
        }
        assert_eq!(residuals((&[1.0, 3.0], &[5.0]), &[]), (vec![-1.0, 1.0], vec![3.0]));
    }

    const NUMPY: [f64; 6] = [
        -0.091_666_666_666_666_79,
        -0.091_666_666_666_667_67,
        -0.091_666_666_666_667_67,
        0.824_999_999_999_997_5,
        -0.550_000_000_000_002_5,
        3.699_999_999_999_996,
    ];
}
