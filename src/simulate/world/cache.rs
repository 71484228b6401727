//! Caches: how many of their usual hits they have, and how they fill again after a flush.
//!
//! A cache of warmth `w` answers a lookup with the probability `w` times the usual hit ratio. Each miss fills one place:
//! `w` grows by `(1 - w) / misses`, so that after `misses` of them it has come back to `1 - 1/e`, 63 %.

use super::World;

/// Misses that warm a cache which lost its content with its process.
pub(super) const MISSES_AFTER_RESTART: f64 = 2_000.0;

impl World<'_> {
    /// Whether a lookup at a pod of a cache is a hit.
    pub(super) fn look_up(&mut self, pod: usize, hit_ratio: f64) -> bool {
        let pod = &mut self.pods[pod];
        let hit = self.draws.choice.chance(hit_ratio * pod.warmth);
        if !hit && pod.warmth < 1.0 {
            pod.warmth += (1.0 - pod.warmth) / pod.misses_to_warm;
        }
        hit
    }

    /// Empties the caches that an effect is about, once.
    pub(super) fn flush(&mut self, effect: usize, misses: f64) {
        if std::mem::replace(&mut self.flushed[effect], true) {
            return;
        }
        let plan = self.plan;
        for pod in self.pods_meant(&plan.effects[effect].target) {
            self.empty_cache(pod, misses);
        }
    }

    pub(super) fn empty_cache(&mut self, pod: usize, misses: f64) {
        self.pods[pod].warmth = 0.0;
        self.pods[pod].misses_to_warm = misses.max(1.0);
    }
}
