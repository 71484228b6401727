//! Finds the row of (line, bin): a small array for each line, since bins lie close together.

use rustc_hash::FxHashMap;

use super::names::NONE;

/// Bins that a line's array spans at most; those further off are hashed. Small, because there may be a million lines
/// (operation names with identifiers in them) of a few calls each.
const NEAR: usize = 256;

/// Rows by line and bin.
#[derive(Default)]
pub(super) struct Timetable {
    near: Vec<Bins>,
    far: FxHashMap<(u32, i64), u32>,
}

/// The rows of successive bins; [`NONE`] where there is none.
#[derive(Default)]
struct Bins {
    first: i64,
    rows: Vec<u32>,
}

impl Timetable {
    /// The place of the row of a line and bin, which holds [`NONE`] until it is written. Lines should be numbered densely.
    pub(super) fn row(&mut self, line: u32, bin: i64) -> &mut u32 {
        let at = line as usize;
        if at >= self.near.len() {
            self.near.resize_with(at + 1, Bins::default);
        }
        match self.near[at].position(bin) {
            Some(position) => &mut self.near[at].rows[position],
            None => self.far.entry((line, bin)).or_insert(NONE),
        }
    }
}

impl Bins {
    /// Where the bin is in the array, which grows as far as it may.
    fn position(&mut self, bin: i64) -> Option<usize> {
        if self.rows.is_empty() {
            self.first = bin;
        }
        let length = self.rows.len();
        if bin < self.first {
            let missing = usize::try_from(bin.abs_diff(self.first)).ok().filter(|m| m + length <= NEAR)?;
            // In steps that double, so that going backwards bin by bin stays cheap.
            let grown = missing
                .max(length)
                .min(NEAR - length)
                .min(usize::try_from(self.first.abs_diff(i64::MIN)).unwrap_or(NEAR));
            self.rows.splice(0..0, std::iter::repeat_n(NONE, grown));
            self.first -= grown as i64;
        }
        let position = usize::try_from(bin.abs_diff(self.first)).ok().filter(|&position| position < NEAR)?;
        if position >= self.rows.len() {
            self.rows.resize(position + 1, NONE);
        }
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_map(bins in prop::collection::vec((0..3_u32, prop_oneof![
            -50..50_i64,
            -300..300_i64,
            Just(i64::MIN),
            Just(i64::MIN + 1),
            Just(i64::MAX),
            any::<i64>(),
        ]), 1..60)) {
            let mut table = Timetable::default();
            let mut map = BTreeMap::new();
            for (number, &(line, bin)) in bins.iter().enumerate() {
                let row = table.row(line, bin);
                prop_assert_eq!(*row, map.get(&(line, bin)).copied().unwrap_or(NONE));
                *row = number as u32;
                map.insert((line, bin), number as u32);
            }
            for (&(line, bin), &row) in &map {
                prop_assert_eq!(*table.row(line, bin), row);
            }
        }
    }
}
