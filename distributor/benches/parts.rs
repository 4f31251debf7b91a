//! What the distributor's pure parts cost: the ring that each chunk goes through, the journal's records, and
//! the scanners that look at every byte.
//!
//! `cargo bench -p freshet-distributor`

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what is measured is taken in as it is"
)]

use std::{fs, path::PathBuf, sync::Arc};

use divan::{Bencher, black_box, counter::BytesCount};
use freshet_protocol::{ByteRange, Stamp};

/// The distributor's own affair, all of it; pure, and so its source can be taken in.
#[path = "../src/join/mod.rs"]
mod join;
#[path = "../src/store/journal.rs"]
mod journal;
#[path = "../src/store/limits.rs"]
mod limits;
#[path = "../src/store/ring.rs"]
mod ring;

/// What the ring is given.
mod received {
    use bytes::Bytes;

    pub(super) struct Received {
        pub(super) bytes: Bytes,
        pub(super) is_alone: bool,
    }
}

/// What the ring knows of the times of a chunk.
mod timeline {
    use freshet_protocol::Stamp;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Times {
        pub(super) captured: Option<Stamp>,
        pub(super) received: Stamp,
    }
}

use self::{
    join::Scanner,
    journal::{Kind, Record},
    received::Received,
    ring::Ring,
    timeline::Times,
};

fn main() {
    divan::main();
}

const CHUNKS: [usize; 3] = [1_316, 4_096, 65_536];

const TIMES: Times = Times { captured: None, received: Stamp::from_nanos(7) };

/// A chunk of so many bytes, which the ring copies.
fn received(chunk: usize) -> Received {
    Received { bytes: vec![7; chunk].into(), is_alone: false }
}

/// A ring of 16 MiB that is full, and where its newest byte ends.
fn full(chunk: usize) -> (Ring, u64) {
    let (mut ring, mut at, bytes) = (Ring::new(16 << 20, Arc::default()), 0, received(chunk));
    while at < 17 << 20 {
        ring.insert(at, &bytes, TIMES);
        at += chunk as u64;
        while ring.evict(usize::MAX).is_some() {}
    }
    (ring, at)
}

#[divan::bench(args = CHUNKS)]
fn the_ring_takes_a_chunk(bencher: Bencher, chunk: usize) {
    let ((mut ring, mut at), bytes) = (full(chunk), received(chunk));
    bencher.counter(BytesCount::new(chunk)).bench_local(move || {
        let shared = ring.insert(at, &bytes, TIMES);
        at += chunk as u64;
        while ring.evict(usize::MAX).is_some() {}
        shared
    });
}

#[divan::bench(args = CHUNKS)]
fn the_ring_finds_the_newest(bencher: Bencher, chunk: usize) {
    let (ring, end) = full(chunk);
    bencher.bench_local(|| ring.look(black_box(end - 1)).unwrap());
}

#[divan::bench]
fn the_ring_knows_where_its_run_begins(bencher: Bencher) {
    let (mut ring, _) = full(4_096);
    bencher.bench_local(|| ring.newest_run_start());
}

fn record() -> Record {
    let range = ByteRange::at(1 << 20, 4_096).unwrap();
    let (kind, crc, received) = (Kind::Data, 0x1234_5678, Stamp::from_nanos(7));
    Record { kind, range, crc, captured: None, received }
}

#[divan::bench]
fn a_record_is_written(bencher: Bencher) {
    let record = record();
    bencher.bench_local(|| black_box(&record).encode(9));
}

#[divan::bench]
fn a_record_is_read(bencher: Bencher) {
    let bytes = record().encode(9);
    bencher.bench_local(|| Record::decode(black_box(&bytes), 9).unwrap());
}

#[divan::bench(args = CHUNKS)]
fn a_chunks_checksum_is_made(bencher: Bencher, chunk: usize) {
    let bytes = vec![7; chunk];
    bencher.counter(BytesCount::new(chunk)).bench_local(|| crc32c::crc32c(black_box(&bytes)));
}

#[divan::bench(args = CHUNKS)]
fn a_chunks_checksum_is_compared(bencher: Bencher, chunk: usize) {
    let bytes = vec![7; chunk];
    bencher
        .counter(BytesCount::new(chunk))
        .bench_local(|| crc_fast::crc32_iscsi(black_box(&bytes)));
}

/// What the fuzzer begins with: a little of each container, behind two bytes of the fuzzer's own.
fn media(container: &str) -> Vec<u8> {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/join_points");
    let seed = fs::read(seeds.join(container)).unwrap();
    seed.get(2..).unwrap().to_vec()
}

/// Headers and frames are small there: it is the dear part of a stream, not its bulk.
#[divan::bench(args = ["flac", "flv", "frames", "mp4", "mpegts", "ogg", "wav", "webm"])]
fn a_scanner_looks_at_frames(bencher: Bencher, container: &str) {
    let media = media(container);
    bencher.counter(BytesCount::new(media.len())).bench_local(|| {
        let mut scanner = Scanner::new();
        let mut at = 0;
        for piece in media.chunks(4_096) {
            scanner.push(at, piece);
            at += piece.len() as u64;
        }
        scanner.container()
    });
}

/// The bulk of a stream: what lies between, or what no scanner knows.
#[divan::bench(args = ["mpegts", "frames", "raw"])]
fn a_scanner_passes_over_what_it_does_not_know(bencher: Bencher, container: &str) {
    let head = if container == "raw" { vec![7; 4_096] } else { media(container) };
    let (mut scanner, noise) = (Scanner::new(), vec![7; 64 << 10]);
    scanner.push(0, &head);
    let mut at = head.len() as u64;
    bencher.counter(BytesCount::new(noise.len())).bench_local(move || {
        scanner.push(at, &noise);
        at += noise.len() as u64;
    });
}
