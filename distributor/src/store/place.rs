//! Where a stream's disk copy is, and how it is read: every byte checked before it is given.
//!
//! ```text
//!   offset ──▶ segment ──▶ its records ──▶ whole records read and checked ──▶ cut to what was asked
//! ```
//!
//! Readers share the index of a segment that is being written; of any other they read the journal.

use std::{
    cell::Cell,
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use freshet_protocol::{ByteRange, Stamp, limits::OFFSET_END_MAX};

use super::{
    disk::{Disk, DiskFile, read_all},
    journal::{self, Index, RECORD_LEN, Record},
    limits::SEGMENT_RECORDS_MAX,
    lock,
    timeline::Times,
};
use crate::outlet::Piece;

/// Largest journal that is read: every record a segment may have, and as many dropped ones.
pub(super) const JOURNAL_BYTES_MAX: u64 = (2 * SEGMENT_RECORDS_MAX as u64 + 2) * RECORD_LEN as u64;

/// An index that a segment's writer and its readers look into.
pub(super) type SharedIndex = Arc<Mutex<Index>>;

/// Where a stream's files are and how they are cut; shared by its writer and its readers.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) salt: u64,
    pub(super) segment_bytes: u64,
    /// Indexes of the segments that are open for writing, for readers to look into.
    open: Mutex<HashMap<u64, SharedIndex>>,
}

/// Why bytes could not be read from the disk copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskReadError {
    #[error("the bytes {0} do not match their checksum")]
    Damaged(ByteRange),
    #[error("the bytes {0} are in no segment")]
    NotThere(ByteRange),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Place {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf, salt: u64, segment_bytes: u64) -> Self {
        Self { disk, folder, salt, segment_bytes, open: Mutex::default() }
    }

    /// First offset of the segment that has the byte at `at`.
    pub(super) fn start_of(&self, at: u64) -> u64 {
        at - at % self.segment_bytes
    }

    pub(super) fn data_path(&self, start: u64) -> PathBuf {
        self.folder.join(format!("{start:020}.seg"))
    }

    pub(super) fn journal_path(&self, start: u64) -> PathBuf {
        self.folder.join(format!("{start:020}.jnl"))
    }

    /// The bytes from `at` on, in the segment at `start`, that `index` has no record of.
    fn unrecorded(&self, start: u64, at: u64, index: Option<&SharedIndex>) -> ByteRange {
        let end = start.saturating_add(self.segment_bytes).min(OFFSET_END_MAX);
        let next = index.and_then(|index| lock(index).next_start(at)).unwrap_or(end);
        ByteRange::new(at, next.min(end)).unwrap_or_else(|| ByteRange::byte(at))
    }

    /// The segment at `start` is open for writing now: readers look into its index.
    pub(super) fn share(&self, start: u64, index: &SharedIndex) {
        lock(&self.open).insert(start, Arc::clone(index));
    }

    /// The segment at `start` is closed: readers find all of it in its journal.
    pub(super) fn unshare(&self, start: u64) {
        lock(&self.open).remove(&start);
    }

    fn index(&self, start: u64) -> io::Result<SharedIndex> {
        if let Some(index) = lock(&self.open).get(&start) {
            return Ok(Arc::clone(index));
        }
        let journal = self.disk.open(&self.journal_path(start), false)?;
        let bytes = read_all(journal.as_ref(), JOURNAL_BYTES_MAX)?;
        Ok(Arc::new(Mutex::new(journal::replay(&bytes, self.salt).index)))
    }
}

