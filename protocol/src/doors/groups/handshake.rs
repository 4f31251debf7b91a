//! What is said at the door's known port, before there is a group.
//!
//! ```text
//!   C: 0x01 seq port           give me a group, at this port or (0) at any
//!   S: 0x02 token port         from the port that is offered
//!   C: 0x04 token port flag    at the known port again: it is usable, or it is not
//!   S: 0x00 token              it is yours
//! ```
//!
//! The number of the offer is a token that only the address which it was sent to knows. It comes back in
//! the answer, and until then nothing is kept. The offer is no larger than the request.

use bytes::{BufMut, Bytes};

use super::{ACK, DatagramError, Reader, begin};

const PORT_REQUEST: u8 = 0x01;
const PORT_ALLOCATED: u8 = 0x02;
const PORT_ANSWER: u8 = 0x04;

/// A datagram at the door's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The datagram of that number has come.
    Ack,
    /// A group is wanted, at that port; 0: any.
    PortRequest {
        /// The port.
        port: u16,
    },
    /// It can be had there.
    PortAllocated {
        /// The port.
        port: u16,
    },
    /// The client can use it, or cannot and gets another one.
    PortAnswer {
        /// The port.
        port: u16,
        /// Can it?
        is_usable: bool,
    },
}

impl Handshake {
    /// Number and meaning of a datagram.
    ///
    /// # Errors
    ///
    /// It has none.
    pub fn decode(datagram: &[u8]) -> Result<(u64, Self), DatagramError> {
        let (kind, seq, mut reader) = Reader::begin(datagram)?;
        let meaning = match kind {
            ACK => Self::Ack,
            PORT_REQUEST => Self::PortRequest { port: reader.u16()? },
            PORT_ALLOCATED => Self::PortAllocated { port: reader.u16()? },
            PORT_ANSWER => Self::PortAnswer { port: reader.u16()?, is_usable: flag(reader.u8()?)? },
            kind => return Err(DatagramError::Unknown { kind }),
        };
        reader.end((seq, meaning))
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn encode(self, seq: u64) -> Bytes {
        let mut datagram = match self {
            Self::Ack => begin(ACK, seq),
            Self::PortRequest { .. } => begin(PORT_REQUEST, seq),
            Self::PortAllocated { .. } => begin(PORT_ALLOCATED, seq),
            Self::PortAnswer { .. } => begin(PORT_ANSWER, seq),
        };
        match self {
            Self::Ack => {}
            Self::PortRequest { port } | Self::PortAllocated { port } => datagram.put_u16(port),
            Self::PortAnswer { port, is_usable } => {
                datagram.put_u16(port);
                datagram.put_u8(is_usable.into());
            }
        }
        datagram.freeze()
    }
}

fn flag(value: u8) -> Result<bool, DatagramError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DatagramError::Value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEQ: u64 = 0x0102_0304_0506_0708;

    #[test]
    fn the_handshake_is_these_bytes() {
        let seq = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08];
        for (meaning, kind, body) in [
            (Handshake::Ack, 0x00, &[][..]),
            (Handshake::PortRequest { port: 0 }, 0x01, &[0x00, 0x00]), // any port
            (Handshake::PortAllocated { port: 41_000 }, 0x02, &[0xa0, 0x28]), // 41,000
            (Handshake::PortAnswer { port: 41_000, is_usable: true }, 0x04, &[0xa0, 0x28, 0x01]),
            (Handshake::PortAnswer { port: 41_000, is_usable: false }, 0x04, &[0xa0, 0x28, 0x00]),
        ] {
            let wire = [&[kind][..], &seq, body].concat();
            assert_eq!(meaning.encode(SEQ), wire);
            assert_eq!(Handshake::decode(&wire), Ok((SEQ, meaning)));
        }
    }

    #[test]
    fn an_offer_is_no_larger_than_its_request() {
        let request = Handshake::PortRequest { port: 1 }.encode(SEQ);
        assert!(Handshake::PortAllocated { port: 1 }.encode(SEQ).len() <= request.len());
        let answer = Handshake::PortAnswer { port: 1, is_usable: true }.encode(SEQ);
        assert!(Handshake::PortAllocated { port: 1 }.encode(SEQ).len() <= answer.len());
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let request = Handshake::PortRequest { port: 1 }.encode(SEQ);
        let short = Handshake::decode(&request[..request.len() - 1]);
        assert_eq!(short, Err(DatagramError::Short { len: 10 }));
        let long = Handshake::decode(&[&request[..], b"x"].concat());
        assert_eq!(long, Err(DatagramError::Long { len: 12 }));
        let data = [&[0x10][..], &[0; 20]].concat();
        assert_eq!(Handshake::decode(&data), Err(DatagramError::Unknown { kind: 0x10 }));
        let flag = [&[0x04][..], &[0; 10], &[2]].concat();
        assert_eq!(Handshake::decode(&flag), Err(DatagramError::Value));
        assert_eq!(Handshake::decode(b""), Err(DatagramError::Short { len: 0 }));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(
            kind in prop::sample::select(vec![0_u8, 1, 2, 4, 8]),
            rest in prop::collection::vec(any::<u8>(), 0..14),
        ) {
            let wire = [&[kind][..], &rest].concat();
            if let Ok((seq, meaning)) = Handshake::decode(&wire) {
                prop_assert_eq!(meaning.encode(seq), wire);
            }
        }
    }
}
