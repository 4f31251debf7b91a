//! The bytes that are next at one place of a stream, framed once for all who are there.

use std::{mem, sync::Arc};

use bytes::Bytes;
use freshet_protocol::{ByteRange, PartHead, Placed, Stamp};

use crate::{
    hub::{Ahead, Stream},
    limits::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX},
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
///   carried  ......1000 CRLF  bytes of the stream  CRLF
///                             └────── raw ──────┘
///                  └─────────── one chunk ────────────┘
///   chunks   4000 CRLF  bytes  CRLF  1a0 CRLF  bytes  CRLF  ...
///   parts    4040 CRLF  head of a part  bytes  CRLF  ...
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
    carried: Carried,
    /// The same bytes in several chunks, and as parts, where somebody has asked for that.
    chunks: Pieces,
    parts: Pieces,
    boundary: Arc<str>,
}

/// Bytes of the stream, framed as one chunk.
#[derive(Debug, Default)]
struct Carried {
    bytes: Vec<u8>,
    begin: usize,
}

/// Bytes of the stream, framed as chunks.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
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
            carried: Carried::default(),
            chunks: Pieces::default(),
            parts: Pieces::default(),
            boundary: Arc::clone(boundary),
        }
    }

    /// Look for the bytes at `at`, unless that was the last place that was looked at.
    pub(super) fn find(&mut self, stream: &Stream, at: u64) -> Ahead {
        if self.at != Some(at) {
            self.ahead = self.carry(at, |room| stream.ahead(at, FRAME_BYTES_MAX, room));
            let is_sent = matches!(self.ahead, Ahead::Bytes { .. });
            self.is_followed = is_sent && !stream.is_edge(self.end());
        }
        self.ahead
    }

    /// Carry what `put` puts into it, which is at `at`, and nothing else.
    fn carry<T>(&mut self, at: u64, put: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.at = Some(at);
        (self.chunks.is_made, self.parts.is_made) = (false, false);
        self.carried.fill(put)
    }

    /// Forget what was found: more may have come.
    pub(super) fn forget(&mut self) {
        self.at = None;
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
        self.begin() + self.carried.payload().len() as u64
    }

    /// What goes over the wire, of `stream`.
    pub(super) fn bytes(&mut self, framing: Framing, stream: &Stream) -> &[u8] {
        let begin = self.begin();
        match framing {
            Framing::Parts => {
                let head = |range| part_head(stream, range, self.ahead, begin);
                let encode = |range| head(range).encode(&self.boundary);
                self.parts.make(begin, self.carried.payload(), encode);
            }
            Framing::Chunked if !self.is_one_chunk() => {
                self.chunks.make(begin, self.carried.payload(), |_| Bytes::new());
            }
            Framing::Chunked | Framing::Raw => {}
        }
        match (self.pieces(framing), framing) {
            (Some(pieces), _) => &pieces.bytes,
            (None, Framing::Raw) => self.carried.payload(),
            (None, _) => self.carried.whole(),
        }
    }

    fn is_one_chunk(&self) -> bool {
        self.carried.payload().len() <= CHUNK_BYTES_MAX
    }

    /// The pieces that go over the wire, where it is not what is carried as it is.
    fn pieces(&self, framing: Framing) -> Option<&Pieces> {
        match framing {
            Framing::Parts => Some(&self.parts),
            Framing::Chunked => (!self.is_one_chunk()).then_some(&self.chunks),
            Framing::Raw => None,
        }
    }

    /// Where in the stream one goes on who has written so many bytes of it, and what goes before that: the rest of
    /// a chunk, in memory of its own.
    pub(super) fn left(&self, framing: Framing, written: usize) -> (u64, Bytes) {
        let left = match (self.pieces(framing), framing) {
            (Some(pieces), _) => pieces.left(written),
            (None, Framing::Raw) => Some((self.begin() + written as u64, &[][..])),
            (None, _) => self.carried.whole().get(written..).map(|rest| (self.end(), rest)),
        };
        let (at, rest) = left.unwrap_or_else(|| (self.end(), &[]));
        (at, Bytes::copy_from_slice(rest))
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
    /// Carry what `put` puts into it, and nothing else.
    fn fill<T>(&mut self, put: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        let done = put(&mut self.bytes);
        let (head, begin) = chunk_head(self.bytes.len() - HEAD_BYTES);
        self.bytes.extend_from_slice(CRLF);
        if let Some(room) = self.bytes.first_chunk_mut() {
            *room = head;
        }
        self.begin = begin;
        done
    }

    /// With its head.
    fn whole(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    fn payload(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CRLF.len());
        self.bytes.get(HEAD_BYTES..end).unwrap_or_default()
    }
}

impl Pieces {
    /// Frame `bytes`, which are at `at`, if that has not been done; what `head` says of each piece goes before it.
    fn make(&mut self, mut at: u64, bytes: &[u8], head: impl Fn(ByteRange) -> Bytes) {
        if mem::replace(&mut self.is_made, true) {
            return;
        }
        self.bytes.clear();
        self.ends.clear();
        for piece in bytes.chunks(CHUNK_BYTES_MAX) {
            let Some(range) = ByteRange::at(at, piece.len() as u64) else { return };
            let head = head(range);
            let (digits, begin) = chunk_head(head.len() + piece.len());
            [digits.get(begin..).unwrap_or_default(), &head, piece, CRLF]
                .iter()
                .for_each(|bytes| self.bytes.extend_from_slice(bytes));
            at = range.end();
            self.ends.push((self.bytes.len(), at));
        }
    }

    /// What is left of the chunk in which so many bytes are written, and where the stream goes on behind it.
    fn left(&self, written: usize) -> Option<(u64, &[u8])> {
        let (end, at) = self.ends.iter().find(|(end, _)| *end >= written)?;
        Some((*at, self.bytes.get(written..*end)?))
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

    /// A frame that carries `bytes`, found at 100.
    fn carrying(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new(&"boundary".into());
        frame.carry(100, |room| room.extend_from_slice(bytes));
        frame
    }

    fn on_the_wire(frame: &Frame, framing: Framing) -> Bytes {
        frame.left(framing, 0).1
    }

    #[test]
    fn a_small_frame_is_a_chunk_or_its_bytes_alone() {
        let frame = carrying(&[b'x'; 26]);
        let all = [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n"].concat();
        assert_eq!(frame.carried.whole(), all);
        assert_eq!(frame.carried.payload(), &[b'x'; 26][..]);
        assert_eq!(frame.end(), 126);
        assert_eq!(frame.left(Framing::Chunked, all.len() - 1), (126, Bytes::from_static(b"\n")));
        assert_eq!(frame.left(Framing::Raw, 25), (125, Bytes::new()));
    }

    #[test]
    fn what_somebody_has_yet_to_send_stays_as_it_is() {
        let mut frame = carrying(b"first");
        let (_, rest) = frame.left(Framing::Chunked, 5);
        frame.carry(200, |room| room.extend_from_slice(b"second"));
        assert_eq!(rest, &b"rst\r\n"[..]);
        assert_eq!(on_the_wire(&frame, Framing::Chunked), &b"6\r\nsecond\r\n"[..]);
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
            length in 1..=FRAME_BYTES_MAX, cut in 0.0..1.0,
        ) {
            let carried: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut frame = carrying(&carried);
            let begin = frame.begin();
            frame.chunks.make(begin, &carried, |_| Bytes::new());
            let wire = match frame.is_one_chunk() {
                true => frame.carried.whole().to_vec(),
                false => frame.chunks.bytes.clone(),
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
