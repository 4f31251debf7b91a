//! MPEG transport streams (ISO/IEC 13818-1): packets of 188 bytes.
//!
//! ```text
//!   PAT PMT │ video, random access │ video │ audio │ PAT PMT │ video, random access │ ...
//!   header    └ join point                                     └ join point
//! ```
//!
//! The header is the packets of the newest PAT and PMT. Without a video track each packet that begins
//! an access unit of the first track is a join point.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    read::{be16, search},
};

/// Bytes of a packet.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Packets that a table may take: a section has at most 1,024 bytes.
const TABLE_BYTES_MAX: usize = 16 * PACKET;

#[derive(Debug, Default)]
pub(super) struct MpegTs {
    lost: bool,
    pat: Table,
    pmt: Table,
    pmt_pid: Option<u16>,
    /// The track whose access units are join points.
    track: Option<Track>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Track {
    pid: u16,
    kind: u8,
    is_video: bool,
}

/// One table, as it comes and as it was last.
#[derive(Debug, Default)]
struct Table {
    packets: Vec<u8>,
    section: Vec<u8>,
    /// The packets and the section of the last one that was whole.
    whole: (Bytes, Vec<u8>),
}

/// A packet, taken apart.
struct Packet<'a> {
    pid: u16,
    /// Does an access unit or a section begin here?
    begins: bool,
    random_access: bool,
    payload: &'a [u8],
}

/// Does a transport stream begin here? `Err`: so many bytes are needed to tell.
pub(super) fn begins(bytes: &[u8]) -> Result<bool, usize> {
    const WINDOW: usize = 2 * PACKET + 1;
    match bytes.first() {
        Some(&SYNC) if bytes.len() < WINDOW => Err(WINDOW),
        Some(&SYNC) => Ok(is_sync(bytes)),
        _ => Ok(false),
    }
}

fn is_sync(window: &[u8]) -> bool {
    [0, PACKET, 2 * PACKET].iter().all(|&at| window.get(at) == Some(&SYNC))
}

impl MpegTs {
    pub(super) fn lose(&mut self) -> bool {
        self.lost = true;
        self.pat.packets.clear();
        self.pmt.packets.clear();
        true
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if self.lost {
            match search(bytes, 2 * PACKET + 1, is_sync) {
                Ok(()) => self.lost = false,
                Err(step) => return step,
            }
        }
        let Some(packet) = bytes.first_chunk::<PACKET>() else {
            return Step::More(PACKET);
        };
        if packet.first() != Some(&SYNC) {
            self.lose();
            return Step::Used(1);
        }
        if let Some(taken) = Packet::parse(packet) {
            self.take(at, packet, &taken, found);
        }
        Step::Used(PACKET as u64)
    }

    fn take(&mut self, at: u64, packet: &[u8], taken: &Packet<'_>, found: &mut Found) {
        if taken.pid == 0 {
            if self.pat.take(packet, taken) {
                self.pmt_pid = program(&self.pat.whole.1);
                self.pmt = Table::default();
            }
        } else if Some(taken.pid) == self.pmt_pid {
            if self.pmt.take(packet, taken) {
                self.track = track(&self.pmt.whole.1);
                found.set_header(vec![self.pat.whole.0.clone(), self.pmt.whole.0.clone()]);
            }
        } else if let Some(track) = self.track
            && track.pid == taken.pid
            && taken.begins
            && (taken.random_access || !track.is_video || is_key(track.kind, taken.payload))
        {
            found.point(at);
        }
    }
}

impl<'a> Packet<'a> {
    fn parse(packet: &'a [u8; PACKET]) -> Option<Self> {
        let [_, high, low, control, length, flags, ..] = *packet;
        if high & 0x80 != 0 {
            return None;
        }
        let adapts = control & 0x20 != 0;
        let payload = 4 + if adapts { 1 + usize::from(length) } else { 0 };
        let has_payload = control & 0x10 != 0;
        Some(Self {
            pid: u16::from_be_bytes([high & 0x1f, low]),
            begins: has_payload && high & 0x40 != 0,
            random_access: adapts && length > 0 && flags & 0x40 != 0,
            payload: packet.get(payload..).filter(|_| has_payload).unwrap_or_default(),
        })
    }
}

impl Table {
    /// Take a packet in. True where a table is whole by it that is another than before.
    fn take(&mut self, packet: &[u8], taken: &Packet<'_>) -> bool {
        let mut payload = taken.payload;
        if taken.begins {
            self.packets.clear();
            self.section.clear();
            let Some((&pointer, rest)) = payload.split_first() else { return false };
            payload = rest.get(usize::from(pointer)..).unwrap_or_default();
        } else if self.packets.is_empty() || self.packets.len() >= TABLE_BYTES_MAX {
            return false;
        }
        self.packets.extend_from_slice(packet);
        self.section.extend_from_slice(payload);
        let Some(len) = be16(&self.section, 1).map(|len| 3 + usize::from(len & 0x0fff)) else {
            return false;
        };
        if self.section.len() < len {
            return false;
        }
        self.section.truncate(len);
        let is_new = self.section != self.whole.1 && crc32(&self.section) == 0;
        if is_new {
            let packets = Bytes::copy_from_slice(&self.packets);
            self.whole = (packets, std::mem::take(&mut self.section));
        }
        self.packets.clear();
        is_new
    }
}

/// The CRC of a section with its own CRC at the end: 0 where it is sound.
fn crc32(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

/// Where the first program's PMT is, by the PAT.
fn program(pat: &[u8]) -> Option<u16> {
    let entries = pat.get(8..pat.len().checked_sub(4)?)?;
    let programs = entries.chunks_exact(4).filter(|entry| be16(entry, 0) != Some(0));
    programs.filter_map(|entry| be16(entry, 2)).map(|pid| pid & 0x1fff).next()
}

/// The track to join at, by the PMT: the first video track, else the first of all.
fn track(pmt: &[u8]) -> Option<Track> {
    let skip = 12 + usize::from(be16(pmt, 10)? & 0x0fff);
    let mut entries = pmt.get(skip..pmt.len().checked_sub(4)?)?;
    let mut first = None;
    while let Some(&kind) = entries.first() {
        let pid = be16(entries, 1)? & 0x1fff;
        // MPEG-1 and 2, MPEG-4, H.264, HEVC, VVC, AVS, VC-1.
        let is_video = matches!(kind, 0x01 | 0x02 | 0x10 | 0x1b | 0x24 | 0x33 | 0x42 | 0xea);
        let track = Track { pid, kind, is_video };
        if is_video {
            return Some(track);
        }
        first.get_or_insert(track);
        entries = entries.get(5 + usize::from(be16(entries, 3)? & 0x0fff)..)?;
    }
    first
}

/// Do parameter sets or a key picture begin in this packet? For encoders that do not set the
/// indicator.
fn is_key(kind: u8, payload: &[u8]) -> bool {
    payload.windows(4).any(|window| match *window {
        [0, 0, 1, unit] => match kind {
            0x01 | 0x02 => unit == 0xb3,
            0x1b => unit & 0x9f == 7,
            0x24 => (32..=34).contains(&((unit >> 1) & 0x3f)),
            _ => false,
        },
        _ => false,
    })
}
