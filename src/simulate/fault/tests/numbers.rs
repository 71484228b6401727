//! The figures that faults are sized by, against sums done by hand.

use super::shop::shop;
use crate::simulate::fault::traffic::{Need, Traffic};

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} against {expected}");
}

#[test]
fn rates_and_times_are_those_of_the_steps() {
    let system = shop();
    let traffic = Traffic::of(&system, 1.5);
    // 8/s × 1.5 ask the catalog; a fifth of them misses the cache.
    near(traffic.service_rate_per_s(5), 12.0);
    near(traffic.service_rate_per_s(6), 2.4);
    near(traffic.service_rate_per_s(4), 6.0);
    // 4 ms + 0.5 + 0.4 (cache) + 0.2 × (0.5 + 8).
    near(traffic.response_us[2], 4e3 + 900.0 + 1_700.0);
    // The parallel part lasts as long as the catalog, not the ads.
    near(traffic.response_us[0], 2e3 + 500.0 + 6_600.0);
    // 5 + 0.5 + 40 ms.
    near(traffic.response_us[7], 45_500.0);
    near(traffic.visits_of(Need::Required, 0, 10), 0.0);
    near(traffic.visits_of(Need::Optional, 0, 10), 1.0);
    near(traffic.visits_of(Need::Message, 1, 4), 1.0);
    near(traffic.visits_of(Need::Optional, 1, 4), 0.0);
    // 6 orders a second hold a connection of orders-db for 5.5 ms, shared by two instances.
    near(traffic.in_flight(5), 6.0 * 5_500.0 / 1e6 / 2.0);
    near(traffic.cores_in_use(1), 12.0 * 2_800.0 / 1e6 / 3.0);
}

#[test]
fn calls_that_come_back_settle() {
    let mut system = shop();
    // Payments ask orders back for every tenth charge.
    let back = crate::simulate::system::Call {
        link: system.links.len(),
        operation: 3,
        timeout_us: None,
        retries: 0,
        backoff_us: 0.0,
        required: true,
    };
    system.links.push(crate::simulate::system::Link { caller: 3, callee: 2, ..system.links[0] });
    let steps = &mut system.operations[7].steps;
    steps.push(crate::simulate::system::Step::Sometimes { probability: 0.1, skip: 1 });
    steps.push(crate::simulate::system::Step::Call(back));
    let traffic = Traffic::of(&system, 1.0);
    // Each order causes a tenth of another: 1 / (1 - 0.1).
    near(traffic.service_rate_per_s(2), 4.0 / 0.9);
}
