//! The bytes that are next at one place of a stream, framed once for all who are there.

use std::{mem, sync::Arc};

use bytes::Bytes;
use freshet_protocol::{ByteRange, PartHead, Placed, Stamp};
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use tokio::net::TcpStream;

use crate::{
    hub::{Ahead, Stream},
    limits::{CHUNK_BYTES_MAX, SLICES_MAX, WALK_FRAME_BYTES_MAX},
    rope::Rope,
};

/// How a reply's body is told apart from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By chunks (RFC 9112, section 7.1).
    Chunked,
    /// By the end of the connection.
    Raw,
    /// By chunks, each of them a part of a multipart body with the fan-out's boundary.
    Parts,
}

/// Room for the head of a chunk: 8 digits and CRLF.
const HEAD_BYTES: usize = 10;

const CRLF: &[u8; 2] = b"\r\n";

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// ```text
///   a frame that is one chunk, copied           any other, as it is in memory
///   chunk  1000 CRLF  bytes  CRLF               chunks  4000 CRLF  bytes  CRLF  1a0 CRLF  bytes  CRLF  ...
///                     └ raw ┘                   found   bytes of the ring, bytes of the ring, ...      (raw)
///   part   1040 CRLF  head of a part  bytes  CRLF       parts   4040 CRLF  head  bytes  CRLF  ...
/// ```
///
/// Whoever is interrupted has yet to write the rest of the chunk that it is in, and keeps that: so they are
/// short, and a large frame is several of them.
#[derive(Debug)]
pub(super) struct Frame {
    /// Where in the stream it was looked for.
    at: Option<u64>,
    ahead: Ahead,
    /// The stream does not end for now behind it: there are more bytes, or there is its end.
    pub(super) is_followed: bool,
    found: Rope,
    /// What was found, as somebody has asked for it.
    chunk: Carried,
    part: Carried,
    chunks: Pieces,
    parts: Pieces,
    boundary: Arc<str>,
}

/// Bytes that go over the wire in one call.
#[derive(Debug)]
pub(super) enum Wire<'a> {
    Whole(&'a [u8]),
    Rope(&'a Rope),
}

/// A copy of bytes of the stream, framed as one chunk.
#[derive(Debug, Default)]
struct Carried {
    bytes: Vec<u8>,
    /// Where the chunk begins, and where in it the stream's bytes.
    begin: usize,
    payload: usize,
    is_made: bool,
}

/// Bytes of the stream, framed as chunks.
#[derive(Debug, Default)]
struct Pieces {
    wire: Rope,
    /// Where each chunk ends: here, and in the stream.
    ends: Vec<(usize, u64)>,
    is_made: bool,
}

impl Frame {
    pub(super) fn new(boundary: &Arc<str>) -> Self {
        Self {
            at: None,
            ahead: Ahead::Edge,
            is_followed: false,
            found: Rope::default(),
            chunk: Carried::default(),
            part: Carried::default(),
            chunks: Pieces::default(),
            parts: Pieces::default(),
            boundary: Arc::clone(boundary),
        }
    }

    /// Look for the bytes at `at`, unless that was the last place that was looked at.
    pub(super) fn find(&mut self, stream: &Stream, at: u64) -> Ahead {
        if self.at != Some(at) {
            self.forget();
            self.ahead = stream.ahead(at, WALK_FRAME_BYTES_MAX, &mut self.found);
            self.at = Some(at);
            let is_sent = matches!(self.ahead, Ahead::Bytes { .. });
            self.is_followed = is_sent && !stream.is_edge(self.end());
        }
        self.ahead
    }

    /// Forget what was found: more may have come.
    pub(super) fn forget(&mut self) {
        self.at = None;
        self.found.clear();
        (self.chunk.is_made, self.part.is_made) = (false, false);
        self.chunks.forget();
        self.parts.forget();
    }

    /// Since when its first byte is here.
    pub(super) fn received(&self) -> Option<Stamp> {
        match self.ahead {
            Ahead::Bytes { received, .. } => Some(received),
            Ahead::Edge | Ahead::Elsewhere => None,
        }
    }

    fn begin(&self) -> u64 {
        self.at.unwrap_or(0)
    }

    /// One past its last byte in the stream.
    pub(super) fn end(&self) -> u64 {
        self.begin() + self.found.len() as u64
    }

    /// What goes over the wire, of `stream`.
    pub(super) fn wire(&mut self, framing: Framing, stream: &Stream) -> Wire<'_> {
        let (begin, ahead) = (self.begin(), self.ahead);
        self.make(framing, |range| part_head(stream, range, ahead, begin));
        match framing {
            Framing::Raw if self.is_one_chunk() => Wire::Whole(self.chunk.payload()),
            Framing::Raw => Wire::Rope(&self.found),
            _ if self.is_one_chunk() => Wire::Whole(self.carried(framing).whole()),
            _ => Wire::Rope(&self.pieces(framing).wire),
        }
    }

    /// Frame what was found, if that has not been done; `head` is that of a part with some of it.
    fn make(&mut self, framing: Framing, head: impl Fn(ByteRange) -> PartHead) {
        let (begin, boundary) = (self.begin(), &self.boundary);
        match (framing, self.is_one_chunk()) {
            (Framing::Parts, true) => self.part.make(&self.found, |room| {
                if let Some(range) = ByteRange::at(begin, self.found.len() as u64) {
                    head(range).encode_into(boundary, room);
                }
            }),
            (_, true) => self.chunk.make(&self.found, |_| ()),
            (Framing::Parts, false) => {
                self.parts.make(begin, &self.found, |range| head(range).encode(boundary));
            }
            (Framing::Chunked, false) => self.chunks.make(begin, &self.found, |_| Bytes::new()),
            (Framing::Raw, false) => {}
        }
    }

    fn is_one_chunk(&self) -> bool {
        self.found.len() <= CHUNK_BYTES_MAX
    }

    fn carried(&self, framing: Framing) -> &Carried {
        if framing == Framing::Parts { &self.part } else { &self.chunk }
    }

    fn pieces(&self, framing: Framing) -> &Pieces {
        if framing == Framing::Parts { &self.parts } else { &self.chunks }
    }

    /// Where in the stream one goes on who has written so many bytes of it, and what goes before that: the rest of
    /// a chunk, in memory of its own.
    pub(super) fn left(&self, framing: Framing, written: usize) -> (u64, Bytes) {
        let nothing = || (self.end(), Bytes::new());
        match framing {
            Framing::Raw => (self.begin() + written as u64, Bytes::new()),
            _ if self.is_one_chunk() => {
                let rest = self.carried(framing).whole().get(written..).unwrap_or_default();
                (self.end(), Bytes::copy_from_slice(rest))
            }
            _ => self.pieces(framing).left(written).unwrap_or_else(nothing),
        }
    }
}

