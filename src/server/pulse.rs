//! Whether a connection is alive: when its bytes came, how many of its requests are being answered.
//!
//! A connection may be slow in three ways, and each holds a place that somebody else could have: it does not begin to
//! speak, it does not end the head of a request, or it has nothing to say any more.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The times of one connection.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Times>);

#[derive(Debug)]
struct Times {
    speech: Speech,
    /// Since when the head of a request is awaited of which bytes are there, or of the first.
    head_since: Option<Instant>,
    /// Requests that are being answered.
    running: usize,
    /// When the last one was answered, or the connection began.
    last: Instant,
}

/// What is spoken, as far as it can be told.
#[derive(Clone, Copy, Debug)]
enum Speech {
    /// So many bytes of the preface of HTTP/2 have come.
    Unknown(usize),
    Http1,
    Http2,
}

/// Why a connection is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overdue {
    /// The head of a request, or the begin of HTTP/2, does not come to its end.
    Slow,
    /// Nothing is asked.
    Idle,
}

impl Pulse {
    /// Of a connection that was there at this time.
    pub(super) fn new(began: Instant) -> Self {
        Self(Mutex::new(Times { speech: Speech::Unknown(0), head_since: Some(began), running: 0, last: began }))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        // Times are whole whatever happened to who held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request is there with all of its head; it runs until what is returned is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Running {
        self.begun();
        Running(Arc::clone(self))
    }

    fn begun(&self) {
        let mut times = self.times();
        times.head_since = None;
        times.running += 1;
    }

    fn answered(&self, now: Instant) {
        let mut times = self.times();
        times.running -= 1;
        times.last = now;
    }

    /// What is wrong with the connection by now.
    pub(super) fn overdue(&self, now: Instant, head: Duration, idle: Duration) -> Option<Overdue> {
        let times = self.times();
        let is_over = |since: Instant, limit| now.saturating_duration_since(since) > limit;
        if times.running > 0 {
            None
        } else if times.head_since.is_some_and(|since| is_over(since, head)) {
            Some(Overdue::Slow)
        } else {
            is_over(times.last, idle).then_some(Overdue::Idle)
        }
    }

    fn came(&self, bytes: &[u8], now: Instant) {
        let mut times = self.times();
        if let Speech::Unknown(matched) = times.speech {
            let expected = &PREFACE[matched..];
            let length = expected.len().min(bytes.len());
            if bytes[..length] != expected[..length] {
                times.speech = Speech::Http1;
            } else if length == expected.len() {
                times.speech = Speech::Http2;
                times.head_since = None;
            } else {
                times.speech = Speech::Unknown(matched + length);
            }
        }
        // Of HTTP/2 also pings come while nothing is asked.
        if matches!(times.speech, Speech::Http1) && times.running == 0 && times.head_since.is_none() {
            times.head_since = Some(now);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running(Arc<Pulse>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
    }
}

/// A stream whose reads are noted.
#[derive(Debug)]
pub(super) struct Felt<S> {
    pub(super) stream: S,
    pub(super) pulse: Arc<Pulse>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Felt<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, out);
        let came = &out.filled()[before..];
        if !came.is_empty() {
            self.pulse.came(came, Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Felt<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection and the time that it is, in seconds.
    struct Played(Pulse, Instant);

    impl Played {
        fn new() -> Self {
            let began = Instant::now();
            Self(Pulse::new(began), began)
        }

        fn came(&self, second: u64, bytes: &[u8]) {
            self.0.came(bytes, self.1 + Duration::from_secs(second));
        }

        fn answered(&self, second: u64) {
            self.0.answered(self.1 + Duration::from_secs(second));
        }

        fn at(&self, second: u64) -> Option<Overdue> {
            let now = self.1 + Duration::from_secs(second);
            self.0.overdue(now, Duration::from_secs(10), Duration::from_secs(120))
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_slow_and_one_that_does_not_begin_idle() {
        let played = Played::new();
        played.came(0, b"POST / HTTP/1.1\r\n");
        assert_eq!(played.at(9), None);
        played.came(9, b"host: a\r\n");
        assert_eq!(played.at(11), Some(Overdue::Slow), "bytes that trickle do not help");
        played.0.begun();
        assert_eq!(played.at(1000), None, "an answer takes the time it takes");
        played.answered(1000);
        assert_eq!([played.at(1119), played.at(1121)], [None, Some(Overdue::Idle)]);
        played.came(1050, b"G");
        assert_eq!([played.at(1059), played.at(1061)], [None, Some(Overdue::Slow)], "of the next as of the first");
    }

    #[test]
    fn http_2_has_begun_with_its_preface_and_may_ping() {
        let [silent, half, played] = [Played::new(), Played::new(), Played::new()];
        half.came(0, &PREFACE[..20]);
        played.came(0, &PREFACE[..3]);
        played.came(1, &[&PREFACE[3..], &[0; 9]].concat());
        assert_eq!([silent.at(60), half.at(60), played.at(60)], [Some(Overdue::Slow), Some(Overdue::Slow), None]);
        played.came(61, &[0; 17]);
        assert_eq!([played.at(119), played.at(121)], [None, Some(Overdue::Idle)]);
    }
}
