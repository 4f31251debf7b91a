//! Lines of text out of bytes that come in any slices.
//!
//! A line ends in `\n`; a `\r` before it belongs to the ending. One that is too long is said to be so
//! as soon as that is known, and costs nothing from then on: the rest of it is dropped as it comes.

use bytes::{Buf, BytesMut};

/// Splits what a peer sends into lines.
#[derive(Clone, Debug)]
pub struct LineReader {
    buffer: BytesMut,
    /// Bytes of the buffer in which no ending was found.
    searched: usize,
    max: usize,
    /// Is the rest of a line that was too long still to come?
    is_dropping: bool,
}

/// Why a line means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It does not end.
    #[error("a line has at most {max} bytes")]
    TooLong {
        /// The most that a line may have.
        max: usize,
    },
    /// It is not UTF-8.
    #[error("a line is UTF-8 text")]
    NotText,
}

impl LineReader {
    /// A reader of lines of at most `max` bytes, their ending not counted.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, max, is_dropping: false }
    }

    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.drop_rest();
    }

    /// The next line, without its ending; `None` while it is not all here.
    pub fn next_line(&mut self) -> Option<Result<String, LineError>> {
        self.drop_rest();
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let found = unseen.iter().position(|&byte| byte == b'\n').map(|at| self.searched + at);
        // One byte more may be the `\r` of the ending.
        let len = found.unwrap_or(self.buffer.len());
        let is_ending = len > 0 && self.buffer.get(len - 1) == Some(&b'\r');
        if len - usize::from(is_ending) > self.max {
            self.buffer.advance(len);
            (self.searched, self.is_dropping) = (0, true);
            self.drop_rest();
            return Some(Err(LineError::TooLong { max: self.max }));
        }
        let Some(len) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(len + 1);
        self.searched = 0;
        let text = line.get(..len - usize::from(is_ending)).unwrap_or_default();
        Some(std::str::from_utf8(text).map(Into::into).map_err(|_| LineError::NotText))
    }

    /// Is nothing here of a next line?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.is_dropping
    }

    /// What came after the last line that was taken.
    #[must_use]
    pub fn into_rest(self) -> BytesMut {
        self.buffer
    }

    fn drop_rest(&mut self) {
        if !self.is_dropping {
            return;
        }
        match self.buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                self.buffer.advance(at + 1);
                self.is_dropping = false;
            }
            None => self.buffer.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that a reader makes of `bytes` in slices of `size`.
    fn read(bytes: &[u8], size: usize, max: usize) -> Vec<Result<String, LineError>> {
        let (mut reader, mut lines) = (LineReader::new(max), Vec::new());
        for slice in bytes.chunks(size) {
            reader.push(slice);
            lines.extend(std::iter::from_fn(|| reader.next_line()));
        }
        lines
    }

    #[test]
    fn lines_end_as_unix_and_as_the_network_have_it() {
        let lines = read(b"LIST\r\nWATCH 1\n\n\r\nnot yet", 3, 20);
        assert_eq!(lines, ["LIST", "WATCH 1", "", ""].map(|line| Ok(line.into())));
    }

    #[test]
    fn a_line_that_is_too_long_is_one_error_and_the_next_is_read() {
        let text = [&b"12345\r\n"[..], &[b'x'; 100], b"\nok\n", b"\xff\n"].concat();
        let expected = [
            Ok("12345".into()),
            Err(LineError::TooLong { max: 5 }),
            Ok("ok".into()),
            Err(LineError::NotText),
        ];
        for size in [1, 2, 7, 1000] {
            assert_eq!(read(&text, size, 5), expected, "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut reader = LineReader::new(10);
        for _ in 0..1000 {
            reader.push(&[b'x'; 1000]);
            while reader.next_line().is_some() {}
            assert!(reader.buffer.capacity() <= 4096, "{}", reader.buffer.capacity());
        }
        assert!(!reader.is_empty(), "its end is still to come");
    }

    proptest! {
        #[test]
        fn any_slices_give_the_same_lines(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            size in 1_usize..20,
        ) {
            prop_assert_eq!(read(&bytes, size, 8), read(&bytes, bytes.len().max(1), 8));
        }

        #[test]
        fn what_is_written_as_lines_is_read_as_these(lines in prop::collection::vec("[^\r\n]{0,9}", 0..20)) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let expected: Vec<_> = lines.into_iter().map(Ok).collect();
            prop_assert_eq!(read(text.as_bytes(), 3, 36), expected);
        }
    }
}
