//! Where one is in a body of chunks (RFC 9112, section 7.1), whoever reads it.
//!
//! ```text
//!   Size ──▶ Extension ──▶ SizeEnd ──▶ Data ──▶ DataEnd ──▶ Size ──▶ … ──▶ Last
//!   "1000"   ";a=b\r"      "\n"        bytes    "\r\n"      "0"            the rest is hyper's
//! ```

use bytes::{Bytes, BytesMut};

use crate::limits::{
    ALONE_BYTES_MIN, CHUNK_BEGIN_BYTES, CHUNK_LINE_BYTES_MAX, CHUNK_TAIL_BYTES, STRAIGHT_READ_BYTES,
};

/// A place in a body of chunks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of the line that says the size of the chunk at hand.
    line: usize,
    /// Bytes of the chunk at hand, or of the one before.
    size: u64,
    /// Bytes of all chunks before this place.
    pub(super) data: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size(u64),
    /// Behind them, in what is to be passed over.
    Extension(u64),
    /// At the line feed behind them.
    SizeEnd(u64),
    Data {
        left: u64,
    },
    /// At the carriage return behind the bytes of a chunk, then at its line feed.
    DataEnd,
    DataLineFeed,
    /// Behind the line that announces that there are no more chunks.
    Last,
    /// It does not keep to the form.
    Malformed,
}

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Bytes(Bytes),
    /// More has to be read to know.
    More,
    /// No more bytes; trailers, and what comes after the body, are still to come.
    Last,
    /// It does not keep to the form.
    Malformed,
}

impl Chunks {
    /// At the beginning of a body.
    pub(super) const fn new() -> Self {
        Self { at: At::Size(0), line: 0, size: 0, data: 0 }
    }

    /// Is the chunk before this place whole, and nothing of the next one read?
    pub(super) fn is_between(&self) -> bool {
        self.at == At::Size(0) && self.line == 0
    }

    /// Somebody has read these bytes.
    pub(super) fn follow(&mut self, mut read: &[u8]) {
        while let Some((&byte, rest)) = read.split_first() {
            match self.at {
                At::Last | At::Malformed => return,
                At::Data { left } => {
                    let some = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.pass(some);
                    read = read.get(some..).unwrap_or_default();
                }
                _ => {
                    self.step(byte);
                    read = rest;
                }
            }
        }
    }

    /// How many bytes to read next, where so many of those that were read are not taken yet: of a large chunk its own,
    /// and no more behind them than the size of the next, so that it has its memory to itself.
    pub(super) fn room(&self, there: usize) -> usize {
        match self.at {
            _ if !self.is_large() => STRAIGHT_READ_BYTES,
            At::Data { left } => {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                let tail = if left > STRAIGHT_READ_BYTES { 0 } else { CHUNK_TAIL_BYTES };
                (left.min(STRAIGHT_READ_BYTES) + tail).saturating_sub(there)
            }
            _ => CHUNK_TAIL_BYTES,
        }
    }

    /// Is the chunk at hand, or the one before, to be read into memory of its own?
    fn is_large(&self) -> bool {
        self.size >= ALONE_BYTES_MIN as u64
    }

    /// Are these the first of many more bytes of a large chunk?
    fn are_few(&self, read: usize, left: u64) -> bool {
        self.is_large() && read < CHUNK_BEGIN_BYTES && (read as u64) < left
    }

    /// Take the next bytes from the front of what was read; the beginning of a large chunk only if that is all there
    /// is for now.
    pub(super) fn next(&mut self, read: &mut BytesMut, is_all: bool) -> Next {
        loop {
            match self.at {
                At::Last => return Next::Last,
                At::Malformed => return Next::Malformed,
                _ if read.is_empty() => return Next::More,
                At::Data { left } if !is_all && self.are_few(read.len(), left) => {
                    return Next::More;
                }
                At::Data { left } => {
                    let some = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.pass(some);
                    return Next::Bytes(read.split_to(some).freeze());
                }
                _ => self.step(bytes::Buf::get_u8(read)),
            }
        }
    }

    /// Bytes of the chunk at hand are read.
    fn pass(&mut self, bytes: usize) {
        let At::Data { left } = self.at else { return };
        let left = left.saturating_sub(bytes as u64);
        self.data += bytes as u64;
        self.at = if left == 0 { At::DataEnd } else { At::Data { left } };
    }

    /// A byte between the bytes of two chunks is read.
    fn step(&mut self, byte: u8) {
        self.line += 1;
        self.at = match (self.at, byte) {
            _ if self.line > CHUNK_LINE_BYTES_MAX => At::Malformed,
            (At::Size(size), _) if byte.is_ascii_hexdigit() => larger(size, byte),
            // No digit at all is no size.
            (At::Size(_), _) if self.line == 1 => At::Malformed,
            (At::Size(size) | At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Size(size), b' ' | b'\t' | b';') => At::Extension(size),
            (At::Extension(size), byte) if byte != b'\n' => At::Extension(size),
            (At::SizeEnd(0), b'\n') => At::Last,
            (At::SizeEnd(size), b'\n') => At::Data { left: size },
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size(0),
            _ => At::Malformed,
        };
        if let At::Data { left } = self.at {
            (self.size, self.line) = (left, 0);
        } else if self.at == At::Size(0) && byte == b'\n' {
            self.line = 0;
        }
    }
}

