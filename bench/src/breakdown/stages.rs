//! From marks to stages: when each chunk was where, for each consumer, and how long each stage took.
//!
//! ```text
//!   due ──▶ socket ──▶ ring ──▶ send ──▶ receive ──▶ play
//!        publisher      distributor        consumer
//! ```
//!
//! Marks tell of bytes, not of chunks: a chunk has come as far as its last byte. Plain values, no clock.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::marks::{Mark, Step};
use crate::ages::Ages;

/// The stages, in their order.
pub const STAGES: [&str; 5] =
    ["schedule to socket", "socket to ring", "ring to send", "send to receive", "receive to play"];

/// Parts of all deliveries that are told apart by how long they took.
const PARTS: usize = 10;

/// A chunk at one consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Which chunk.
    pub number: u64,
    /// When it was due: nanoseconds, as all that follow.
    pub due: u64,
    /// When its last byte was in the consumer's socket, as the kernel says; `None` where it does not.
    pub received: Option<u64>,
    /// When the consumer had it whole, and handed it on.
    pub played: u64,
    /// The consumer's port.
    pub port: u16,
}

/// How long one stage took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Which one.
    pub name: String,
    /// The mean in microseconds: those of all stages add up to that of the whole way.
    pub mean_us: f64,
    /// All of them.
    pub ages: Ages,
}

/// Where the time went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// One after the other.
    pub stages: Vec<Stage>,
    /// The whole way.
    pub whole: Ages,
    /// Deliveries that it was seen of, chunks by consumers.
    pub seen: u64,
    /// Those of which something was not told.
    pub unseen: u64,
    /// The mean of each stage in microseconds, for the fastest tenth of all deliveries, the next one, and
    /// so on: what is different about the slow ones?
    pub tenths: Vec<[f64; STAGES.len()]>,
}

/// What was told of one run.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Bytes of each chunk.
    pub chunk_bytes: u64,
    /// Chunks by number, and when the publisher gave each to the kernel.
    pub sent: HashMap<u64, u64>,
    /// What the distributor told.
    pub relay: Vec<Mark>,
    /// What the consumer told, where the kernel does not.
    pub consumer: Vec<Mark>,
    /// Who got what.
    pub arrivals: Vec<Arrival>,
}

/// When bytes had come somewhere, in the order of their places.
type Course = Vec<(u64, u64)>;

impl Told {
    /// What it comes to.
    #[must_use]
    pub fn stages(&self) -> Stages {
        let ring = course(self.relay.iter().filter(|mark| mark.step == Step::Ring));
        let receive = course(self.consumer.iter().filter(|mark| mark.step == Step::Receive));
        let mut sends = HashMap::<u16, Course>::new();
        for mark in self.relay.iter().filter(|mark| mark.step == Step::Send) {
            sends.entry(mark.peer).or_default().push((mark.end, mark.at));
        }
        sends.values_mut().for_each(put_in_order);
        let mut lengths = Vec::new();
        for arrival in &self.arrivals {
            let end = (arrival.number + 1) * self.chunk_bytes;
            // A delivery that does not know its consumer is the only one.
            let send = sends.get(&arrival.port).or_else(|| sends.get(&0));
            let places = [
                Some(arrival.due),
                self.sent.get(&arrival.number).copied(),
                when(&ring, end),
                send.and_then(|send| when(send, end)),
                arrival.received.or_else(|| when(&receive, end)),
                Some(arrival.played),
            ];
            lengths.extend(lengths_of(places));
        }
        sum_up(lengths, self.arrivals.len())
    }
}

fn course<'a>(marks: impl Iterator<Item = &'a Mark>) -> Course {
    let mut course = marks.map(|mark| (mark.end, mark.at)).collect();
    put_in_order(&mut course);
    course
}

fn put_in_order(course: &mut Course) {
    course.sort_unstable();
}

/// When all bytes before `end` had come.
fn when(course: &Course, end: u64) -> Option<u64> {
    let first = course.partition_point(|(so_far, _)| *so_far < end);
    course.get(first).map(|(_, at)| *at)
}

/// How long each stage took, in nanoseconds. Clocks of the kernel and of programs differ by some hundred
/// nanoseconds: nothing is somewhere before it was where it came from.
fn lengths_of(places: [Option<u64>; STAGES.len() + 1]) -> Option<[u64; STAGES.len()]> {
    let (mut lengths, mut places) = ([0; STAGES.len()], places.into_iter());
    let mut last = places.next()??;
    for (length, place) in lengths.iter_mut().zip(places) {
        let place = place?.max(last);
        (*length, last) = (place - last, place);
    }
    Some(lengths)
}

