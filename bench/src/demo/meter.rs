//! Where the demo's consumer writes to: nothing is kept, everything is verified, and its age taken.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use crate::{
    ages::{Ages, Latency},
    chunk::{Checker, Tally},
    clock::Moment,
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
    all: Ages,
    fresh: Ages,
    fresh_bytes: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        let (checker, fresh_bytes) = (Checker::default(), 0);
        let (all, fresh) = (Ages::default(), Ages::default());
        Self(Mutex::new(State { checker, all, fresh, fresh_bytes }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since the last call.
    pub(super) fn second(&self) -> Second {
        let mut state = self.state();
        let second = Second { bytes: state.fresh_bytes, latency: state.fresh.latency() };
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
        self.state().all.latency()
    }

    fn take(&self, bytes: &[u8], now: Moment) {
        let mut state = self.state();
        let State { checker, all, fresh, fresh_bytes } = &mut *state;
        *fresh_bytes += bytes.len() as u64;
        checker.take(bytes, |chunk| {
            let age = now.since(chunk.due);
            all.record(age);
            fresh.record(age);
        });
    }
}

impl AsyncWrite for &Meter {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes, Moment::now());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chunk::Chunk;

    #[test]
    fn ages_are_told_however_old_and_seconds_begin_anew() {
        let (meter, due) = (Meter::new(), Moment::from_nanos(1));
        let mut bytes = Vec::new();
        for number in 0..2 {
            Chunk { number, due, length: 100 }.write_to(&mut bytes);
        }
        let (first, second) = bytes.split_at(100);
        meter.take(first, due.after(Duration::from_secs(5)));
        assert_eq!(meter.second().latency.max_us / 10_000, 500);
        meter.take(second, due.after(Duration::from_millis(1)));
        let now = meter.second();
        assert_eq!((now.bytes, now.latency.max_us), (100, 1_000));
        assert_eq!(meter.latency().max_us / 10_000, 500);
        assert_eq!(meter.tally().bytes, 200);
    }
}
