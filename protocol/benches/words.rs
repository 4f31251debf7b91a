//! What the words of the wire cost: have-sets, and the parsers that each request goes through.
//!
//! `cargo bench -p freshet-protocol`

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use freshet_protocol::{
    ByteRange, Delivery, Held, PartHead, PartReader, PartStep, Placed, RangeSet, Route, StreamName,
};

fn main() {
    divan::main();
}

/// As fragmented as the wire allows, and as it is nearly always.
const RUNS: [u64; 2] = [1, 128];

/// Runs of 4 KiB with holes as large between them.
fn set(runs: u64) -> RangeSet {
    (0..runs).map(|number| ByteRange::at(number * 8_192, 4_096).unwrap()).collect()
}

#[divan::bench(args = RUNS)]
fn a_chunk_is_added_at_the_end(bencher: Bencher, runs: u64) {
    let mut set = set(runs);
    bencher.bench_local(move || set.insert(ByteRange::at(set.end(), 4_096).unwrap()));
}

#[divan::bench(args = RUNS)]
fn the_newest_that_is_missing(bencher: Bencher, runs: u64) {
    let (all, have) = (RangeSet::from_iter(ByteRange::new(0, runs * 8_192)), set(runs));
    bencher.bench_local(|| all.newest_missing(black_box(&have), 64 << 10));
}

#[divan::bench(args = RUNS)]
fn is_this_chunk_held(bencher: Bencher, runs: u64) {
    let (set, range) = (set(runs), ByteRange::at(0, 4_096).unwrap());
    bencher.bench_local(|| set.covers(black_box(range)));
}

#[divan::bench(args = RUNS)]
fn have_is_read(bencher: Bencher, runs: u64) {
    let text = Held { set: set(runs), total: None }.to_string();
    bencher.bench_local(|| black_box(&text).parse::<Held>().unwrap());
}

#[divan::bench(args = RUNS)]
fn have_is_written(bencher: Bencher, runs: u64) {
    let held = Held { set: set(runs), total: None };
    bencher.bench_local(|| black_box(&held).to_string());
}

#[divan::bench]
fn a_chunks_place_is_read() -> Placed {
    black_box("bytes 1048576-1052671/*").parse().unwrap()
}

#[divan::bench]
fn a_name_is_read() -> StreamName {
    black_box("studio/1/camera-2").parse().unwrap()
}

#[divan::bench]
fn a_path_is_read() -> Route {
    black_box("/live/studio/1/camera-2").parse().unwrap()
}

#[divan::bench]
fn a_query_is_read() -> Delivery {
    Delivery::parse(black_box("from=live&behind=skip")).unwrap()
}

/// Parts as a consumer at the live edge gets them, in slices as they come from a socket.
#[divan::bench(args = [1_316, 4_096, 65_536])]
fn parts_are_read(bencher: Bencher, part: u64) {
    let (boundary, mut body) = ("freshet-0123456789abcdef0123456789abcdef", Vec::new());
    for number in 0..16 {
        let range = ByteRange::at(number * part, part).unwrap();
        let placed = Placed { range, total: None };
        let head = PartHead { placed, content_type: Some("video/mp4".into()), origin_time: None };
        body.extend_from_slice(&head.encode(boundary));
        body.extend(std::iter::repeat_n(b'x', usize::try_from(part).unwrap()));
    }
    let body = Bytes::from(body);
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        let (mut reader, mut got) = (PartReader::new(boundary), 0);
        for at in (0..body.len()).step_by(8_192) {
            reader.push(body.slice(at..body.len().min(at + 8_192)));
            loop {
                match reader.step().unwrap() {
                    PartStep::Bytes(bytes) => got += bytes.len(),
                    PartStep::Head(_) => {}
                    PartStep::More | PartStep::End => break,
                }
            }
        }
        assert_eq!(got as u64, 16 * part);
    });
}
