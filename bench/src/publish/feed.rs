//! All streams of a run, published by one thread: each chunk when it is due, or as fast as the consumers
//! take them.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Body, Schedule};
use crate::{
    chunk::Chunk,
    clock::Moment,
    limits::{BEFORE_JOIN, PEAK_AHEAD_BYTES, SILENCE},
    load::{Ages, Window},
    target::Target,
};

/// What is published, and where to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Feed {
    /// Where the stream goes; where there are several, each to a name of its own.
    pub to: Target,
    /// How many.
    pub streams: usize,
    /// Bytes of each chunk.
    pub chunk: usize,
    /// Bits per second of each.
    pub rate: u64,
    /// Is it to be told when each chunk was sent?
    pub is_traced: bool,
}

/// What the publisher saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fed {
    /// Chunks that were due in the measured time.
    pub chunks: u64,
    /// How late they were given to the kernel.
    pub late: Ages,
    /// How long each one's acknowledgement took, where there is one.
    pub acknowledged: Ages,
    /// Where it is traced: chunks by number, and when each was given to the kernel, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<(u64, u64)>,
}

impl Feed {
    /// Publish until `window` is closed for good. `ready` is called once the relay has taken the
    /// streams' heads. With `credit` a chunk is due when the consumers have room for it.
    ///
    /// # Errors
    ///
    /// A stream is not taken, or breaks off.
    pub fn run(
        &self,
        window: &Window,
        credit: Option<&Credit>,
        ready: impl FnOnce(),
    ) -> anyhow::Result<Fed> {
        let open = |number| Body::open(&self.to.stream(number, self.streams));
        let mut bodies = (0..self.streams).map(open).collect::<anyhow::Result<Vec<_>>>()?;
        ready();
        let start = Moment::now();
        let (chunk_bytes, bits_per_second) = (self.chunk, self.rate);
        let schedule = Schedule { start, chunk_bytes, bits_per_second };
        let turns: Vec<_> =
            (0..self.streams).map(|number| schedule.of_stream(number, self.streams)).collect();
        let mut fed = Fed::default();
        for number in 0.. {
            for (body, turn) in bodies.iter_mut().zip(&turns) {
                if window.is_closed() {
                    return self.end(bodies, fed);
                }
                let chunk = self.next(number, turn, credit)?;
                let sent = Moment::now();
                let acknowledged = body.send(&chunk).with_context(|| self.to.to_string())?;
                if window.has(chunk.due) {
                    fed.chunks += 1;
                    if self.is_traced {
                        fed.sent.push((chunk.number, sent.nanos()));
                    }
                    fed.late.record(Moment::now().since(chunk.due));
                    acknowledged.into_iter().for_each(|time| fed.acknowledged.record(time));
                }
            }
        }
        Ok(fed)
    }

    /// Wait until chunk `number` is due.
    fn next(&self, number: u64, turn: &Schedule, credit: Option<&Credit>) -> anyhow::Result<Chunk> {
        let Some(credit) = credit else {
            let chunk = turn.chunk(number);
            thread::sleep(chunk.due.left());
            return Ok(chunk);
        };
        credit.wait((PEAK_AHEAD_BYTES / self.chunk) as u64, number)?;
        Ok(Chunk { number, due: Moment::now(), length: self.chunk })
    }

    /// What cannot end well need not: the relay may have been told to go.
    fn end(&self, mut bodies: Vec<Body>, fed: Fed) -> anyhow::Result<Fed> {
        bodies.iter_mut().try_for_each(Body::finish).with_context(|| self.to.to_string())?;
        bodies.into_iter().try_for_each(Body::end).with_context(|| self.to.to_string())?;
        Ok(fed)
    }
}

/// How far the slowest consumer is, so that a publisher in haste stays near it.
#[derive(Debug)]
pub struct Credit {
    /// The next chunk that the slowest consumer of each thread wants; nothing before all have one.
    wanted: Mutex<Vec<Option<u64>>>,
    moved: Condvar,
}

