//! Who may come in: names with passwords (bcrypt) and bearer tokens, compared so that neither time nor memory tells
//! anything about them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::failed_logins::FailedLogins;
use super::tls;

/// Passwords that are checked at once: each takes a core for a while.
const CHECKS: usize = 2;
/// So long a login waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of the hash that stands for users who are not there, where there is no user at all.
const COST: u32 = 10;

type Digest = [u8; 32];

/// From where a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Looks at what requests bring.
pub(super) struct Guard {
    users: Vec<User>,
    tokens: Vec<Digest>,
    /// Of digests: known to this process only.
    key: Digest,
    /// The hash of a password that nobody has, for users who are not there.
    decoy: String,
    turns: Semaphore,
}

struct User {
    name: String,
    hash: String,
    /// The digest of the password that was right last.
    verified: Mutex<Option<Digest>>,
}

/// Why a request may not come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Denied {
    /// It says not who it is from.
    Missing,
    /// What it says is wrong.
    Wrong,
    /// Its address has guessed too often.
    Limited(Duration),
    /// Too many passwords wait to be checked.
    Busy,
    /// It was made to a name that is not known.
    Host,
}

impl Denied {
    /// A word for the metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Limited(_) => "limited",
            Self::Busy => "busy",
            Self::Host => "host",
        }
    }
}

impl Guard {
    /// For these users, with their hashes of bcrypt, and these tokens.
    pub(super) fn new(users: Vec<(String, String)>, tokens: &[Vec<u8>]) -> Self {
        let mut key = Digest::default();
        tls::provider().secure_random.fill(&mut key).expect("the system has randomness");
        let costs = users.iter().filter_map(|(_, hash)| hash.parse::<bcrypt::HashParts>().ok());
        let cost = costs.map(|parts| parts.get_cost()).max().unwrap_or(COST);
        let decoy = if users.is_empty() { String::new() } else { decoy(&key, cost) };
        let user = |(name, hash)| User { name, hash, verified: Mutex::new(None) };
        let tokens = tokens.iter().map(|token| digest(&key, &[token])).collect();
        Self { users: users.into_iter().map(user).collect(), tokens, key, decoy, turns: Semaphore::new(CHECKS) }
    }

    /// Whether nobody has to say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    /// What a client is told to bring (RFC 9110, section 11.6.1).
    pub(super) fn challenge(&self) -> &'static str {
        match (self.users.is_empty(), self.tokens.is_empty()) {
            (true, _) => "Bearer realm=\"hypocenter\"",
            (false, true) => "Basic realm=\"hypocenter\"",
            (false, false) => "Basic realm=\"hypocenter\", Bearer realm=\"hypocenter\"",
        }
    }

    /// Whether a request with these headers may come in.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        failed: &FailedLogins,
    ) -> Result<(), Denied> {
        if self.is_open() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?.as_bytes();
        let space = given.iter().position(|byte| *byte == b' ').ok_or(Denied::Wrong)?;
        let (scheme, rest) = (&given[..space], given[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return if self.has_token(rest) { Ok(()) } else { Err(Denied::Wrong) };
        }
        if !scheme.eq_ignore_ascii_case(b"basic") || self.users.is_empty() {
            return Err(Denied::Wrong);
        }
        let decoded = STANDARD.decode(rest).map_err(|_secret| Denied::Wrong)?;
        let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Denied::Wrong)?;
        self.check_password(&decoded[..colon], &decoded[colon + 1..], address, failed).await
    }

    fn has_token(&self, given: &[u8]) -> bool {
        let given = digest(&self.key, &[given]);
        // All of them, so that the time tells nothing.
        self.tokens.iter().fold(subtle::Choice::from(0), |found, token| found | token.ct_eq(&given)).into()
    }

    async fn check_password(
        &self,
        name: &[u8],
        password: &[u8],
        address: IpAddr,
        failed: &FailedLogins,
    ) -> Result<(), Denied> {
        let user = self.users.iter().find(|user| user.name.as_bytes() == name);
        let hash = user.map_or(&self.decoy, |user| &user.hash);
        let digest = digest(&self.key, &[hash.as_bytes(), password]);
        let verified = user.and_then(|user| *user.verified.lock().unwrap_or_else(PoisonError::into_inner));
        if verified.is_some_and(|verified| verified.ct_eq(&digest).into()) {
            return Ok(());
        }
        // Only who has not been let in before waits, also where a proxy lends one address to all.
        if let Some(wait) = failed.wait(address, Instant::now()) {
            return Err(Denied::Limited(wait));
        }
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let _turn = turn.map_err(|_elapsed| Denied::Busy)?.expect("the semaphore is never closed");
        let (hash, password) = (hash.clone(), password.to_vec());
        // A password that cannot be checked, such as one with a zero byte, is wrong.
        let check = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        let is_right = check.await.map_err(|_stopping| Denied::Busy)?;
        match user.filter(|_| is_right) {
            Some(user) => {
                *user.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
                Ok(())
            }
            None => {
                failed.note(address, Instant::now());
                Err(Denied::Wrong)
            }
        }
    }
}

