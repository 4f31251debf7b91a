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
    doors::{LineError, LineReader, asp, groups, lines, packets},
    limits::{
        DATAGRAM_BYTES_MAX, DOOR_LINE_BYTES_MAX, NAME_SEGMENT_BYTES_MAX, NAME_SEGMENTS_MAX,
        OFFSET_END_MAX, PACKET_BYTES_MAX, RANGES_MAX, WAIT_SECONDS_MAX,
    },
    wait_of,
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 9] = [
    ("stream_name", stream_name),
    ("content_range", content_range),
    ("delivery_query", delivery_query),
    ("part_reader", part_reader),
    ("header_values", header_values),
    ("door_asp", door_asp),
    ("door_packets", door_packets),
    ("door_lines", door_lines),
    ("door_groups", door_groups),
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

/// Lines mean the same however the network slices them, and what is a command is printed as that command.
/// The first byte of the input is the size of the slices.
pub fn door_asp(data: &[u8]) {
    let mut watch = asp::WatchReader::default();
    for line in lines_of(data).into_iter().flatten() {
        if let Ok(command) = line.parse::<asp::Command>() {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        if let Some(entries) = asp::parse_list(&line) {
            let (printed, count) = (asp::list(&entries), entries.len());
            assert_eq!(asp::parse_list(&printed).map(|read| read.len()), Some(count));
        }
        assert!(asp::starting(&line).lines().count() <= 1, "a title ends no line");
        if let Ok(asp::Watched::Bytes(bytes)) = watch.line(&line) {
            assert_eq!(asp::data_line(&bytes).trim_end(), line);
        }
    }
}

/// The same for the line protocol.
pub fn door_lines(data: &[u8]) {
    for line in lines_of(data).into_iter().flatten() {
        if let Ok(command) = line.parse::<lines::Command>() {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        if let Some(entries) = lines::parse_list(&line) {
            assert_eq!(lines::parse_list(&lines::list(&entries)), Some(entries));
        }
        if let Some(port) = lines::parse_port(&line) {
            assert_eq!(lines::parse_port(&port.to_string()), Some(port));
        }
    }
}

/// Packets mean the same however the network slices them, in both directions, and none is larger than
/// packets are. The first byte of the input is the size of the slices.
pub fn door_packets(data: &[u8]) {
    let Some((&size, wire)) = data.split_first() else { return };
    let slices = [usize::from(size).max(1), wire.len().max(1)];
    let [sliced, whole] = slices.map(|size| {
        let (mut reader, mut read) = (packets::RequestReader::default(), Vec::new());
        for slice in wire.chunks(size) {
            reader.push(slice);
            read.extend(std::iter::from_fn(|| reader.next_request()));
        }
        read.extend(reader.settle().map(Ok));
        read
    });
    assert_eq!(sliced, whole);
    for request in whole.into_iter().flatten() {
        let mut reader = packets::RequestReader::default();
        reader.push(&request.encode());
        assert_eq!(reader.next_request(), Some(Ok(request)));
    }
    let [sliced, whole] = slices.map(|size| packets_of(wire, size));
    assert_eq!(sliced, whole);
    for packet in whole {
        assert!(packet.encode().len() <= PACKET_BYTES_MAX);
    }
}

/// A datagram that means something is written as it was read, and none is larger than datagrams are.
pub fn door_groups(data: &[u8]) {
    if let Ok((seq, meaning)) = groups::Handshake::decode(data) {
        assert_eq!(meaning.encode(seq), data);
    }
    if let Ok((seq, message)) = groups::Message::decode(data) {
        assert_eq!(message.encode(seq), data);
        if let groups::Message::Movies(movies) = message {
            let lists = groups::movie_lists(movies);
            assert!(lists.iter().all(|list| list.encode(seq).len() <= DATAGRAM_BYTES_MAX));
        }
    }
}

fn packets_of(wire: &[u8], size: usize) -> Vec<packets::Packet> {
    let (mut reader, mut read) = (packets::PacketReader::default(), Vec::new());
    for slice in wire.chunks(size) {
        reader.push(slice);
        loop {
            match reader.next_packet() {
                Ok(Some(packet)) => read.push(packet),
                Ok(None) => break,
                Err(_) => return read,
            }
        }
    }
    read.extend(reader.settle());
    read
}

/// The lines of `data` but its first byte, which is the size of the slices that it comes in.
fn lines_of(data: &[u8]) -> Vec<Result<String, LineError>> {
    let Some((&size, wire)) = data.split_first() else { return Vec::new() };
    let [sliced, whole] = [usize::from(size).max(1), wire.len().max(1)].map(|size| {
        let (mut reader, mut read) = (LineReader::new(DOOR_LINE_BYTES_MAX), Vec::new());
        for slice in wire.chunks(size) {
            reader.push(slice);
            read.extend(std::iter::from_fn(|| reader.next_line()));
        }
        read
    });
    assert_eq!(sliced, whole);
    assert!(whole.iter().flatten().all(|line| line.len() <= DOOR_LINE_BYTES_MAX));
    whole
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
        reader.push(slice.to_vec().into());
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
