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
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use freshet_protocol::{ByteRange, RangeSet, Stamp};
use tokio::time::Instant;

use super::{
    disk::{Disk, DiskFile, replace},
    journal::{Index, Kind, RECORD_LEN, Record},
    limits::{RECORD_BYTES_MAX, SEGMENT_RECORDS_MAX, SEGMENTS_OPEN_MAX},
    lock,
    manifest::Manifest,
    place::{Place, SharedIndex},
    recovery,
    writeback::{Fresh, Sealed},
};
use crate::rope::Rope;

/// The disk side of a stream. Locked by the disk's threads only.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) place: Arc<Place>,
    pub(super) segments: Mutex<Segments>,
    pub(super) manifest: Mutex<Manifest>,
}

impl Files {
    pub(super) fn new(place: Place, manifest: Manifest, durable: bool) -> Self {
        let place = Arc::new(place);
        let segments = Segments::new(Arc::clone(&place), manifest.total, durable);
        Self { place, segments: Mutex::new(segments), manifest: Mutex::new(manifest) }
    }
}

/// The writing side of a stream's disk copy. Every call blocks.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) place: Arc<Place>,
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
    sealed: Sealed,
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
    fresh: Fresh,
}

impl Segments {
    pub(super) fn new(place: Arc<Place>, total: Option<u64>, durable: bool) -> Self {
        let (open, lost, sealed) = (Vec::new(), RangeSet::new(), Sealed::default());
        Self { place, open, total, durable, suspect: false, lost, folder_is_dirty: false, sealed }
    }

    /// Write `bytes` to their place and into the journal; nothing of them may be there yet.
    ///
    /// # Errors
    ///
    /// The disk failed; with the offset up to which the bytes are written all the same.
    pub(super) fn write(
        &mut self,
        mut at: u64,
        mut bytes: Rope,
        captured: Option<Stamp>,
        received: Stamp,
    ) -> Result<(), (u64, io::Error)> {
        while !bytes.is_empty() {
            let start = self.place.start_of(at);
            let left = start + self.place.segment_bytes - at;
            let room =
                usize::try_from(left).map_or(RECORD_BYTES_MAX, |left| left.min(RECORD_BYTES_MAX));
            let piece = bytes.split_to(room);
            self.write_piece(start, at, &piece, captured, received).map_err(|error| (at, error))?;
            self.tidy(start, received);
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write_piece(
        &mut self,
        start: u64,
        at: u64,
        piece: &Rope,
        captured: Option<Stamp>,
        received: Stamp,
    ) -> io::Result<()> {
        let range = ByteRange::at(at, piece.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let crc = piece.iter().fold(0, |crc, bytes| crc32c::crc32c_append(crc, bytes));
        let (kind, salt) = (Kind::Data, self.place.salt);
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
        self.place.unshare(open.start);
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
            self.place.unshare(open.start);
        }
    }

    /// Remove the segment that begins at `start`: its journal first, for data without a journal is
    /// nothing, while a journal without data would be a damage.
    pub(super) fn remove(&mut self, start: u64) -> io::Result<()> {
        self.open.retain(|open| open.start != start);
        self.place.unshare(start);
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
            self.place.share(start, &open.index);
            self.folder_is_dirty = true;
            self.open.push(open);
        }
        self.open.last_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_segment(&self, start: u64) -> io::Result<Open> {
        let place = &self.place;
        let index = recovery::load_segment(place, start, self.suspect)?;
        let data = place.disk.open(&place.data_path(start), true)?;
        if self.sealed.is_in_haste() {
            data.reserve(place.segment_bytes);
        }
        let journal = place.disk.open(&place.journal_path(start), true)?;
        let journal_len = journal.len()?;
        Ok(Open {
            start,
            data,
            journal,
            journal_len,
            synced_len: journal_len,
            unsynced: RangeSet::new(),
            fresh: Fresh::default(),
            bytes: index.covered().bytes(),
            index: Arc::new(Mutex::new(index)),
        })
    }

    fn close_oldest(&mut self) {
        let synced = if self.durable { self.try_sync() } else { Ok(()) };
        let closed = self.open.remove(0);
        self.place.unshare(closed.start);
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
        let mut open = self.open.remove(position);
        if let Err(error) = open.data.sync() {
            tracing::error!(%error, segment = start, "segment could not be synced");
            return if self.durable { self.lose(&open) } else { self.open.push(open) };
        }
        self.place.unshare(start);
        if let Err(error) = self.finish_journal(&mut open, whole, now) {
            // The journal as it is says the same, in more words; but it may not be synced yet.
            tracing::warn!(%error, segment = start, "journal could not be finished");
            if self.durable && open.journal.sync().is_err() {
                self.lose(&open);
            }
        }
        if let Some(whole) = whole {
            self.give_back_surplus(&open, whole);
            self.let_go_behind(start);
        }
    }

    /// The segment at `start` is sealed and on the disk: an older one may leave the system's memory.
    /// A stream's last segment may have been given more room than it needs.
    fn give_back_surplus(&self, open: &Open, whole: ByteRange) {
        let is_last = whole.len() < self.place.segment_bytes;
        if is_last && let Err(error) = open.data.set_len(whole.len()) {
            tracing::warn!(%error, segment = open.start, "room was not given back");
        }
    }

    fn let_go_behind(&mut self, start: u64) {
        let (place, sealed) = (&self.place, &mut self.sealed);
        let Some(old) = sealed.sealed(start, place.segment_bytes, Instant::now()) else { return };
        // What retention has taken meanwhile is in nobody's memory.
        if let Ok(file) = place.disk.open(&place.data_path(old), false) {
            file.let_go(0, place.segment_bytes);
        }
    }

    /// Seal the journal of a segment that is whole: with one record more, or in fewer words, durably, if it has
    /// many.
    fn finish_journal(
        &self,
        open: &mut Open,
        whole: Option<ByteRange>,
        now: Stamp,
    ) -> io::Result<()> {
        let (kind, crc, captured, received) = (Kind::Sealed, 0, None, now);
        let seal = whole.map(|range| Record { kind, range, crc, captured, received });
        let needed = whole.map_or(0, |span| span.len().div_ceil(RECORD_BYTES_MAX as u64));
        match seal {
            Some(seal) if open.journal_len <= 2 * needed * RECORD_LEN as u64 => {
                open.seal(&seal, self.place.salt)
            }
            seal => self.rewrite_journal(open, seal),
        }
    }

    fn rewrite_journal(&self, open: &Open, seal: Option<Record>) -> io::Result<()> {
        let merged = lock(&open.index).merged(RECORD_BYTES_MAX as u64);
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
    fn write(&mut self, record: &Record, bytes: &Rope, salt: u64) -> io::Result<()> {
        self.data.write_rope_at(bytes, record.range.start() - self.start)?;
        self.append(record, salt)?;
        self.unsynced.insert(record.range);
        for range in self.fresh.wrote(record.range).iter() {
            self.data.let_go(range.start() - self.start, range.len());
        }
        self.bytes += record.range.len();
        Ok(())
    }

    /// Say that the segment is whole. A seal is believed without a look at the records, so these are on the disk
    /// before it; where it is lost itself, they are looked at.
    fn seal(&mut self, seal: &Record, salt: u64) -> io::Result<()> {
        self.journal.sync()?;
        self.append(seal, salt)
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
