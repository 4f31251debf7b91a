//! Whole pieces of what an encoder gives: packets of a transport stream, fragments of an MP4. Pure.
//!
//! ```text
//!   first:  ftyp moov │ moof mdat │ moof mdat │ moof md✂        dies here: the torn one is left out
//!   next:   ftyp moov │ moof mdat │ ...
//!           └─ the same: left out └─ goes on
//! ```
//!
//! An encoder that is killed stops in the middle of anything. What follows such a torn piece would be
//! damaged for every player, so a piece is let through when it is whole. That costs no time: an
//! encoder writes a piece at once. What is not understood is let through as it is.

use bytes::{Buf, Bytes, BytesMut};

use super::Container;
use crate::limits::{HEADER_BYTES_MAX, UNIT_BYTES_MAX};

const PACKET: usize = 188;
const SYNC: u8 = 0x47;

/// Takes bytes in any pieces, gives whole ones.
#[derive(Debug)]
pub(crate) struct Units {
    container: Container,
    /// How the stream begins, as far as its header may go.
    beginning: Bytes,
    pending: BytesMut,
    /// This encoder's header is still to come.
    header_due: bool,
    /// This encoder's output is not what was expected.
    strange: bool,
}

/// What is whole in some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Whole {
    bytes: usize,
    /// Of these, so many are the header.
    header: usize,
    strange: bool,
}

impl Units {
    /// For a stream that begins with `beginning`, as far as that is known.
    pub(crate) fn new(container: Container, beginning: Bytes) -> Self {
        Self { container, beginning, pending: BytesMut::new(), header_due: true, strange: false }
    }

    /// Another encoder begins. What its predecessor left torn is dropped.
    pub(crate) fn begin(&mut self) {
        self.pending.clear();
        (self.header_due, self.strange) = (true, false);
    }

    /// What is whole now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.pending.extend_from_slice(bytes);
        if self.strange {
            return self.pending.split().freeze();
        }
        let whole = match self.container {
            Container::Mp4 => fragments(&self.pending),
            Container::Ts => packets(&self.pending),
        };
        self.strange = whole.strange || self.pending.len() - whole.bytes > UNIT_BYTES_MAX;
        let whole = if self.strange { Whole { bytes: self.pending.len(), ..whole } } else { whole };
        let mut bytes = self.pending.split_to(whole.bytes).freeze();
        if self.header_due && whole.header > 0 {
            self.header_due = false;
            self.meet_header(&mut bytes, whole.header);
        }
        bytes
    }

    /// The encoder ended as it should: nothing is torn.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.pending.split().freeze()
    }

    /// The header that the stream has already is not repeated. Another one has to be: what follows
    /// can be shown with it only.
    fn meet_header(&mut self, bytes: &mut Bytes, len: usize) {
        let header = bytes.slice(..len);
        if self.beginning.starts_with(&header) {
            bytes.advance(len);
            return;
        }
        if self.beginning.is_empty() {
            if len <= HEADER_BYTES_MAX {
                self.beginning = header;
            }
        } else {
            tracing::warn!("the encoder's header is another one now: players have to join anew");
        }
    }
}

fn packets(bytes: &[u8]) -> Whole {
    let strange = bytes.first().is_some_and(|&first| first != SYNC);
    Whole { bytes: bytes.len() - bytes.len() % PACKET, header: 0, strange }
}

/// A fragment ends with its `mdat`, the header with its `moov`.
fn fragments(bytes: &[u8]) -> Whole {
    let (mut whole, mut at) = (Whole::default(), 0_usize);
    while let Some((kind, len)) = bytes.get(at..).and_then(box_head) {
        let Some(end) = usize::try_from(len).ok().filter(|&len| len >= 8) else {
            return Whole { strange: true, ..whole };
        };
        let end = at.saturating_add(end);
        if end > bytes.len() {
            break;
        }
        at = end;
        match &kind {
            b"moov" => (whole.header, whole.bytes) = (end, end),
            b"mdat" => whole.bytes = end,
            _ => {}
        }
    }
    whole
}

