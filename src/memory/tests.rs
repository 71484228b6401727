//! What is remembered is recalled, in one state and after a crash.

use super::*;
use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::time::Window;

fn memory() -> (tempfile::TempDir, Memory) {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
    (folder, memory)
}

fn incident_at(starts_ns: i64) -> IncidentRecord {
    IncidentRecord {
        id: 0,
        origin: Origin::Alert,
        condition: Condition::Firing,
        title: "Slow <b>".to_owned(),
        entry: Some("web".to_owned()),
        symptom: Some("latency".to_owned()),
        starts_ns,
        ends_ns: None,
        last_alert_ns: starts_ns,
        baseline: String::new(),
        updated_ns: starts_ns,
    }
}

fn alert_of(incident: i64, identity: &str) -> AlertRecord {
    AlertRecord {
        identity: identity.to_owned(),
        incident,
        name: "Slow".to_owned(),
        service: Some("web".to_owned()),
        symptom: None,
        starts_ns: 100,
        ends_ns: None,
        ended_seen_ns: None,
        group_key: "{}".to_owned(),
        ticket: Some("OPS-1".to_owned()),
        expression: None,
        summary: None,
        body: "{}".to_owned(),
        heard_ns: 110,
    }
}

fn report_of(incident: i64, version: u32, job: i64, signature: &str) -> ReportRecord {
    ReportRecord {
        incident,
        version,
        job,
        made_ns: 5,
        condition: Condition::Firing,
        verdict: "cause_found".to_owned(),
        cause: Some("cart".to_owned()),
        probability: Some(0.75),
        signature: signature.to_owned(),
        changed: vec!["one".to_owned(), "two".to_owned()],
        json: "{}".to_owned(),
        markdown: "# x".to_owned(),
        text: "Slow CART".to_owned(),
    }
}

