//! Which alerts are new, which belong together, and when it is too much.

use std::time::Duration;

use super::*;
use crate::ingest::read_webhook;
use crate::memory::Search;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_785_578_460 * SECOND;

/// Alerts as (fingerprint, service, startsAt, status), in a webhook as Alertmanager sends it.
fn webhook(alerts: &[(&str, &str, &str, &str)]) -> Webhook {
    let alerts: Vec<serde_json::Value> = alerts
        .iter()
        .map(|(fingerprint, service, starts, status)| {
            serde_json::json!({
                "status": status, "fingerprint": fingerprint, "startsAt": starts,
                "endsAt": if *status == "resolved" { "2026-08-01T10:05:00Z" } else { "0001-01-01T00:00:00Z" },
                "labels": { "alertname": "HighLatency", "service": service },
                "annotations": { "ticket": "OPS-7", "summary": "p99 > 2s" },
                "generatorURL": "http://prom:9090/graph?g0.expr=up+%3D%3D+0",
            })
        })
        .collect();
    let body = serde_json::json!({
        "version": "4", "receiver": "rca", "status": "firing", "groupKey": alerts[0]["labels"]["service"], "alerts": alerts,
    });
    read_webhook(body.to_string().as_bytes(), &[]).unwrap()
}

const AT_TEN: &str = "2026-08-01T10:00:00Z";

fn memory() -> (tempfile::TempDir, Memory) {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
    (folder, memory)
}

fn incidents(memory: &Memory) -> Vec<IncidentRecord> {
    let all = Search { limit: 1_000, ..Search::default() };
    let mut found = memory.read(|transaction| memory::search(transaction, &all)).unwrap();
    found.reverse();
    found
}

fn takes(memory: &Memory, alerts: &[(&str, &str, &str, &str)], now_ns: i64) -> Taken {
    take(memory, &webhook(alerts), &Settings::default(), now_ns).unwrap()
}

#[test]
fn an_alert_that_comes_again_is_known() {
    let (_folder, memory) = memory();
    let first = takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW);
    assert_eq!(first, Taken { firing: 1, incidents: 1, ..Taken::default() });
    // A re-notification, and the twin of a pair of Alertmanagers.
    for later in [1, 3_600 * SECOND] {
        let again = takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + later);
        assert_eq!(again, Taken { known: 1, ..Taken::default() });
    }
    let found = incidents(&memory);
    assert_eq!(found.len(), 1);
    let incident = &found[0];
    assert_eq!((incident.title.as_str(), incident.entry.as_deref()), ("HighLatency", Some("web")));
    assert_eq!((incident.starts_ns, incident.symptom.as_deref()), (1_785_578_400 * SECOND, Some("latency")));
    let alerts = memory.read(|transaction| memory::alerts_of(transaction, incident.id)).unwrap();
    assert_eq!((alerts[0].ticket.as_deref(), alerts[0].expression.as_deref()), (Some("OPS-7"), Some("up == 0")));
    let due = memory.read(memory::due_next_ns).unwrap();
    assert_eq!(due, Some(NOW + 10 * SECOND));
}

#[test]
fn the_end_closes_and_a_new_beginning_is_another_alert() {
    let (_folder, memory) = memory();
    takes(&memory, &[("f1", "web", AT_TEN, "firing"), ("f2", "web", AT_TEN, "firing")], NOW);
    assert_eq!(takes(&memory, &[("f1", "web", AT_TEN, "resolved")], NOW + 1).resolved, 1);
    assert_eq!(incidents(&memory)[0].condition, Condition::Firing, "the other alert still fires");
    let end = takes(&memory, &[("f1", "web", AT_TEN, "resolved"), ("f2", "web", AT_TEN, "resolved")], NOW + 2);
    assert_eq!((end.resolved, end.known), (1, 1));
    assert_eq!(incidents(&memory)[0].condition, Condition::Resolved);
    assert_eq!(takes(&memory, &[("f2", "web", AT_TEN, "resolved")], NOW + 3), Taken { known: 1, ..Taken::default() });
    let unheard = takes(&memory, &[("f9", "web", AT_TEN, "resolved")], NOW + 4);
    assert_eq!(unheard, Taken { ended_before: 1, ..Taken::default() });
    // A straggler of the ended one changes nothing; long after, its sender has lost sight of it for a while.
    assert_eq!(takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + 299 * SECOND).known, 1);
    assert_eq!(incidents(&memory)[0].condition, Condition::Resolved);
    assert_eq!(takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + 301 * SECOND).firing, 1);
    assert_eq!((incidents(&memory).len(), incidents(&memory)[0].condition), (1, Condition::Firing));
    assert_eq!(takes(&memory, &[("f1", "web", AT_TEN, "resolved")], NOW + 302 * SECOND).resolved, 1);
    // Soon after, the same rule fires again: the incident goes on.
    assert_eq!(takes(&memory, &[("f1", "web", "2026-08-01T10:03:00Z", "firing")], NOW + 303 * SECOND).incidents, 0);
    assert_eq!((incidents(&memory).len(), incidents(&memory)[0].condition), (1, Condition::Firing));
}

