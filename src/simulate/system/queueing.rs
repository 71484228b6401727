//! The wait for a free worker, by queueing theory.

/// Mean wait in a queue of `workers` servers of which `busy` are at work on average, as a multiple of the mean time of
/// service (M/M/c). Infinite from the point on where work comes faster than it is done.
///
/// ```text
/// W / S = C(c, a) / (c - a)        a: offered load, erlangs    c: servers    S: mean time of service
/// C = c B / (c - a (1 - B))        B(0) = 1, B(n) = a B(n - 1) / (n + a B(n - 1))
/// ```
///
/// C is Erlang's probability to wait, B his probability of loss: Gross, Shortle, Thompson & Harris, Fundamentals of
/// Queueing Theory, 4th edition (2008), sections 2.3 and 2.5. Services here vary less than exponential ones, so that real
/// waits are shorter: for a single server by (1 + cv²) / 2 (Pollaczek and Khinchine), about 0.65 at a deviation of the
/// logarithm of 0.5.
pub fn mean_wait(busy: f64, workers: u32) -> f64 {
    let servers = f64::from(workers);
    if busy <= 0.0 {
        return 0.0;
    }
    if busy >= servers {
        return f64::INFINITY;
    }
    let loss = (1..=workers).fold(1.0, |loss, n| busy * loss / (f64::from(n) + busy * loss));
    let waits = servers * loss / (servers - busy * (1.0 - loss));
    waits / (servers - busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One server: rho / (1 - rho). Two: rho² / (1 - rho²). Eight at 0.9: the product form summed up in Python,
    /// `a**c/factorial(c)*c/(c-a) / (sum(a**n/factorial(n) for n in range(c)) + a**c/factorial(c)*c/(c-a)) / (c-a)`.
    #[test]
    fn waits_are_those_of_the_textbook() {
        for (busy, workers, expected) in [(0.0, 3, 0.0), (0.5, 1, 1.0), (1.0, 2, 1.0 / 3.0), (7.2, 8, 0.876_916_238)] {
            let found = mean_wait(busy, workers);
            assert!((found - expected).abs() < 1e-6, "{busy} erlangs, {workers} servers: {found} against {expected}");
        }
        assert!(mean_wait(2.0, 2).is_infinite());
    }
}
