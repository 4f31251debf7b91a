//! What to do while nothing comes: ask all upstreams, ever less often, whether there is more to be had.
//!
//! A source that pauses is silent, and so is an upstream that has lost its own, or a ring of
//! distributors that have come to follow one another. Whoever holds newer bytes is followed then.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    choose::Outcome,
    request::{Answer, Question},
};
use crate::{config::UpstreamUrl, deadline::Deadline, limits, store::Stream};

pub(super) type Asking = Pin<Box<dyn Future<Output = Option<Outcome>> + Send>>;

/// A silence, or the time until there is one.
pub(super) struct Silence {
    due: Deadline,
    every: Duration,
    asking: Option<Asking>,
}

impl Silence {
    pub(super) fn new() -> Self {
        let every = limits::UPSTREAM_SILENCE_MIN;
        Self { due: Deadline::new(Instant::now() + every), every, asking: None }
    }

    /// A byte has come.
    pub(super) fn broken(&mut self) {
        self.every = limits::UPSTREAM_SILENCE_MIN;
        self.due.put(Instant::now() + self.every);
        self.asking = None;
    }

    /// Wait until it has lasted too long, then wait for what `ask` finds out. Cancel safe.
    pub(super) async fn doubt(&mut self, ask: impl FnOnce() -> Option<Asking>) -> Option<Outcome> {
        if self.asking.is_none() {
            self.due.passed().await;
            self.asking = ask();
        }
        let found = match &mut self.asking {
            Some(asking) => asking.await,
            None => None,
        };
        self.asking = None;
        self.every = (self.every * 2).min(limits::UPSTREAM_SILENCE_MAX);
        self.due.put(Instant::now() + self.every);
        found
    }
}

/// Is the one at `current` alive, and has any of them more than `here`?
pub(super) fn ask_around(
    upstreams: Vec<UpstreamUrl>,
    question: Question,
    current: usize,
    here: Arc<Stream>,
) -> Asking {
    Box::pin(async move {
        for (one, upstream) in upstreams.iter().enumerate() {
            let has_more = match question.head(upstream).await {
                Ok(Answer::Held { held, .. }) => {
                    held.set.end() > here.end() || (held.total.is_some() && here.total().is_none())
                }
                // It would not say that if it still were to send something.
                _ if one == current => return Some(Outcome::Failed),
                _ => false,
            };
            match has_more {
                // Bytes are there to be sent and do not come.
                true if one == current => return Some(Outcome::Failed),
                true => return Some(Outcome::Behind { better: one }),
                false => {}
            }
        }
        None
    })
}
