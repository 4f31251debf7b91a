//! Where the demo's consumer writes to: nothing is kept, everything is verified, and its age taken.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::SystemTime,
};

use freshet_protocol::Stamp;
use hdrhistogram::Histogram;
use tokio::io::AsyncWrite;

use crate::{
    chunk::{Checker, Tally},
    load::{Latency, latency},
};

/// What the consumer got in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Bytes.
    pub bytes: u64,
    /// How old the chunks were that these bytes completed.
    pub latency: Latency,
}

/// Written to by reference, read from meanwhile.
#[derive(Debug)]
pub(super) struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    checker: Checker,
    all: Histogram<u64>,
    fresh: Histogram<u64>,
    fresh_bytes: u64,
}

impl Default for Meter {
    fn default() -> Self {
        // 3 digits are within what a histogram may have; it grows with what it is given.
        let empty = || Histogram::new(3).expect("3 digits");
        let state =
            State { checker: Checker::default(), all: empty(), fresh: empty(), fresh_bytes: 0 };
        Self(Mutex::new(state))
    }
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since the last call.
    pub(super) fn second(&self) -> Second {
        let mut state = self.state();
        let second = Second { bytes: state.fresh_bytes, latency: latency(&state.fresh) };
        state.fresh.reset();
        state.fresh_bytes = 0;
        second
    }

    /// What the test pattern showed.
    pub(super) fn tally(&self) -> Tally {
        self.state().checker.tally()
    }

    /// How old all chunks were when they were whole.
    pub(super) fn latency(&self) -> Latency {
        latency(&self.state().all)
    }

    fn take(&self, bytes: &[u8], now: Stamp) {
        let mut state = self.state();
        let State { checker, all, fresh, fresh_bytes } = &mut *state;
        *fresh_bytes += bytes.len() as u64;
        checker.take(bytes, |chunk| {
            let age = u64::try_from(now.since(chunk.due).as_micros()).unwrap_or(u64::MAX);
            all.saturating_record(age);
            fresh.saturating_record(age);
        });
    }
}

impl AsyncWrite for &Meter {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes, SystemTime::now().into());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
