//! The disk copy of one stream: segment files that hold its bytes and nothing else, each with a
//! journal beside it.
//!
//! ```text
//!   00000000000000000000.seg   bytes 0 to 16 MiB, each at its own place
//!   00000000000000000000.jnl   what of it was written, with checksums
//!   00000000000016777216.seg   ...
//! ```
//!
//! A segment spans a fixed run of offsets, so a byte has one place, whatever came first; `cat *.seg`
//! of a whole stream is the media file. Data is written before its record: a record never promises
//! what is not there. One thread writes; readers share the index of records and nothing else.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use freshet_protocol::{ByteRange, RangeSet, Stamp, limits::OFFSET_END_MAX};

use super::{
    disk::{Disk, DiskFile, read_all, replace},
    journal::{Index, Kind, RECORD_LEN, Record},
    limits::{RECORD_BYTES_MAX, SEGMENT_RECORDS_MAX, SEGMENTS_OPEN_MAX},
    lock, recovery,
};

/// Largest journal that is read: every record a segment may have, and as many dropped ones.
pub(super) const JOURNAL_BYTES_MAX: u64 = (2 * SEGMENT_RECORDS_MAX as u64 + 2) * RECORD_LEN as u64;

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

type SharedIndex = Arc<Mutex<Index>>;

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

    fn index(&self, start: u64) -> io::Result<SharedIndex> {
        if let Some(index) = lock(&self.open).get(&start) {
            return Ok(Arc::clone(index));
        }
        let journal = self.disk.open(&self.journal_path(start), false)?;
        let bytes = read_all(journal.as_ref(), JOURNAL_BYTES_MAX)?;
        Ok(Arc::new(Mutex::new(super::journal::replay(&bytes, self.salt).index)))
    }
}

/// Reads a stream's disk copy, and checks all that it reads. Remembers the segment it is in.
#[derive(Debug, Default)]
pub(crate) struct DiskReader {
    segment: Option<(u64, Arc<dyn DiskFile>, SharedIndex)>,
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
        let mut records = self.records(start, at, max);
        if records.is_empty() {
            self.segment = Some(Self::open(place, start, at)?);
            records = self.records(start, at, max);
        }
        let (Some((_, file, _)), Some(first), Some(last)) =
            (&self.segment, records.first(), records.last())
        else {
            let index = self.segment.as_ref().map(|segment| &segment.2);
            return Err(DiskReadError::NotThere(place.unrecorded(start, at, index)));
        };
        let run = first.range.through(last.range);
        let bytes = read_verified(file.as_ref(), start, run, &records)?;
        let skip = len_of(at - run.start());
        let end = bytes.len().min(skip.saturating_add(max));
        Ok(bytes.slice(skip..end))
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

fn read_verified(
    file: &dyn DiskFile,
    start: u64,
    run: ByteRange,
    records: &[Record],
) -> Result<Bytes, DiskReadError> {
    let mut bytes = vec![0; len_of(run.len())];
    let read = file.read_at(&mut bytes, run.start() - start)?;
    bytes.truncate(read);
    for record in records {
        let from = len_of(record.range.start() - run.start());
        let piece = bytes.get(from..from + len_of(record.range.len()));
        if piece.map(crc32c::crc32c) != Some(record.crc) {
            return Err(DiskReadError::Damaged(record.range));
        }
    }
    Ok(bytes.into())
}

/// The writing side of a stream's disk copy. Every call blocks.
#[derive(Debug)]
pub(super) struct Segments {
    place: Arc<Place>,
    /// Segments open for writing, the one used last at the end.
    open: Vec<Open>,
    total: Option<u64>,
    /// Sync before a segment is closed, and give back what could not be synced.
    durable: bool,
    /// What the disk did with files written before a failed sync is not known: verify when opening.
    suspect: bool,
    /// Ranges that a failed sync has taken, not given back yet.
    lost: RangeSet,
    folder_is_dirty: bool,
}

#[derive(Debug)]
struct Open {
    start: u64,
    data: Arc<dyn DiskFile>,
    journal: Arc<dyn DiskFile>,
    journal_len: u64,
    /// The journal up to here, and the data it speaks of, survive a loss of power.
    synced_len: u64,
    unsynced: RangeSet,
    index: SharedIndex,
    bytes: u64,
}

impl Segments {
    pub(super) fn new(place: Arc<Place>, total: Option<u64>, durable: bool) -> Self {
        let (open, lost) = (Vec::new(), RangeSet::new());
        Self { place, open, total, durable, suspect: false, lost, folder_is_dirty: false }
    }

