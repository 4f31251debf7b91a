//! MPEG transport streams (ISO/IEC 13818-1), taken apart as they come: a frame goes out with its last byte.
//!
//! ```text
//!   packets of 188 ──▶ PAT ──▶ PMT ──▶ Tracks
//!                  └─▶ PES of each track ──▶ Sample
//! ```
//!
//! Where a frame does not say how long it is, the packet that is filled up with stuffing is its last: nobody
//! waits for the next one to know. A packet that is missing is seen by its counter.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};

use super::{Avc, Coding, Event, SoundCoding, Track, pes::Pes};
use crate::limits::{SAMPLE_BYTES_MAX, SECTION_BYTES_MAX};

const PACKET: usize = 188;
const SYNC: u8 = 0x47;
const PAT_PID: u16 = 0;

/// `stream_type` of H.264 (13818-1, table 2-34).
const H264: u8 = 0x1b;

#[derive(Debug, Default)]
pub(super) struct Ts {
    buffer: BytesMut,
    pmt_pid: Option<u16>,
    /// Tables that have come in part.
    sections: BTreeMap<u16, Vec<u8>>,
    tracks: Vec<Track>,
    streams: BTreeMap<u16, Pes>,
    events: VecDeque<Event>,
}

/// A packet, taken apart (13818-1, 2.4.3.2).
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pid: u16,
    pub(super) is_start: bool,
    pub(super) counter: u8,
    /// A decoder can begin here.
    pub(super) is_random_access: bool,
    /// It is filled up, for there was no more.
    pub(super) is_stuffed: bool,
    pub(super) payload: &'a [u8],
}

/// Do these bytes look like a transport stream?
pub(super) fn begins(first: &[u8]) -> bool {
    first.first() == Some(&SYNC) && first.get(PACKET).is_none_or(|&next| next == SYNC)
}

