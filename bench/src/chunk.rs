//! The test pattern: chunks that carry their number and the time at which they were due, so that
//! whoever receives them can tell what is missing, what is wrong and how old it is.
//!
//! ```text
//!   | magic 8 | number 8 | due 8 | length 4 | CRC-32C of these 4 | filler: a pattern turned by number |
//! ```
//!
//! [`Checker`] finds its way from any byte on: a consumer of a live stream may begin inside a chunk.

use std::sync::LazyLock;

use crate::{clock::Moment, limits::CHUNK_BYTES_MAX};

const MAGIC: [u8; 8] = *b"FRESHET\n";

/// Bytes of a chunk before its filler.
pub const HEADER_BYTES: usize = 32;
const _: () = assert!(HEADER_BYTES < CHUNK_BYTES_MAX);

/// Length of the pattern: a prime, so that no power of two turns it into itself.
const PATTERN_BYTES: usize = 65_521;

/// Noise without the magic in it: it has no `F`.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut bytes = (0..PATTERN_BYTES).map(|_| noise()).collect::<Vec<_>>();
    bytes.iter_mut().filter(|byte| **byte == b'F').for_each(|byte| *byte = b'f');
    bytes
});

/// What the header of a chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which one it is, from 0.
    pub number: u64,
    /// When it should have been produced.
    pub due: Moment,
    /// All its bytes, the header included.
    pub length: usize,
}

impl Chunk {
    /// Append the bytes of the chunk to `out`.
    ///
    /// # Panics
    ///
    /// `length` is below [`HEADER_BYTES`] or above [`CHUNK_BYTES_MAX`].
    pub fn write_to(&self, out: &mut Vec<u8>) {
        assert!((HEADER_BYTES..=CHUNK_BYTES_MAX).contains(&self.length), "no such chunk");
        out.extend_from_slice(&self.header());
        let mut left = self.length - HEADER_BYTES;
        let mut at = self.turn();
        while left > 0 {
            let piece = filler(at, left);
            out.extend_from_slice(piece);
            left -= piece.len();
            at = 0;
        }
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        // A chunk's length is bounded far below 4 GiB.
        let length = (self.length as u32).to_be_bytes();
        let fields = MAGIC
            .into_iter()
            .chain(self.number.to_be_bytes())
            .chain(self.due.nanos().to_be_bytes());
        header.iter_mut().zip(fields.chain(length)).for_each(|(to, from)| *to = from);
        if let Some((said, sum)) = header.split_last_chunk_mut::<4>().map(|(a, b)| (&*a, b)) {
            *sum = crc32c::crc32c(said).to_be_bytes();
        }
        header
    }

    fn parse(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (said, sum) = header.split_last_chunk::<4>()?;
        let (magic, rest) = said.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (due, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_be_bytes(rest.try_into().ok()?) as usize;
        let sound = *magic == MAGIC
            && crc32c::crc32c(said).to_be_bytes() == *sum
            && (HEADER_BYTES..=CHUNK_BYTES_MAX).contains(&length);
        let due = Moment::from_nanos(u64::from_be_bytes(*due));
        sound.then_some(Self { number: u64::from_be_bytes(*number), due, length })
    }

    /// Where in the pattern its filler begins.
    const fn turn(&self) -> usize {
        (self.number.wrapping_mul(7_919) % PATTERN_BYTES as u64) as usize
    }
}

/// At most `bytes` of the pattern from `at` on, up to its end.
fn filler(at: usize, bytes: usize) -> &'static [u8] {
    let rest = PATTERN.get(at..).unwrap_or_default();
    rest.get(..bytes).unwrap_or(rest)
}

/// What a [`Checker`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole chunks, each byte of them right.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that are missing between others.
    pub gaps: u64,
    /// Chunks that came although they, or later ones, had come already.
    pub repeats: u64,
    /// Places where the bytes were not those of the pattern.
    pub wrong: u64,
}

/// Takes the bytes of a stream in whatever pieces, and compares them with the pattern.
#[derive(Debug, Default)]
pub struct Checker {
    state: State,
    next: Option<u64>,
    tally: Tally,
}

#[derive(Debug)]
enum State {
    /// Looking for the magic; so many of its bytes were just seen.
    Seek(usize),
    /// In a header.
    Header { bytes: [u8; HEADER_BYTES], filled: usize },
    /// In the filler of this chunk: so much of it is still to come, and the pattern is there.
    Filler { chunk: Chunk, left: usize, at: usize },
}

impl Default for State {
    fn default() -> Self {
        Self::Seek(0)
    }
}

const EMPTY: State = State::Header { bytes: [0; HEADER_BYTES], filled: 0 };

