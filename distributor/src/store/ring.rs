//! The newest bytes of one stream, in memory, found by their offset.
//!
//! ```text
//!   evicted first                        newest
//!   │ chunk │ chunk │      hole     │ chunk │ chunk │
//!                         ▲ an older chunk that comes late is put where it belongs
//! ```
//!
//! Bytes are copied once, into blocks of our own, and shared from then on: a slice of a network
//! buffer would keep that whole buffer alive, and the bound would be a wish. Those that are most of
//! their buffer stay there, and the rest of it is counted.
//!
//! Plain data: no lock, no task, no clock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use freshet_protocol::ByteRange;

use super::{
    limits::{RING_BLOCK_BYTES, RING_CHUNK_OVERHEAD_BYTES, RING_ROOM_BYTES_MAX, RINGS_FEW},
    timeline::Times,
};
use crate::received::Received;

#[derive(Debug)]
pub(super) struct Ring {
    /// Chunks by the offset of their first byte; they never overlap.
    chunks: BTreeMap<u64, Chunk>,
    /// What the chunks cost: their bytes, and a little for each.
    cost: usize,
    cost_max: usize,
    /// What all rings cost together.
    memory: Arc<AtomicUsize>,
    /// Where the unbroken run that ends with the newest byte begins, while that is known: looking for
    /// it walks all chunks, and appending and evicting need not.
    run_start: Option<u64>,
    block: BytesMut,
}

#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Bytes of memory that it keeps beside its own.
    surplus: usize,
    /// When its first byte was captured, and when it came in.
    pub(super) times: Times,
}

impl Ring {
    /// A ring of at most `cost_max` bytes, counted into `memory`.
    pub(super) fn new(cost_max: usize, memory: Arc<AtomicUsize>) -> Self {
        let (chunks, block, run_start) = (BTreeMap::new(), BytesMut::new(), None);
        Self { chunks, cost: 0, cost_max, memory, run_start, block }
    }

