//! What the roles tell of a stream's way ([`way`]), collected in the process that tells it: a listener for
//! `tracing`, and the marks that it has made.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use freshet_protocol::way;
use serde::{Deserialize, Serialize};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, Targets},
    fmt::layer,
    layer::{Context, SubscriberExt},
    registry,
    util::SubscriberInitExt,
};

use crate::{clock::Moment, limits::MARKS_MAX};

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// In the ring of a distributor.
    Ring,
    /// About to be handed to a consumer's socket.
    Send,
    /// Taken from a connection by a consumer.
    Receive,
}

/// All bytes before `end` have come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where.
    pub step: Step,
    /// One past the last byte.
    pub end: u64,
    /// The port of the consumer; 0 where it is not known, or is none's in particular.
    pub peer: u16,
    /// When: nanoseconds of [`Moment`].
    pub at: u64,
}

/// Listens, and keeps what it hears; each clone keeps it in the same place.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Mark>>>);

impl Recorder {
    /// What was told so far, in the order in which it was.
    #[must_use]
    pub fn take(&self) -> Vec<Mark> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, mark: Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is beyond is missing in the figures, and they say so.
        if marks.len() < MARKS_MAX {
            marks.push(mark);
        }
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (at, mut told) = (Moment::now().nanos(), Told::default());
        event.record(&mut told);
        if let Told { step: Some(step), end, peer } = told {
            self.keep(Mark { step, end, peer, at });
        }
    }
}

/// The fields of such an event.
#[derive(Default)]
struct Told {
    step: Option<Step>,
    end: u64,
    peer: u16,
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "end" => self.end = value,
            "peer" => self.peer = u16::try_from(value).unwrap_or(0),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "step" {
            self.step = match value {
                way::RING => Some(Step::Ring),
                way::SEND => Some(Step::Send),
                way::RECEIVE => Some(Step::Receive),
                _ => None,
            };
        }
    }

    // Of no type that the words above have.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Log to standard error as `RUST_LOG` says, by default warnings; have `recorder` listen, if there is one.
pub fn log(recorder: Option<Recorder>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let way = Targets::new().with_target(way::TARGET, LevelFilter::TRACE);
    registry()
        .with(layer().with_writer(std::io::stderr).with_filter(filter))
        .with(recorder.map(|recorder| recorder.with_filter(way)))
        .init();
}

#[cfg(test)]
mod tests {
    use tracing::{subscriber::with_default, trace};

    use super::*;

    #[test]
    fn what_is_told_of_the_way_is_kept_and_nothing_else_is() {
        let recorder = Recorder::default();
        let way = Targets::new().with_target(way::TARGET, LevelFilter::TRACE);
        let before = Moment::now().nanos();

        with_default(registry().with(recorder.clone().with_filter(way)), || {
            trace!(target: way::TARGET, step = way::RING, end = 7_u64);
            trace!(target: way::TARGET, step = way::SEND, end = 7_u64, peer = 80_u16);
            trace!(target: way::TARGET, step = "elsewhere", end = 7_u64);
            trace!(step = way::RECEIVE, end = 7_u64);
        });

        let marks = recorder.take();
        let told: Vec<_> = marks.iter().map(|mark| (mark.step, mark.end, mark.peer)).collect();
        assert_eq!(told, [(Step::Ring, 7, 0), (Step::Send, 7, 80)]);
        assert!(marks.iter().all(|mark| (before..=Moment::now().nanos()).contains(&mark.at)));
        assert_eq!(recorder.take(), []);
    }
}