impl Credit {
    /// With consumers in so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { wanted: Mutex::new(vec![None; threads]), moved: Condvar::new() }
    }

    /// The slowest consumer of that thread wants this chunk next.
    pub(crate) fn set(&self, thread: usize, next: u64) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = wanted.get_mut(thread) {
            *slot = Some(next);
        }
        self.moved.notify_one();
    }

    /// Nobody consumes any more: wait for nobody.
    pub(crate) fn release(&self) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.fill(Some(u64::MAX));
        self.moved.notify_one();
    }

    /// Wait until chunk `number` is at most `ahead` ahead of the slowest. Before all consumers have
    /// something the stream trickles: some relays answer only when bytes come.
    fn wait(&self, ahead: u64, number: u64) -> anyhow::Result<()> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = |wanted: &Vec<Option<u64>>| wanted.iter().copied().min().flatten();
        if slowest(&wanted).is_none() {
            drop(wanted);
            thread::sleep(BEFORE_JOIN);
            return Ok(());
        }
        let far = |wanted: &mut Vec<Option<u64>>| {
            slowest(wanted).is_some_and(|next| number > next.saturating_add(ahead.max(1)))
        };
        let waited = self.moved.wait_timeout_while(wanted, SILENCE, far);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            bail!("a consumer takes nothing for {} s", Duration::as_secs(&SILENCE));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener};

    use super::*;
    use crate::{chunk::Checker, target::Scheme};

    /// Chunks that are larger than what sockets have room for: who does not read holds the publisher up.
    const CHUNK_BYTES: usize = 1 << 20;

    /// The time that each chunk had to be there, and when it was, of a stream of 20 chunks a second that
    /// nobody reads for a while at first.
    fn held_up() -> (Vec<(Moment, Moment)>, Fed) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Target::new(Scheme::Tcp, listener.local_addr().unwrap(), "/x");
        let rate = CHUNK_BYTES as u64 * 8 * 20;
        let feed = Feed { to, streams: 1, chunk: CHUNK_BYTES, rate, is_traced: true };
        let window = Window::default();
        window.open(Moment::from_nanos(0), Moment::from_nanos(u64::MAX));
        thread::scope(|scope| {
            let publishing = scope.spawn(|| feed.run(&window, None, || ()).unwrap());
            let (mut there, _) = listener.accept().unwrap();
            thread::sleep(Duration::from_millis(800));
            let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
            let mut checker = Checker::default();
            loop {
                let read = there.read(&mut buffer).unwrap();
                if read == 0 {
                    break;
                }
                checker.take(&buffer[..read], |chunk| seen.push((chunk.due, Moment::now())));
                if seen.len() > 30 {
                    window.close();
                }
            }
            (seen, publishing.join().unwrap())
        })
    }

    #[test]
    fn a_relay_that_holds_up_is_late_and_the_schedule_waits_for_nobody() {
        let (seen, fed) = held_up();
        let every = Duration::from_millis(50);
        let first = seen[0].0;
        for (number, (due, came)) in (0..).zip(&seen) {
            assert_eq!(*due, first.after(every * number), "chunk {number}");
            assert!(came >= due, "chunk {number} came before it was due");
        }
        // What waited for the reader is late by as much as it waited, in the age and in the publisher's own.
        let late = |(due, came): &(Moment, Moment)| came.since(*due);
        assert!(seen.iter().map(late).max().unwrap() >= Duration::from_millis(500));
        assert!(fed.late.latency().max_us >= 300_000, "{:?}", fed.late.latency());
        // It has caught up, and sends each chunk when it is due, not as fast as it can.
        let last = seen.last().map(late).unwrap();
        assert!(last < Duration::from_millis(500), "{last:?}");
        assert_eq!(fed.sent.len() as u64, fed.chunks);
        let sent_early = fed
            .sent
            .iter()
            .any(|(number, at)| *at < first.after(every * u32::try_from(*number).unwrap()).nanos());
        assert!(!sent_early, "sent before it was due");
    }

    #[test]
    fn a_publisher_waits_for_the_slowest_consumer() {
        let credit = Credit::new(2);
        credit.wait(4, 100).unwrap();
        credit.set(0, 10);
        credit.wait(4, 100).unwrap();
        credit.set(1, 90);
        credit.wait(4, 14).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| credit.wait(4, 15));
            credit.set(0, 11);
            waiting.join().unwrap().unwrap();
        });
        credit.release();
        credit.wait(4, 1_000_000).unwrap();
    }
}
