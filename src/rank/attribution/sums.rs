//! Sums by key, for rows that come nearly in order of their keys.

/// Sums by key, ascending. Most rows have the key of the row before, or the one after it: to look there first, in a
/// sorted list, is several times faster than a search tree.
pub(super) struct Sums<Key> {
    sums: Vec<(Key, f64)>,
    /// Where the last one was added.
    at: usize,
}

impl<Key> Default for Sums<Key> {
    fn default() -> Self {
        Self { sums: Vec::new(), at: 0 }
    }
}

impl<Key: Copy + Ord> Sums<Key> {
    pub(super) fn add(&mut self, key: Key, amount: f64) {
        let is_at = |at: &usize| self.sums.get(*at).is_some_and(|sum| sum.0 == key);
        self.at = match [self.at, self.at + 1].into_iter().find(is_at) {
            Some(at) => at,
            None => self.sums.binary_search_by_key(&key, |sum| sum.0).unwrap_or_else(|at| {
                self.sums.insert(at, (key, 0.0));
                at
            }),
        };
        self.sums[self.at].1 += amount;
    }

    /// Adds a share of other sums.
    pub(super) fn add_share(&mut self, other: &Self, share: f64) {
        other.iter().for_each(|(key, sum)| self.add(key, share * sum));
    }

    pub(super) fn get(&self, key: Key) -> Option<f64> {
        self.sums.binary_search_by_key(&key, |sum| sum.0).ok().map(|at| self.sums[at].1)
    }

    /// Keys with their sums, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, f64)> {
        self.sums.iter().copied()
    }

    /// The sums, ascending by key.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.sums.iter().map(|sum| sum.1)
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_search_tree() {
        let mut tree = std::collections::BTreeMap::new();
        let mut sums = Sums::default();
        for row in 0..200_i64 {
            // Runs, steps by one, jumps back, and keys that come late.
            let (key, amount) = ((row / 3) * 7 % 23, 0.1 * row as f64);
            *tree.entry(key).or_insert(0.0) += amount;
            sums.add(key, amount);
        }
        assert!(sums.iter().eq(tree.iter().map(|(key, sum)| (*key, *sum))));
        assert_eq!((sums.get(5), sums.get(23), sums.len()), (tree.get(&5).copied(), None, tree.len()));
        let mut halves = Sums::default();
        halves.add(7, 1.0);
        halves.add_share(&sums, 0.5);
        assert_eq!(halves.get(7), tree.get(&7).map(|sum| 1.0 + 0.5 * sum));
        assert_eq!(halves.values().count(), tree.len());
    }
}