impl Wire<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// Give as much of it as `socket` takes to the kernel; how much that was. Past the runtime, whose own look
    /// at whether the socket is writable is one more place in memory for each consumer.
    pub(super) fn send(&self, socket: &TcpStream) -> rustix::io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match self {
            Self::Whole(bytes) => send(socket, bytes, flags),
            Self::Rope(rope) => {
                let nothing_else = &mut SendAncillaryBuffer::default();
                sendmsg(socket, &rope.slices(0, SLICES_MAX), nothing_else, flags)
            }
        }
    }
}

/// The head of the part that `range` is of a frame that was found at `begin`, which alone has a time.
fn part_head(stream: &Stream, range: ByteRange, found: Ahead, begin: u64) -> PartHead {
    let origin_time = match found {
        Ahead::Bytes { captured, .. } if range.start() == begin => captured,
        _ => None,
    };
    let placed = Placed { range, total: stream.total() };
    PartHead { placed, content_type: stream.content_type(), origin_time }
}

impl Carried {
    /// Carry a copy of `found`, and nothing else, if that has not been done; `head` puts there what goes before it.
    fn make(&mut self, found: &Rope, head: impl FnOnce(&mut Vec<u8>)) {
        if mem::replace(&mut self.is_made, true) {
            return;
        }
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        head(&mut self.bytes);
        self.payload = self.bytes.len();
        found.iter().for_each(|bytes| self.bytes.extend_from_slice(bytes));
        let (digits, begin) = chunk_head(self.bytes.len() - HEAD_BYTES);
        self.bytes.extend_from_slice(CRLF);
        if let Some(room) = self.bytes.first_chunk_mut() {
            *room = digits;
        }
        self.begin = begin;
    }

    /// With its head.
    fn whole(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    fn payload(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CRLF.len());
        self.bytes.get(self.payload..end).unwrap_or_default()
    }
}

impl Pieces {
    /// Frame `found`, which is at `at`, if that has not been done; what `head` says of each piece goes before it.
    fn make(&mut self, mut at: u64, found: &Rope, head: impl Fn(ByteRange) -> Bytes) {
        if mem::replace(&mut self.is_made, true) {
            return;
        }
        let mut rest = found.clone();
        while let Some(range) = ByteRange::at(at, rest.len().min(CHUNK_BYTES_MAX) as u64) {
            let (piece, head) = (rest.split_to(CHUNK_BYTES_MAX), head(range));
            let (digits, begin) = chunk_head(head.len() + piece.len());
            self.wire.push(Bytes::copy_from_slice(digits.get(begin..).unwrap_or_default()));
            self.wire.push(head);
            self.wire.append(piece);
            self.wire.push(Bytes::from_static(CRLF));
            at = range.end();
            self.ends.push((self.wire.len(), at));
        }
    }

    fn forget(&mut self) {
        self.wire.clear();
        self.ends.clear();
        self.is_made = false;
    }

