//! groups: one movie for a group, in datagrams of 1,200 bytes at most.
//!
//! ```text
//!   type u8 · seq u64 · what the type has         integers in network byte order
//!
//!   at the door's port       0x01 request, 0x02 allocated, 0x04 usable or not, 0x00 acknowledged
//!   at the group's own port  0x01 registration, 0x02 movies, 0x04 choice, 0x08 start, 0x10 data, ...
//! ```
//!
//! The same type means one thing at the door and another one at a group, so there is an enum for each.

mod handshake;
mod link;
mod message;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use handshake::Handshake;
pub use link::Link;
pub use message::{Event, Message, Movie, Phase, Received, State, movie_lists};

use crate::limits::DATAGRAM_BYTES_MAX;

/// The port that the door is at home on.
pub const PORT: u16 = 5535;

/// The type of an acknowledgement, at the door and at a group.
const ACK: u8 = 0x00;

/// Why a datagram means nothing; it is left out, and nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// It ends before what its type has.
    #[error("a datagram of {len} bytes is too short")]
    Short {
        /// Its length.
        len: usize,
    },
    /// It is longer than datagrams are, or than its type is.
    #[error("a datagram of {len} bytes is too long")]
    Long {
        /// Its length.
        len: usize,
    },
    /// A type that is none here.
    #[error("no datagram has the type {kind:#04x}")]
    Unknown {
        /// The type.
        kind: u8,
    },
    /// A field has a value that means nothing.
    #[error("a field has a value that means nothing")]
    Value,
}

/// What is left to read of a datagram.
struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    /// Type, number, and what comes behind.
    fn begin(datagram: &'a [u8]) -> Result<(u8, u64, Self), DatagramError> {
        let len = datagram.len();
        if len > DATAGRAM_BYTES_MAX {
            return Err(DatagramError::Long { len });
        }
        let mut reader = Self { rest: datagram, len };
        Ok((reader.u8()?, reader.u64()?, reader))
    }

    fn short(&self) -> DatagramError {
        DatagramError::Short { len: self.len }
    }

    fn u8(&mut self) -> Result<u8, DatagramError> {
        self.rest.try_get_u8().map_err(|_| self.short())
    }

    fn u16(&mut self) -> Result<u16, DatagramError> {
        self.rest.try_get_u16().map_err(|_| self.short())
    }

    fn u32(&mut self) -> Result<u32, DatagramError> {
        self.rest.try_get_u32().map_err(|_| self.short())
    }

    fn u64(&mut self) -> Result<u64, DatagramError> {
        self.rest.try_get_u64().map_err(|_| self.short())
    }

    /// Length in a byte, and so much UTF-8.
    fn text(&mut self) -> Result<String, DatagramError> {
        let len = usize::from(self.u8()?);
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.short())?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| DatagramError::Value)
    }

    fn bytes(&mut self) -> Bytes {
        Bytes::copy_from_slice(std::mem::take(&mut self.rest))
    }

    /// That was all.
    fn end<T>(self, value: T) -> Result<T, DatagramError> {
        if self.rest.is_empty() { Ok(value) } else { Err(DatagramError::Long { len: self.len }) }
    }
}

/// Type and number, with room for what comes behind.
fn begin(kind: u8, seq: u64) -> BytesMut {
    let mut datagram = BytesMut::with_capacity(DATAGRAM_BYTES_MAX);
    datagram.put_u8(kind);
    datagram.put_u64(seq);
    datagram
}