    /// Keep what was `received` at `at`, where nothing may be kept yet; give back the bytes that are now shared.
    /// The caller evicts.
    pub(super) fn insert(&mut self, at: u64, received: &Received, times: Times) -> Bytes {
        let (bytes, surplus) = match received.is_alone {
            true => {
                let bytes = received.bytes.clone();
                let surplus = RING_BLOCK_BYTES.saturating_sub(bytes.len());
                (bytes, surplus)
            }
            false => (self.copy(&received.bytes), 0),
        };
        if self.newest_end() != Some(at) {
            self.run_start = None;
        }
        self.put(at, Chunk { bytes: bytes.clone(), surplus, times });
        bytes
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(RING_BLOCK_BYTES.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    /// Have memory at hand for so many bytes, if they are few and the ring is one of few that still grow. The system
    /// gives a page when it is first written to, and takes its time for it, the longer the longer ago it gave the one
    /// before: so a block is touched as a whole, once, and not with the next chunk. Of a ring that is full it has
    /// given all.
    pub(super) fn make_room(&mut self, bytes: usize) {
        let is_full = self.cost + cost(bytes) > self.cost_max;
        let is_one_of_many = self.cost.saturating_mul(RINGS_FEW) < self.memory.load(Relaxed);
        let is_at_hand = self.block.capacity() >= bytes;
        if is_at_hand || bytes > RING_ROOM_BYTES_MAX || is_full || is_one_of_many {
            return;
        }
        self.block = BytesMut::with_capacity(RING_BLOCK_BYTES);
        self.block.resize(RING_BLOCK_BYTES, 0);
        self.block.clear();
    }

    /// Let go of the oldest chunk if the ring is over its bound, or over `cost_max` where that is
    /// smaller; its place. Never the newest chunk.
    pub(super) fn evict(&mut self, cost_max: usize) -> Option<ByteRange> {
        if self.cost <= self.cost_max.min(cost_max) || self.chunks.len() < 2 {
            return None;
        }
        let (start, chunk) = self.chunks.pop_first()?;
        self.uncount(&chunk);
        if self.run_start == Some(start) {
            self.run_start = self.chunks.first_key_value().map(|(next, _)| *next);
        }
        ByteRange::at(start, chunk.bytes.len() as u64)
    }

    /// Let go of everything.
    pub(super) fn clear(&mut self) {
        while let Some((_, chunk)) = self.chunks.pop_first() {
            self.uncount(&chunk);
        }
        self.block = BytesMut::new();
        self.run_start = None;
    }

    fn newest_end(&self) -> Option<u64> {
        self.chunks.last_key_value().map(|(start, chunk)| start + chunk.bytes.len() as u64)
    }

    /// Let go of what is in `range`: it was not kept after all, or retention has dropped it.
    pub(super) fn remove(&mut self, range: ByteRange) {
        while let Some((start, chunk)) = self.overlapping(range) {
            self.run_start = None;
            self.chunks.remove(&start);
            self.uncount(&chunk);
            let end = start + chunk.bytes.len() as u64;
            let part = |bytes| Chunk { bytes, ..chunk };
            if start < range.start() {
                self.put(start, part(chunk.bytes.slice(..offset(start, range.start()))));
            }
            if range.end() < end {
                self.put(range.end(), part(chunk.bytes.slice(offset(start, range.end())..)));
            }
        }
    }

    fn put(&mut self, at: u64, chunk: Chunk) {
        self.cost += chunk.cost();
        self.memory.fetch_add(chunk.cost(), Relaxed);
        self.chunks.insert(at, chunk);
    }

    fn uncount(&mut self, chunk: &Chunk) {
        self.cost -= chunk.cost();
        self.memory.fetch_sub(chunk.cost(), Relaxed);
    }

    fn overlapping(&self, range: ByteRange) -> Option<(u64, Chunk)> {
        let (&start, chunk) = self.chunks.range(..range.end()).next_back()?;
        (start + chunk.bytes.len() as u64 > range.start()).then(|| (start, chunk.clone()))
    }

    /// The bytes from `at` to the end of the chunk that has it, and when they came; no copy.
    pub(super) fn look(&self, at: u64) -> Option<(Bytes, Times)> {
        let (&start, chunk) = self.chunks.range(..=at).next_back()?;
        let skip = usize::try_from(at - start).ok()?;
        (skip < chunk.bytes.len()).then(|| (chunk.bytes.slice(skip..), chunk.times))
    }

    /// The same without the times.
    pub(super) fn read(&self, at: u64) -> Option<Bytes> {
        Some(self.look(at)?.0)
    }

    /// What there is of the chunk that has the byte at `at`, from that on, and when it came.
    pub(super) fn piece(&self, at: u64) -> Option<(ByteRange, Times)> {
        let (&start, chunk) = self.chunks.range(..=at).next_back()?;
        let range = ByteRange::new(at, start + chunk.bytes.len() as u64)?;
        Some((range, chunk.times))
    }

    /// The oldest byte of the unbroken run that ends with the newest one; `None` where it is empty.
    pub(super) fn newest_run_start(&mut self) -> Option<u64> {
        if self.run_start.is_none() {
            self.run_start = self.find_run_start();
        }
        self.run_start
    }

    fn find_run_start(&self) -> Option<u64> {
        let mut chunks = self.chunks.iter().rev();
        let mut start = *chunks.next()?.0;
        for (&older, chunk) in chunks {
            if older + chunk.bytes.len() as u64 != start {
                break;
            }
            start = older;
        }
        Some(start)
    }
}

impl Chunk {
    fn cost(&self) -> usize {
        cost(self.bytes.len() + self.surplus)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}

fn cost(bytes: usize) -> usize {
    bytes + RING_CHUNK_OVERHEAD_BYTES
}

fn offset(from: u64, to: u64) -> usize {
    usize::try_from(to - from).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use freshet_protocol::Stamp;

    use super::*;

    const TIMES: Times = Times { captured: None, received: Stamp::from_nanos(7) };

    fn received(bytes: usize) -> Received {
        Received { bytes: vec![7; bytes].into(), is_alone: false }
    }

    /// What the ring says at each offset below 300.
    fn contents(ring: &Ring) -> Vec<Option<u8>> {
        (0..300).map(|at| ring.read(at).map(|bytes| bytes[0])).collect()
    }

    proptest! {
        /// Against the simplest model: a byte or nothing at each offset.
        #[test]
        fn what_is_kept_is_what_was_put_there(
            edits in vec((0..200u64, vec(any::<u8>(), 1..40), any::<[bool; 2]>()), 0..40),
        ) {
            let mut ring = Ring::new(usize::MAX, Arc::default());
            let mut model: Vec<Option<u8>> = vec![None; 300];
            for (at, bytes, [add, is_alone]) in edits {
                let range = ByteRange::at(at, bytes.len() as u64).unwrap();
                let place = usize::try_from(at).unwrap()..usize::try_from(range.end()).unwrap();
                ring.remove(range);
                model[place.clone()].fill(None);
                ring.make_room(bytes.len());
                if add {
                    let received = Received { bytes: bytes.clone().into(), is_alone };
                    ring.insert(at, &received, TIMES);
                    for (slot, byte) in model[place].iter_mut().zip(&bytes) {
                        *slot = Some(*byte);
                    }
                }
                prop_assert_eq!(&contents(&ring), &model);
                prop_assert_eq!(ring.newest_run_start(), ring.find_run_start());
            }
            let expected: usize = ring.chunks.values().map(Chunk::cost).sum();
            prop_assert_eq!(ring.cost, expected);
            prop_assert_eq!(ring.memory.load(Relaxed), expected);
        }

        #[test]
        fn eviction_takes_the_oldest_and_keeps_the_bound(sizes in vec(1..50usize, 1..60)) {
            let mut ring = Ring::new(2000, Arc::default());
            let mut at = 0;
            for size in sizes {
                ring.insert(at, &received(size), TIMES);
                at += size as u64;
                while ring.evict(usize::MAX).is_some() {}
                prop_assert!(ring.cost <= 2000);
                let start = ring.newest_run_start().unwrap();
                prop_assert_eq!(Some(start), ring.find_run_start());
                prop_assert!(ring.read(start).is_some() && ring.read(at - 1).is_some());
                prop_assert!(start == 0 || ring.read(start - 1).is_none());
            }
        }
    }

    #[test]
    fn what_has_its_memory_to_itself_is_not_copied_and_all_of_that_is_counted() {
        let mut ring = Ring::new(usize::MAX, Arc::default());
        let bytes = Bytes::from(vec![7; 50_000]);
        ring.insert(0, &Received { bytes: bytes.clone(), is_alone: true }, TIMES);
        ring.insert(50_000, &Received { bytes: bytes.clone(), is_alone: false }, TIMES);
        let at = |at| ring.read(at).unwrap().as_ptr();
        assert_eq!(at(0), bytes.as_ptr());
        assert_ne!(at(50_000), bytes.as_ptr());
        assert_eq!(ring.cost, cost(RING_BLOCK_BYTES) + cost(50_000));
    }

    #[test]
    fn the_newest_chunk_stays_even_if_it_is_larger_than_the_bound() {
        let mut ring = Ring::new(10, Arc::default());
        ring.insert(0, &received(5), TIMES);
        ring.insert(5, &received(100), TIMES);
        assert_eq!(ring.evict(usize::MAX), ByteRange::new(0, 5));
        assert_eq!(ring.evict(usize::MAX), None);
        assert_eq!(ring.read(104).unwrap().len(), 1);
    }
}
