//! Grafana's signature: HMAC-SHA256 of the body as it came, hexadecimal; with a timestamp header, of
//! `"{timestamp}:{body}"`.

use std::fs;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::problem::Problem;
use crate::respond::Signature;
use crate::telemetry::time::NANOS_PER_SECOND;

/// A signed time may be so far from ours.
const TOLERANCE_SECONDS: i64 = 300;

/// Checks the signature in constant time.
pub(super) fn check(expected: &Signature, headers: &HeaderMap, body: &[u8], now_ns: i64) -> Result<(), Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wrong = |problem: String| Problem::Unauthorized(problem);
    let told = header(&expected.header)
        .ok_or_else(|| wrong(format!("the signature is missing: the header {} has none", expected.header)))?;
    let told = told.strip_prefix("sha256=").unwrap_or(told);
    let told = from_hexadecimal(told).ok_or_else(|| wrong("the signature is not hexadecimal".to_owned()))?;
    let secret = fs::read_to_string(&expected.secret_file).map_err(|error| {
        tracing::error!(file = %expected.secret_file.display(), %error, "the key of signatures cannot be read");
        Problem::Unavailable { problem: "the key of signatures cannot be read".to_owned(), after_seconds: 30 }
    })?;
    if secret.trim().is_empty() {
        tracing::error!(file = %expected.secret_file.display(), "the key of signatures is empty");
        return Err(Problem::Unavailable { problem: "the key of signatures is empty".to_owned(), after_seconds: 30 });
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.trim().as_bytes()).expect("a key of any length is taken");
    if let Some(name) = &expected.timestamp_header {
        let timestamp = header(name).ok_or_else(|| wrong(format!("the header {name} with the time is missing")))?;
        let seconds: i64 =
            timestamp.parse().map_err(|_syntax| wrong(format!("the header {name} holds no Unix time in seconds")))?;
        if (seconds.saturating_sub(now_ns / NANOS_PER_SECOND)).saturating_abs() > TOLERANCE_SECONDS {
            return Err(wrong("the signature is too old, or a clock is wrong".to_owned()));
        }
        mac.update(timestamp.as_bytes());
        mac.update(b":");
    }
    mac.update(body);
    mac.verify_slice(&told).map_err(|_mismatch| wrong("the signature is wrong: compare the two secrets".to_owned()))
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, String)], timestamp_header: Option<&str>, now_ns: i64) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let secret_file = folder.path().join("key");
        fs::write(&secret_file, "key\n").unwrap();
        let expected = Signature {
            secret_file,
            header: "X-Grafana-Alerting-Signature".to_owned(),
            timestamp_header: timestamp_header.map(str::to_owned),
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let body = b"The quick brown fox jumps over the lazy dog";
        check(&expected, &map, body, now_ns).map_err(|problem| match problem {
            Problem::Unauthorized(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_published_example_verifies_and_nothing_else_does() {
        // HMAC_SHA256("key", "The quick brown fox …"), as in Wikipedia's article on HMAC.
        let right = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8".to_owned();
        let header = "x-grafana-alerting-signature";
        assert_eq!(checked(&[(header, right.clone())], None, 0), Ok(()));
        assert_eq!(checked(&[(header, right.to_uppercase())], None, 0), Ok(()));
        for (value, expected) in [("00", "is wrong"), ("zz", "not hexadecimal"), ("0", "not hexadecimal")] {
            assert!(checked(&[(header, value.to_owned())], None, 0).unwrap_err().contains(expected), "{value}");
        }
        assert!(checked(&[], None, 0).unwrap_err().contains("missing"));
        let stamped = |seconds: &str| [(header, right.clone()), ("x-time", seconds.to_owned())];
        assert!(checked(&[(header, right.clone())], Some("X-Time"), 0).unwrap_err().contains("missing"));
        assert!(checked(&stamped("1000"), Some("X-Time"), 0).unwrap_err().contains("too old"));
        assert!(checked(&stamped("10"), Some("X-Time"), 0).unwrap_err().contains("is wrong"));
        assert!(checked(&stamped("soon"), Some("X-Time"), 0).unwrap_err().contains("no Unix time"));
    }
}