impl Checker {
    /// Take `bytes`; `whole` is called for each chunk that they complete.
    pub fn take(&mut self, mut bytes: &[u8], mut whole: impl FnMut(&Chunk)) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Seek(seen) => self.seek(seen, bytes),
                State::Header { bytes: header, filled } => self.header(header, filled, bytes),
                State::Filler { chunk, left, at } => self.filler(chunk, left, at, bytes),
            };
            if let State::Filler { chunk, left: 0, .. } = self.state {
                self.state = EMPTY;
                self.complete(&chunk);
                whole(&chunk);
            }
        }
    }

    /// The number of the chunk that should come next, once there was one.
    #[must_use]
    pub const fn next(&self) -> Option<u64> {
        self.next
    }

    /// The next bytes do not follow the last ones.
    pub fn jump(&mut self) {
        self.state = State::default();
    }

    /// What was seen so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Is it between two chunks, or has it seen none?
    #[must_use]
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Seek(_) | State::Header { filled: 0, .. })
    }

    fn seek<'a>(&mut self, mut seen: usize, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            // The magic begins with its only F: whatever breaks it can only be a new beginning.
            let fits = MAGIC.get(seen) == Some(byte);
            seen = if fits { seen + 1 } else { usize::from(*byte == b'F') };
            if seen == MAGIC.len() {
                let mut header = [0; HEADER_BYTES];
                header.iter_mut().zip(MAGIC).for_each(|(to, from)| *to = from);
                self.state = State::Header { bytes: header, filled: seen };
                return bytes.get(at + 1..).unwrap_or_default();
            }
        }
        self.state = State::Seek(seen);
        &[]
    }

    fn header<'a>(
        &mut self,
        mut header: [u8; HEADER_BYTES],
        filled: usize,
        bytes: &'a [u8],
    ) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - filled));
        let room = header.iter_mut().skip(filled);
        room.zip(taken).for_each(|(to, from)| *to = *from);
        let filled = filled + taken.len();
        self.state = if filled < HEADER_BYTES {
            State::Header { bytes: header, filled }
        } else if let Some(chunk) = Chunk::parse(&header) {
            State::Filler { chunk, left: chunk.length - HEADER_BYTES, at: chunk.turn() }
        } else {
            self.wrong()
        };
        rest
    }

    fn filler<'a>(&mut self, chunk: Chunk, left: usize, at: usize, bytes: &'a [u8]) -> &'a [u8] {
        let right = filler(at, left.min(bytes.len()));
        let (taken, rest) = bytes.split_at(right.len());
        self.state = if taken == right {
            let at = (at + right.len()) % PATTERN_BYTES;
            State::Filler { chunk, left: left - right.len(), at }
        } else {
            self.wrong()
        };
        // Where something is missing, the next header is among what was just compared.
        if matches!(self.state, State::Seek(_)) { bytes } else { rest }
    }

    const fn wrong(&mut self) -> State {
        self.tally.wrong += 1;
        State::Seek(0)
    }

    fn complete(&mut self, chunk: &Chunk) {
        self.tally.chunks += 1;
        self.tally.bytes += chunk.length as u64;
        let next = self.next.unwrap_or(chunk.number);
        self.tally.gaps += chunk.number.saturating_sub(next);
        self.tally.repeats += u64::from(chunk.number < next);
        self.next = Some(next.max(chunk.number + 1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(numbers: impl IntoIterator<Item = u64>, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in numbers {
            Chunk { number, due: Moment::from_nanos(number * 10), length }.write_to(&mut bytes);
        }
        bytes
    }

    fn seen(bytes: &[u8]) -> (Tally, Vec<u64>) {
        let (mut checker, mut numbers) = (Checker::default(), Vec::new());
        checker.take(bytes, |chunk| numbers.push(chunk.number));
        (checker.tally(), numbers)
    }

    #[test]
    fn a_missing_chunk_is_a_gap() {
        let (tally, numbers) = seen(&stream([3, 4, 7, 8], 4_096));
        assert_eq!((tally.gaps, tally.wrong), (2, 0));
        assert_eq!(numbers, [3, 4, 7, 8]);
    }

    #[test]
    fn a_chunk_that_comes_again_is_a_repeat_and_no_gap() {
        let (tally, _) = seen(&stream([3, 4, 4, 5], 100));
        assert_eq!((tally.gaps, tally.repeats), (0, 1));
        let (tally, _) = seen(&stream([3, 4, 5, 3, 4, 5, 6], 100));
        assert_eq!((tally.gaps, tally.repeats), (0, 3));
    }

    #[test]
    fn bytes_that_are_missing_inside_chunks_are_wrong_and_a_gap() {
        let mut bytes = stream(0..5, 4_096);
        bytes.drain(5_000..9_000);
        let (tally, numbers) = seen(&bytes);
        assert_eq!((tally.wrong, tally.gaps), (1, 2));
        assert_eq!(numbers, [0, 3, 4]);
    }

    #[test]
    fn a_jump_is_a_gap_and_nothing_wrong() {
        let bytes = stream(0..5, 100);
        let mut checker = Checker::default();
        checker.take(&bytes[..150], |_| ());
        checker.jump();
        checker.take(&bytes[300..], |_| ());
        let tally = checker.tally();
        assert_eq!((tally.chunks, tally.gaps, tally.wrong), (3, 2, 0));
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_comes_all_is_there(
            length in HEADER_BYTES..200_000, from in 0..100u64, sizes in prop::collection::vec(1..70_000usize, 1..9),
        ) {
            let bytes = stream(from..from + 3, length);
            let (mut checker, mut rest, mut sizes) = (Checker::default(), &bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                checker.take(piece, |chunk| assert_eq!(chunk.length, length));
                rest = left;
            }
            let tally = Tally { chunks: 3, bytes: bytes.len() as u64, ..Tally::default() };
            prop_assert_eq!(checker.tally(), tally);
            prop_assert!(checker.is_between());
        }

        #[test]
        fn one_wrong_byte_is_noticed_wherever_it_is(at in 0..400usize, flip in 1..=255u8) {
            let mut bytes = stream(0..6, 100);
            bytes[100 + at] ^= flip;
            let (tally, _) = seen(&bytes);
            prop_assert_eq!(tally.wrong, 1);
            prop_assert!(tally.gaps >= 1);
        }

        #[test]
        fn from_any_byte_on_the_next_chunk_is_found(cut in 0..200usize) {
            let (tally, numbers) = seen(&stream(0..4, 100)[cut..]);
            prop_assert_eq!((tally.wrong, tally.gaps), (0, 0));
            prop_assert_eq!(numbers[0], cut.div_ceil(100) as u64);
        }
    }
}