#[test]
fn the_graph_says_which_alerts_are_one_incident_and_time_which_are_not() {
    let (_folder, memory) = memory();
    memory.change(|t| memory::see_edges(t, [("web", "cart"), ("batch", "mail")], NOW)).unwrap();
    let storm = [("f1", "web", AT_TEN, "firing"), ("f2", "cart", AT_TEN, "firing"), ("f3", "batch", AT_TEN, "firing")];
    let taken = takes(&memory, &storm, NOW);
    assert_eq!((taken.firing, taken.incidents), (3, 2));
    // Of one that nobody knows the group tells, which is that of the first here.
    let unknown = takes(&memory, &[("f6", "web", AT_TEN, "firing"), ("f7", "new", AT_TEN, "firing")], NOW + 1);
    assert_eq!((unknown.firing, unknown.incidents), (2, 0));
    takes(&memory, &[("f4", "mail", AT_TEN, "firing")], NOW + 299 * SECOND);
    assert_eq!(incidents(&memory).len(), 2);
    takes(&memory, &[("f5", "cart", AT_TEN, "firing")], NOW + 301 * SECOND);
    assert_eq!(incidents(&memory).len(), 3);
    assert_eq!(incidents(&memory)[2].entry.as_deref(), Some("cart"));
}

#[test]
fn when_too_much_waits_nothing_of_a_webhook_is_taken() {
    let (_folder, memory) = memory();
    let settings = Settings { most_waiting: 2, ..Settings::default() };
    let alone = |service: &'static str| webhook(&[(service, service, AT_TEN, "firing")]);
    for service in ["a", "b"] {
        take(&memory, &alone(service), &settings, NOW).unwrap();
    }
    memory.change(|t| memory::see_edges(t, [("c", "d")], NOW)).unwrap();
    let both = webhook(&[("a2", "a", AT_TEN, "firing"), ("c", "c", AT_TEN, "firing")]);
    let busy = take(&memory, &both, &settings, NOW).unwrap_err();
    assert!(matches!(busy, IntakeError::Busy { waiting: 2 }), "{busy}");
    let known = memory.read(|transaction| {
        let of = |alert| memory::find_alert(transaction, &identity(&both, alert, NOW));
        both.alerts.iter().flatten().map(of).collect::<Result<Vec<_>, _>>()
    });
    assert!(known.unwrap().iter().all(Option::is_none));
    // One that joins an incident that waits anyway is no more to do.
    take(&memory, &webhook(&[("a2", "a", AT_TEN, "firing")]), &settings, NOW).unwrap();
    assert_eq!(incidents(&memory).len(), 2);
}

#[test]
fn alerts_without_fingerprint_or_start_are_told_apart_by_their_labels() {
    let (_folder, memory) = memory();
    let of = |service: &str| webhook(&[("", service, "", "firing")]);
    for (service, now_ns, expected) in
        [("a", NOW, 1), ("a", NOW + SECOND, 0), ("b", NOW, 1), ("a", NOW + 2 * 3_600 * SECOND, 1)]
    {
        let taken = take(&memory, &of(service), &Settings::default(), now_ns).unwrap();
        assert_eq!(taken.firing, expected, "{service} {now_ns}");
    }
}

#[test]
fn every_incident_is_analysed_again_after_each_time_that_is_set() {
    let (_folder, memory) = memory();
    let again_after = vec![Duration::from_secs(60), Duration::from_secs(600)];
    let settings = Settings { again_after, ..Settings::default() };
    take(&memory, &webhook(&[("f1", "web", AT_TEN, "firing")]), &settings, NOW).unwrap();
    let mut due = Vec::new();
    while let Some(at_ns) = memory.read(memory::due_next_ns).unwrap() {
        let job = memory.change(|t| memory::claim(t, at_ns)).unwrap().unwrap();
        due.push((job.reason, (at_ns - NOW) / SECOND));
        memory.change(|t| memory::finish(t, job.id, at_ns)).unwrap();
    }
    assert_eq!(due, [(Reason::First, 10), (Reason::Later, 60), (Reason::Later, 600)]);
}

