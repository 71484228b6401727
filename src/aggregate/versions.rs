//! Versions of services that began within the data: deploys that nobody told of, read from `service.version` of spans.

use std::collections::BTreeMap;

use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::id::ServiceId;
use crate::telemetry::span::SpanTable;
use crate::telemetry::time::NANOS_PER_SECOND;

/// Where such changes are known from.
const SOURCE: &str = "service.version of spans";

/// A version that was there all the time is taken for a new one this often at most.
const CHANCE: f64 = 0.001;

/// One change for each version of a service that began while another version was there before.
///
/// The version that the data begin with is no change, nor is a version of which spans are just rare: had the version been
/// there from the service's first span on, its spans would all lie after its first one by chance only. Spans come in
/// bursts (a trace has many), so what is counted is the seconds in which there were any; of n such seconds, spread evenly
/// over the time of the service, all lie in the last part p of it with probability pⁿ.
pub fn version_changes(spans: &SpanTable) -> Vec<Change> {
    let mut versions: BTreeMap<&str, BTreeMap<&str, Seen>> = BTreeMap::new();
    for resource in spans.resources().iter().filter(|r| !r.version.is_empty()) {
        versions.entry(&resource.service).or_default().entry(&resource.version).or_default();
    }
    versions.retain(|_, of_service| of_service.len() > 1);
    if versions.is_empty() {
        return Vec::new();
    }
    let used: Vec<bool> = spans.resources().iter().map(|r| versions.contains_key(r.service.as_str())).collect();
    // Seconds by resource, of services with several versions only: they are few.
    let mut seconds: Vec<(u32, i64)> = Vec::new();
    let mut first: BTreeMap<u32, i64> = BTreeMap::new();
    for (resource, start_ns) in spans.resource.iter().zip(&spans.start_ns) {
        if used.get(*resource as usize).copied().unwrap_or_default() {
            let second = (*resource, start_ns.div_euclid(NANOS_PER_SECOND));
            if seconds.last() != Some(&second) {
                seconds.push(second);
            }
            let known = first.entry(*resource).or_insert(*start_ns);
            *known = (*known).min(*start_ns);
        }
    }
    seconds.sort_unstable();
    seconds.dedup();
    for (resource, second) in seconds {
        let resource_of = &spans.resources()[resource as usize];
        let seen = versions
            .get_mut(resource_of.service.as_str())
            .and_then(|of_service| of_service.get_mut(resource_of.version.as_str()));
        if let (Some(seen), Some(first_ns)) = (seen, first.get(&resource)) {
            seen.add(*first_ns, second);
        }
    }
    versions.iter().flat_map(|(service, of_service)| changes_of(service, of_service)).collect()
}

/// When a version was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    first_ns: Option<i64>,
    first_second: i64,
    last_second: i64,
    seconds: u64,
}

impl Seen {
    fn add(&mut self, first_ns: i64, second: i64) {
        if self.first_ns.is_none() {
            (self.first_second, self.last_second) = (second, second);
        }
        self.first_ns = Some(self.first_ns.map_or(first_ns, |known| known.min(first_ns)));
        self.first_second = self.first_second.min(second);
        self.last_second = self.last_second.max(second);
        // Instances of one version may share a second; that they count twice is little against the seconds that bursts
        // leave out.
        self.seconds += 1;
    }
}

fn changes_of(service: &str, versions: &BTreeMap<&str, Seen>) -> Vec<Change> {
    let begin = versions.values().filter(|v| v.first_ns.is_some()).map(|v| v.first_second).min();
    let end = versions.values().filter(|v| v.first_ns.is_some()).map(|v| v.last_second).max();
    let (Some(begin), Some(end)) = (begin, end) else { return Vec::new() };
    let length = (end - begin + 1) as f64;
    let begins_late = |seen: &Seen| {
        let share = (end - seen.first_second + 1) as f64 / length;
        share.powf(seen.seconds as f64) < CHANCE
    };
    // In order of appearance, so that the version before is found without a look at all of them.
    let mut seen: Vec<(i64, i64, &str)> =
        versions.iter().filter_map(|(version, s)| Some((s.first_ns?, s.last_second, *version))).collect();
    seen.sort_unstable();
    let mut changes = Vec::new();
    for (version, of_version) in versions {
        let Some(at_ns) = of_version.first_ns.filter(|_| begins_late(of_version)) else { continue };
        let earlier = seen.partition_point(|(first_ns, ..)| *first_ns < at_ns);
        let Some((.., before)) = earlier.checked_sub(1).and_then(|last| seen.get(last)) else { continue };
        changes.push(Change {
            at_ns,
            service: Some(ServiceId::new(service)),
            kind: ChangeKind::Deploy,
            version: (*version).to_owned(),
            description: format!("first spans of this version; before it {before}"),
            source: SOURCE.to_owned(),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::id::{SpanId, TraceId};
    use crate::telemetry::span::{Span, SpanKind, SpanStatus};

    const START: i64 = 1_772_445_600 * NANOS_PER_SECOND;

    /// Spans of (service, version, instance), one every `step` seconds from `from` to `to`.
    fn table(parts: &[(&str, &str, &str, i64, i64, i64)]) -> SpanTable {
        let mut spans = SpanTable::new();
        let mut id = 0;
        for (service, version, instance, from, to, step) in parts {
            let resource = spans.resource_key(service, instance, version);
            let operation = spans.operation_key("op");
            for second in (*from..*to).step_by(usize::try_from(*step).unwrap()) {
                id += 1;
                spans.push(Span {
                    trace: TraceId(u128::from(id)),
                    id: SpanId(id),
                    parent: None,
                    resource,
                    operation,
                    kind: SpanKind::Server,
                    status: SpanStatus::Unset,
                    peer: None,
                    start_ns: START + second * NANOS_PER_SECOND + 5,
                    duration_ns: 1,
                });
            }
        }
        spans
    }

    fn found(parts: &[(&str, &str, &str, i64, i64, i64)]) -> Vec<(i64, String, String)> {
        let of = |c: Change| {
            let service = c.service.unwrap().to_string();
            ((c.at_ns - START) / NANOS_PER_SECOND, service, c.version)
        };
        version_changes(&table(parts)).into_iter().map(of).collect()
    }

    #[test]
    fn a_version_that_follows_another_is_a_deploy() {
        let deployed = [("pay", "1", "a", 0, 300, 2), ("pay", "2", "b", 250, 600, 2), ("cart", "9", "", 0, 600, 1)];
        assert_eq!(found(&deployed), [(250, "pay".to_owned(), "2".to_owned())]);
        let mut backwards = deployed;
        backwards.reverse();
        assert_eq!(found(&backwards), found(&deployed));
    }

    #[test]
    fn versions_that_run_side_by_side_are_no_deploy() {
        // A canary with few spans, first seen three and a half minutes after the stable version by chance.
        assert_eq!(found(&[("pay", "1", "a", 0, 600, 1), ("pay", "2", "b", 7, 600, 13)]), []);
        assert_eq!(found(&[("pay", "1", "a", 0, 600, 1), ("pay", "2", "b", 210, 600, 130)]), []);
    }

    #[test]
    fn the_version_that_the_data_begin_with_is_no_deploy() {
        assert_eq!(found(&[("pay", "1", "a", 0, 600, 1)]), []);
        assert_eq!(found(&[("pay", "", "a", 0, 300, 1), ("pay", "2", "b", 300, 600, 1)]), []);
        assert_eq!(found(&[]), []);
    }
}