thread_local! {
    /// Memory that a reader on this thread has lent to the next one.
    static LENT: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Reads a stream's disk copy, and checks all that it reads. Remembers the segment it is in.
#[derive(Debug, Default)]
pub(crate) struct DiskReader {
    segment: Option<(u64, Arc<dyn DiskFile>, SharedIndex)>,
    /// What was given last: its memory is used again once nobody has it any more.
    last: Bytes,
}

impl DiskReader {
    /// Bytes from `at` on, at most about `max`, all verified. Blocks.
    pub(crate) fn read(
        &mut self,
        place: &Place,
        at: u64,
        max: usize,
    ) -> Result<Bytes, DiskReadError> {
        let start = place.start_of(at);
        let records = self.find(place, at, max)?;
        let Some(run) = run_of(&records) else {
            let index = self.segment.as_ref().map(|segment| &segment.2);
            return Err(DiskReadError::NotThere(place.unrecorded(start, at, index)));
        };
        let mut buffer = self.buffer(run);
        if let Some((_, file, _)) = &self.segment {
            let read = file.read_at(&mut buffer, run.start() - start)?;
            buffer.truncate(read);
        }
        self.give(buffer, &records, run, at, max)
    }

    /// The same where it takes no waiting: in a segment that is open, of bytes that the system has in
    /// memory. `None` where that is not so.
    pub(crate) fn read_cached(
        &mut self,
        place: &Place,
        at: u64,
        max: usize,
    ) -> Option<Result<Bytes, DiskReadError>> {
        let start = place.start_of(at);
        let records = self.records(start, at, max);
        let run = run_of(&records)?;
        let mut buffer = self.buffer(run);
        let (_, file, _) = self.segment.as_ref()?;
        match file.read_cached(&mut buffer, run.start() - start) {
            Ok(true) => Some(self.give(buffer, &records, run, at, max)),
            Ok(false) => {
                self.last = buffer.freeze();
                None
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Where in a file the bytes are that were just given from `at` on, for the kernel to send them from there.
    pub(super) fn stored(&self, at: u64, given: &Bytes) -> Option<Piece> {
        let (start, file, _) = self.segment.as_ref()?;
        let is_last = self.last.as_ptr_range().contains(&given.as_ptr());
        let file = Arc::clone(file).descriptor().filter(|_| is_last)?;
        Some(Piece { file, at: at.checked_sub(*start)?, len: given.len() })
    }

    /// Nobody needs what was given last: whoever reads next on this thread does so into its memory.
    pub(super) fn lend(&mut self) {
        if let Ok(buffer) = std::mem::take(&mut self.last).try_into_mut() {
            LENT.set(Some(buffer));
        }
    }

    /// Nothing is going to be read for a while.
    pub(crate) fn rest(&mut self) {
        self.last = Bytes::new();
    }

    /// Memory for a run, its content whatever was there before.
    fn buffer(&mut self, run: ByteRange) -> BytesMut {
        let own = std::mem::take(&mut self.last).try_into_mut().ok();
        let mut buffer = own.or_else(|| LENT.take()).unwrap_or_default();
        buffer.resize(len_of(run.len()), 0);
        buffer
    }

    /// Check what was read of a run, and give the part that was asked for.
    fn give(
        &mut self,
        buffer: BytesMut,
        records: &[Record],
        run: ByteRange,
        at: u64,
        max: usize,
    ) -> Result<Bytes, DiskReadError> {
        let bytes = buffer.freeze();
        verify(&bytes, run, records)?;
        let skip = len_of(at - run.start());
        let end = bytes.len().min(skip.saturating_add(max));
        self.last = bytes.clone();
        Ok(bytes.slice(skip..end))
    }

    /// When the bytes that were written with the one at `at` were captured, if that is known. Blocks.
    pub(crate) fn origin_time(&mut self, place: &Place, at: u64) -> Option<Stamp> {
        self.find(place, at, 1).ok()?.first()?.captured
    }

    /// What there is of the bytes that were written with the one at `at`, from that on, and when
    /// they came. Blocks.
    pub(super) fn piece(&mut self, place: &Place, at: u64) -> Option<(ByteRange, Times)> {
        let record = *self.find(place, at, 1).ok()?.first()?;
        let times = Times { captured: record.captured, received: record.received };
        Some((ByteRange::new(at, record.range.end())?, times))
    }

    /// The unbroken records from the one that has `at` on; none where nothing is there.
    fn find(&mut self, place: &Place, at: u64, max: usize) -> Result<Vec<Record>, DiskReadError> {
        let start = place.start_of(at);
        let records = self.records(start, at, max);
        if !records.is_empty() {
            return Ok(records);
        }
        self.segment = Some(Self::open(place, start, at)?);
        Ok(self.records(start, at, max))
    }

    fn open(
        place: &Place,
        start: u64,
        at: u64,
    ) -> Result<(u64, Arc<dyn DiskFile>, SharedIndex), DiskReadError> {
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => DiskReadError::NotThere(place.unrecorded(start, at, None)),
            _ => error.into(),
        };
        let file = place.disk.open(&place.data_path(start), false).map_err(missing)?;
        Ok((start, file, place.index(start).map_err(missing)?))
    }

    /// The unbroken records from the one that has `at` on, up to about `max` bytes.
    fn records(&self, start: u64, at: u64, max: usize) -> Vec<Record> {
        let Some((_, _, index)) = self.segment.as_ref().filter(|segment| segment.0 == start) else {
            return Vec::new();
        };
        let (index, mut records, mut next) = (lock(index), Vec::new(), at);
        while let Some(record) = index.at(next) {
            next = record.range.end();
            records.push(record);
            if next - at >= max as u64 {
                break;
            }
        }
        records
    }
}

/// All that records cover, one after the other; `None` where there are none.
fn run_of(records: &[Record]) -> Option<ByteRange> {
    Some(records.first()?.range.through(records.last()?.range))
}

/// Do `bytes`, which were read of `run`, match the checksums of its records? It is the CRC-32C that they
/// were written with, computed three times as fast: here are the most bytes to check.
fn verify(bytes: &[u8], run: ByteRange, records: &[Record]) -> Result<(), DiskReadError> {
    for record in records {
        let from = len_of(record.range.start() - run.start());
        let piece = bytes.get(from..from + len_of(record.range.len()));
        if piece.map(crc_fast::crc32_iscsi) != Some(record.crc) {
            return Err(DiskReadError::Damaged(record.range));
        }
    }
    Ok(())
}

/// Lengths below are bounded by the size of a segment or a record, which memory can hold.
fn len_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{disk::sim::SimDisk, journal::Kind};

    const PIECE: usize = 1_000;

    /// A segment of three records, of which the last does not match its checksum.
    fn place() -> Place {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let place = Place::new(disk, "/s".into(), 7, 1 << 20);
        place.disk.create_dir(&place.folder).unwrap();
        let (data, mut journal) = ([b'x'; 3 * PIECE], Vec::new());
        for number in 0..3 {
            let range = ByteRange::at((number * PIECE) as u64, PIECE as u64).unwrap();
            let crc = crc32c::crc32c(&data[..PIECE]) + (number / 2) as u32;
            let received = Stamp::from_nanos(5);
            let record = Record { kind: Kind::Data, range, crc, captured: None, received };
            journal.extend(record.encode(place.salt));
        }
        for (path, bytes) in [(place.data_path(0), &data[..]), (place.journal_path(0), &journal)] {
            place.disk.open(&path, true).unwrap().write_at(bytes, 0).unwrap();
        }
        place
    }

    #[test]
    fn what_is_in_memory_is_read_without_waiting_once_its_segment_is_open() {
        let (place, mut reader) = (place(), DiskReader::default());
        assert!(reader.read_cached(&place, 0, PIECE).is_none());
        let first = reader.read(&place, 0, PIECE).unwrap();

        let second = reader.read_cached(&place, 1_500, 400).unwrap().unwrap();

        assert_eq!((first.len(), second.len()), (PIECE, 400));
        assert!(first.iter().chain(&second).all(|byte| *byte == b'x'));
    }

    #[test]
    fn what_does_not_match_its_checksum_is_given_in_neither_way() {
        let (place, mut reader) = (place(), DiskReader::default());
        let at = 2 * PIECE as u64;
        let damaged = ByteRange::at(at, PIECE as u64).unwrap();
        let is_damaged = |read: Result<Bytes, DiskReadError>| matches!(read, Err(DiskReadError::Damaged(range)) if range == damaged);
        assert!(is_damaged(reader.read(&place, at, PIECE)));
        assert!(is_damaged(reader.read_cached(&place, at, PIECE).unwrap()));
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_has_it_any_more() {
        let (place, mut reader) = (place(), DiskReader::default());
        let first = reader.read(&place, 0, PIECE).unwrap();
        let second = reader.read_cached(&place, 0, PIECE).unwrap().unwrap();
        assert_ne!(first.as_ptr(), second.as_ptr());
        drop(first);
        let there = second.as_ptr();
        drop(second);
        let third = reader.read_cached(&place, 0, PIECE).unwrap().unwrap();
        assert_eq!(third.as_ptr(), there);
    }

    #[test]
    fn memory_that_is_lent_is_what_the_next_reader_of_the_thread_reads_into() {
        let (place, mut first, mut second) =
            (place(), DiskReader::default(), DiskReader::default());
        let there = first.read(&place, 0, PIECE).unwrap().as_ptr();
        first.lend();
        let read = second.read(&place, PIECE as u64, PIECE).unwrap();
        assert_eq!(read.as_ptr(), there);
        second.lend();
        assert_ne!(first.read(&place, 0, PIECE).unwrap().as_ptr(), there, "somebody has it");
        assert!(read.iter().all(|byte| *byte == b'x'));
    }
}
