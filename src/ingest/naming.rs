//! Which service, instance and operation a series is of: the label tables of [`super::signals`], extended by the
//! settings file and by what other telemetry tells (pods of traces, kube-state-metrics, `target_info`).
//!
//! One service must have one name, or its CPU stands beside its traces unconnected. So a name that labels give is held
//! against those that traces use, which are the names that people chose.

use std::collections::{BTreeMap, BTreeSet};

use super::hosts;
use super::metric_rules::MetricSettings;
use super::signals::{self, Naming as LabelNaming, RawSeries};
use super::ties::{Pod, Ties};
use crate::telemetry::id::ServiceId;
use crate::telemetry::series::Subject;
use crate::telemetry::span::SpanTable;

/// Labels that Prometheus gives a series for where it was scraped.
const SCRAPE_LABELS: &[&str] = &["exported_job", "job", "exported_instance", "instance"];

/// Everything that names are found by.
pub(crate) struct Naming<'s> {
    settings: &'s MetricSettings,
    pub(crate) ties: Ties,
    /// Services that traces name.
    traced: BTreeSet<String>,
    /// Their names without namespace, where that is unambiguous.
    by_last_part: BTreeMap<String, Option<String>>,
    /// The service of a pod, host or instance id that traces name; `None` where several share it.
    traced_instances: BTreeMap<String, Option<String>>,
}

impl<'s> Naming<'s> {
    pub(crate) fn new(settings: &'s MetricSettings, ties: Ties, spans: &SpanTable) -> Self {
        let mut naming = Self {
            settings,
            ties,
            traced: BTreeSet::new(),
            by_last_part: BTreeMap::new(),
            traced_instances: BTreeMap::new(),
        };
        for resource in spans.resources().iter().filter(|resource| !resource.service.is_empty()) {
            let service = &resource.service;
            if !resource.instance.is_empty() {
                note(&mut naming.traced_instances, &resource.instance, service);
            }
            if naming.traced.insert(service.clone()) {
                note(&mut naming.by_last_part, last_part(service), service);
            }
        }
        naming
    }

    /// The service that the labels of a series name; `None` if none does.
    pub(crate) fn service(&self, raw: &RawSeries) -> Option<ServiceId> {
        let configured = self.settings.service_labels.iter().find_map(|label| value(raw, &signals::underscored(label)));
        if let Some(name) = configured {
            return Some(self.named(name));
        }
        if let Some(service) = self.traced_instance(raw) {
            return Some(self.named(service));
        }
        // cAdvisor and kube-state-metrics speak of others; where they were scraped tells nothing of those.
        let of_others = raw.name.starts_with("container_") || raw.name.starts_with("kube_");
        let own = |label: &str| !(of_others && SCRAPE_LABELS.contains(&label));
        let (label, name, naming) = signals::service_label(|label| raw.label(label).filter(|_| own(label)))?;
        if SCRAPE_LABELS.contains(&label)
            && let Some(service) = self.ties.target(raw).and_then(|target| target.service.as_deref())
        {
            return Some(self.named(service));
        }
        Some(match naming {
            LabelNaming::Whole => self.named(name),
            LabelNaming::Pod => match self.ties.pod_of(raw) {
                Some(pod) => {
                    let namespace = value(raw, "exported_namespace").or_else(|| value(raw, "namespace"));
                    self.of_pod(namespace.unwrap_or_default(), name, pod)
                }
                None => self.named(signals::service_of_pod(name)),
            },
            LabelNaming::Address => self.at(name),
        })
    }

    /// The service of a pod: the first of its workload's and its labels' names that traces use, else the workload.
    pub(crate) fn of_pod(&self, namespace: &str, name: &str, pod: &Pod) -> ServiceId {
        if let Some(Some(service)) = self.traced_instances.get(name) {
            return self.named(service);
        }
        let workload = self.ties.workload(namespace, pod);
        let candidates = || workload.into_iter().chain(pod.apps.iter().map(String::as_str));
        let traced = candidates().find(|candidate| {
            let plain = self.traced.contains(*candidate) || self.traced.contains(&format!("{namespace}/{candidate}"));
            plain || matches!(self.by_last_part.get(*candidate), Some(Some(_)))
        });
        self.named(traced.or_else(|| candidates().next()).unwrap_or_else(|| signals::service_of_pod(name)))
    }

    /// The service behind an address: the pod that has it, or the host's name.
    pub(crate) fn at(&self, address: &str) -> ServiceId {
        let host = hosts::without_port(address.trim());
        match self.ties.pod_at(host).and_then(|(space, name)| Some((space, name, self.ties.pod(Some(space), name)?))) {
            Some((namespace, name, pod)) => self.of_pod(namespace, name, pod),
            None => self.named(hosts::name_of(address)),
        }
    }

    /// A name as some label gives it, as the settings rename it and traces write it.
    pub(crate) fn named(&self, name: &str) -> ServiceId {
        if let Some(name) = self.settings.renamed(name) {
            return ServiceId::new(name);
        }
        if self.traced.is_empty() || self.traced.contains(name) {
            return ServiceId::new(name);
        }
        // `shop/cart` in `job` where traces have no namespace, or the other way about.
        let last = last_part(name);
        if last != name && self.traced.contains(last) {
            return ServiceId::new(last);
        }
        match self.by_last_part.get(name) {
            Some(Some(whole)) => ServiceId::new(whole),
            _ => ServiceId::new(name),
        }
    }

    /// The instance of a series' service, if labels name one: the pod, where `target_info` tells it.
    pub(crate) fn instance(&self, raw: &RawSeries) -> Option<String> {
        let of_target = self.ties.target(raw).and_then(|target| target.pod.clone());
        of_target.or_else(|| signals::instance(|label| raw.label(label)).map(str::to_owned))
    }

    /// The instance of a service if labels name one, else the service; `None` if they name no service.
    pub(crate) fn instance_subject(&self, raw: &RawSeries) -> Option<Subject> {
        let service = self.service(raw)?;
        Some(match self.instance(raw) {
            Some(instance) => Subject::Instance { service, instance },
            None => Subject::Service(service),
        })
    }

    fn traced_instance(&self, raw: &RawSeries) -> Option<&str> {
        if self.traced_instances.is_empty() {
            return None;
        }
        let instance = signals::instance(|label| raw.label(label))?;
        self.traced_instances.get(instance)?.as_deref()
    }
}

fn value<'r>(raw: &'r RawSeries, label: &str) -> Option<&'r str> {
    raw.label(label).map(str::trim).filter(|value| !value.is_empty())
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Notes to what a key leads, or that it leads to several.
fn note(map: &mut BTreeMap<String, Option<String>>, key: &str, to: &str) {
    map.entry(key.to_owned())
        .and_modify(|known| {
            if known.as_deref() != Some(to) {
                *known = None;
            }
        })
        .or_insert_with(|| Some(to.to_owned()));
}
