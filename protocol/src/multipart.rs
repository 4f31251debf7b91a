//! `multipart/byteranges` (RFC 9110, section 14.6), written part by part and read in any slices.
//!
//! ```text
//!   --BOUNDARY          ┐
//!   Content-Range: ...  │ head: PartHead
//!   Origin-Time: ...    │
//!                       ┘
//!   <exactly that many bytes>
//!   --BOUNDARY--        the end; without it the body was cut
//! ```
//!
//! Each part says its range, so its bytes are counted and never searched for a boundary.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    content_range::{ContentRangeError, Placed},
    limits::PART_HEAD_BYTES_MAX,
    stamp::Stamp,
};

/// What a part says before its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// Where the bytes belong.
    pub placed: Placed,
    /// The media type of the whole.
    pub content_type: Option<String>,
    /// When the first byte was captured.
    pub origin_time: Option<Stamp>,
}

impl PartHead {
    /// The head as it goes before the part's bytes, the line break after the part before included.
    #[must_use]
    pub fn encode(&self, boundary: &str) -> Bytes {
        let mut head = Vec::new();
        self.encode_into(boundary, &mut head);
        head.into()
    }

    /// The same, behind what `into` has.
    pub fn encode_into(&self, boundary: &str, into: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing to memory cannot fail.
        let _ = write!(into, "\r\n--{boundary}\r\nContent-Range: {}\r\n", self.placed);
        if let Some(content_type) = &self.content_type {
            let _ = write!(into, "Content-Type: {content_type}\r\n");
        }
        if let Some(origin_time) = self.origin_time {
            let _ = write!(into, "Origin-Time: {origin_time}\r\n");
        }
        into.extend_from_slice(b"\r\n");
    }

    /// What ends the body after its last part.
    #[must_use]
    pub fn closing(boundary: &str) -> Bytes {
        format!("\r\n--{boundary}--\r\n").into()
    }
}

/// The boundary that a `Content-Type: multipart/byteranges; boundary=...` names.
#[must_use]
pub fn boundary_of(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/byteranges") {
        return None;
    }
    let boundary = parameters
        .split(';')
        .filter_map(|item| item.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?
        .1;
    Some(boundary.trim().trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// Why a multipart body cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// Something else where a boundary had to be.
    #[error("no boundary where one had to be")]
    NoBoundary,
    /// A head that does not end.
    #[error("a part's head is longer than {PART_HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// A head without a `Content-Range`.
    #[error("a part has no Content-Range")]
    NoRange,
    /// A `Content-Range` that cannot be used.
    #[error(transparent)]
    Range(#[from] ContentRangeError),
}

/// What comes next in a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartStep {
    /// A part begins.
    Head(PartHead),
    /// Bytes of the part that began last.
    Bytes(Bytes),
    /// The closing boundary: the body ended as it should.
    End,
    /// More input is needed.
    More,
}

/// Reads a multipart body that arrives in slices of any size. Holds at most one part's head, and
/// the slice given last; bytes come out as parts of the slices that went in, without a copy.
#[derive(Debug)]
pub struct PartReader {
    /// What goes before each part, after a line break.
    delimiter: String,
    buffer: Bytes,
    /// Bytes of the current part that are still to come.
    left: u64,
    ended: bool,
}

impl PartReader {
    /// A reader of a body whose parts are set off by `boundary`.
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        Self { delimiter: format!("--{boundary}"), buffer: Bytes::new(), left: 0, ended: false }
    }

    /// Give the next slice of the body; then call [`Self::step`] until it says [`PartStep::More`].
    pub fn push(&mut self, slice: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = slice;
            return;
        }
        // The beginning of a head.
        let begun = std::mem::take(&mut self.buffer).try_into_mut();
        let mut joined = begun.unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        joined.extend_from_slice(&slice);
        self.buffer = joined.freeze();
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// The body is not what it says; nothing more can be read from it.
    pub fn step(&mut self) -> Result<PartStep, PartError> {
        if self.ended {
            self.buffer.clear();
            return Ok(PartStep::End);
        }
        if self.left > 0 {
            return Ok(self.take_bytes());
        }
        self.take_head()
    }

    fn take_bytes(&mut self) -> PartStep {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = self.buffer.split_to(self.buffer.len().min(left));
        self.left -= bytes.len() as u64;
        if bytes.is_empty() { PartStep::More } else { PartStep::Bytes(bytes) }
    }

    fn take_head(&mut self) -> Result<PartStep, PartError> {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
        let delimiter = self.delimiter.as_bytes();
        let known = self.buffer.len().min(delimiter.len());
        if self.buffer.get(..known) != delimiter.get(..known) {
            let partial_break = self.buffer.as_ref() == b"\r";
            return if partial_break { Ok(PartStep::More) } else { Err(PartError::NoBoundary) };
        }
        let Some(after) = self.buffer.get(delimiter.len()..).filter(|rest| rest.len() >= 2) else {
            return Ok(PartStep::More);
        };
        if after.starts_with(b"--") {
            self.ended = true;
            return Ok(PartStep::End);
        }
        // Only so far: a head that is too long is that in whatever slices it arrives.
        let head = self.buffer.get(..PART_HEAD_BYTES_MAX).unwrap_or(&self.buffer);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            let too_long = self.buffer.len() >= PART_HEAD_BYTES_MAX;
            return if too_long { Err(PartError::HeadTooLong) } else { Ok(PartStep::More) };
        };
        let head = self.buffer.split_to(end + 4);
        let head = parse_head(&String::from_utf8_lossy(&head))?;
        self.left = head.placed.range.len();
        Ok(PartStep::Head(head))
    }
}

