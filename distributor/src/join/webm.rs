//! WebM and Matroska (RFC 9559): a Segment whose Clusters go on for as long as the stream does.
//!
//! ```text
//!   EBML Segment Info Tracks │ Cluster { Timestamp, key block, ... } │ Cluster ...
//!   header                     └ join point: its first video block is a key one
//! ```
//!
//! Elements are walked flat: a Cluster and a BlockGroup are stepped into, everything else over. What
//! speaks of places in the file (SeekHead, Cues) is left out of the header.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::{HEADER_BYTES_MAX, TRACKS_MAX},
    read::{is_sane, search, whole},
};

#[derive(Debug, Default)]
pub(super) struct Webm {
    header: Vec<u8>,
    has_info: bool,
    /// Numbers of the video tracks; `None` before any Tracks element.
    video: Option<Vec<u64>>,
    ready: bool,
    lost: bool,
    /// A Cluster whose first video block is still to come.
    cluster: Option<u64>,
    group: Option<Group>,
}

/// A BlockGroup that is being walked.
#[derive(Debug)]
struct Group {
    end: u64,
    track: Option<u64>,
    is_key: bool,
}

/// An element's head.
#[derive(Clone, Copy, Debug)]
struct Head {
    id: u32,
    /// Bytes of the head itself.
    head: usize,
    /// Bytes of what is in it; `None` where that is unknown.
    len: Option<u64>,
}

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const REFERENCE: u32 = 0xfb;
const CRC: u32 = 0xbf;

/// What may stand beside these, and is stepped over: SeekHead, Cues, Chapters, Tags, Attachments,
/// Void, CRC-32; Position, PrevSize, SilentTracks; what a BlockGroup has beside its block.
const OTHERS: [u32; 19] = [
    0x114d_9b74,
    0x1c53_bb6b,
    0x1043_a770,
    0x1254_c367,
    0x1941_a469,
    0xec,
    CRC,
    TIMESTAMP,
    0xa7,
    0xab,
    0x5854,
    0x9b,
    0x75a1,
    0x75a2,
    0xfa,
    0xa4,
    0x8e,
    0xa2,
    0xaf,
];

/// Longest head of an element.
const HEAD_BYTES_MAX: usize = 12;
/// A block's track, its time and its flags.
const BLOCK_HEAD_BYTES_MAX: usize = 8 + 2 + 1;

impl Webm {
    pub(super) fn lose(&mut self) -> bool {
        (self.lost, self.cluster, self.group) = (true, None, None);
        self.ready
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if self.lost {
            match search(bytes, HEAD_BYTES_MAX + 2, is_cluster) {
                Ok(()) => self.lost = false,
                Err(step) => return step,
            }
        }
        self.leave_group(at, found);
        let head = match head(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return self.damaged(),
            Err(wanted) => return Step::More(wanted),
        };
        match head.id {
            EBML | INFO | TRACKS => self.header_element(head, bytes, found),
            SEGMENT => self.keep(bytes.get(..head.head).unwrap_or_default()),
            CLUSTER => self.cluster(at, head, found),
            BLOCK_GROUP => match head.len.filter(|&len| is_sane(len)) {
                Some(len) => {
                    let end = at + head.head as u64 + len;
                    self.group = Some(Group { end, track: None, is_key: true });
                    Step::Used(head.head as u64)
                }
                None => self.damaged(),
            },
            SIMPLE_BLOCK | BLOCK => self.block(head, bytes, found),
            REFERENCE => {
                self.group.iter_mut().for_each(|group| group.is_key = false);
                self.pass(head)
            }
            id if OTHERS.contains(&id) => self.pass(head),
            _ => self.damaged(),
        }
    }

    fn pass(&mut self, head: Head) -> Step {
        match head.len.filter(|&len| is_sane(len)) {
            Some(len) => Step::Used(head.head as u64 + len),
            None => self.damaged(),
        }
    }

    fn damaged(&mut self) -> Step {
        if self.lose() { Step::Used(1) } else { Step::Raw }
    }

    fn header_element(&mut self, head: Head, bytes: &[u8], found: &mut Found) -> Step {
        let Some(len) = head.len.filter(|&len| is_sane(len)) else { return Step::Raw };
        let unit = match whole(bytes, head.head as u64 + len, HEADER_BYTES_MAX) {
            Some(Ok(unit)) => unit,
            Some(Err(more)) => return more,
            None => return Step::Raw,
        };
        if head.id == EBML {
            // Another file begins.
            *self = Self::default();
        } else if self.ready {
            // The same once more, between Clusters.
            return Step::Used(unit.len() as u64);
        }
        let step = self.keep(unit);
        match head.id {
            INFO => self.has_info = true,
            TRACKS => self.video = Some(video(unit.get(head.head..).unwrap_or_default())),
            _ => {}
        }
        if self.has_info && self.video.is_some() && step != Step::Raw {
            self.begin_clusters(found);
        }
        step
    }