fn sum_up(mut lengths: Vec<[u64; STAGES.len()]>, all: usize) -> Stages {
    lengths.sort_by_key(|stages| stages.iter().sum::<u64>());
    let means = means(&lengths);
    let stages = STAGES.iter().zip(means).enumerate().map(|(index, (name, mean_us))| {
        let mut ages = Ages::default();
        let of = lengths.iter().filter_map(|stages| stages.get(index));
        of.for_each(|nanos| ages.record(Duration::from_nanos(*nanos)));
        Stage { name: (*name).to_owned(), mean_us, ages }
    });
    let (stages, mut whole) = (stages.collect(), Ages::default());
    lengths.iter().for_each(|it| whole.record(Duration::from_nanos(it.iter().sum())));
    let bound = |part| lengths.len() * part / PARTS;
    let parts = (0..PARTS).filter_map(|part| lengths.get(bound(part)..bound(part + 1)));
    Stages {
        stages,
        whole,
        seen: lengths.len() as u64,
        unseen: (all - lengths.len()) as u64,
        tenths: parts.filter(|part| !part.is_empty()).map(self::means).collect(),
    }
}

/// In microseconds.
fn means(lengths: &[[u64; STAGES.len()]]) -> [f64; STAGES.len()] {
    let mut sums = [0.0; STAGES.len()];
    for stages in lengths {
        sums.iter_mut().zip(stages).for_each(|(sum, nanos)| *sum += *nanos as f64);
    }
    sums.map(|sum| sum / 1e3 / lengths.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn mark(step: Step, end: u64, peer: u16, at: u64) -> Mark {
        Mark { step, end, peer, at }
    }

    /// Two chunks of 100 bytes at two consumers; the ring has the second one in pieces.
    fn told() -> Told {
        let arrival = |number, port, received, played| Arrival {
            number,
            due: number * 1_000_000,
            received: Some(received),
            played,
            port,
        };
        Told {
            chunk_bytes: 100,
            sent: HashMap::from([(0, 10_000), (1, 1_010_000)]),
            relay: vec![
                mark(Step::Ring, 100, 0, 30_000),
                mark(Step::Send, 100, 7, 40_000),
                mark(Step::Send, 100, 8, 60_000),
                mark(Step::Ring, 150, 0, 1_020_000),
                mark(Step::Ring, 200, 0, 1_030_000),
                mark(Step::Send, 200, 8, 1_040_000),
                mark(Step::Send, 200, 7, 1_060_000),
            ],
            consumer: Vec::new(),
            arrivals: vec![
                arrival(0, 7, 50_000, 51_000),
                arrival(0, 8, 70_000, 72_000),
                arrival(1, 8, 1_050_000, 1_051_000),
            ],
        }
    }

    #[test]
    fn each_stage_is_of_the_chunk_and_of_the_consumer() {
        let found = told().stages();
        assert_eq!((found.seen, found.unseen), (3, 0));
        let means: Vec<_> =
            found.stages.iter().map(|stage| (stage.mean_us * 3.0).round()).collect();
        assert_eq!(means, [30.0, 60.0, 50.0, 30.0, 4.0]);
        assert_eq!(found.whole.latency().max_us, 72);
        assert_eq!(found.tenths.len(), 3);
        assert_eq!(found.tenths.last(), Some(&[10.0, 20.0, 30.0, 10.0, 2.0]));
    }

    #[test]
    fn what_was_not_told_is_not_guessed() {
        let mut told = told();
        told.relay.retain(|mark| !(mark.step == Step::Send && mark.peer == 8));
        let found = told.stages();
        assert_eq!((found.seen, found.unseen), (1, 2));
    }

    #[test]
    fn a_consumer_whose_kernel_tells_nothing_tells_itself() {
        let mut told = told();
        told.arrivals = vec![Arrival { number: 0, played: 51_000, ..Arrival::default() }];
        told.relay.iter_mut().for_each(|mark| mark.peer = 0);
        told.consumer = vec![mark(Step::Receive, 120, 0, 50_000)];
        let found = told.stages();
        let means: Vec<_> = found.stages.iter().map(|stage| stage.mean_us).collect();
        assert_eq!(means, [10.0, 20.0, 10.0, 10.0, 1.0]);
    }

    proptest! {
        #[test]
        fn stages_add_up_to_the_whole_way(
            places in prop::collection::vec(prop::array::uniform6(0..1_000_000u64), 1..50),
        ) {
            let lengths: Vec<_> =
                places.iter().filter_map(|places| lengths_of(places.map(Some))).collect();
            let longest = |places: &[u64; 6]| places.iter().max().unwrap() - places[0];
            let whole: u64 = places.iter().map(longest).sum();
            let found = sum_up(lengths, places.len());
            let sum: f64 = found.stages.iter().map(|stage| stage.mean_us).sum();
            prop_assert!((sum * 1e3 * places.len() as f64 - whole as f64).abs() < 1.0);
            let parts: Vec<f64> = found.tenths.iter().map(|part| part.iter().sum()).collect();
            prop_assert!(parts.is_sorted_by(|a, b| *a <= *b + 1e-6));
        }
    }
}