/// Kind and length of the box that begins here.
fn box_head(bytes: &[u8]) -> Option<([u8; 4], u64)> {
    let len = u32::from_be_bytes(*bytes.first_chunk()?);
    let kind = *bytes.get(4..)?.first_chunk()?;
    match len {
        1 => Some((kind, u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?))),
        _ => Some((kind, len.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(kind: &str, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 8).unwrap();
        [&len.to_be_bytes(), kind.as_bytes(), body].concat()
    }

    fn header() -> Vec<u8> {
        [part("ftyp", b"iso5"), part("moov", b"tracks")].concat()
    }

    fn fragment(number: u8) -> Vec<u8> {
        [part("moof", &[number]), part("mdat", &vec![number; usize::from(number)])].concat()
    }

    fn all(units: &mut Units, bytes: &[u8], step: usize) -> Vec<u8> {
        bytes.chunks(step).flat_map(|piece| units.push(piece)).collect()
    }

    proptest! {
        /// However an encoder is cut, and in whatever pieces it is read: the stream is one header and
        /// whole fragments.
        #[test]
        fn a_killed_encoder_leaves_whole_fragments(step in 1_usize..70, cut in 0_usize..400) {
            let first: Vec<u8> = [header(), (1..20).flat_map(fragment).collect()].concat();
            let cut = cut.min(first.len());
            let mut units = Units::new(Container::Mp4, Bytes::new());
            let mut stream = all(&mut units, &first[..cut], step);
            prop_assert!(first.starts_with(&stream));
            prop_assert_eq!(fragments(&stream).bytes, stream.len());
            let before = stream.len();
            units.begin();
            let second: Vec<u8> = [header(), fragment(50)].concat();
            stream.extend(all(&mut units, &second, step));
            let expected = if before == 0 { second } else { fragment(50) };
            prop_assert_eq!(&stream[before..], &expected);
        }

        #[test]
        fn a_transport_stream_stays_in_step(step in 1_usize..500, cut in 0_usize..2000) {
            let stream: Vec<u8> =
                (0..10).flat_map(|number| [vec![SYNC], vec![number; PACKET - 1]].concat()).collect();
            let mut units = Units::new(Container::Ts, Bytes::new());
            let mut out = all(&mut units, &stream[..cut.min(stream.len())], step);
            prop_assert_eq!(out.len(), cut.min(stream.len()) / PACKET * PACKET);
            let before = out.len();
            units.begin();
            out.extend(all(&mut units, &stream, step));
            prop_assert_eq!(&out[before..], &stream);
        }

        #[test]
        fn anything_else_passes_as_it_is(bytes: Vec<u8>, step in 1_usize..50, ts: bool) {
            let container = if ts { Container::Ts } else { Container::Mp4 };
            let mut units = Units::new(container, Bytes::new());
            let mut out = all(&mut units, &bytes, step);
            out.extend(units.rest());
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_header_that_the_copy_has_is_left_out_and_another_one_is_not() {
        let mut units = Units::new(Container::Mp4, [header(), fragment(9)].concat().into());
        assert_eq!(units.push(&[header(), fragment(1)].concat()), fragment(1));
        units.begin();
        let other = [part("ftyp", b"iso5"), part("moov", b"others"), fragment(2)].concat();
        assert_eq!(units.push(&other), other);
    }

    #[test]
    fn a_piece_that_never_ends_is_not_collected_for_ever() {
        let mut units = Units::new(Container::Mp4, Bytes::new());
        let endless =
            [u32::MAX.to_be_bytes().as_slice(), b"mdat", &vec![0; UNIT_BYTES_MAX]].concat();
        assert_eq!(units.push(&endless).len(), endless.len());
        assert_eq!(units.push(b"x"), "x");
    }
}
