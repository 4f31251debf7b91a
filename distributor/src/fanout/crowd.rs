//! Who sits at the live edge of one stream, and the walkers who serve them.

use std::{
    iter,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::TcpStream,
    sync::oneshot::{self, error::TryRecvError},
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{
    Fanout,
    handover::Offer,
    lock,
    seats::{Batch, Left, Shard, Taken},
};
use crate::{
    hub::{Edge, Stream},
    limits::{WALK_BYTES_MIN, WALK_PAUSE, WALK_PUT_OFF_MAX, WALK_SEATS_MIN},
};

/// Those who sit at the live edge of one stream.
#[derive(Debug)]
pub(super) struct Crowd {
    fanout: Arc<Fanout>,
    stream: Arc<Stream>,
    first: Arc<Shard>,
    /// One for each further thread of the runtime.
    others: Vec<Arc<Shard>>,
}

/// A seat that is taken, as its session sees it. Leaves when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    shard: Arc<Shard>,
    key: usize,
    back: oneshot::Receiver<Left>,
}

impl Crowd {
    pub(super) fn new(fanout: &Arc<Fanout>, stream: &Arc<Stream>, threads: usize) -> Self {
        let shard = || Arc::new(Shard::new(&fanout.boundary));
        let (first, others) = (shard(), (1..threads).map(|_| shard()).collect());
        Self { fanout: Arc::clone(fanout), stream: Arc::clone(stream), first, others }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards().all(|shard| shard.load() == 0)
    }

    fn shards(&self) -> impl Iterator<Item = &Arc<Shard>> {
        iter::once(&self.first).chain(&self.others)
    }

    /// Are they more than a handful? Then walkers serve them.
    fn is_crowded(&self) -> bool {
        self.first.load() > WALK_SEATS_MIN
    }

    /// Is there a walker with more than a handful of whom that is so?
    fn any_walked(&self, is_so: impl Fn(&Shard) -> bool) -> bool {
        let walked = |shard: &Shard| shard.load() > WALK_SEATS_MIN;
        self.is_crowded() && self.shards().any(|shard| walked(shard) && is_so(shard))
    }

    /// The shard for somebody who comes. A handful are in the first one, and are served by whoever
    /// brings the bytes: to wake a walker takes longer than to write to them.
    fn emptiest(&self) -> &Arc<Shard> {
        if self.first.load() < WALK_SEATS_MIN {
            return &self.first;
        }
        self.shards().min_by_key(|shard| shard.load()).unwrap_or(&self.first)
    }

    pub(super) fn sit(self: &Arc<Self>, socket: Arc<TcpStream>, offer: Offer) -> Seat {
        let Offer { at, framing, standing, .. } = offer;
        let (sender, back) = oneshot::channel();
        let counted = self.fanout.count();
        let taken = Taken { socket, framing, at, standing, back: sender, _counted: counted };
        let shard = Arc::clone(self.emptiest());
        let key = {
            let mut seats = lock(&shard.seats);
            if !std::mem::replace(&mut seats.is_walked, true) {
                self.fanout.spawn(walk(Arc::clone(self), Arc::clone(&shard)));
            }
            seats.taken.insert(taken)
        };
        // What came before that was announced to nobody who sits here.
        if !self.stream.is_edge(at) {
            shard.tell();
        }
        Seat { crowd: Arc::clone(self), shard, key, back }
    }

    /// Write one frame to those in a shard who are behind, to a few at a time.
    fn write(&self, shard: &Shard, from: usize) -> Batch {
        let batch = shard.serve(from, &self.stream);
        self.fanout.sent().inc_by(batch.bytes);
        if let Some(received) = batch.received {
            self.stream.count_ages(received, batch.writes);
        }
        if batch.someone_left {
            shard.tell();
            self.fanout.clear(self.stream.id());
        }
        batch
    }

    /// Where what there is to write is little, let the next chunk come, if the last walk has been just now: a
    /// send costs nearly the same for two small chunks as for one. How often in a row that was so.
    async fn gather(&self, shard: &Shard, walked: Option<Instant>, in_a_row: u32) -> u32 {
        let Some(walked) = walked else { return 0 };
        let (mut was_put_off, latest) = (false, Instant::now() + WALK_PAUSE);
        let there = || self.stream.end().saturating_sub(shard.served.load(Relaxed));
        while waits_for_more(there(), walked.elapsed(), in_a_row) {
            was_put_off = true;
            if timeout_at(latest, shard.moved.notified()).await.is_err() {
                break;
            }
        }
        if was_put_off { in_a_row + 1 } else { 0 }
    }

