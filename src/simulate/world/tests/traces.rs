//! Spans form trees, whoever is instrumented, and a run can be repeated to the byte.

use std::collections::BTreeMap;

use super::super::run;
use super::support::{MINUTE_NS, START_NS, call, effect, empty, entry, link, operation, plan, service, wait};
use crate::simulate::plan::{Deploy, Effect, Knob, Target, Which};
use crate::simulate::recording::{Outcome, Recording, Side, SpanRecord};
use crate::simulate::system::{Call, Runtime, Shape, Step, System, Visibility};

const FRONT: usize = 0;
const LEFT: usize = 1;
const RIGHT: usize = 2;
const DEEP: usize = 3;

/// A front that calls two services at the same time, each of which calls a third.
fn diamond() -> System {
    let mut system = empty();
    for name in ["front", "left", "right", "deep"] {
        let place = service(&mut system, name, 20);
        system.services[place].instances = 2;
    }
    system.services[LEFT].runtime = Runtime::Jvm;
    system.services[DEEP].runtime = Runtime::Go;
    let ways = [(FRONT, LEFT), (FRONT, RIGHT), (LEFT, DEEP), (RIGHT, DEEP)];
    let ways = ways.map(|(caller, callee)| link(&mut system, caller, callee));
    let to = |way: usize, operation: usize| Call {
        timeout_us: Some(300_000.0),
        retries: 1,
        backoff_us: 10_000.0,
        ..call(ways[way], operation)
    };
    let own = || wait(3_000.0, Shape::LogNormal(0.5));
    operation(&mut system, FRONT, "/front", vec![own(), Step::Parallel(vec![to(0, LEFT), to(1, RIGHT)]), own()]);
    operation(&mut system, LEFT, "/left", vec![own(), Step::Call(to(2, DEEP))]);
    operation(&mut system, RIGHT, "/right", vec![Step::Call(to(3, DEEP)), own()]);
    operation(&mut system, DEEP, "/deep", vec![wait(20_000.0, Shape::Pareto(2.5))]);
    entry(&mut system, FRONT, 40.0);
    system
}

fn by_id(recording: &Recording) -> BTreeMap<u64, SpanRecord> {
    recording.spans.iter().map(|span| (span.span, *span)).collect()
}

#[test]
fn children_lie_within_their_parents() {
    let recording = run(&diamond(), &plan(4));
    let spans = by_id(&recording);
    assert_eq!(spans.len(), recording.spans.len());
    let (mut inside, mut overdue) = (0, 0);
    for span in &recording.spans {
        assert!(span.trace != 0 && span.span != 0 && span.start_ns <= span.end_ns);
        let Some(parent) = spans.get(&span.parent) else { continue };
        assert_eq!(parent.trace, span.trace);
        assert!(parent.start_ns <= span.start_ns);
        let sides = (parent.side, span.side);
        assert!(sides == (Side::Client, Side::Server) || sides == (Side::Server, Side::Client), "{sides:?}");
        if span.side == Side::Server {
            assert_eq!(parent.operation, span.operation);
        } else {
            assert_eq!(parent.instance, span.instance);
        }
        if span.end_ns > parent.end_ns {
            // Only who was given up on outlives who gave up.
            assert_eq!((span.side, parent.outcome), (Side::Server, Outcome::TimedOut));
            overdue += 1;
        } else {
            inside += 1;
        }
    }
    assert!(inside > 50_000, "{inside}");
    assert!(overdue > 0);
    // Sorted by end; only those whose parent ends after the window have none.
    assert!(recording.spans.is_sorted_by_key(|span| (span.end_ns, span.span)));
    let orphans: Vec<&SpanRecord> =
        recording.spans.iter().filter(|span| span.parent != 0 && !spans.contains_key(&span.parent)).collect();
    assert!(orphans.len() < 100, "{}", orphans.len());
}

