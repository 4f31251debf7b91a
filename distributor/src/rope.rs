//! Bytes in several pieces, which nobody copies to have them in one.
//!
//! ```text
//!   ring     │ piece │ piece │ piece │
//!   rope         └ slice ┴ slice ┴ slice ┘ ──▶ one write of all of them (`sendmsg(2)`, `pwritev(2)`)
//! ```

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Bytes, BytesMut};

/// Bytes in several pieces, none of them empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rope {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl Rope {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.length = 0;
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.length += other.length;
        self.pieces.append(&mut other.pieces);
    }

    /// Take the first bytes out of it, as many as there are of so many.
    pub(crate) fn split_to(&mut self, bytes: usize) -> Self {
        let mut first = Self::default();
        while let Some(left) = bytes.checked_sub(first.length).filter(|left| *left > 0)
            && let Some(mut piece) = self.pieces.pop_front()
        {
            let some = piece.split_to(piece.len().min(left));
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
            self.length -= some.len();
            first.push(some);
        }
        first
    }

    /// The pieces, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// From the byte at `from` on, at most so many pieces, for one call to the system.
    pub(crate) fn slices(&self, mut from: usize, pieces_max: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.pieces.len().min(pieces_max));
        for piece in &self.pieces {
            if slices.len() == pieces_max {
                break;
            }
            match piece.get(from..).filter(|rest| !rest.is_empty()) {
                Some(rest) => {
                    slices.push(IoSlice::new(rest));
                    from = 0;
                }
                None => from -= piece.len(),
            }
        }
        slices
    }

    /// All of it in one piece, in memory of its own.
    pub(crate) fn copied(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.length);
        self.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<T: IntoIterator<Item = Bytes>>(pieces: T) -> Self {
        let mut rope = Self::default();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_bytes_that_went_in_however_it_is_cut(
            pieces in vec(vec(any::<u8>(), 0..30), 0..12),
            cut in 0..300usize, from in 0..300usize, pieces_max in 1..6usize,
        ) {
            let whole = pieces.concat();
            let mut rope: Rope = pieces.into_iter().map(Bytes::from).collect();
            prop_assert!(rope.iter().all(|piece| !piece.is_empty()));

            let slices = rope.slices(from, pieces_max);
            let seen: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let rest = whole.get(from..).unwrap_or_default();
            prop_assert!(rest.starts_with(&seen));
            prop_assert!(slices.len() == pieces_max || seen == rest);

            let mut first = rope.split_to(cut);
            prop_assert_eq!(first.len(), cut.min(whole.len()));
            prop_assert_eq!([first.copied(), rope.copied()].concat(), whole.clone());

            first.append(rope);
            prop_assert_eq!(first.copied(), whole);
        }
    }
}