fn parse_head(text: &str) -> Result<PartHead, PartError> {
    let (mut range, mut content_type, mut origin_time) = (None, None, None);
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let is = |field: &str| name.trim().eq_ignore_ascii_case(field);
        let field = match () {
            () if is("content-range") => &mut range,
            () if is("content-type") => &mut content_type,
            () if is("origin-time") => &mut origin_time,
            () => continue,
        };
        field.get_or_insert(value.trim());
    }
    Ok(PartHead {
        placed: range.ok_or(PartError::NoRange)?.parse()?,
        content_type: content_type.map(Into::into),
        origin_time: origin_time.and_then(|time| time.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::range::ByteRange;

    fn head(start: u64, len: usize) -> PartHead {
        PartHead {
            placed: Placed { range: ByteRange::at(start, len as u64).unwrap(), total: None },
            content_type: Some("video/mp4".into()),
            origin_time: Some(Stamp::from_nanos(1_500_000_000)),
        }
    }

    type Part = (PartHead, Vec<u8>);

    /// All steps of `body`, given in slices of `size`, neighbouring bytes joined.
    fn read(body: &[u8], size: usize) -> Result<(Vec<Part>, bool), PartError> {
        let (mut reader, mut parts, mut ended) = (PartReader::new("B"), Vec::new(), false);
        for slice in body.chunks(size) {
            reader.push(Bytes::copy_from_slice(slice));
            loop {
                match reader.step()? {
                    PartStep::Head(head) => parts.push((head, Vec::new())),
                    PartStep::Bytes(bytes) => parts.last_mut().unwrap().1.extend(bytes),
                    PartStep::End => {
                        ended = true;
                        break;
                    }
                    PartStep::More => break,
                }
            }
        }
        Ok((parts, ended))
    }

    proptest! {
        #[test]
        fn parts_are_read_as_written_in_any_slices(
            parts in vec((0..1000u64, vec(any::<u8>(), 1..200)), 0..6), size in 1..300usize,
        ) {
            let mut body = Vec::new();
            for (start, bytes) in &parts {
                body.extend(head(*start, bytes.len()).encode("B"));
                body.extend(bytes);
            }
            body.extend(PartHead::closing("B"));
            let expected: Vec<_> =
                parts.iter().map(|(start, bytes)| (head(*start, bytes.len()), bytes.clone())).collect();
            prop_assert_eq!(read(&body, size), Ok((expected, true)));
        }

        #[test]
        fn no_body_makes_the_reader_panic(body in vec(any::<u8>(), 0..400), size in 1..50usize) {
            let _ = read(&body, size);
        }
    }

    #[test]
    fn a_cut_body_has_no_end() {
        let mut body = head(0, 4).encode("B").to_vec();
        body.extend(b"abc");
        assert_eq!(read(&body, 7), Ok((vec![(head(0, 4), b"abc".to_vec())], false)));
    }

    #[test]
    fn a_head_that_does_not_end_soon_is_refused_in_any_slices() {
        let body = [b"--B\r\n".to_vec(), vec![b'x'; PART_HEAD_BYTES_MAX]].concat();
        let ended = [body.as_slice(), b"\r\nContent-Range: bytes 0-0/*\r\n\r\n!"].concat();
        for size in [1, 100, 10_000] {
            assert_eq!(read(&body, size), Err(PartError::HeadTooLong));
            assert_eq!(read(&ended, size), Err(PartError::HeadTooLong));
        }
    }

    #[test]
    fn the_boundary_is_found() {
        assert_eq!(boundary_of("multipart/byteranges; boundary=\"x y\""), Some("x y"));
        assert_eq!(boundary_of("Multipart/ByteRanges; a=b; boundary=q"), Some("q"));
        assert_eq!(boundary_of("text/plain; boundary=q"), None);
    }
}
