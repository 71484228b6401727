//! Queues against queueing theory. Waiting times are correlated, so that tolerances come from the spread between
//! independent runs: the mean of twenty of them lies within 4.5 standard errors of the theory (a false alarm in about
//! 5000 tests by Student's distribution with 19 degrees of freedom).

use super::super::run;
use super::support::{burn, empty, entry, mean_ms, operation, plan, service, spans, wait};
use crate::simulate::recording::Side;
use crate::simulate::system::{Shape, Step, System};

const RUNS: u64 = 20;

/// Arrivals of 100 a second at one service.
fn queue(workers: u32, step: Step) -> System {
    let mut system = empty();
    let place = service(&mut system, "desk", workers);
    let serve = operation(&mut system, place, "/serve", vec![step]);
    entry(&mut system, serve, 100.0);
    system
}

/// What is found in each of the runs: mean wait (ms), mean of busy workers, mean of those who wait.
fn play(system: &System, service_ms: f64) -> [Vec<f64>; 3] {
    let mut found = [const { Vec::new() }; 3];
    for seed in 0..RUNS {
        let mut plan = plan(8);
        plan.seed = seed;
        plan.scrape_ns = 100_000_000;
        let recording = run(system, &plan);
        let served = spans(&recording, Side::Server, 0, 0..8);
        let samples = &recording.instance_samples;
        let n = samples.len() as f64;
        found[0].push(mean_ms(&served) - service_ms);
        found[1].push(samples.iter().map(|sample| f64::from(sample.busy_workers)).sum::<f64>() / n);
        found[2].push(samples.iter().map(|sample| f64::from(sample.waiting)).sum::<f64>() / n);
    }
    found
}

fn check(what: &str, runs: &[f64], expected: f64) {
    let n = runs.len() as f64;
    let mean = runs.iter().sum::<f64>() / n;
    let variance = runs.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    assert!((mean - expected).abs() < 4.5 * error, "{what}: {mean} against {expected}, standard error {error}");
    // A tolerance so wide that anything lies within would show nothing.
    assert!(error < 0.1 * expected, "{what}: standard error {error} of {expected}");
}

/// Probability of having to wait in M/M/c with `c` servers and the load `a` in erlangs (Gross, Shortle, Thompson &
/// Harris 2008, "Fundamentals of Queueing Theory", 4th edition, equation 2.33).
fn erlang_c(c: u32, a: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.0;
    for k in 0..c {
        sum += term;
        term *= a / f64::from(k + 1);
    }
    let last = term / (1.0 - a / f64::from(c));
    last / (sum + last)
}

#[test]
fn many_workers_wait_and_work_as_erlang_says() {
    // Published: C(3, 2) = 4/9 (the same book, example 2.3 has c = 3, r = 2, L_q = 8/9).
    assert!((erlang_c(3, 2.0) - 4.0 / 9.0).abs() < 1e-12);
    for workers in [1, 3, 8] {
        for utilisation in [0.5, 0.8, 0.9] {
            let load = utilisation * f64::from(workers);
            let service_ms = load / 100.0 * 1_000.0;
            let system = queue(workers, wait(service_ms * 1_000.0, Shape::Exponential));
            let [wait_ms, busy, waiting] = play(&system, service_ms);
            let expected_ms = erlang_c(workers, load) * service_ms / (f64::from(workers) - load);
            let what = format!("M/M/{workers} at {utilisation}");
            check(&format!("{what}: busy workers"), &busy, load);
            if expected_ms > 0.5 {
                check(&format!("{what}: wait"), &wait_ms, expected_ms);
                // Little's law, L = λ W (Little 1961, doi:10.1287/opre.9.3.383): 0.1 requests a millisecond.
                check(&format!("{what}: queue"), &waiting, 0.1 * expected_ms);
            }
        }
    }
}

/// Pollaczek and Khinchine: W = λ E[S²] / (2 (1 - ρ)) (the same book, equation 5.11).
#[test]
fn one_worker_with_other_times_waits_as_pollaczek_and_khinchine_say() {
    let (rate_per_ms, mean_ms) = (0.1, 7.0);
    let shapes: [(&str, Shape, f64); 3] = [
        ("constant", Shape::Constant, 0.0),
        // The squared coefficient of variation of a log-normal time is exp(σ²) - 1.
        ("log-normal", Shape::LogNormal(0.6), 0.36_f64.exp() - 1.0),
        // That of a Pareto time with shape k is 1 / (k (k - 2)).
        ("Pareto", Shape::Pareto(4.5), 1.0 / (4.5 * 2.5)),
    ];
    for (name, shape, variation) in shapes {
        let system = queue(1, wait(mean_ms * 1_000.0, shape));
        let [wait_ms, busy, _] = play(&system, mean_ms);
        let expected_ms = rate_per_ms * mean_ms * mean_ms * (1.0 + variation) / (2.0 * (1.0 - rate_per_ms * mean_ms));
        check(&format!("M/G/1, {name}: wait"), &wait_ms, expected_ms);
        check(&format!("M/G/1, {name}: busy"), &busy, 0.7);
    }
}

/// CPU counts what was burnt: the utilisation law, U = λ E[S].
#[test]
fn cpu_time_is_what_requests_burn() {
    let system = queue(8, burn(3_000.0, Shape::Exponential));
    let recording = run(&system, &plan(20));
    let (first, last) =
        (recording.instance_samples[0], recording.instance_samples[recording.instance_samples.len() - 1]);
    let cores = (last.cpu_us - first.cpu_us) as f64 / ((last.at_ns - first.at_ns) as f64 / 1e3);
    // 100 a second of 3 ms, and 0.004 cores of a process without work; 113 000 draws of deviation 1.
    assert!((cores - 0.304).abs() < 5.0 * 0.3 * (2.0_f64 / 118_000.0).sqrt(), "{cores}");
}
