//! The journal of a segment: what was written where, and the checksum of it. Pure: bytes in,
//! records out.
//!
//! ```text
//!   ┌──────┬──────┬────────┬────────┬─────┬─────────┬───────────┬───────────┬──────┬──────┬─────┐
//!   │magic │ kind │ zeros  │ offset │ len │ CRC of  │ captured  │ received  │ salt │ zero │ CRC │
//!   │  4   │  1   │   3    │   8    │  8  │ data: 4 │     8     │     8     │  8   │  8   │  4  │
//!   └──────┴──────┴────────┴────────┴─────┴─────────┴───────────┴───────────┴──────┴──────┴─────┘
//! ```
//!
//! Records are of one size, each with a magic, a salt of its stream and a checksum of its own: after
//! a damaged one the next is found at its place, and what is old or another's is not taken for ours.
//! One decision: a damaged record costs its own bytes and nothing that follows it.

use std::collections::BTreeMap;

use freshet_protocol::{ByteRange, RangeSet, Stamp};

/// Bytes of a record.
pub(crate) const RECORD_LEN: usize = 64;

const MAGIC: [u8; 4] = *b"FRJ1";
const BODY_LEN: usize = RECORD_LEN - 4;

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) range: ByteRange,
    /// CRC-32C of the bytes; 0 where there are none to check.
    pub(crate) crc: u32,
    /// When the first byte was captured.
    pub(crate) captured: Option<Stamp>,
    /// When the first byte came in.
    pub(crate) received: Stamp,
}

/// What a record says of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// These bytes are in the segment's file.
    Data,
    /// These bytes turned out damaged: they are a hole again.
    Dropped,
    /// All of the range is there, was synced, and is described by the records before this one.
    Sealed,
}

impl Record {
    /// As it stands in the journal of the stream with `salt`.
    pub(crate) fn encode(&self, salt: u64) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        let mut rest = record.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            rest = tail;
        };
        put(&MAGIC);
        put(&[self.kind.code(), 0, 0, 0]);
        put(&self.range.start().to_le_bytes());
        put(&self.range.len().to_le_bytes());
        put(&self.crc.to_le_bytes());
        put(&self.captured.map_or(0, Stamp::nanos).to_le_bytes());
        put(&self.received.nanos().to_le_bytes());
        put(&salt.to_le_bytes());
        put(&[0; 8]);
        let crc = crc32c::crc32c(record.get(..BODY_LEN).unwrap_or_default());
        if let Some(place) = record.get_mut(BODY_LEN..) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        record
    }

    /// Read a record; `None` where it is damaged, or another stream's.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(BODY_LEN)?;
        if crc32c::crc32c(body).to_le_bytes() != *crc || !body.starts_with(&MAGIC) {
            return None;
        }
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?))
        };
        if number(44)? != salt {
            return None;
        }
        Some(Self {
            kind: Kind::from_code(*body.get(4)?)?,
            range: ByteRange::at(number(8)?, number(16)?)?,
            crc: u32::from_le_bytes(body.get(24..28)?.try_into().ok()?),
            captured: Some(number(28)?).filter(|&nanos| nanos > 0).map(Stamp::from_nanos),
            received: Stamp::from_nanos(number(36)?),
        })
    }
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Dropped => 2,
            Self::Sealed => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Data),
            2 => Some(Self::Dropped),
            3 => Some(Self::Sealed),
            _ => None,
        }
    }
}

/// What a journal says: the records that count, by the offset of their first byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    records: BTreeMap<u64, Record>,
}

/// A journal as it was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    pub(crate) index: Index,
    /// Whole records that could not be read.
    pub(crate) damaged: usize,
    /// Bytes after the last whole record: a write that was cut.
    pub(crate) torn_bytes: usize,
    /// The last record says that the segment is sealed up to this range.
    pub(crate) sealed: Option<ByteRange>,
}

impl Index {
    /// Take a record in. A later one counts for all that it covers.
    pub(crate) fn apply(&mut self, record: Record) {
        match record.kind {
            Kind::Data => {
                self.drop_overlapping(record.range);
                self.records.insert(record.range.start(), record);
            }
            Kind::Dropped => {
                self.drop_overlapping(record.range);
            }
            Kind::Sealed => {}
        }
    }

    /// Forget the records that have any byte of `range`; what they covered.
    ///
    /// Whole records: the checksum of a part of one is not known.
    pub(crate) fn drop_overlapping(&mut self, range: ByteRange) -> RangeSet {
        let dropped: RangeSet = self.overlapping(range).map(|record| record.range).collect();
        let starts: Vec<u64> = self.overlapping(range).map(|record| record.range.start()).collect();
        for start in starts {
            self.records.remove(&start);
        }
        dropped
    }

    fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = &Record> {
        let touches = move |record: &&Record| record.range.end() > range.start();
        self.records.range(..range.end()).rev().map(|(_, record)| record).take_while(touches)
    }

    /// The record that has the byte at `at`.
    pub(crate) fn at(&self, at: u64) -> Option<Record> {
        let (_, record) = self.records.range(..=at).next_back()?;
        record.range.contains(at).then_some(*record)
    }

    /// Where the first record after `at` begins.
    pub(crate) fn next_start(&self, at: u64) -> Option<u64> {
        self.records.range(at + 1..).next().map(|(start, _)| *start)
    }

    /// The records, oldest bytes first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The bytes that the records cover.
    pub(crate) fn covered(&self) -> RangeSet {
        self.iter().map(|record| record.range).collect()
    }