    fn begin_clusters(&mut self, found: &mut Found) {
        self.ready = true;
        found.set_header(vec![Bytes::from(std::mem::take(&mut self.header))]);
    }

    fn keep(&mut self, unit: &[u8]) -> Step {
        if self.ready {
            return Step::Used(unit.len() as u64);
        }
        if self.header.len() + unit.len() > HEADER_BYTES_MAX {
            return Step::Raw;
        }
        self.header.extend_from_slice(unit);
        Step::Used(unit.len() as u64)
    }

    fn cluster(&mut self, at: u64, head: Head, found: &mut Found) -> Step {
        if self.video.is_none() {
            return Step::Raw;
        }
        if !self.ready {
            self.begin_clusters(found);
        }
        self.cluster = Some(at);
        Step::Used(head.head as u64)
    }

    fn block(&mut self, head: Head, bytes: &[u8], found: &mut Found) -> Step {
        let Some(len) = head.len.filter(|&len| is_sane(len)) else { return self.damaged() };
        let seen = head.head + usize::try_from(len).unwrap_or(usize::MAX).min(BLOCK_HEAD_BYTES_MAX);
        let Some(inside) = bytes.get(head.head..seen) else { return Step::More(seen) };
        let track = number(inside).ok().flatten();
        let flags = track.and_then(|(width, _)| inside.get(width + 2));
        let (Some((_, track)), Some(flags)) = (track, flags) else { return self.damaged() };
        if head.id == SIMPLE_BLOCK {
            self.first_block(track, flags & 0x80 != 0, found);
        } else if let Some(group) = &mut self.group {
            group.track = Some(track);
        }
        Step::Used(head.head as u64 + len)
    }

    fn leave_group(&mut self, at: u64, found: &mut Found) {
        if let Some(group) = self.group.take_if(|group| group.end <= at)
            && let Some(track) = group.track
        {
            self.first_block(track, group.is_key, found);
        }
    }

    /// The first block of a Cluster that counts says whether one can begin with it.
    fn first_block(&mut self, track: u64, is_key: bool, found: &mut Found) {
        let counts =
            self.video.as_ref().is_some_and(|video| video.is_empty() || video.contains(&track));
        if counts
            && let Some(start) = self.cluster.take_if(|_| self.ready)
            && is_key
        {
            found.point(start);
        }
    }
}

fn is_cluster(window: &[u8]) -> bool {
    let Ok(Some(cluster)) = head(window) else { return false };
    let first = window.get(cluster.head..).unwrap_or_default();
    cluster.id == CLUSTER && matches!(first.first(), Some(0xe7 | 0xbf))
}

/// The head of the element here; `None` where this is none. `Err`: so many bytes are needed to tell.
fn head(bytes: &[u8]) -> Result<Option<Head>, usize> {
    let first = *bytes.first().ok_or(2_usize)?;
    let width = first.leading_zeros() as usize + 1;
    if width > 4 {
        return Ok(None);
    }
    let id = bytes.get(..width).ok_or(width + 1)?;
    let id = id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
    let size = bytes.get(width..).filter(|size| !size.is_empty()).ok_or(width + 1)?;
    match number(size) {
        Ok(Some((len_width, len))) => {
            let unknown = (1 << (7 * len_width)) - 1;
            let len = Some(len).filter(|&len| len != unknown);
            Ok(Some(Head { id, head: width + len_width, len }))
        }
        Ok(None) => Ok(None),
        Err(wanted) => Err(width + wanted),
    }
}

/// A number of variable width: how wide it is, and what it says.
fn number(bytes: &[u8]) -> Result<Option<(usize, u64)>, usize> {
    let first = *bytes.first().ok_or(1_usize)?;
    let width = first.leading_zeros() as usize + 1;
    if width > 8 {
        return Ok(None);
    }
    let digits = bytes.get(..width).ok_or(width)?;
    let value = digits.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok(Some((width, value & ((1 << (7 * width)) - 1))))
}

/// The elements in `bytes`, up to the first that is none.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let head = head(bytes).ok().flatten()?;
        let end = head.head.checked_add(usize::try_from(head.len?).ok()?)?;
        let (unit, rest) = bytes.split_at_checked(end)?;
        bytes = rest;
        Some((head.id, unit.get(head.head..)?))
    })
}

/// The numbers of the video tracks.
fn video(tracks: &[u8]) -> Vec<u64> {
    let value = |bytes: &[u8]| bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let entries = elements(tracks).filter(|(id, _)| *id == TRACK_ENTRY);
    let numbers = entries.filter_map(|(_, entry)| {
        let of = |wanted| elements(entry).find(|(id, _)| *id == wanted).map(|(_, it)| value(it));
        of(TRACK_NUMBER).filter(|_| of(TRACK_TYPE) == Some(1))
    });
    numbers.take(TRACKS_MAX).collect()
}