/// A keyed hash of parts, each with its length.
fn digest(key: &Digest, parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length does");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn decoy(key: &Digest, cost: u32) -> String {
    let password = digest(key, &[b"decoy"]).map(|byte| byte | 1);
    bcrypt::hash(password, cost).expect("the cost is one of a hash that was read, and randomness is there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let hash = bcrypt::hash("right", 8).unwrap();
        Guard::new(vec![("me".to_owned(), hash)], &[b"one".to_vec(), b"two".to_vec()])
    }

    async fn check(guard: &Guard, authorization: &str, failed: &FailedLogins) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        guard.check(&headers, IpAddr::from([192, 0, 2, 1]), failed).await
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[tokio::test]
    async fn who_is_known_comes_in_and_nobody_else() {
        let (guard, failed) = (guard(), FailedLogins::default());
        for right in [&basic("me:right"), "Bearer one", "bearer  two"] {
            assert_eq!(check(&guard, right, &failed).await, Ok(()), "{right}");
        }
        let wrong = ["me:wrong", "me:", "you:right", ":", "me", "me:right\0", "me:right:"].map(basic);
        let wrong = wrong.iter().map(String::as_str).chain(["Bearer three", "Bearer ", "one", "Digest one", "Basic !"]);
        for wrong in wrong {
            assert_eq!(check(&guard, wrong, &FailedLogins::default()).await, Err(Denied::Wrong), "{wrong}");
        }
        let nothing = guard.check(&HeaderMap::new(), IpAddr::from([192, 0, 2, 1]), &failed).await;
        assert_eq!(nothing, Err(Denied::Missing));
        assert!(Guard::new(Vec::new(), &[]).check(&HeaderMap::new(), [127, 0, 0, 1].into(), &failed).await.is_ok());
    }

    #[tokio::test]
    async fn a_password_is_checked_once_and_who_is_not_there_costs_the_same() {
        let (guard, failed) = (guard(), FailedLogins::default());
        let right = basic("me:right");
        assert_eq!(check(&guard, &right, &failed).await, Ok(()));
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(check(&guard, &right, &failed).await, Ok(()));
        }
        let remembered = began.elapsed() / 100;
        let took = async |text: &str| {
            let began = Instant::now();
            assert_eq!(check(&guard, &basic(text), &FailedLogins::default()).await, Err(Denied::Wrong));
            began.elapsed()
        };
        let (known, unknown) = (took("me:wrong").await, took("you:wrong").await);
        assert!(remembered * 5 < known && remembered * 5 < unknown, "{remembered:?}, {known:?}, {unknown:?}");
    }

    #[tokio::test]
    async fn who_guesses_is_held_up_but_not_who_was_let_in_before() {
        let (guard, failed) = (guard(), FailedLogins::default());
        assert_eq!(check(&guard, &basic("me:right"), &failed).await, Ok(()));
        for number in 0..10 {
            assert_eq!(check(&guard, &basic(&format!("me:{number}")), &failed).await, Err(Denied::Wrong));
        }
        assert!(matches!(check(&guard, &basic("me:11"), &failed).await, Err(Denied::Limited(_))));
        assert_eq!(check(&guard, &basic("me:right"), &failed).await, Ok(()));
        assert_eq!(check(&guard, "Bearer one", &failed).await, Ok(()));
    }
}
