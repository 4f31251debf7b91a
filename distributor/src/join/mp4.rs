//! Fragmented MP4 (ISO/IEC 14496-12, CMAF): `ftyp` and `moov` first, then `moof` and `mdat` in turn.
//!
//! ```text
//!   ftyp moov │ styp sidx prft moof mdat │ moof mdat │ ...
//!   header      └ join point, if the first video sample of the moof is a sync sample
//! ```
//!
//! A file whose samples are described by its `moov` alone cannot be joined, nor can one whose
//! fragments say where their bytes are by their offset in the file: both are raw.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::{HEADER_BYTES_MAX, TRACKS_MAX, UNIT_BYTES_MAX},
    read::{be32, be64, is_sane, search, whole},
};

#[derive(Debug, Default)]
pub(super) struct Mp4 {
    ftyp: Bytes,
    tracks: Vec<Track>,
    ready: bool,
    lost: bool,
    /// Where the boxes that belong to the next `moof` begin.
    unit: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    id: u32,
    is_video: bool,
    /// Flags of a sample that has none of its own.
    flags: u32,
}

/// What a `moof` is to somebody who joins.
#[derive(Debug, PartialEq, Eq)]
enum Moof {
    /// One can begin here.
    Start,
    /// One cannot.
    Middle,
    /// It speaks of offsets in the file.
    Absolute,
}

/// `sample_is_non_sync_sample` (ISO/IEC 14496-12, 8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

/// What a `moof` begins with: its kind, and the box that must be its first.
const MOOF_START: &[u8; 12] = b"moof\0\0\0\x10mfhd";

impl Mp4 {
    pub(super) fn lose(&mut self) -> bool {
        (self.lost, self.unit) = (true, None);
        self.ready
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if self.lost {
            match search(bytes, 16, is_moof) {
                Ok(()) => self.lost = false,
                Err(step) => return step,
            }
        }
        let (kind, len) = match head(bytes) {
            Ok(Some((kind, _, len))) => (kind, len),
            Ok(None) => return self.damaged(),
            Err(wanted) => return Step::More(wanted),
        };
        match (kind, self.ready) {
            (b"ftyp" | b"moov", _) => match whole(bytes, len, HEADER_BYTES_MAX) {
                Some(Ok(unit)) => self.header_box(kind, unit, found),
                Some(Err(more)) => more,
                None => Step::Raw,
            },
            (b"moof", true) => match whole(bytes, len, UNIT_BYTES_MAX) {
                Some(Ok(unit)) => self.fragment(at, unit, found),
                Some(Err(more)) => more,
                None => self.damaged(),
            },
            (b"moof" | b"mdat", false) => Step::Raw,
            (b"mdat", true) => {
                self.unit = None;
                self.pass(len)
            }
            _ => {
                self.unit.get_or_insert(at);
                self.pass(len)
            }
        }
    }

    fn pass(&mut self, len: u64) -> Step {
        if is_sane(len) { Step::Used(len) } else { self.damaged() }
    }

    fn damaged(&mut self) -> Step {
        if self.lose() { Step::Used(1) } else { Step::Raw }
    }

    fn header_box(&mut self, kind: &[u8; 4], unit: &[u8], found: &mut Found) -> Step {
        self.unit = None;
        if kind == b"ftyp" {
            self.ftyp = Bytes::copy_from_slice(unit);
        } else {
            self.tracks = tracks(unit);
            if self.tracks.is_empty() {
                return Step::Raw;
            }
            found.set_header(vec![self.ftyp.clone(), Bytes::copy_from_slice(unit)]);
            self.ready = true;
        }
        Step::Used(unit.len() as u64)
    }

    fn fragment(&mut self, at: u64, unit: &[u8], found: &mut Found) -> Step {
        let start = self.unit.take().unwrap_or(at);
        match moof(unit, &self.tracks) {
            Moof::Start => found.point(start),
            Moof::Middle => {}
            Moof::Absolute => return Step::Raw,
        }
        Step::Used(unit.len() as u64)
    }
}

fn is_moof(window: &[u8]) -> bool {
    window.get(4..).is_some_and(|kind| kind == MOOF_START)
        && be32(window, 0).is_some_and(|len| (24..=UNIT_BYTES_MAX as u32).contains(&len))
}

/// Kind of a box, length of its head and of all of it.
type Head<'a> = (&'a [u8; 4], usize, u64);

