//! What a crash left behind: read the journals, check the data, keep what is sound.
//!
//! ```text
//!   journal ends with a seal, data is long enough ──▶ taken as it is: checked when it is read
//!   otherwise: every record's bytes are read and checked
//!        sound ──▶ held        damaged, missing, torn ──▶ a hole: reported, and asked for again
//! ```
//!
//! Recovery changes a journal only by replacing it whole, so that a crash during recovery finds
//! either the old one or the new one, and does the same again.

use std::{collections::BTreeSet, io, sync::Arc};

use freshet_protocol::{ByteRange, RangeSet, Stamp};

use super::{
    disk::{DiskFile, read_all},
    journal::{Index, Kind, RECORD_LEN, Record, Replay, replay},
    place::{JOURNAL_BYTES_MAX, Place},
    segment::write_journal,
};

/// What was found of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// What is sound.
    pub(crate) held: RangeSet,
    /// What the journal promised and the data did not keep.
    pub(crate) damaged: RangeSet,
    /// Journal records that could not be read.
    pub(crate) damaged_records: usize,
    /// Bytes of journal records that were cut in the middle.
    pub(crate) torn_bytes: usize,
    /// When the newest bytes came in.
    pub(crate) updated: Option<Stamp>,
}

/// Recover the stream at `place`; segments wholly below `retained_from` are removed.
///
/// # Errors
///
/// The folder cannot be read or mended. Damage is no error.
pub(super) fn recover(place: &Place, retained_from: u64) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    for start in segment_starts(place)? {
        if start.saturating_add(place.segment_bytes) <= retained_from {
            place.disk.remove(&place.journal_path(start))?;
            place.disk.remove(&place.data_path(start))?;
            continue;
        }
        match sealed_range(place, start)? {
            Some(sealed) => {
                recovered.held.insert(sealed.range);
                recovered.updated = recovered.updated.max(Some(sealed.received));
            }
            None => recover_open(place, start, &mut recovered)?,
        }
    }
    if let Some(below) = ByteRange::new(0, retained_from) {
        recovered.held.remove(below);
    }
    Ok(recovered)
}

/// First offsets of all segments, by the names of their files. Other names are not ours; what a
/// replacement left half-done is removed.
pub(super) fn segment_starts(place: &Place) -> io::Result<BTreeSet<u64>> {
    let mut starts = BTreeSet::new();
    for name in place.disk.list(&place.folder)? {
        match name.split_once('.') {
            Some((start, "jnl" | "seg")) if start.len() == 20 => {
                let aligned = |start: &u64| start.is_multiple_of(place.segment_bytes);
                starts.extend(start.parse::<u64>().ok().filter(aligned));
            }
            Some((_, "tmp")) => place.disk.remove(&place.folder.join(&name))?,
            _ => {}
        }
    }
    Ok(starts)
}

/// The seal at the end of a segment's journal, if there is one and the data has its length: no
/// more than a few system calls, however long the stream is.
fn sealed_range(place: &Place, start: u64) -> io::Result<Option<Record>> {
    let (Some(journal), Some(data)) =
        (open(place, place.journal_path(start))?, open(place, place.data_path(start))?)
    else {
        return Ok(None);
    };
    let mut last = [0; RECORD_LEN];
    let len = journal.len()?;
    let Some(at) = len.checked_sub(RECORD_LEN as u64).filter(|_| len % RECORD_LEN as u64 == 0)
    else {
        return Ok(None);
    };
    journal.read_at(&mut last, at)?;
    let fits = |seal: &Record| {
        seal.kind == Kind::Sealed
            && seal.range.start() == start
            && data.len().is_ok_and(|len| len >= seal.range.len())
    };
    Ok(Record::decode(&last, place.salt).filter(fits))
}

fn recover_open(place: &Place, start: u64, recovered: &mut Recovered) -> io::Result<()> {
    let (index, found, damaged) = check(place, start)?;
    recovered.held.extend(&index.covered());
    recovered.damaged.extend(&damaged);
    recovered.damaged_records += found.damaged;
    recovered.torn_bytes += found.torn_bytes;
    recovered.updated = recovered.updated.max(index.iter().map(|record| record.received).max());
    Ok(())
}

/// The index of a segment that is opened for writing, its journal mended. With `verify` every
/// byte is checked against its record.
pub(super) fn load_segment(place: &Place, start: u64, verify: bool) -> io::Result<Index> {
    if verify {
        return check(place, start).map(|(index, ..)| index);
    }
    let found = read_journal(place, start)?;
    mend(place, start, &found, &found.index, found.damaged + found.torn_bytes > 0)?;
    Ok(found.index)
}

/// Check every record of a segment against its data, and mend the journal; what is sound, what the
/// journal was like, and what is damaged.
fn check(place: &Place, start: u64) -> io::Result<(Index, Replay, RangeSet)> {
    let found = read_journal(place, start)?;
    let data = open(place, place.data_path(start))?;
    let mut sound = found.index.clone();
    let mut damaged = RangeSet::new();
    for record in found.index.iter() {
        if !is_sound(data.as_deref(), start, record)? {
            damaged.extend(&sound.drop_overlapping(record.range));
        }
    }
    let changed = found.damaged + found.torn_bytes > 0 || !damaged.is_empty();
    mend(place, start, &found, &sound, changed)?;
    Ok((sound, found, damaged))
}

fn is_sound(data: Option<&dyn DiskFile>, start: u64, record: &Record) -> io::Result<bool> {
    let (Some(data), Some(at)) = (data, record.range.start().checked_sub(start)) else {
        return Ok(false);
    };
    let mut bytes = vec![0; usize::try_from(record.range.len()).map_err(io::Error::other)?];
    let read = data.read_at(&mut bytes, at)?;
    Ok(read == bytes.len() && crc32c::crc32c(&bytes) == record.crc)
}

fn read_journal(place: &Place, start: u64) -> io::Result<Replay> {
    let Some(journal) = open(place, place.journal_path(start))? else {
        return Ok(Replay::default());
    };
    let found = replay(&read_all(journal.as_ref(), JOURNAL_BYTES_MAX)?, place.salt);
    Ok(only_own(found, start, place.segment_bytes))
}

/// A record that speaks of another segment is as good as none: its length must not be believed.
fn only_own(mut found: Replay, start: u64, segment_bytes: u64) -> Replay {
    let span = ByteRange::at(start, segment_bytes);
    let foreign: Vec<ByteRange> = found
        .index
        .iter()
        .map(|record| record.range)
        .filter(|range| span.and_then(|span| span.intersect(*range)) != Some(*range))
        .collect();
    found.damaged += foreign.len();
    for range in foreign {
        found.index.drop_overlapping(range);
    }
    found
}

fn mend(place: &Place, start: u64, found: &Replay, sound: &Index, changed: bool) -> io::Result<()> {
    if !changed {
        return Ok(());
    }
    tracing::warn!(
        folder = %place.folder.display(),
        segment = start,
        damaged_records = found.damaged,
        torn_bytes = found.torn_bytes,
        records_kept = sound.len(),
        records_dropped = found.index.len() - sound.len(),
        "journal mended; what was dropped is a hole now"
    );
    write_journal(place.disk.as_ref(), &place.journal_path(start), sound, None, place.salt)
}

fn open(place: &Place, path: std::path::PathBuf) -> io::Result<Option<Arc<dyn DiskFile>>> {
    match place.disk.open(&path, false) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
