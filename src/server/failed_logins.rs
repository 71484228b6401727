//! Failed logins by address: who guesses passwords is told to wait.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many in one [`SPAN`] are let through.
const MOST: u32 = 10;
const SPAN: Duration = Duration::from_secs(60);
/// Addresses that are known at once, so that many of them do not fill the memory.
const ADDRESSES: usize = 4096;

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct FailedLogins(Mutex<BTreeMap<IpAddr, Failures>>);

#[derive(Debug)]
struct Failures {
    first: Instant,
    count: u32,
}

impl FailedLogins {
    fn table(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Failures>> {
        // Counts are whole whatever happened to who held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long this address has to wait before its next login, if it has to.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let table = self.table();
        let failures = table.get(&network(address)).filter(|failures| failures.count >= MOST)?;
        SPAN.checked_sub(now.saturating_duration_since(failures.first)).filter(|rest| !rest.is_zero())
    }

    /// Notes one more.
    pub(super) fn note(&self, address: IpAddr, now: Instant) {
        let mut table = self.table();
        if table.len() >= ADDRESSES {
            table.retain(|_, failures| now.saturating_duration_since(failures.first) < SPAN);
        }
        // Who comes from so many addresses is not held up by this; the cost of a password is.
        if table.len() >= ADDRESSES {
            table.clear();
        }
        let failures = table.entry(network(address)).or_insert(Failures { first: now, count: 0 });
        if now.saturating_duration_since(failures.first) >= SPAN {
            *failures = Failures { first: now, count: 0 };
        }
        failures.count += 1;
    }
}

/// Of IPv6 the first half: the other half is the sender's to choose.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits_and_nobody_else_does() {
        let logins = FailedLogins::default();
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let [guesser, beside, other] =
            ["2001:db8::1", "2001:db8::ffff", "192.0.2.1"].map(|text| text.parse::<IpAddr>().unwrap());
        for _ in 0..MOST {
            assert_eq!(logins.wait(guesser, began), None);
            logins.note(guesser, began);
        }
        let wait = |address| logins.wait(address, after(20));
        assert_eq!(
            [guesser, beside, other].map(wait),
            [Some(Duration::from_secs(40)), Some(Duration::from_secs(40)), None]
        );
        logins.note(guesser, after(60));
        assert_eq!(logins.wait(guesser, after(60)), None, "a new minute");
    }

    #[test]
    fn its_memory_is_bounded() {
        let logins = FailedLogins::default();
        let now = Instant::now();
        (0..20_000_u32).for_each(|number| logins.note(IpAddr::V4(number.into()), now));
        assert!(logins.table().len() <= ADDRESSES);
    }
}