    /// Write one frame to everybody in a shard who is behind; is there more to be had by now?
    async fn round(&self, shard: &Shard) -> bool {
        let (mut more, mut from) = (false, Some(0));
        while let Some(key) = from {
            let batch = self.write(shard, key);
            (more, from) = (more | batch.more, batch.next);
            if from.is_some() {
                yield_now().await;
            }
        }
        more
    }
}

impl Edge for Crowd {
    /// Serve a handful here and now; where they are more, have it done.
    fn serve(&self) {
        if !self.is_crowded() && !self.write(&self.first, 0).more {
            self.others.iter().for_each(|shard| shard.tell());
        } else {
            self.shards().for_each(|shard| shard.tell());
        }
    }

    fn is_to_begin(&self) -> bool {
        self.any_walked(|shard| shard.is_told.load(Relaxed))
    }

    fn is_behind(&self) -> bool {
        self.any_walked(|shard| shard.is_behind(self.stream.end()))
    }
}

/// Is a walk to be put off that has so many bytes to write, so long after the last one began, and after so
/// many that were put off?
fn waits_for_more(there: u64, since: Duration, in_a_row: u32) -> bool {
    in_a_row < WALK_PUT_OFF_MAX && (1..WALK_BYTES_MIN).contains(&there) && since < WALK_PAUSE
}

/// Serve a shard, until nobody sits there any more.
async fn walk(crowd: Arc<Crowd>, shard: Arc<Shard>) {
    let (mut walked, mut put_off) = (None, 0);
    loop {
        put_off = crowd.gather(&shard, walked, put_off).await;
        shard.is_told.store(false, Relaxed);
        walked = Some(Instant::now());
        let end = crowd.stream.end();
        let there_is_more = crowd.round(&shard).await;
        if shard.is_deserted() {
            return;
        }
        let mut told = pin!(shard.moved.notified());
        if !there_is_more {
            shard.served.store(end, Relaxed);
        }
        if there_is_more || told.as_mut().enable() {
            yield_now().await;
        } else {
            told.await;
        }
    }
}

impl Seat {
    /// Wait until the session has to go on by itself.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Left> {
        match ready!(Pin::new(&mut self.back).poll(cx)) {
            Ok(left) => Poll::Ready(left),
            // Nobody gives a seat up without a word.
            Err(_) => Poll::Pending,
        }
    }

    /// Leave now: from here on nobody else writes to the socket. `None` where that was told before.
    pub(super) fn leave(&mut self) -> Option<Left> {
        let taken = {
            let mut seats = lock(&self.shard.seats);
            match self.back.try_recv() {
                Ok(left) => return Some(left),
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) => seats.taken.try_remove(self.key),
            }
        };
        // The walker may have to end.
        self.shard.tell();
        self.crowd.fanout.clear(self.crowd.stream.id());
        taken.map(|taken| Left { at: taken.at, rest: Bytes::new(), was_full: false })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of each walk, of a stream whose chunks of so many bytes come so far apart.
    fn walks(chunk: u64, apart: Duration) -> Vec<u64> {
        let (mut there, mut last, mut in_a_row, mut walks) = (0, None::<Duration>, 0, Vec::new());
        let mut was_put_off = false;
        for number in 0..30 {
            let now = apart * number;
            there += chunk;
            let since = last.map_or(Duration::MAX, |last| now - last);
            if waits_for_more(there, since, in_a_row) {
                was_put_off = true;
                continue;
            }
            in_a_row = if was_put_off { in_a_row + 1 } else { 0 };
            (last, was_put_off) = (Some(now), false);
            walks.push(std::mem::take(&mut there));
        }
        walks
    }

    #[test]
    fn two_of_three_walks_of_small_chunks_take_two_of_them() {
        let walks = walks(1_316, Duration::from_micros(2_632));
        assert_eq!(walks[..7], [1_316, 2_632, 2_632, 1_316, 2_632, 2_632, 1_316]);
    }

    #[test]
    fn chunks_that_are_large_or_far_apart_wait_for_nothing() {
        assert!(walks(4_096, Duration::from_micros(100)).iter().all(|bytes| *bytes == 4_096));
        assert!(walks(100, WALK_PAUSE).iter().all(|bytes| *bytes == 100));
    }
}