/// The box here; `None` where this is none. `Err`: so many bytes are needed to tell.
fn head(bytes: &[u8]) -> Result<Option<Head<'_>>, usize> {
    let (Some(short), Some(kind)) = (be32(bytes, 0), bytes.get(4..).and_then(<[u8]>::first_chunk))
    else {
        return Err(8);
    };
    let is_kind = kind.iter().all(|&letter| matches!(letter, b' '..=b'~' | 0xa9));
    if !is_kind {
        return Ok(None);
    }
    let (head, len) = match short {
        1 => (16, be64(bytes, 8).ok_or(16_usize)?),
        _ => (8, u64::from(short)),
    };
    Ok((len >= head as u64).then_some((kind, head, len)))
}

/// The boxes inside of a box, each with what is in it; ends where something is no box.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, head, len) = head(bytes).ok().flatten()?;
        let (unit, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
        bytes = rest;
        Some((kind, unit.get(head..)?))
    })
}

fn within<'a>(bytes: &'a [u8], kind: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    boxes(bytes).filter_map(move |(its, inside)| (its == kind).then_some(inside))
}

/// The tracks of a `moov` that is fragmented; none where it is not.
fn tracks(moov: &[u8]) -> Vec<Track> {
    let inside = moov.get(8..).unwrap_or_default();
    let Some(mvex) = within(inside, b"mvex").next() else { return Vec::new() };
    let defaults: Vec<_> = within(mvex, b"trex")
        .filter_map(|trex| Some((be32(trex, 4)?, be32(trex, 20)?)))
        .take(TRACKS_MAX)
        .collect();
    let track = |trak: &[u8]| {
        let tkhd = within(trak, b"tkhd").next()?;
        let id = be32(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 })?;
        let handler = within(trak, b"mdia").flat_map(|mdia| within(mdia, b"hdlr")).next()?;
        let (_, flags) = defaults.iter().find(|(its, _)| *its == id)?;
        Some(Track { id, is_video: handler.get(8..12) == Some(b"vide"), flags: *flags })
    };
    within(inside, b"trak").filter_map(track).take(TRACKS_MAX).collect()
}

fn moof(unit: &[u8], tracks: &[Track]) -> Moof {
    // The first video track decides; in a stream of sound alone any sample will do.
    let video = tracks.iter().find(|track| track.is_video);
    let mut is_start = false;
    for traf in within(unit.get(8..).unwrap_or_default(), b"traf").take(TRACKS_MAX) {
        let Some(tfhd) = within(traf, b"tfhd").next() else { continue };
        let (Some(options), Some(id)) = (be32(tfhd, 0), be32(tfhd, 4)) else { continue };
        if options & 1 != 0 {
            return Moof::Absolute;
        }
        if video.is_some_and(|video| video.id != id) {
            continue;
        }
        let own = default_flags(tfhd, options);
        let Some(track) = tracks.iter().find(|track| track.id == id) else { continue };
        let first =
            within(traf, b"trun").find_map(|trun| first_flags(trun, own.unwrap_or(track.flags)));
        is_start |= first.is_some_and(|flags| video.is_none() || flags & NON_SYNC == 0);
    }
    if is_start { Moof::Start } else { Moof::Middle }
}

/// `default_sample_flags` of a `tfhd`, if it has any.
fn default_flags(tfhd: &[u8], options: u32) -> Option<u32> {
    let before = [(0x01, 8), (0x02, 4), (0x08, 4), (0x10, 4)];
    let skip: usize = before.iter().filter(|(bit, _)| options & bit != 0).map(|(_, len)| len).sum();
    if options & 0x20 != 0 { be32(tfhd, 8 + skip) } else { None }
}

/// Flags of the first sample of a `trun`; `None` where it has no sample.
fn first_flags(trun: &[u8], default: u32) -> Option<u32> {
    let options = be32(trun, 0)?;
    be32(trun, 4).filter(|&count| count > 0)?;
    let samples = 8 + if options & 0x01 != 0 { 4 } else { 0 };
    if options & 0x04 != 0 {
        return be32(trun, samples);
    }
    if options & 0x400 == 0 {
        return Some(default);
    }
    let before = [0x100, 0x200].iter().filter(|bit| options & **bit != 0).count() * 4;
    be32(trun, samples + before)
}