/// Who is the parent of spans of the deep service: nobody, or a span of an operation on a side.
fn parents_of_deep(recording: &Recording) -> BTreeMap<Option<(usize, bool)>, usize> {
    let spans = by_id(recording);
    let mut found = BTreeMap::new();
    let last_ns = START_NS + 2 * MINUTE_NS;
    for span in recording.spans.iter().filter(|span| span.side == Side::Server && span.operation == DEEP) {
        if span.end_ns < last_ns {
            let parent = spans.get(&span.parent);
            assert_eq!(parent.is_none(), span.parent == 0);
            let caller = parent.map(|parent| (parent.operation, parent.side == Side::Client));
            *found.entry(caller).or_default() += 1;
        }
    }
    found
}

#[test]
fn a_service_without_spans_hands_the_context_on_or_cuts_the_trace() {
    let mut system = diamond();
    system.services[LEFT].visibility = Visibility::NoSpans { passes_context: true };
    let recording = run(&system, &plan(3));
    // Through the left service: the front's call of it is the parent. Through the right one: its own call.
    assert_eq!(parents_of_deep(&recording).into_keys().collect::<Vec<_>>(), [Some((LEFT, true)), Some((DEEP, true))]);
    assert!(!recording.spans.iter().any(|span| span.operation == LEFT && span.side == Side::Server));

    system.services[LEFT].visibility = Visibility::NoSpans { passes_context: false };
    let recording = run(&system, &plan(3));
    let parents = parents_of_deep(&recording);
    assert_eq!(parents.keys().copied().collect::<Vec<_>>(), [None, Some((DEEP, true))]);
    assert!(parents[&None].abs_diff(parents[&Some((DEEP, true))]) < 300);

    // Where requests come in, nobody begins a trace for those who cannot.
    system.services[LEFT].visibility = Visibility::Full;
    system.services[FRONT].visibility = Visibility::NoSpans { passes_context: true };
    let recording = run(&system, &plan(3));
    let roots = recording.spans.iter().filter(|span| span.parent == 0);
    assert!(roots.clone().count() > 10_000);
    assert!(roots.clone().all(|span| span.side == Side::Server && (span.operation == LEFT || span.operation == RIGHT)));
}

#[test]
fn spans_of_threads_begin_when_a_thread_is_free() {
    let mut system = empty();
    let place = service(&mut system, "desk", 1);
    operation(&mut system, place, "/serve", vec![wait(15_000.0, Shape::Constant)]);
    entry(&mut system, 0, 60.0);
    for (runtime, waits) in
        [(Runtime::Jvm, false), (Runtime::Python, false), (Runtime::Go, true), (Runtime::Node, true)]
    {
        system.services[place].runtime = runtime;
        let recording = run(&system, &plan(2));
        let longest = recording.spans.iter().map(|span| span.end_ns - span.start_ns).max().unwrap();
        assert_eq!(longest > 60_000_000, waits, "{runtime:?}: {longest}");
    }
}

#[test]
fn the_same_plan_gives_the_same_recording() {
    let mut plan = plan(4);
    let all = |service: usize| Target::Instances(service, Which::All);
    plan.load.bursts = vec![(START_NS + MINUTE_NS, MINUTE_NS, 2.0)];
    plan.effects = vec![
        Effect { ramp_ns: MINUTE_NS, ..effect(all(DEEP), Knob::Work(3.0), 1, 3) },
        effect(all(LEFT), Knob::Fail(0.1), 1, 4),
        effect(Target::Instances(RIGHT, Which::Nth(0)), Knob::Down, 2, 3),
    ];
    plan.deploys = vec![Deploy {
        at_ns: START_NS + MINUTE_NS,
        service: FRONT,
        version: "1.1.0".to_owned(),
        pods: None,
        step_ns: 30_000_000_000,
        description: "Faster".to_owned(),
    }];
    let first = run(&diamond(), &plan);
    assert_eq!(first, run(&diamond(), &plan));
    assert!(first.spans.len() > 10_000);
    let other_seed = crate::simulate::plan::Plan { seed: 2, ..plan };
    assert_ne!(first.spans, run(&diamond(), &other_seed).spans);
}
