//! Calls without circles, in an order in which callers stand before their callees.

/// Who calls whom, by index, without the calls that would close a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acyclic {
    /// Callees of each node, in the order given.
    pub(super) callees: Vec<Vec<usize>>,
    /// All nodes, callers before callees.
    pub(super) callers_first: Vec<usize>,
}

/// How far the walk is with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    Open,
    Done,
}

impl Acyclic {
    /// Cuts circles where a walk, depth first from the nodes without callers and then from the others, closes them. The
    /// walk follows the order of nodes and calls, so equal input gives equal output. `O(nodes + calls)`.
    ///
    /// # Panics
    /// When a call names a node beyond `nodes`.
    pub(super) fn of(nodes: usize, calls: &[(usize, usize)]) -> Self {
        let mut all = vec![Vec::new(); nodes];
        let mut is_called = vec![false; nodes];
        for &(caller, callee) in calls.iter().filter(|(caller, callee)| caller != callee) {
            all[caller].push(callee);
            is_called[callee] = true;
        }
        let mut callees = vec![Vec::new(); nodes];
        let mut callers_first = Vec::with_capacity(nodes);
        let mut seen = vec![Seen::No; nodes];
        let starts = (0..nodes).filter(|&v| !is_called[v]).chain((0..nodes).filter(|&v| is_called[v]));
        for start in starts {
            if seen[start] != Seen::No {
                continue;
            }
            // Depth first, by hand: call graphs can be deep. Each frame holds how many callees were visited.
            let mut stack = vec![(start, 0)];
            seen[start] = Seen::Open;
            while let Some((node, visited)) = stack.last_mut() {
                let (at, Some(&callee)) = (*node, all[*node].get(*visited)) else {
                    seen[*node] = Seen::Done;
                    callers_first.push(*node);
                    stack.pop();
                    continue;
                };
                *visited += 1;
                if seen[callee] == Seen::Open {
                    continue;
                }
                callees[at].push(callee);
                if seen[callee] == Seen::No {
                    seen[callee] = Seen::Open;
                    stack.push((callee, 0));
                }
            }
        }
        callers_first.reverse();
        Self { callees, callers_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_stand_first_and_circles_are_cut() {
        let acyclic = Acyclic::of(5, &[(0, 1), (1, 2), (2, 1), (2, 3), (0, 3), (4, 4)]);
        assert_eq!(acyclic.callees, [vec![1, 3], vec![2], vec![3], vec![], vec![]]);
        let place = |node: usize| acyclic.callers_first.iter().position(|&v| v == node).unwrap();
        assert!(place(0) < place(1) && place(1) < place(2) && place(2) < place(3));
        assert_eq!(acyclic.callers_first.len(), 5);
        // A circle that nobody calls is entered at its first node.
        assert_eq!(Acyclic::of(2, &[(0, 1), (1, 0)]).callees, [vec![1], vec![]]);
    }
}