fn larger(size: u64, digit: u8) -> At {
    let digit = char::from(digit).to_digit(16).map_or(0, u64::from);
    let larger = size.checked_mul(16).and_then(|size| size.checked_add(digit));
    larger.map_or(At::Malformed, At::Size)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// `parts` as a body of chunks, every other one with an extension.
    fn body(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let extension = if number % 2 == 0 { "" } else { " ;a=b" };
            body.extend(format!("{:x}{extension}\r\n", part.len()).into_bytes());
            body.extend(part);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n");
        body
    }

    /// What comes out of `body`, read in slices of `size`, and what was left of it at its end.
    fn decoded(body: &[u8], size: usize) -> (Vec<u8>, Next, usize) {
        let (mut chunks, mut read, mut out) = (Chunks::new(), BytesMut::new(), Vec::new());
        for slice in body.chunks(size) {
            read.extend_from_slice(slice);
            loop {
                match chunks.next(&mut read, true) {
                    Next::Bytes(bytes) => out.extend(bytes),
                    Next::More => break,
                    ended => return (out, ended, read.len()),
                }
            }
        }
        (out, Next::More, read.len())
    }

    proptest! {
        #[test]
        fn chunks_come_out_as_they_went_in(
            parts in vec(vec(any::<u8>(), 1..70), 0..10),
            size in 1..90usize,
        ) {
            let (out, ended, left) = decoded(&body(&parts), size);
            prop_assert_eq!(out, parts.concat());
            prop_assert_eq!((ended, left), (Next::Last, 0));
        }

        #[test]
        fn who_reads_along_is_between_two_chunks_when_that_is_so(
            parts in vec(vec(any::<u8>(), 1..40), 1..6),
        ) {
            let body = body(&parts);
            let (mut chunks, mut places) = (Chunks::new(), Vec::new());
            for &byte in &body {
                if chunks.is_between() {
                    places.push(chunks.data);
                }
                chunks.follow(&[byte]);
            }
            let mut ends = vec![0];
            ends.extend(parts.iter().scan(0, |end, part| {
                *end += part.len() as u64;
                Some(*end)
            }));
            prop_assert_eq!(places, ends);

            let mut at_once = Chunks::new();
            at_once.follow(&body);
            prop_assert_eq!((at_once.at, at_once.data), (chunks.at, chunks.data));
        }

        #[test]
        fn whatever_comes_is_no_panic(body in vec(any::<u8>(), 0..200), size in 1..50usize) {
            decoded(&body, size);
        }
    }

    #[test]
    fn a_large_chunk_is_read_to_its_end_and_its_beginning_waits_for_the_rest() {
        let large = ALONE_BYTES_MIN + 1000;
        let part = vec![b'x'; large];
        let body = body(&[part.clone(), part]);
        let (mut chunks, mut read, mut at) = (Chunks::new(), BytesMut::new(), 0);
        let (mut lengths, mut rooms) = (Vec::new(), Vec::new());
        loop {
            match chunks.next(&mut read, false) {
                Next::Bytes(bytes) => lengths.push(bytes.len()),
                Next::More => {
                    rooms.push(chunks.room(read.len()));
                    let end = body.len().min(at + rooms.last().unwrap());
                    read.extend_from_slice(&body[at..end]);
                    at = end;
                }
                ended => break assert_eq!(ended, Next::Last),
            }
        }
        // Nothing is known before the first.
        let begun = STRAIGHT_READ_BYTES - body.len().div_ceil(2);
        assert!(begun > CHUNK_BEGIN_BYTES, "the first read goes beyond the first chunk");
        assert_eq!(lengths.iter().sum::<usize>(), 2 * large);
        assert_eq!(lengths[0], large);
        assert_eq!(lengths.len(), 3);
        assert_eq!(rooms[1], large - lengths[1] + CHUNK_TAIL_BYTES);

        chunks.at = At::Data { left: large as u64 };
        let mut few = BytesMut::from(&b"few"[..]);
        assert_eq!(chunks.next(&mut few, false), Next::More);
        assert_eq!(chunks.room(few.len()), large + CHUNK_TAIL_BYTES - few.len());
        assert_eq!(chunks.next(&mut few, true), Next::Bytes("few".into()));
    }

    #[test]
    fn what_does_not_keep_to_the_form_is_told() {
        let long = format!("1;{}\r\n", "x".repeat(CHUNK_LINE_BYTES_MAX));
        let malformed = [
            "\r\n",
            "g\r\n",
            "1\nx\r\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "+1\r\nx\r\n",
            ";a\r\n",
            &long,
            "10000000000000000\r\n",
            "1\r\r\n",
            "1 2\n",
        ];
        for body in malformed {
            assert_eq!(decoded(body.as_bytes(), 3).1, Next::Malformed, "{body:?}");
        }
    }
}
