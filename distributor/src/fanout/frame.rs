//! The bytes that are next at one place of a stream, framed once for all who are there.

use std::{mem, ops::Range, sync::Arc};

use bytes::Bytes;
use freshet_protocol::{ByteRange, PartHead, Placed, Stamp};

use crate::{
    hub::{Ahead, Stream},
    limits::FRAME_BYTES_MAX,
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
///   ......1000 CRLF  bytes of the stream  CRLF
///         └── begin
///                    └────── raw ──────┘
///         └──────────── chunked ────────────┘
///
///   1040 CRLF  head of a part  bytes of the stream  CRLF
///   └─────────────────── parts ────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Frame {
    /// Where in the stream it was looked for.
    at: Option<u64>,
    ahead: Ahead,
    /// The stream does not end for now behind it: there are more bytes, or there is its end.
    pub(super) is_followed: bool,
    chunk: Chunk,
    /// The same bytes as a part, where somebody has asked for that.
    part: Chunk,
    has_part: bool,
    boundary: Arc<str>,
}

/// A chunk of the chunked coding, behind room for its head.
#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    begin: usize,
}

impl Frame {
    pub(super) fn new(boundary: &Arc<str>) -> Self {
        Self {
            at: None,
            ahead: Ahead::Edge,
            is_followed: false,
            chunk: Chunk::new(),
            part: Chunk::new(),
            has_part: false,
            boundary: Arc::clone(boundary),
        }
    }

    /// Look for the bytes at `at`, unless that was the last place that was looked at.
    pub(super) fn find(&mut self, stream: &Stream, at: u64) -> Ahead {
        if self.at != Some(at) {
            self.ahead = self.chunk.fill(|room| stream.ahead(at, FRAME_BYTES_MAX, room));
            self.at = Some(at);
            self.has_part = false;
            let is_sent = matches!(self.ahead, Ahead::Bytes { .. });
            self.is_followed = is_sent && !stream.is_edge(self.end());
        }
        self.ahead
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

    /// One past its last byte in the stream.
    pub(super) fn end(&self) -> u64 {
        self.at.unwrap_or(0) + self.chunk.payload().len() as u64
    }

    /// What goes over the wire, of `stream`.
    pub(super) fn bytes(&mut self, framing: Framing, stream: &Stream) -> &[u8] {
        if framing == Framing::Parts && !mem::replace(&mut self.has_part, true) {
            self.make_part(stream);
        }
        let (bytes, range) = self.framed(framing);
        bytes.get(range).unwrap_or_default()
    }

    /// The same from `from` on, without a copy: of those whose sockets are full, many are at the same place.
    pub(super) fn rest(&self, framing: Framing, from: usize) -> Bytes {
        let (bytes, range) = self.framed(framing);
        bytes.slice((range.start + from).min(range.end)..range.end)
    }

    fn framed(&self, framing: Framing) -> (&Bytes, Range<usize>) {
        match framing {
            Framing::Chunked => (&self.chunk.bytes, self.chunk.whole()),
            Framing::Raw => (&self.chunk.bytes, self.chunk.payload()),
            Framing::Parts => (&self.part.bytes, self.part.whole()),
        }
    }

    fn make_part(&mut self, stream: &Stream) {
        let (at, length) = (self.at.unwrap_or(0), self.chunk.payload().len() as u64);
        let (Ahead::Bytes { captured, .. }, Some(range)) = (self.ahead, ByteRange::at(at, length))
        else {
            return;
        };
        let head = PartHead {
            placed: Placed { range, total: stream.total() },
            content_type: stream.content_type(),
            origin_time: captured,
        };
        let bytes = self.chunk.bytes.get(self.chunk.payload()).unwrap_or_default();
        self.part.fill(|room| {
            room.extend_from_slice(&head.encode(&self.boundary));
            room.extend_from_slice(bytes);
        });
    }
}

impl Chunk {
    const fn new() -> Self {
        Self { bytes: Bytes::new(), begin: HEAD_BYTES }
    }

    /// Carry what `put` puts into it, and nothing else.
    fn fill<T>(&mut self, put: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let last = mem::take(&mut self.bytes);
        // Somebody may still have to send some of the last one.
        let mut buffer = if last.is_unique() { Vec::from(last) } else { Vec::new() };
        buffer.clear();
        buffer.resize(HEAD_BYTES, 0);
        let done = put(&mut buffer);
        self.begin = frame(&mut buffer);
        self.bytes = buffer.into();
        done
    }

    /// Where it is, with its head.
    fn whole(&self) -> Range<usize> {
        self.begin.min(self.bytes.len())..self.bytes.len()
    }

    /// Where what it carries is.
    fn payload(&self) -> Range<usize> {
        let end = self.bytes.len().saturating_sub(CRLF.len());
        HEAD_BYTES.min(end)..end
    }
}

/// Put the head of a chunk before what is behind its room, and CRLF behind that; where the head begins.
fn frame(buffer: &mut Vec<u8>) -> usize {
    let mut length = buffer.len() - HEAD_BYTES;
    buffer.extend_from_slice(CRLF);
    let Some((head, _)) = buffer.split_first_chunk_mut::<HEAD_BYTES>() else { return 0 };
    let [digits @ .., cr, lf] = head;
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
    begin
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that carries `bytes`, found at 100.
    fn carrying(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new(&"boundary".into());
        frame.at = Some(100);
        frame.chunk.fill(|room| room.extend_from_slice(bytes));
        frame
    }

    fn on_the_wire(frame: &Frame, framing: Framing) -> Bytes {
        frame.rest(framing, 0)
    }

    #[test]
    fn a_frame_is_a_chunk_or_its_bytes_alone() {
        let frame = carrying(&[b'x'; 26]);
        let all = [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n"].concat();
        assert_eq!(on_the_wire(&frame, Framing::Chunked), all);
        assert_eq!(on_the_wire(&frame, Framing::Raw), &[b'x'; 26][..]);
        assert_eq!(frame.end(), 126);
        assert_eq!(frame.rest(Framing::Chunked, all.len() - 1), &b"\n"[..]);
    }

    #[test]
    fn what_somebody_has_yet_to_send_stays_as_it_is() {
        let mut frame = carrying(b"first");
        let rest = frame.rest(Framing::Chunked, 5);
        frame.chunk.fill(|room| room.extend_from_slice(b"second"));
        assert_eq!(rest, &b"rst\r\n"[..]);
        assert_eq!(on_the_wire(&frame, Framing::Chunked), &b"6\r\nsecond\r\n"[..]);
    }

    #[test]
    fn the_head_of_the_largest_frame_has_room() {
        let frame = carrying(&vec![0; FRAME_BYTES_MAX]);
        assert!(on_the_wire(&frame, Framing::Chunked).starts_with(b"10000\r\n\0"));
    }
}