#[test]
fn an_incident_lives_from_its_alert_to_its_end() {
    let (_folder, memory) = memory();
    let check = memory.change(|t| {
        let id = insert_incident(t, &incident_at(100))?;
        insert_alert(t, &alert_of(id, "a"))?;
        insert_alert(t, &alert_of(id, "b"))?;
        assert_eq!(find_alert(t, "a")?, Some(alert_of(id, "a")));
        assert_eq!(find_alert(t, "c")?, None);
        close_alert(t, "a", 150, 155)?;
        assert!(!end_incident(t, id, 200)?, "one alert still fires");
        close_alert(t, "b", 170, 175)?;
        close_alert(t, "b", 180, 185)?;
        assert!(end_incident(t, id, 200)?);
        assert!(!end_incident(t, id, 201)?, "only once");
        let ended = incident(t, id)?.unwrap();
        assert_eq!((ended.condition, ended.ends_ns, ended.updated_ns), (Condition::Resolved, Some(170), 200));
        extend_incident(t, id, 90, (Some("other"), Some("errors")), 300)?;
        let again = incident(t, id)?.unwrap();
        assert_eq!((again.condition, again.ends_ns, again.starts_ns), (Condition::Firing, None, 90));
        assert_eq!((again.entry.as_deref(), again.symptom.as_deref()), (Some("web"), Some("latency")));
        assert_eq!(find_alert(t, "b")?.unwrap().ended_seen_ns, Some(175));
        reopen_alert(t, "b", 310)?;
        assert_eq!(find_alert(t, "b")?, Some(AlertRecord { heard_ns: 310, ..alert_of(id, "b") }));
        // Nothing is heard of it any more; then its end is told after all.
        assert_eq!(close_unheard_alerts(t, 310)?.len(), 0);
        assert_eq!(close_unheard_alerts(t, 311)?, [id].into());
        assert!(end_incident(t, id, 400)? && !end_incident(t, id, 401)?);
        let unheard = incident(t, id)?.unwrap();
        assert_eq!((unheard.condition, unheard.ends_ns), (Condition::Unheard, Some(310)));
        close_alert(t, "b", 330, 500)?;
        assert!(end_incident(t, id, 500)?);
        let ended = incident(t, id)?.unwrap();
        assert_eq!((ended.condition, ended.ends_ns), (Condition::Resolved, Some(330)));
        extend_incident(t, id, 90, (None, None), 300)?;
        assert_eq!(open_incidents(t, 300)?.len(), 1);
        assert_eq!(open_incidents(t, 301)?.len(), 0);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn a_change_that_fails_leaves_nothing() {
    let (_folder, memory) = memory();
    let failed: Result<()> = memory.change(|t| {
        insert_incident(t, &incident_at(1))?;
        Err(MemoryError::Statement(rusqlite::Error::QueryReturnedNoRows))
    });
    assert!(failed.is_err());
    assert_eq!(memory.read(|t| search(t, &Search { limit: 9, ..Search::default() })).unwrap(), []);
}

#[test]
fn search_finds_by_every_field() {
    let (_folder, memory) = memory();
    let check = memory.change(|t| {
        for at in [100, 200, 300] {
            let id = insert_incident(t, &incident_at(at))?;
            schedule(t, id, Reason::First, 0)?;
        }
        insert_report(t, &report_of(2, 1, 1, "s"))?;
        insert_incident(t, &IncidentRecord { title: "Fails 100%".to_owned(), ..incident_at(400) })?;
        let of = |wanted: Search| -> Result<Vec<i64>> {
            Ok(search(t, &Search { limit: 10, ..wanted })?.into_iter().map(|incident| incident.id).collect())
        };
        assert_eq!(of(Search::default())?, [4, 3, 2, 1]);
        assert_eq!(of(Search { service: Some("cart".into()), ..Search::default() })?, [2]);
        assert_eq!(of(Search { service: Some("web".into()), ..Search::default() })?, [4, 3, 2, 1]);
        assert_eq!(of(Search { text: Some("slow cart".into()), ..Search::default() })?, [2]);
        assert_eq!(of(Search { text: Some("100%".into()), ..Search::default() })?, [4]);
        assert_eq!(of(Search { text: Some("%".into()), ..Search::default() })?, [4], "no pattern");
        assert_eq!(of(Search { from_ns: Some(200), to_ns: Some(300), ..Search::default() })?, [2]);
        assert_eq!(of(Search { before_id: Some(3), ..Search::default() })?, [2, 1]);
        assert_eq!(of(Search { condition: Some(Condition::Resolved), ..Search::default() })?, [0; 0]);
        assert_eq!(search(t, &Search { limit: 2, ..Search::default() })?.len(), 2);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn each_job_is_claimed_once_and_one_incident_has_one_at_a_time() {
    let (_folder, memory) = memory();
    let check = memory.change(|t| {
        let (one, two) = (insert_incident(t, &incident_at(1))?, insert_incident(t, &incident_at(2))?);
        schedule(t, one, Reason::First, 50)?;
        schedule(t, one, Reason::First, 40)?;
        schedule(t, one, Reason::Later, 60)?;
        schedule(t, two, Reason::Request, 45)?;
        schedule_unless_waiting(t, two, Reason::Later, 1)?;
        assert_eq!((due_next_ns(t)?, waiting(t)?), (Some(40), 2));
        assert_eq!(claim(t, 39)?, None);
        let first = claim(t, 100)?.unwrap();
        assert_eq!((first.incident, first.reason, first.attempts), (one, Reason::First, 1));
        let second = claim(t, 100)?.unwrap();
        assert_eq!((second.incident, second.reason), (two, Reason::Request));
        assert_eq!(claim(t, 100)?, None, "the third is of an incident that one is being made of");
        assert_eq!(due_next_ns(t)?, None, "nobody has to look before that one is made");
        finish(t, first.id, 110)?;
        let third = claim(t, 100)?.unwrap();
        assert_eq!((third.incident, third.reason), (one, Reason::Later));
        fail(t, third.id, "no telemetry", Some(500), 120)?;
        assert_eq!(last_failure(t, one)?.as_deref(), Some("no telemetry"));
        assert_eq!((claim(t, 499)?, claim(t, 500)?.map(|job| job.attempts)), (None, Some(2)));
        fail(t, second.id, "too slow", None, 130)?;
        assert_eq!(claim(t, 1_000)?, None);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn what_was_being_made_is_due_again_after_a_crash_but_not_for_ever() {
    let (folder, memory) = memory();
    let set_up = memory.change(|t| {
        let id = insert_incident(t, &incident_at(1))?;
        schedule(t, id, Reason::First, 0)?;
        claim(t, 1)
    });
    set_up.unwrap();
    drop(memory);
    for attempts in [2, 3] {
        let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
        assert_eq!(memory.change(|t| put_back_unfinished(t, 3, "killed", 9)).unwrap(), [0; 0]);
        assert_eq!(memory.change(|t| claim(t, 10)).unwrap().unwrap().attempts, attempts);
    }
    let memory = Memory::open(&folder.path().join("incidents.db")).unwrap();
    // An orderly end does not count.
    memory.change(put_back_interrupted).unwrap();
    assert_eq!(memory.change(|t| claim(t, 10)).unwrap().unwrap().attempts, 3);
    assert_eq!(memory.change(|t| put_back_unfinished(t, 3, "killed", 9)).unwrap(), [1]);
    assert_eq!(memory.change(|t| claim(t, 10)).unwrap(), None);
    assert_eq!(memory.read(|t| last_failure(t, 1)).unwrap().as_deref(), Some("killed"));
}

#[test]
fn an_analysis_has_one_report_and_similar_incidents_are_found() {
    let (_folder, memory) = memory();
    let check = memory.change(|t| {
        for at in [1, 2, 3, 4] {
            insert_incident(t, &incident_at(at))?;
        }
        insert_report(t, &report_of(1, 1, 11, "s"))?;
        insert_report(t, &report_of(1, 2, 12, "s"))?;
        assert_eq!(latest_report(t, 1)?, Some(report_of(1, 2, 12, "s")));
        assert_eq!(summaries(t, 1)?.iter().map(|report| report.version).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(latest_summary(t, 1)?, summaries(t, 1)?.pop());
        assert_eq!(latest_summary(t, 1)?.unwrap().changed, ["one", "two"]);
        assert_eq!(report(t, 1, 1)?.map(|report| report.job), Some(11));
        insert_report(t, &report_of(2, 1, 21, "s"))?;
        insert_report(t, &report_of(2, 2, 22, "other"))?;
        insert_report(t, &report_of(3, 1, 31, "s"))?;
        assert!(insert_report(t, &report_of(4, 1, 31, "s")).is_err(), "a second report of one analysis");
        give_feedback(t, 1, &Feedback { cause: Some("cart".into()), note: String::new(), given_ns: 1 })?;
        give_feedback(t, 1, &Feedback { cause: Some("redis".into()), note: "full".into(), given_ns: 2 })?;
        let found: Vec<(i64, Option<String>)> =
            similar(t, "s", 4, 9)?.into_iter().map(|found| (found.incident, found.confirmed)).collect();
        assert_eq!(found, [(1, Some("redis".to_owned())), (3, None)]);
        assert_eq!(similar(t, "s", 4, 1)?.len(), 1);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn a_newer_message_replaces_one_that_waits_and_the_mark_is_kept() {
    let (_folder, memory) = memory();
    let message = |version| Outgoing {
        sink: "slack".into(),
        incident: 1,
        version,
        about: if version == 1 { About::Failure } else { About::Report },
        condition: if version == 3 { Condition::Resolved } else { Condition::Firing },
        payload: format!("{version}"),
    };
    let check = memory.change(|t| {
        insert_incident(t, &incident_at(1))?;
        assert_eq!(told(t, 1)?, [].into());
        enqueue(t, &message(1), 10)?;
        assert_eq!(told(t, 1)?, [("slack".to_owned(), (About::Failure, Condition::Firing))].into());
        enqueue(t, &message(2), 20)?;
        assert_eq!(next_delivery(t, "slack", 19)?, None);
        assert_eq!(next_delivery(t, "other", 99)?, None);
        let second = next_delivery(t, "slack", 20)?.unwrap();
        assert_eq!((&second.message, second.is_repeated, &second.mark), (&message(2), false, &None));
        not_delivered(t, second.id, "429", 50)?;
        assert_eq!(undelivered(t, 1)?, [("slack".to_owned(), Some("429".to_owned()))]);
        assert_eq!((next_delivery(t, "slack", 49)?, due_delivery_ns(t, "slack")?), (None, Some(50)));
        let again = next_delivery(t, "slack", 50)?.unwrap();
        assert_eq!((again.attempts, again.is_repeated), (1, true));
        delivered(t, &again, Some("m1"))?;
        assert_eq!(undelivered(t, 1)?, []);
        enqueue(t, &message(3), 60)?;
        assert_eq!(told(t, 1)?, [("slack".to_owned(), (About::Report, Condition::Resolved))].into());
        let third = next_delivery(t, "slack", 60)?.unwrap();
        assert_eq!(third.mark.as_deref(), Some("m1"));
        give_up(t, third.id, "410")?;
        assert_eq!(told(t, 1)?, [].into(), "it was told to nobody");
        assert_eq!(due_delivery_ns(t, "slack")?, None);
        assert_eq!(undelivered(t, 1)?, [("slack".to_owned(), Some("410".to_owned()))]);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn the_same_change_told_twice_is_one() {
    let (_folder, memory) = memory();
    let change = |at_ns, service: Option<&str>| Change {
        at_ns,
        service: service.map(crate::telemetry::id::ServiceId::new),
        kind: ChangeKind::Deploy,
        version: "2".into(),
        description: String::new(),
        source: "told by API".into(),
    };
    let all = [change(10, Some("cart")), change(10, None), change(20, Some("cart"))];
    let check = memory.change(|t| {
        assert_eq!((insert_changes(t, &all)?, insert_changes(t, &all)?), (3, 0));
        assert_eq!(changes_in(t, &Window::new(0, 20).unwrap())?, &all[..2]);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn what_ended_long_ago_is_forgotten_whole() {
    let (_folder, memory) = memory();
    let check = memory.change(|t| {
        for (condition, ends_ns) in
            [(Condition::Resolved, Some(50)), (Condition::Firing, None), (Condition::Resolved, Some(500))]
        {
            let record = IncidentRecord { condition, ends_ns, ..incident_at(10) };
            let id = insert_incident(t, &IncidentRecord { updated_ns: ends_ns.unwrap_or(50), ..record })?;
            insert_alert(t, &alert_of(id, &id.to_string()))?;
            insert_report(t, &report_of(id, 1, id, "s"))?;
        }
        see_edges(t, [("a", "b")], 10)?;
        see_edges(t, [("a", "b"), ("b", "c")], 300)?;
        assert_eq!(delete_before(t, 100)?, 1);
        assert_eq!((find_alert(t, "1")?, latest_report(t, 1)?), (None, None));
        assert!(find_alert(t, "2")?.is_some() && incident(t, 3)?.is_some());
        assert_eq!(edges(t)?.len(), 2);
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
}

#[test]
fn a_file_of_a_newer_program_and_no_database_are_refused() {
    let (folder, memory) = memory();
    let path = folder.path().join("incidents.db");
    memory.change(|t| Ok::<_, MemoryError>(t.pragma_update(None, "user_version", 99)?)).unwrap();
    drop(memory);
    let error = Memory::open(&path).err().unwrap().to_string();
    assert!(error.contains("newer hypocenter (schema 99"), "{error}");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is no database, but long enough to be looked at as one by its header").unwrap();
    assert!(Memory::open(&text).err().unwrap().to_string().contains("cannot be opened"));
}

#[test]
fn a_file_of_the_first_schema_is_taken_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("incidents.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::FIRST).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO incidents VALUES (7, 'alert', 'resolved', 'Slow', 'web', NULL, 100, 170, 120, '', 200);
         INSERT INTO alerts VALUES ('a', 7, 'Slow', 'web', NULL, 100, 170, 175, '{}', NULL, NULL, NULL, '{}');
         INSERT INTO reports VALUES (7, 1, 1, 5, 'resolved', 'cause_found', 'cart', 0.5, 's', '', '{}', '# x', 'x');
         INSERT INTO outbox VALUES (1, 'slack', 7, 1, 'payload', 'sent', 1, 0, NULL);
         INSERT INTO outbox VALUES (2, 'gone', 7, 9, 'payload', 'sent', 1, 0, NULL);",
    )
    .unwrap();
    drop(old);
    let memory = Memory::open(&path).unwrap();
    let check = memory.change(|t| {
        let known = find_alert(t, "a")?.unwrap();
        assert_eq!((known.heard_ns, known.ended_seen_ns), (120, Some(175)));
        assert_eq!(incident(t, 7)?.unwrap().condition, Condition::Resolved);
        assert_eq!(latest_summary(t, 7)?.unwrap().cause.as_deref(), Some("cart"));
        let told = told(t, 7)?;
        assert_eq!(told["slack"], (About::Report, Condition::Resolved));
        assert_eq!(told["gone"], (About::Report, Condition::Firing), "of a report that is not known any more");
        Ok::<_, MemoryError>(())
    });
    check.unwrap();
    drop(memory);
    Memory::open(&path).unwrap();
}
