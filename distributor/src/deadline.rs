//! A time that is moved on and on, and is to be noticed when it passes after all.
//!
//! ```text
//!   byte, byte, byte: moved, no timer touched ──▶ the timer fires at an earlier time, and is set to this one
//!                                             └─▶ nothing came: it has passed
//! ```

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A time by which something is to happen.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    /// Set when it is waited for, and not later than that time: to move it on costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, timer: None }
    }

    /// When that is.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// It is another time from now on.
    pub(crate) fn put(&mut self, at: Instant) {
        self.at = at;
        if let Some(timer) = self.timer.as_mut().filter(|timer| timer.deadline() > at) {
            timer.as_mut().reset(at);
        }
    }

    /// Wait until it has passed. Cancel safe.
    pub(crate) async fn passed(&mut self) {
        poll_fn(|cx| self.poll_passed(cx)).await;
    }

    /// Has it passed?
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_passes_at_the_time_that_it_was_put_to_last() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(begun + SECOND);
        assert!(timeout(SECOND / 2, deadline.passed()).await.is_err());

        deadline.put(begun + SECOND * 10);
        assert!(timeout(SECOND * 5, deadline.passed()).await.is_err());
        deadline.put(begun + SECOND * 7);
        deadline.passed().await;
        assert_eq!(begun.elapsed().as_secs(), 7);

        sleep(SECOND).await;
        deadline.put(Instant::now());
        deadline.passed().await;
        assert_eq!(begun.elapsed().as_secs(), 8);
    }
}
