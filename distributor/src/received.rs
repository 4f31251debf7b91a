//! Bytes that came in, and whether the ring may keep them where they are.
//!
//! ```text
//!   │ 10000 CRLF │ bytes of a large chunk             │ CRLF │    alone: little else is in that memory
//!   │ 3a CRLF │ bytes │ CRLF 3a CRLF │ bytes │ CRLF 3a ... │    not: the ring copies them
//! ```

use bytes::Bytes;

use crate::limits::ALONE_BYTES_MIN;

/// Bytes that came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// They are most of the memory that they keep.
    pub(crate) is_alone: bool,
}

impl Received {
    /// They are a part of no more than is read past hyper at once.
    pub(crate) fn read(bytes: Bytes) -> Self {
        let is_alone = bytes.len() >= ALONE_BYTES_MIN;
        Self { bytes, is_alone }
    }

    /// A part of them.
    pub(crate) fn slice(&self, from: usize, length: usize) -> Option<Self> {
        let end = from.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let is_alone = self.is_alone && length >= ALONE_BYTES_MIN;
        Some(Self { bytes: self.bytes.slice(from..end), is_alone })
    }
}

/// Whatever else they are a part of.
impl From<Bytes> for Received {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, is_alone: false }
    }
}