    /// Write `bytes` to their place and into the journal; nothing of them may be there yet.
    ///
    /// # Errors
    ///
    /// The disk failed; with the offset up to which the bytes are written all the same.
    pub(super) fn write(
        &mut self,
        at: u64,
        bytes: &[u8],
        captured: Option<Stamp>,
        received: Stamp,
    ) -> Result<(), (u64, io::Error)> {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let start = self.place.start_of(at);
            let room = len_of(start + self.place.segment_bytes - at).min(RECORD_BYTES_MAX);
            let (piece, later) = rest.split_at(rest.len().min(room));
            self.write_piece(start, at, piece, captured, received).map_err(|error| (at, error))?;
            self.tidy(start, received);
            (at, rest) = (at + piece.len() as u64, later);
        }
        Ok(())
    }

    fn write_piece(
        &mut self,
        start: u64,
        at: u64,
        piece: &[u8],
        captured: Option<Stamp>,
        received: Stamp,
    ) -> io::Result<()> {
        let range = ByteRange::at(at, piece.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let (kind, crc, salt) = (Kind::Data, crc32c::crc32c(piece), self.place.salt);
        let record = Record { kind, range, crc, captured, received };
        self.opened(start)?.write(&record, piece, salt)
    }

    /// The bytes of `range` are damaged: say so in the journal, so that they can be written again.
    pub(super) fn drop_range(&mut self, range: ByteRange, now: Stamp) -> io::Result<()> {
        let salt = self.place.salt;
        let open = self.opened(self.place.start_of(range.start()))?;
        let record = Record { kind: Kind::Dropped, range, crc: 0, captured: None, received: now };
        open.append(&record, salt)
    }

    /// The stream is complete: its last segment will get no more than this.
    pub(super) fn complete(&mut self, total: u64, now: Stamp) {
        self.total = Some(total);
        let starts: Vec<u64> = self.open.iter().map(|open| open.start).collect();
        starts.into_iter().for_each(|start| self.tidy(start, now));
    }

    /// Make all that was written durable.
    ///
    /// # Errors
    ///
    /// What was written since the last success is lost: it is taken out of the journal, and its
    /// ranges are given back.
    pub(super) fn sync(&mut self) -> Result<(), (RangeSet, io::Error)> {
        let synced = self.try_sync();
        if synced.is_ok() && self.lost.is_empty() {
            return Ok(());
        }
        for open in std::mem::take(&mut self.open) {
            self.lose(&open);
        }
        let error = synced.err().unwrap_or_else(|| io::Error::other("an earlier sync failed"));
        Err((std::mem::take(&mut self.lost), error))
    }

    fn try_sync(&mut self) -> io::Result<()> {
        for open in self.open.iter().filter(|open| open.journal_len > open.synced_len) {
            open.data.sync()?;
            open.journal.sync()?;
        }
        if self.folder_is_dirty {
            self.place.disk.sync_dir(&self.place.folder)?;
            self.folder_is_dirty = false;
        }
        for open in &mut self.open {
            open.synced_len = open.journal_len;
            open.unsynced = RangeSet::new();
        }
        Ok(())
    }

    /// A sync of `open` has failed: nothing written since the last one is to be believed. A second
    /// sync would succeed and mean nothing, since the kernel has dropped those pages.
    fn lose(&mut self, open: &Open) {
        lock(&self.place.open).remove(&open.start);
        self.suspect = true;
        self.lost.extend(&open.unsynced);
        // Whoever opens the segment next verifies every byte, whatever became of this.
        if let Err(error) = open.journal.set_len(open.synced_len) {
            tracing::error!(%error, segment = open.start, "journal could not be cut");
        }
    }

    /// Close all files; what is open is what costs descriptors.
    pub(super) fn close(&mut self) {
        for open in self.open.drain(..) {
            lock(&self.place.open).remove(&open.start);
        }
    }

    /// Remove the segment that begins at `start`: its journal first, for data without a journal is
    /// nothing, while a journal without data would be a damage.
    pub(super) fn remove(&mut self, start: u64) -> io::Result<()> {
        self.open.retain(|open| open.start != start);
        lock(&self.place.open).remove(&start);
        self.place.disk.remove(&self.place.journal_path(start))?;
        self.place.disk.remove(&self.place.data_path(start))
    }

    fn opened(&mut self, start: u64) -> io::Result<&mut Open> {
        if let Some(position) = self.open.iter().position(|open| open.start == start) {
            let open = self.open.remove(position);
            self.open.push(open);
        } else {
            if self.open.len() >= SEGMENTS_OPEN_MAX {
                self.close_oldest();
            }
            let open = self.open_segment(start)?;
            lock(&self.place.open).insert(start, Arc::clone(&open.index));
            self.folder_is_dirty = true;
            self.open.push(open);
        }
        self.open.last_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_segment(&self, start: u64) -> io::Result<Open> {
        let place = &self.place;
        let index = recovery::load_segment(place, start, self.suspect)?;
        let data = place.disk.open(&place.data_path(start), true)?;
        let journal = place.disk.open(&place.journal_path(start), true)?;
        let journal_len = journal.len()?;
        Ok(Open {
            start,
            data,
            journal,
            journal_len,
            synced_len: journal_len,
            unsynced: RangeSet::new(),
            bytes: index.covered().bytes(),
            index: Arc::new(Mutex::new(index)),
        })
    }

    fn close_oldest(&mut self) {
        let synced = if self.durable { self.try_sync() } else { Ok(()) };
        let closed = self.open.remove(0);
        lock(&self.place.open).remove(&closed.start);
        if synced.is_err() {
            self.lose(&closed);
        }
    }

    /// Seal the segment if it is whole; write its journal anew if it has too many records.
    fn tidy(&mut self, start: u64, now: Stamp) {
        let Some(position) = self.open.iter().position(|open| open.start == start) else { return };
        let Some(open) = self.open.get(position) else { return };
        let end =
            start.saturating_add(self.place.segment_bytes).min(self.total.unwrap_or(u64::MAX));
        let whole = ByteRange::new(start, end).filter(|span| open.bytes >= span.len());
        if whole.is_none() && lock(&open.index).len() <= SEGMENT_RECORDS_MAX {
            return;
        }
        let open = self.open.remove(position);
        if let Err(error) = open.data.sync() {
            tracing::error!(%error, segment = start, "segment could not be synced");
            return if self.durable { self.lose(&open) } else { self.open.push(open) };
        }
        lock(&self.place.open).remove(&start);
        if let Err(error) = self.rewrite_journal(&open, whole, now) {
            // The old journal says the same, in more words; but it may not be synced yet.
            tracing::warn!(%error, segment = start, "journal could not be written anew");
            if self.durable && open.journal.sync().is_err() {
                self.lose(&open);
            }
        }
    }

    fn rewrite_journal(
        &self,
        open: &Open,
        sealed: Option<ByteRange>,
        now: Stamp,
    ) -> io::Result<()> {
        let merged = lock(&open.index).merged(RECORD_BYTES_MAX as u64);
        let (kind, crc, captured, received) = (Kind::Sealed, 0, None, now);
        let seal = sealed.map(|range| Record { kind, range, crc, captured, received });
        let path = self.place.journal_path(open.start);
        write_journal(self.place.disk.as_ref(), &path, &merged, seal, self.place.salt)
    }
}

/// Replace the journal at `path` by one that says just this, durably.
pub(super) fn write_journal(
    disk: &dyn Disk,
    path: &Path,
    index: &Index,
    seal: Option<Record>,
    salt: u64,
) -> io::Result<()> {
    let bytes: Vec<u8> =
        index.iter().chain(seal.as_ref()).flat_map(|record| record.encode(salt)).collect();
    replace(disk, path, &bytes, true)
}

impl Open {
    fn write(&mut self, record: &Record, bytes: &[u8], salt: u64) -> io::Result<()> {
        self.data.write_at(bytes, record.range.start() - self.start)?;
        self.append(record, salt)?;
        self.unsynced.insert(record.range);
        self.bytes += record.range.len();
        Ok(())
    }

    fn append(&mut self, record: &Record, salt: u64) -> io::Result<()> {
        if let Err(error) = self.journal.write_at(&record.encode(salt), self.journal_len) {
            // A torn record would put every later one out of step.
            self.journal.set_len(self.journal_len)?;
            return Err(error);
        }
        self.journal_len += RECORD_LEN as u64;
        let mut index = lock(&self.index);
        if record.kind == Kind::Dropped {
            self.bytes -= index.drop_overlapping(record.range).bytes();
        } else {
            index.apply(*record);
        }
        Ok(())
    }
}

/// Lengths below are bounded by the size of a segment or a record, which memory can hold.
fn len_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