    /// The same bytes in fewer records: neighbours are joined up to `bytes_max`, their checksums
    /// combined. The first one's times stand for all.
    pub(crate) fn merged(&self, bytes_max: u64) -> Self {
        let mut merged: Vec<Record> = Vec::new();
        for record in self.iter() {
            match merged.last_mut().and_then(|last| join(last, record, bytes_max)) {
                Some(joined) => {
                    merged.pop();
                    merged.push(joined);
                }
                None => merged.push(*record),
            }
        }
        Self { records: merged.into_iter().map(|record| (record.range.start(), record)).collect() }
    }
}

fn join(first: &Record, next: &Record, bytes_max: u64) -> Option<Record> {
    let range = ByteRange::new(first.range.start(), next.range.end())?;
    if first.range.end() != next.range.start() || range.len() > bytes_max {
        return None;
    }
    let len = usize::try_from(next.range.len()).ok()?;
    Some(Record { range, crc: crc32c::crc32c_combine(first.crc, next.crc, len), ..*first })
}

/// Read a journal. Takes any bytes.
pub(crate) fn replay(journal: &[u8], salt: u64) -> Replay {
    let mut replay = Replay::default();
    let records = journal.chunks_exact(RECORD_LEN);
    replay.torn_bytes = records.remainder().len();
    for bytes in records {
        match Record::decode(bytes, salt) {
            Some(record) => {
                replay.sealed = (record.kind == Kind::Sealed).then_some(record.range);
                replay.index.apply(record);
            }
            None => {
                replay.sealed = None;
                replay.damaged += 1;
            }
        }
    }
    replay
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SALT: u64 = 0x1122_3344_5566_7788;

    fn record(kind: Kind, start: u64, len: u64) -> Record {
        let range = ByteRange::at(start, len).unwrap();
        Record { kind, range, crc: 7, captured: None, received: Stamp::from_nanos(9) }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        (any::<bool>(), 0..500u64, 1..50u64, any::<u32>(), any::<u64>()).prop_map(
            |(data, start, len, crc, received)| Record {
                kind: if data { Kind::Data } else { Kind::Dropped },
                crc,
                captured: Some(received / 2).filter(|&nanos| nanos > 0).map(Stamp::from_nanos),
                received: Stamp::from_nanos(received),
                ..record(Kind::Data, start, len)
            },
        )
    }

    fn journal(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(|record| record.encode(SALT)).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in vec(any_record(), 0..30)) {
            for record in &records {
                prop_assert_eq!(Record::decode(&record.encode(SALT), SALT), Some(*record));
            }
            let mut expected = Index::default();
            records.iter().for_each(|record| expected.apply(*record));
            prop_assert_eq!(replay(&journal(&records), SALT).index, expected);
        }

        #[test]
        fn a_flipped_bit_costs_one_record(
            records in vec(any_record(), 1..20), at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let mut bytes = journal(&records);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let found = replay(&bytes, SALT);
            prop_assert_eq!((found.damaged, found.torn_bytes), (1, 0));

            let mut others = Index::default();
            for (number, record) in records.iter().enumerate() {
                if number != at / RECORD_LEN {
                    others.apply(*record);
                }
            }
            prop_assert_eq!(found.index, others);
        }

        #[test]
        fn no_bytes_make_replay_panic(bytes in vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(replay(&bytes, SALT).index.len(), 0);
        }

        #[test]
        fn the_index_covers_what_was_written_last(records in vec(any_record(), 0..30)) {
            let mut index = Index::default();
            for record in &records {
                index.apply(*record);
                if record.kind == Kind::Data {
                    prop_assert_eq!(index.at(record.range.start()), Some(*record));
                    prop_assert_eq!(index.at(record.range.last()), Some(*record));
                } else {
                    prop_assert!(!index.covered().overlaps(record.range));
                }
            }
        }

        #[test]
        fn merged_records_have_the_checksum_of_their_bytes(
            bytes in vec(any::<u8>(), 1..300), cut in 1..40usize, bytes_max in 1..120u64,
        ) {
            let mut index = Index::default();
            for (number, piece) in bytes.chunks(cut).enumerate() {
                let range = ByteRange::at((number * cut) as u64, piece.len() as u64).unwrap();
                index.apply(Record { range, crc: crc32c::crc32c(piece), ..record(Kind::Data, 0, 1) });
            }
            let merged = index.merged(bytes_max);
            prop_assert_eq!(merged.covered(), index.covered());
            for record in merged.iter() {
                let (start, end) = (record.range.start() as usize, record.range.end() as usize);
                prop_assert_eq!(record.crc, crc32c::crc32c(&bytes[start..end]));
                prop_assert!(end - start <= cut.max(bytes_max as usize));
            }
        }
    }

    #[test]
    fn another_streams_records_are_not_ours() {
        let bytes = journal(&[record(Kind::Data, 0, 10)]);
        assert_eq!(replay(&bytes, SALT + 1).damaged, 1);
        assert_eq!(replay(&[0; RECORD_LEN * 3], SALT).damaged, 3);
    }

    #[test]
    fn a_segment_is_sealed_only_if_nothing_came_after() {
        let sealed = record(Kind::Sealed, 0, 10);
        let mut records = vec![record(Kind::Data, 0, 10), sealed];
        assert_eq!(replay(&journal(&records), SALT).sealed, Some(sealed.range));
        records.push(record(Kind::Dropped, 0, 1));
        let found = replay(&journal(&records), SALT);
        assert_eq!((found.sealed, found.index.len()), (None, 0));
    }

    #[test]
    fn a_torn_tail_is_counted_and_left_out() {
        let mut bytes = journal(&[record(Kind::Data, 0, 10)]);
        bytes.extend([1; 63]);
        let found = replay(&bytes, SALT);
        assert_eq!((found.index.len(), found.torn_bytes, found.damaged), (1, 63, 0));
    }
}
