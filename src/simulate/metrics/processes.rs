//! What processes tell of themselves: garbage, requests in work, connection pools, the exporters of databases.

use std::collections::BTreeMap;

use super::pods::{Pod, Pods};
use super::scrapes::{Scrapes, scraped_at};
use super::{Family, FamilyKind};
use crate::simulate::recording::{InstanceSample, PoolSample};
use crate::simulate::system::{LinkIdx, Role, Runtime};

/// The families.
pub(super) fn families(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let mut families = requests(pods, scrapes);
    families.push(garbage(pods, scrapes));
    families.extend(pools(pods, scrapes));
    families
}

/// The gauge by which a kind of server tells how many requests it works on.
struct InWork {
    name: &'static str,
    help: &'static str,
    state: Option<&'static str>,
}

fn in_work(pod: &Pod<'_>) -> Option<InWork> {
    let (name, help, state) = match (&pod.service.role, pod.service.runtime) {
        (Role::Service, Runtime::Jvm) => ("tomcat_threads_busy_threads", "", None),
        (Role::Service, _) => ("http_server_active_requests", "Number of active HTTP server requests.", None),
        (Role::Database(system), _) => match system.as_str() {
            "postgresql" => ("pg_stat_activity_count", "number of connections in this state", Some("active")),
            "mysql" => ("mysql_global_status_threads_running", "Generic metric from SHOW GLOBAL STATUS.", None),
            "mongodb" => ("mongodb_connections", "The number of incoming connections", Some("active")),
            _ => return None,
        },
        (Role::Cache(_) | Role::Queue(_) | Role::External, _) => return None,
    };
    Some(InWork { name, help, state })
}

fn requests(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let mut families: BTreeMap<&str, Family> = BTreeMap::new();
    for pod in pods.iter() {
        let Some(InWork { name, help, state }) = in_work(&pod) else { continue };
        let labels = pods.process_labels(&pod);
        let labels = state.map_or(labels.clone(), |state| labels.with([("state", state)]));
        // A span of these begins on arrival, and so does their count of requests.
        let counts_waiting = matches!(pod.service.runtime, Runtime::Go | Runtime::Node | Runtime::Native);
        let value = |sample: &InstanceSample| {
            f64::from(sample.busy_workers) + if counts_waiting { f64::from(sample.waiting) } else { 0.0 }
        };
        let samples = scrapes.of_instance(pod.index).iter().map(|sample| (scraped_at(sample.at_ns), value(sample)));
        families
            .entry(name)
            .or_insert_with(|| Family::new(FamilyKind::Gauge, name, help))
            .push(labels, samples.collect());
    }
    families.into_values().collect()
}

/// Share of time in pauses since the scrape before, as Micrometer tells it.
fn garbage(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Family {
    let help = "An approximation of the percent of CPU time used by GC activities, in the range [0..1]";
    let mut family = Family::new(FamilyKind::Gauge, "jvm_gc_overhead", help);
    for pod in pods.iter().filter(|pod| pod.service.role == Role::Service && pod.service.runtime == Runtime::Jvm) {
        let share = |pair: &[&InstanceSample]| {
            let (before, now) = (pair[0], pair[1]);
            let paused_us = now.gc_us.checked_sub(before.gc_us).unwrap_or(now.gc_us);
            let share = paused_us as f64 * 1e3 / (now.at_ns - before.at_ns).max(1) as f64;
            (scraped_at(now.at_ns), (share.min(1.0) * 1e6).round() / 1e6)
        };
        let samples = scrapes.of_instance(pod.index).windows(2).map(share).collect();
        family.push(pods.process_labels(&pod), samples);
    }
    family
}

/// Connection pools, named by whom they lead to: HikariCP's names on the JVM, OpenTelemetry's elsewhere.
fn pools(pods: &Pods<'_>, scrapes: &Scrapes<'_>) -> Vec<Family> {
    let gauge = |name, help| Family::new(FamilyKind::Gauge, name, help);
    let mut hikari = [
        gauge("hikaricp_connections_active", "Active connections"),
        gauge("hikaricp_connections_pending", "Pending threads"),
        gauge("hikaricp_connections_max", "Max connections"),
    ];
    let mut others = [
        gauge(
            "db_client_connection_count",
            "The number of connections that are currently in state described by the state attribute.",
        ),
        gauge(
            "db_client_connection_pending_requests",
            "The number of current pending requests for an open connection.",
        ),
        gauge("db_client_connection_max", "The maximum number of open connections allowed."),
    ];
    let mut by_pool: BTreeMap<(u32, LinkIdx), Vec<&PoolSample>> = BTreeMap::new();
    for sample in pods.recording.pool_samples.iter().filter(|sample| scrapes.stored(sample.instance, sample.at_ns)) {
        by_pool.entry((sample.instance, sample.link)).or_default().push(sample);
    }
    for pod in pods.iter() {
        let of_pod = by_pool.range((pod.index, 0)..=(pod.index, LinkIdx::MAX));
        for (&(_, link), samples) in of_pod {
            let Some(callee) = pods.system.links.get(link).and_then(|link| pods.system.services.get(link.callee))
            else {
                continue;
            };
            let labels = pods.process_labels(&pod);
            let read = |value: fn(&PoolSample) -> u32| -> Vec<(i64, f64)> {
                samples.iter().map(|sample| (scraped_at(sample.at_ns), f64::from(value(sample)))).collect()
            };
            let (used, waiting, size) = (read(|s| s.used), read(|s| s.waiting), read(|s| s.size));
            let is_jvm = pod.service.runtime == Runtime::Jvm;
            let name = if is_jvm { "pool" } else { "db_client_connection_pool_name" };
            let labels = labels.with([(name, &callee.name)]);
            let [in_use, pending, most] = if is_jvm { &mut hikari } else { &mut others };
            if is_jvm {
                in_use.push(labels.clone(), used);
            } else {
                in_use.push(labels.with([("state", "idle")]), read(|s| s.size.saturating_sub(s.used)));
                in_use.push(labels.with([("state", "used")]), used);
            }
            pending.push(labels.clone(), waiting);
            most.push(labels, size);
        }
    }
    hikari.into_iter().chain(others).collect()
}