impl Ts {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while let Some(packet) = self.packet() {
            if let Some(packet) = Packet::of(&packet) {
                self.take(&packet);
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes are missing here.
    pub(super) fn lose(&mut self) {
        self.buffer.clear();
        self.sections.clear();
        self.streams.values_mut().for_each(Pes::lose);
    }

    /// The next packet; what is before it is none.
    fn packet(&mut self) -> Option<Bytes> {
        let is_packet = |at: usize| {
            self.buffer.get(at) == Some(&SYNC)
                && self.buffer.get(at + PACKET).is_none_or(|&next| next == SYNC)
        };
        let begin = (0..self.buffer.len()).find(|&at| is_packet(at));
        self.buffer.advance(begin.unwrap_or(self.buffer.len()));
        (self.buffer.len() >= PACKET).then(|| self.buffer.split_to(PACKET).freeze())
    }

    fn take(&mut self, packet: &Packet<'_>) {
        if packet.pid == PAT_PID {
            if let Some(table) = self.section(packet) {
                self.pmt_pid = program(&table).or(self.pmt_pid);
            }
        } else if Some(packet.pid) == self.pmt_pid {
            if let Some(table) = self.section(packet) {
                self.begin(&table);
            }
        } else if let Some(stream) = self.streams.get_mut(&packet.pid) {
            let samples = stream.take(packet);
            self.events.extend(samples.into_iter().map(Event::Sample));
        }
    }

    /// A table that is whole, from its number to before its CRC.
    fn section(&mut self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let part = if packet.is_start {
            let (&skipped, rest) = packet.payload.split_first()?;
            self.sections.insert(packet.pid, Vec::new());
            rest.get(usize::from(skipped)..)?
        } else {
            packet.payload
        };
        let section = self.sections.get_mut(&packet.pid)?;
        section.extend_from_slice(part);
        let length = usize::from(number(section.get(1..3)?) & 0xfff) + 3;
        if section.len() < length {
            if section.len() > SECTION_BYTES_MAX {
                self.sections.remove(&packet.pid);
            }
            return None;
        }
        let mut section = self.sections.remove(&packet.pid)?;
        section.truncate(length);
        // With its CRC behind it, the remainder of what is sound is nothing.
        let is_sound = checksum(CrcAlgorithm::Crc32Mpeg2, &section) == 0;
        section.truncate(length.checked_sub(4)?);
        is_sound.then_some(section)
    }

    /// What the program is made of (13818-1, 2.4.4.8).
    fn begin(&mut self, table: &[u8]) {
        let tracks = tracks(table).unwrap_or_default();
        if tracks.is_empty() || tracks == self.tracks {
            return;
        }
        let pid = |track: &Track| u16::try_from(track.id).unwrap_or_default();
        self.streams = tracks.iter().map(|track| (pid(track), Pes::new(track))).collect();
        self.tracks.clone_from(&tracks);
        self.events.push_back(Event::Tracks(tracks));
    }
}

/// A number of two bytes.
fn number(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |all, &byte| all << 8 | u16::from(byte))
}

/// Where the table of the first program is (13818-1, 2.4.4.3).
fn program(pat: &[u8]) -> Option<u16> {
    let programs = pat.get(8..)?.chunks_exact(4);
    let mut pids = programs.filter_map(|program| {
        let (id, pid) = program.split_at(2);
        (number(id) != 0).then(|| number(pid) & 0x1fff)
    });
    pids.next()
}

fn tracks(pmt: &[u8]) -> Option<Vec<Track>> {
    let about_program = usize::from(number(pmt.get(10..12)?) & 0xfff);
    let mut rest = pmt.get(12 + about_program..)?;
    let mut tracks = Vec::new();
    while let Some((entry, behind)) = rest.split_at_checked(5) {
        let &[kind, ref pid @ ..] = entry else { break };
        let (id, about) = (number(pid.get(..2)?) & 0x1fff, number(pid.get(2..)?) & 0xfff);
        tracks.push(track(kind, id));
        rest = behind.get(usize::from(about)..)?;
    }
    Some(tracks)
}

fn track(kind: u8, pid: u16) -> Track {
    let coding = match kind {
        H264 => Coding::H264(Avc::default()),
        0x0f => Coding::Sound(SoundCoding::Adts),
        0x03 | 0x04 => Coding::Sound(SoundCoding::Mp3),
        0x01 | 0x02 => Coding::Other("MPEG-2 video".into()),
        0x24 => Coding::Other("HEVC".into()),
        kind => Coding::Other(format!("stream type 0x{kind:02x}")),
    };
    let is_video = matches!(kind, H264 | 0x01 | 0x02 | 0x10 | 0x24 | 0x33);
    Track { id: pid.into(), is_video, coding }
}

impl<'a> Packet<'a> {
    /// `None` where it says itself that it is damaged, or has no payload.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let &[_, flags, low, control, ref rest @ ..] = bytes else { return None };
        if flags & 0x80 != 0 || control & 0x10 == 0 {
            return None;
        }
        let pid = u16::from(flags & 0x1f) << 8 | u16::from(low);
        let mut packet = Self {
            pid,
            is_start: flags & 0x40 != 0,
            counter: control & 0xf,
            is_random_access: false,
            is_stuffed: false,
            payload: rest,
        };
        if control & 0x20 != 0 {
            let (&length, rest) = rest.split_first()?;
            let (field, payload) = rest.split_at_checked(length.into())?;
            packet.payload = payload;
            let about = field.first().copied().unwrap_or_default();
            packet.is_random_access = about & 0x40 != 0;
            packet.is_stuffed = field.len() > field_bytes(about, field);
        }
        Some(packet)
    }
}

/// So many bytes of an adaptation field say something (13818-1, 2.4.3.4); the others fill it up.
fn field_bytes(about: u8, field: &[u8]) -> usize {
    let clocks = [0x10, 0x08].iter().filter(|&&clock| about & clock != 0).count() * 6;
    let splice = usize::from(about & 0x04 != 0);
    let private = if about & 0x02 == 0 {
        0
    } else {
        field.get(1 + clocks + splice).map_or(0, |&length| 1 + usize::from(length))
    };
    // An extension is rare, and is taken for the end.
    let extension = if about & 0x01 == 0 { 0 } else { field.len() };
    1 + clocks + splice + private + extension
}

const _: () = assert!(SECTION_BYTES_MAX > PACKET && SAMPLE_BYTES_MAX > PACKET);
