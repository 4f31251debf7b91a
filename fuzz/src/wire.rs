//! Targets for what comes from the network. What is accepted means the same when printed and read
//! again; refusing an input is always allowed.
//!
//! ```text
//!   fuzz/run            ──▶ fuzz_targets/NAME.rs ──┐
//!                                                  ├──▶ this file ──▶ freshet_protocol
//!   cargo test          ──▶ protocol/tests/fuzz.rs ┘
//! ```

use std::{fmt, str::FromStr};

use freshet_protocol::{
    ChunkRange, Delivery, ETag, ETagList, Held, PartReader, PartStep, Placed, Route, Sha256Digest,
    Stamp, StreamName, boundary_of,
    limits::{
        NAME_SEGMENT_BYTES_MAX, NAME_SEGMENTS_MAX, OFFSET_END_MAX, RANGES_MAX, WAIT_SECONDS_MAX,
    },
    wait_of,
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 5] = [
    ("stream_name", stream_name),
    ("content_range", content_range),
    ("delivery_query", delivery_query),
    ("part_reader", part_reader),
    ("header_values", header_values),
];

/// A name that is accepted stays inside its folder, needs no escape, and is its own URL.
pub fn stream_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let route = format!("/live/{text}").parse::<Route>();
    let Ok(name) = text.parse::<StreamName>() else {
        assert!(!matches!(route, Ok(Route::Live(_))), "a route with a name that is none: {text:?}");
        return;
    };
    assert_eq!(name.as_str(), text);
    assert_eq!(route.ok(), Some(Route::Live(name.clone())));
    let segments: Vec<_> = name.as_str().split('/').collect();
    assert!(segments.len() <= NAME_SEGMENTS_MAX);
    for segment in segments {
        assert!((1..=NAME_SEGMENT_BYTES_MAX).contains(&segment.len()), "{segment:?}");
        assert!(!segment.starts_with('.'), "{segment:?}");
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(segment.chars().all(safe), "{segment:?}");
    }
}

/// A `Content-Range` that is accepted is printed so that it is read as the same, in each reading.
pub fn content_range(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(held) = text.parse::<Held>() {
        assert!(held.set.end() <= held.total.unwrap_or(OFFSET_END_MAX));
        let mut floor = None;
        for run in held.set.iter() {
            assert!(floor.is_none_or(|end| end < run.start()), "runs touch or descend: {text:?}");
            floor = Some(run.end());
        }
        let told = Held { set: held.set.newest_runs(RANGES_MAX), total: held.total };
        assert_eq!(held.to_string().parse(), Ok(told));
    }
    printed_is_parsed::<ChunkRange>(&text);
    printed_is_parsed::<Placed>(&text);
    if let Ok(ChunkRange::Bytes(placed)) = text.parse() {
        assert!(placed.range.end() <= placed.total.unwrap_or(OFFSET_END_MAX));
        assert_eq!(text.parse(), Ok(placed), "the two readings of a place agree");
    }
}

/// A query that is accepted is printed so that it is read as the same.
pub fn delivery_query(data: &[u8]) {
    if let Ok(delivery) = Delivery::parse(&String::from_utf8_lossy(data)) {
        assert_ne!(delivery.limit, Some(0));
        let query = delivery.to_query();
        assert_eq!(Delivery::parse(query.trim_start_matches('?')), Ok(delivery));
    }
}

/// A multipart body means the same however the network slices it, and no part has more bytes than
/// it announced. The first byte of the input is the size of the slices.
pub fn part_reader(data: &[u8]) {
    let Some((&size, body)) = data.split_first() else { return };
    let whole = parts_of(body, body.len().max(1));
    let sliced = parts_of(body, usize::from(size).max(1));
    assert_eq!(whole, sliced);
    for (announced, bytes) in whole.0 {
        assert!(bytes.len() as u64 <= announced, "more bytes than were announced");
    }
}

/// Times, tags, digests and the like: read, printed, read again.
pub fn header_values(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    printed_is_parsed::<Stamp>(&text);
    printed_is_parsed::<ETag>(&text);
    printed_is_parsed::<Sha256Digest>(&text);
    if let (Ok(list), Ok(tag)) = (text.parse::<ETagList>(), text.parse::<ETag>()) {
        assert!(list.matches_strong(&tag), "a list of one tag names that tag: {text:?}");
    }
    if let Some(wait) = wait_of(&text) {
        assert!(wait.as_secs() <= WAIT_SECONDS_MAX.into());
    }
    if let Some(boundary) = boundary_of(&text) {
        assert!(!boundary.is_empty() && text.contains(boundary));
    }
}

fn printed_is_parsed<
    T: FromStr<Err: PartialEq + fmt::Debug> + fmt::Display + PartialEq + fmt::Debug,
>(
    text: &str,
) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse(), Ok(value));
    }
}

/// Announced length and bytes of each part, and how the reading ended.
fn parts_of(body: &[u8], size: usize) -> (Vec<(u64, Vec<u8>)>, Ending) {
    let (mut reader, mut parts) = (PartReader::new("B"), Vec::<(u64, Vec<u8>)>::new());
    for slice in body.chunks(size) {
        reader.push(slice);
        loop {
            match reader.step() {
                Ok(PartStep::Head(head)) => parts.push((head.placed.range.len(), Vec::new())),
                Ok(PartStep::Bytes(bytes)) => {
                    let (_, so_far) = parts.last_mut().expect("bytes come after a head");
                    so_far.extend_from_slice(&bytes);
                }
                Ok(PartStep::More) => break,
                Ok(PartStep::End) => return (parts, Ending::Closed),
                Err(error) => return (parts, Ending::Refused(error.to_string())),
            }
        }
    }
    (parts, Ending::Open)
}

/// How the reading of a body ended.
#[derive(Debug, PartialEq)]
enum Ending {
    Closed,
    Refused(String),
    Open,
}
