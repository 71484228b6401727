//! The receiver's own metrics, in the text format of Prometheus. `docs/receiver.md` lists them.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::counters::Counts;
use super::intake::Intake;
use super::reload::Outcomes;

/// Everything that is counted.
pub(super) struct Metrics {
    pub(super) intake: Arc<Intake>,
    pub(super) listeners: Vec<Arc<Counts>>,
    pub(super) outcomes: Arc<Outcomes>,
    /// What is served beside the receiver tells its own.
    pub(super) of_further: Box<dyn Fn() -> String + Send + Sync>,
}

impl Metrics {
    /// All of them. May wait for the disk.
    pub(super) fn text(&self) -> String {
        let mut text = Text(String::new());
        self.received(&mut text);
        self.listeners(&mut text);
        self.reloads(&mut text);
        text.0.push_str(&(self.of_further)());
        text.0
    }

    fn received(&self, text: &mut Text) {
        let Intake { received, store, budget, .. } = &*self.intake;
        let own = [
            ("requests_accepted", "requests taken", &received.accepted),
            ("records_rejected", "spans, points and records that made no sense", &received.rejected),
            (
                "native_histograms",
                "native histograms of remote-write, of which sum and count are read",
                &received.histograms,
            ),
            ("requests_refused", "requests refused for good", &received.refused),
            ("requests_deferred", "requests whose senders were told to try again", &received.deferred),
        ];
        let own = own.into_iter().map(|(name, help, value)| ("receiver", name, help, value.load(Ordering::Relaxed)));
        let stored = store.counters().all().map(|(name, help, value)| ("store", name, help, value));
        for (room, name, help, value) in own.chain(stored) {
            text.family(&format!("hypocenter_{room}_{name}_total"), "counter", help).sample("", value);
        }
        let help = "bytes of requests that are in memory";
        text.family("hypocenter_receiver_memory_bytes", "gauge", help).sample("", budget.taken());
    }

    fn listeners(&self, text: &mut Text) {
        type Of = fn(&Counts) -> &AtomicU64;
        let plain: [(&str, &str, &str, Of); 3] = [
            ("connections_open", "gauge", "connections that are open", |counts| &counts.open),
            ("connections_accepted_total", "counter", "connections taken", |counts| &counts.accepted),
            (
                "accept_failures_total",
                "counter",
                "connections that could not be taken, for want of file descriptors, for example",
                |counts| &counts.failed,
            ),
        ];
        for (name, kind, help, of) in plain {
            let mut family = text.family(&format!("hypocenter_server_{name}"), kind, help);
            for counts in &self.listeners {
                let labels = format!("listener=\"{}\"", counts.listener);
                family.sample(&labels, of(counts).load(Ordering::Relaxed));
            }
        }
        let help = "connections closed by the server: no agreement on TLS, the head of a request not in time, nothing \
                    asked any more";
        let mut family = text.family("hypocenter_server_connections_closed_total", "counter", help);
        for counts in &self.listeners {
            let reasons = [("handshake", &counts.handshake), ("slow", &counts.slow), ("idle", &counts.idle)];
            for (reason, counter) in reasons {
                let labels = format!("listener=\"{}\",reason=\"{reason}\"", counts.listener);
                family.sample(&labels, counter.load(Ordering::Relaxed));
            }
        }
        let help = "requests answered, by the first digit of the code; those of gRPC as HTTP would answer them";
        let mut family = text.family("hypocenter_server_requests_total", "counter", help);
        for counts in &self.listeners {
            for (class, value) in counts.answers() {
                family.sample(&format!("listener=\"{}\",code=\"{class}\"", counts.listener), value);
            }
        }
        let help =
            "requests that were not let in: no credentials, wrong ones, an address that guesses, too many at once";
        let mut family = text.family("hypocenter_server_authentication_failures_total", "counter", help);
        for counts in &self.listeners {
            for (reason, value) in counts.all_denied() {
                family.sample(&format!("listener=\"{}\",reason=\"{reason}\"", counts.listener), value);
            }
        }
    }

    fn reloads(&self, text: &mut Text) {
        let outcomes = self.outcomes.now();
        let help = "reloads of the settings and the web config file, by how they ended";
        let mut family = text.family("hypocenter_config_reloads_total", "counter", help);
        family.sample("result=\"success\"", outcomes.succeeded);
        family.sample("result=\"failure\"", outcomes.failed);
        let help = "whether the last reload, or the start, succeeded";
        let mut family = text.family("hypocenter_config_last_reload_successful", "gauge", help);
        family.sample("", u8::from(outcomes.last_succeeded));
        let help = "when the last reload, or the start, succeeded";
        let mut family = text.family("hypocenter_config_last_reload_success_timestamp_seconds", "gauge", help);
        family.sample("", outcomes.last_success_s);
    }
}

struct Text(String);

struct Family<'t> {
    text: &'t mut String,
    name: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("memory takes text");
        Family { text: &mut self.0, name: name.to_owned() }
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &str, value: impl Display) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.text, "{}{labels} {value}", self.name).expect("memory takes text");
    }
}
