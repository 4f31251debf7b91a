//! The bytes that are next at one place of a stream, framed once for all who are there.

use freshet_protocol::Stamp;

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
/// ```
#[derive(Debug)]
pub(super) struct Frame {
    /// Where in the stream it was looked for.
    at: Option<u64>,
    ahead: Ahead,
    /// The stream does not end for now behind it: there are more bytes, or there is its end.
    pub(super) is_followed: bool,
    buffer: Vec<u8>,
    begin: usize,
}

impl Frame {
    const fn new() -> Self {
        Self {
            at: None,
            ahead: Ahead::Edge,
            is_followed: false,
            buffer: Vec::new(),
            begin: HEAD_BYTES,
        }
    }

    /// Look for the bytes at `at`, unless that was the last place that was looked at.
    pub(super) fn find(&mut self, stream: &Stream, at: u64) -> Ahead {
        if self.at != Some(at) {
            self.buffer.clear();
            self.buffer.resize(HEAD_BYTES, 0);
            self.ahead = stream.ahead(at, FRAME_BYTES_MAX, &mut self.buffer);
            self.at = Some(at);
            self.frame();
            let is_sent = matches!(self.ahead, Ahead::Bytes { .. });
            self.is_followed = is_sent && !stream.is_edge(self.end());
        }
        self.ahead
    }

    /// Forget what was found: more may have come.
    pub(super) fn forget(&mut self) {
        self.at = None;
    }

    /// Put the head before the bytes, and CRLF behind them.
    fn frame(&mut self) {
        let mut length = self.buffer.len() - HEAD_BYTES;
        self.buffer.extend_from_slice(CRLF);
        let Some((head, _)) = self.buffer.split_first_chunk_mut::<HEAD_BYTES>() else { return };
        let [digits @ .., cr, lf] = head;
        [*cr, *lf] = *CRLF;
        // By hand: what formats anything at all is not at hand where chunks come far apart.
        self.begin = digits.len();
        for place in digits.iter_mut().rev() {
            *place = DIGITS.get(length % 16).copied().unwrap_or_default();
            self.begin -= 1;
            length /= 16;
            if length == 0 {
                break;
            }
        }
    }

    /// Since when its first byte is here.
    pub(super) fn received(&self) -> Option<Stamp> {
        match self.ahead {
            Ahead::Bytes { received } => Some(received),
            Ahead::Edge | Ahead::Elsewhere => None,
        }
    }

    /// One past its last byte in the stream.
    pub(super) fn end(&self) -> u64 {
        let bytes = self.buffer.len().saturating_sub(HEAD_BYTES + CRLF.len());
        self.at.unwrap_or(0) + bytes as u64
    }

    /// What goes over the wire.
    pub(super) fn bytes(&self, framing: Framing) -> &[u8] {
        let end = self.buffer.len().saturating_sub(CRLF.len());
        let bytes = match framing {
            Framing::Chunked => self.buffer.get(self.begin..),
            Framing::Raw => self.buffer.get(HEAD_BYTES..end),
        };
        bytes.unwrap_or_default()
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of `bytes` that were found at 100.
    fn frame(bytes: &[u8]) -> Frame {
        let mut frame = Frame::new();
        frame.at = Some(100);
        frame.buffer.resize(HEAD_BYTES, 0);
        frame.buffer.extend_from_slice(bytes);
        frame.frame();
        frame
    }

    #[test]
    fn a_frame_is_a_chunk_or_its_bytes_alone() {
        let frame = frame(&[b'x'; 26]);
        let all = [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n"].concat();
        assert_eq!(frame.bytes(Framing::Chunked), all);
        assert_eq!(frame.bytes(Framing::Raw), [b'x'; 26]);
        assert_eq!(frame.end(), 126);
    }

    #[test]
    fn the_head_of_the_largest_frame_has_room() {
        let frame = frame(&vec![0; FRAME_BYTES_MAX]);
        assert!(frame.bytes(Framing::Chunked).starts_with(b"10000\r\n\0"));
        assert_eq!(frame.end(), 100 + FRAME_BYTES_MAX as u64);
    }
}