#[test]
fn what_is_not_heard_of_any_more_has_ended_until_it_is_heard_of_again() {
    const HOUR: i64 = 3_600 * SECOND;
    let (_folder, memory) = memory();
    let settings = Settings::default();
    let condition = || incidents(&memory)[0].condition;
    let silent = |now_ns| end_unheard(&memory, &settings, now_ns).unwrap();
    takes(&memory, &[("f1", "web", AT_TEN, "firing"), ("f2", "web", AT_TEN, "firing")], NOW);
    // Its sender repeats one of them every four hours, and the other never.
    takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + 4 * HOUR);
    takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + 4 * HOUR + SECOND);
    assert_eq!((silent(NOW + 12 * HOUR), silent(NOW + 12 * HOUR + 1)), (vec![], vec![]));
    assert_eq!(condition(), Condition::Firing, "one of them was heard of");
    assert_eq!((silent(NOW + 16 * HOUR), silent(NOW + 16 * HOUR + 1)), (vec![], vec![1]));
    let ended = incidents(&memory).remove(0);
    assert_eq!((ended.condition, ended.ends_ns), (Condition::Unheard, Some(NOW + 4 * HOUR)));
    assert_eq!(silent(NOW + 17 * HOUR), [0; 0], "once");
    let due = memory.change(|t| memory::claim(t, NOW + 17 * HOUR)).unwrap();
    assert_eq!(due.map(|job| job.reason), Some(Reason::First));
    // Heard of again, at once: nobody told the end, so this is no straggler.
    let again = takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + 17 * HOUR);
    assert_eq!((again.firing, again.incidents, condition()), (1, 0, Condition::Firing));
    assert_eq!(silent(NOW + 18 * HOUR), [0; 0]);
    silent(NOW + 30 * HOUR);
    assert_eq!(condition(), Condition::Unheard);
    // The end is told after all.
    let told = takes(&memory, &[("f1", "web", AT_TEN, "resolved"), ("f2", "web", AT_TEN, "resolved")], NOW + 31 * HOUR);
    let ended = incidents(&memory).remove(0);
    assert_eq!((told.resolved, ended.condition), (2, Condition::Resolved));
    assert_eq!(ended.ends_ns, Some(1_785_578_700 * SECOND), "as its sender says");
}

#[test]
fn repetitions_are_noted_a_dozen_times_in_the_silence_that_is_waited_for() {
    const HOUR: i64 = 3_600 * SECOND;
    let (_folder, memory) = memory();
    takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW);
    let heard = |after| {
        takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW + after);
        let alerts = memory.read(|transaction| memory::alerts_of(transaction, 1)).unwrap();
        (alerts[0].heard_ns - NOW) / SECOND
    };
    assert_eq!([heard(HOUR), heard(HOUR + SECOND), heard(2 * HOUR), heard(3 * HOUR)], [0, 3_601, 3_601, 10_800]);
}

#[test]
fn what_began_long_before_is_no_part_though_it_comes_at_the_same_time() {
    let (_folder, memory) = memory();
    takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW);
    let taken = takes(&memory, &[("f2", "web", "2026-08-01T09:00:00Z", "firing")], NOW + 1);
    assert_eq!((taken.incidents, incidents(&memory).len()), (1, 2));
}

#[test]
fn only_what_is_new_asks_who_calls_whom() {
    let (_folder, memory) = memory();
    takes(&memory, &[("f1", "web", AT_TEN, "firing")], NOW);
    // Whoever looked at it now would fail.
    memory.change(|t| Ok::<_, MemoryError>(t.execute("DROP TABLE edges", [])?)).unwrap();
    assert_eq!(takes(&memory, &[("f1", "web", AT_TEN, "resolved")], NOW + 1).resolved, 1);
    let new = webhook(&[("f2", "web", AT_TEN, "firing")]);
    assert!(take(&memory, &new, &Settings::default(), NOW + 2).is_err());
}

#[test]
fn an_alert_without_a_service_draws_those_of_its_group() {
    let (_folder, memory) = memory();
    memory.change(|t| memory::see_edges(t, [("web", "cart"), ("mail", "smtp")], NOW)).unwrap();
    let takes = |fingerprint: &str, service: Option<&str>, group: &str| {
        let mut webhook = webhook(&[(fingerprint, service.unwrap_or_default(), AT_TEN, "firing")]);
        webhook.group_key = group.to_owned();
        webhook.alerts.iter_mut().flatten().for_each(|alert| alert.alert.service = service.map(ServiceId::new));
        take(&memory, &webhook, &Settings::default(), NOW).unwrap().incidents
    };
    assert_eq!(takes("f1", None, "g"), 1);
    assert_eq!(takes("f2", Some("web"), "g"), 0, "though it is known whom it calls");
    assert_eq!(takes("f3", Some("mail"), "another"), 1);
}