    /// What is left of the chunk in which so many bytes are written, and where the stream goes on behind it.
    fn left(&self, written: usize) -> Option<(u64, Bytes)> {
        let (end, at) = self.ends.iter().find(|(end, _)| *end >= written)?;
        let mut rest = self.wire.clone();
        rest.split_to(written);
        Some((*at, rest.split_to(end - written).copied()))
    }
}

/// The head of a chunk of `length` bytes, and where in its room that begins.
fn chunk_head(mut length: usize) -> ([u8; HEAD_BYTES], usize) {
    let mut head = [0; HEAD_BYTES];
    let [digits @ .., cr, lf] = &mut head;
    [*cr, *lf] = *CRLF;
    // By hand: what formats anything at all is not at hand where chunks come far apart.
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = DIGITS.get(length % 16).copied().unwrap_or_default();
        begin -= 1;
        length /= 16;
        if length == 0 {
            break;
        }
    }
    (head, begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of `bytes`, found at 100 in pieces of some length, and framed as chunks.
    fn carrying(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new(&"boundary".into());
        frame.found = bytes.chunks(10_007).map(Bytes::copy_from_slice).collect();
        frame.at = Some(100);
        frame.make(Framing::Chunked, head);
        frame
    }

    fn head(range: ByteRange) -> PartHead {
        let placed = Placed { range, total: None };
        PartHead { placed, content_type: None, origin_time: None }
    }

    #[test]
    fn a_small_frame_is_a_chunk_or_its_bytes_alone() {
        let frame = carrying(&[b'x'; 26]);
        let all = [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n"].concat();
        assert_eq!(frame.chunk.whole(), all);
        assert_eq!(frame.chunk.payload(), &[b'x'; 26][..]);
        assert_eq!(frame.end(), 126);
        assert_eq!(frame.left(Framing::Chunked, all.len() - 1), (126, Bytes::from_static(b"\n")));
        assert_eq!(frame.left(Framing::Raw, 25), (125, Bytes::new()));
    }

    #[test]
    fn a_part_is_a_chunk_with_its_head_before_it() {
        for length in [26, CHUNK_BYTES_MAX + 26] {
            let bytes = vec![b'x'; length];
            let mut frame = carrying(&bytes);
            frame.make(Framing::Parts, head);
            let wire = match frame.is_one_chunk() {
                true => frame.part.whole().to_vec(),
                false => frame.parts.wire.copied().to_vec(),
            };
            let parts: Vec<u8> = [(100, length.min(CHUNK_BYTES_MAX)), (100 + CHUNK_BYTES_MAX, 26)]
                .into_iter()
                .take(length.div_ceil(CHUNK_BYTES_MAX))
                .flat_map(|(at, bytes)| {
                    let range = ByteRange::at(at as u64, bytes as u64).unwrap();
                    [head(range).encode("boundary").to_vec(), vec![b'x'; bytes]].concat()
                })
                .collect();
            assert_eq!(decoded(&wire), parts);
        }
    }

    #[test]
    fn what_somebody_has_yet_to_send_stays_as_it_is() {
        let mut frame = carrying(b"first");
        let (_, rest) = frame.left(Framing::Chunked, 5);
        frame.forget();
        frame.found.push("second".into());
        frame.make(Framing::Chunked, head);
        assert_eq!(rest, &b"rst\r\n"[..]);
        assert_eq!(frame.left(Framing::Chunked, 0).1, &b"6\r\nsecond\r\n"[..]);
    }

    /// What is carried by chunks, decoded as RFC 9112 has it.
    fn decoded(mut chunks: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(end) = chunks.windows(2).position(|pair| pair == CRLF) {
            let digits = std::str::from_utf8(&chunks[..end]).unwrap();
            let length = usize::from_str_radix(digits, 16).unwrap();
            bytes.extend_from_slice(&chunks[end + 2..end + 2 + length]);
            assert_eq!(&chunks[end + 2 + length..end + 4 + length], CRLF);
            chunks = &chunks[end + 4 + length..];
        }
        assert_eq!(chunks, b"");
        bytes
    }

    proptest! {
        #[test]
        fn wherever_one_is_interrupted_it_goes_on_and_keeps_little(
            length in 1..=WALK_FRAME_BYTES_MAX, cut in 0.0..1.0,
        ) {
            let carried: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let frame = carrying(&carried);
            let begin = frame.begin();
            let wire = match frame.is_one_chunk() {
                true => frame.chunk.whole().to_vec(),
                false => frame.chunks.wire.copied().to_vec(),
            };
            let written = (wire.len() as f64 * cut) as usize;

            let (at, rest) = frame.left(Framing::Chunked, written);

            prop_assert!(rest.len() <= HEAD_BYTES + CHUNK_BYTES_MAX + CRLF.len());
            let sent = decoded(&[&wire[..written], &rest].concat());
            prop_assert_eq!(begin + sent.len() as u64, at);
            prop_assert_eq!(&sent[..], &carried[..sent.len()]);
        }
    }
}
