//! Topics: lag rises and falls, groups get everything, what fails comes once more.

use super::super::run;
use super::support::{
    MINUTE_NS, START_NS, all_ended, effect, empty, entry, link, operation, plan, service, spans, topic, wait,
};
use crate::simulate::plan::{Knob, Target, Which};
use crate::simulate::recording::{Outcome, Recording, Side};
use crate::simulate::system::{Role, Shape, Step, System, Visibility};

/// A shop that publishes 20 orders a second, and a mailer of two pods that works on four at a time each.
fn shop() -> System {
    let mut system = empty();
    let shop = service(&mut system, "shop", 100);
    let broker = service(&mut system, "kafka", 100);
    let mailer = service(&mut system, "mailer", 4);
    system.services[broker].role = Role::Queue("kafka".to_owned());
    system.services[broker].visibility = Visibility::NoSpans { passes_context: false };
    system.services[mailer].instances = 2;
    let way = link(&mut system, shop, broker);
    operation(
        &mut system,
        shop,
        "/order",
        vec![wait(2_000.0, Shape::Exponential), Step::Publish { topic: 0, link: way }],
    );
    let mail = operation(&mut system, mailer, "send mail", vec![wait(100_000.0, Shape::Exponential)]);
    topic(&mut system, broker, mail, 4);
    entry(&mut system, 0, 20.0);
    system
}

fn lag(recording: &Recording, minute: i64) -> u64 {
    let at_ns = START_NS + minute * MINUTE_NS;
    recording.topic_samples.iter().find(|sample| sample.at_ns >= at_ns).unwrap().lag
}

#[test]
fn lag_rises_while_consumers_are_slow_and_falls_again() {
    let mut plan = plan(14);
    // 8 places of 100 ms do 80 a second, of 800 ms 10 a second.
    plan.effects = vec![effect(Target::Instances(2, Which::All), Knob::Wait(8.0), 2, 7)];
    let recording = run(&shop(), &plan);
    assert!(lag(&recording, 1) < 5);
    // 10 a second too many for four minutes.
    assert!((lag(&recording, 6) as f64 - 2_400.0).abs() < 400.0, "{}", lag(&recording, 6));
    // 60 a second more than come.
    assert!(lag(&recording, 8) < lag(&recording, 7) && lag(&recording, 10) < 10);
    // The producers do not feel it.
    assert!(all_ended(&spans(&recording, Side::Server, 0, 0..14), Outcome::Ok));
    // In the end every message was worked on once.
    let sent = spans(&recording, Side::Producer, 1, 0..14).len();
    let worked_on = spans(&recording, Side::Consumer, 1, 0..14).len();
    assert!(sent.abs_diff(worked_on) < 20, "{sent} {worked_on}");
}

#[test]
fn a_message_that_fails_comes_once_more() {
    let mut plan = plan(6);
    plan.effects = vec![effect(Target::Instances(2, Which::All), Knob::Fail(0.5), 2, 6)];
    let recording = run(&shop(), &plan);
    let sent = spans(&recording, Side::Producer, 1, 3..6).len() as f64;
    let worked_on = spans(&recording, Side::Consumer, 1, 3..6);
    assert!((worked_on.len() as f64 / sent - 1.5).abs() < 0.05);
}

#[test]
fn consumers_are_children_of_producers_or_linked_to_them() {
    for linked in [false, true] {
        let mut system = shop();
        system.topics[0].linked = linked;
        let recording = run(&system, &plan(2));
        let sent: std::collections::BTreeMap<u64, u128> =
            spans(&recording, Side::Producer, 1, 0..2).iter().map(|span| (span.span, span.trace)).collect();
        let worked_on = spans(&recording, Side::Consumer, 1, 1..2);
        assert!(worked_on.len() > 1_000);
        for span in worked_on {
            assert_eq!(span.topic, Some(0));
            if linked {
                assert_eq!((sent[&span.link.1], span.parent), (span.link.0, 0));
                assert_ne!(span.trace, span.link.0);
            } else {
                assert_eq!((sent[&span.parent], span.link), (span.trace, (0, 0)));
            }
        }
    }
}

#[test]
fn nothing_is_sent_or_taken_while_the_broker_is_down() {
    let mut plan = plan(6);
    plan.effects = vec![effect(Target::Instances(1, Which::All), Knob::Down, 2, 4)];
    let recording = run(&shop(), &plan);
    assert!(all_ended(&spans(&recording, Side::Producer, 1, 3..4), Outcome::Refused));
    assert!(spans(&recording, Side::Consumer, 1, 3..4).is_empty());
    assert!(spans(&recording, Side::Consumer, 1, 5..6).len() > 1_000);
}
