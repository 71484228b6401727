//! Personalised PageRank on a small weighted digraph.
//!
//! ```text
//! x' = d (W^T x + dangling(x) p) + (1 - d) p
//! ```
//! with `W` the row-normalised weights, `p` the personalisation normalised to sum 1, `d` the damping factor and
//! `dangling(x)` the mass on nodes without outgoing weight. Brin and Page, "The anatomy of a large-scale hypertextual
//! web search engine", 1998, <https://doi.org/10.1016/S0169-7552(98)00110-X>; Haveliwala, WWW 2002,
//! <https://doi.org/10.1145/511446.511513>. Own code, because petgraph's function knows neither weights nor
//! personalisation and is another recurrence (petgraph issue 960). `O(E)` for each iteration.

/// The stationary distribution, and how it was reached.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PageRank {
    /// Probability of each node; sums to 1.
    pub(super) scores: Vec<f64>,
    /// Whether the change of the last iteration was below the tolerance.
    pub(super) converged: bool,
}

/// When iteration stops.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Sum of absolute changes, for each node, below which the distribution counts as stationary.
    pub(super) tolerance: f64,
    /// Most iterations.
    pub(super) max_iterations: usize,
}

/// Walks along `edges` (from, to, weight above 0), jumping back by `personalization` (one weight a node) with
/// probability `1 - damping`. Weights need not be normalised; those that are not above 0 or not finite count 0.
/// A personalisation that is all zero means "anywhere".
///
/// # Panics
/// When an edge names a node beyond `personalization`.
pub(super) fn page_rank(edges: &[(usize, usize, f64)], personalization: &[f64], damping: f64, stop: Stop) -> PageRank {
    let n = personalization.len();
    if n == 0 {
        return PageRank { scores: Vec::new(), converged: true };
    }
    let usable = |weight: f64| if weight.is_finite() && weight > 0.0 { weight } else { 0.0 };
    let total: f64 = personalization.iter().map(|&p| usable(p)).sum();
    let jump: Vec<f64> = if total > 0.0 {
        personalization.iter().map(|&p| usable(p) / total).collect()
    } else {
        vec![1.0 / n as f64; n]
    };
    let mut out = vec![0.0; n];
    for &(from, _, weight) in edges {
        out[from] += usable(weight);
    }
    let mut scores = vec![1.0 / n as f64; n];
    for _ in 0..stop.max_iterations {
        let dangling: f64 = (0..n).filter(|&v| out[v] <= 0.0).map(|v| scores[v]).sum();
        let mut next: Vec<f64> = jump.iter().map(|p| (damping * dangling + 1.0 - damping) * p).collect();
        for &(from, to, weight) in edges {
            if out[from] > 0.0 {
                next[to] += damping * scores[from] * usable(weight) / out[from];
            }
        }
        let change: f64 = next.iter().zip(&scores).map(|(a, b)| (a - b).abs()).sum();
        scores = next;
        if change < n as f64 * stop.tolerance {
            return PageRank { scores, converged: true };
        }
    }
    PageRank { scores, converged: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Stop = Stop { tolerance: 1e-14, max_iterations: 1000 };

    /// Two loops, a circle, a dangling-like chain back, and an isolated node (5).
    const EDGES: [(usize, usize, f64); 9] = [
        (0, 1, 0.9),
        (0, 2, 0.3),
        (1, 0, 0.1),
        (1, 3, 0.8),
        (2, 2, 0.4),
        (2, 4, 0.2),
        (3, 1, 0.05),
        (3, 3, 0.5),
        (4, 2, 0.07),
    ];
    const PERSONALIZATION: [f64; 6] = [0.2, 0.9, 0.3, 0.8, 0.0, 0.1];

    /// NetworkX 3.6.1: `G = nx.DiGraph(); G.add_nodes_from(range(6)); G.add_weighted_edges_from(EDGES);
    /// nx.pagerank(G, alpha=damping, personalization=dict(enumerate(PERSONALIZATION)), weight='weight', tol=1e-14,
    /// max_iter=1000)`
    #[test]
    fn agrees_with_networkx() {
        let networkx = [
            (
                0.85,
                [
                    0.025714600130464824,
                    0.12886498664231616,
                    0.1339240499521135,
                    0.6667792067593222,
                    0.03794514748643786,
                    0.006772009029345373,
                ],
            ),
            (
                0.5,
                [
                    0.05809445809445785,
                    0.2457002457002435,
                    0.12673452673454494,
                    0.5261261261261041,
                    0.02112242112242721,
                    0.022222222222222223,
                ],
            ),
        ];
        for (damping, expected) in networkx {
            let got = page_rank(&EDGES, &PERSONALIZATION, damping, EXACT);
            assert!(got.converged);
            for (node, (a, b)) in got.scores.iter().zip(expected).enumerate() {
                assert!((a - b).abs() < 1e-11, "damping {damping}, node {node}: {a} against {b}");
            }
        }
    }

    #[test]
    fn scaling_weights_changes_nothing_and_the_sum_is_one() {
        let scaled: Vec<_> = EDGES.iter().map(|&(a, b, w)| (a, b, w * 1024.0)).collect();
        let personalization = PERSONALIZATION.map(|p| p * 0.25);
        let a = page_rank(&EDGES, &PERSONALIZATION, 0.85, EXACT);
        let b = page_rank(&scaled, &personalization, 0.85, EXACT);
        assert!(a.scores.iter().zip(&b.scores).all(|(x, y)| (x - y).abs() < 1e-12));
        assert!((a.scores.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn says_when_it_did_not_converge_and_survives_odd_weights() {
        let stop = Stop { tolerance: 1e-14, max_iterations: 2 };
        assert!(!page_rank(&EDGES, &PERSONALIZATION, 0.85, stop).converged);
        let odd = page_rank(&[(0, 1, f64::NAN), (1, 0, -1.0)], &[0.0, 0.0], 0.85, EXACT);
        assert_eq!(odd.scores, [0.5, 0.5]);
        assert!(page_rank(&[], &[], 0.85, EXACT).scores.is_empty());
    }
}
