//! Fragmented MP4 (ISO/IEC 14496-12), taken apart as it comes: a sample goes out with its last byte.
//!
//! ```text
//!   moov ──▶ Tracks      moof ──▶ plan: sample, sample, ...      mdat ──▶ Sample, Sample, ...
//! ```
//!
//! Places in a fragment count from its `moof`, so that a stream that is joined in the middle is read like one
//! from its beginning. A box that is not known is passed over; of one that is, no more is kept than a bound.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use mp4_atom::{Avcc, Codec, Decode, Moof, Moov, Tfhd, Traf, Trak, Trex, esds::DecoderConfig};

use super::{Avc, Coding, Event, Sample, SoundCoding, Track};
use crate::{
    limits::{BOX_BYTES_MAX, SAMPLE_BYTES_MAX, SAMPLES_MAX},
    picture::start_code,
};

/// `sample_is_non_sync_sample` (14496-12, 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// Length and name.
const HEAD: usize = 8;
/// With a length of 64 bits.
const LONG_HEAD: usize = 16;

/// A fragment is known by its first two boxes.
const FRAGMENT_LOOKS: usize = 16;

/// Boxes that there may be, and nothing is needed of.
const PASSED: [&[u8; 4]; 13] = [
    b"ftyp", b"styp", b"sidx", b"ssix", b"emsg", b"prft", b"free", b"skip", b"wide", b"uuid",
    b"mfra", b"meta", b"udta",
];

/// Why it cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mp4Error {
    /// A box that is not what its name says, where the header should be.
    #[error("its MP4 is broken: a box {name:?} cannot be read")]
    Box {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Mp4 {
    buffer: BytesMut,
    /// Where the buffer begins.
    at: u64,
    tracks: Vec<Known>,
    /// The samples of the fragment at hand, by their place.
    planned: VecDeque<Planned>,
    /// Where the data at hand end.
    data_end: Option<u64>,
    /// To here nothing is of interest.
    skip_to: u64,
    /// Where a box begins is not known: it is found by its looks.
    is_lost: bool,
    /// To here no fragment was seen that begins where none should.
    searched: u64,
}

#[derive(Debug)]
struct Known {
    id: u32,
    /// Units of its time in a second.
    timescale: u32,
    defaults: Trex,
    /// Where its next sample continues.
    next: Option<u64>,
}

#[derive(Debug)]
struct Planned {
    start: u64,
    size: usize,
    sample: Sample,
}

impl Mp4 {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn end(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    /// The next of what has come; `None`: not yet.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Mp4Error> {
        loop {
            self.pass();
            if self.at < self.skip_to {
                return Ok(None);
            }
            if self.data_end.is_some() && !self.planned.is_empty() {
                match self.sample() {
                    Some(sample) => return Ok(Some(Event::Sample(sample))),
                    None if self.planned.is_empty() => continue,
                    None => return Ok(None),
                }
            }
            if let Some(end) = self.data_end.take() {
                self.skip_to = self.skip_to.max(end);
                continue;
            }
            match self.next_box()? {
                Step::More => return Ok(None),
                Step::Done => {}
                Step::Tracks(tracks) => return Ok(Some(Event::Tracks(tracks))),
            }
        }
    }

    /// Drop what is of no interest. A fragment in it says that its length was wrong.
    fn pass(&mut self) {
        let passed = usize::try_from(self.skip_to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if passed == 0 {
            return;
        }
        if let Some(found) = self.seen(0).filter(|&found| found < passed) {
            (self.skip_to, self.data_end) = (self.at + found as u64, None);
            self.drop_front(found);
            return self.forget();
        }
        // What may be the beginning of one is looked at again.
        let kept = self.buffer.len().saturating_sub(FRAGMENT_LOOKS - 1);
        self.drop_front(passed.min(if passed > self.buffer.len() { kept } else { passed }));
    }

    fn drop_front(&mut self, count: usize) {
        self.buffer.advance(count);
        self.at += count as u64;
    }

    /// Where in the buffer a fragment begins, from `from` on.
    fn seen(&mut self, from: usize) -> Option<usize> {
        let looks = |at: &[u8]| at.get(4..8) == Some(b"moof") && at.get(12..16) == Some(b"mfhd");
        let searched = usize::try_from(self.searched.saturating_sub(self.at)).unwrap_or(0);
        let from = from.max(searched);
        let found = self.buffer.get(from..)?.windows(FRAGMENT_LOOKS).position(looks);
        let all = self.buffer.len().saturating_sub(FRAGMENT_LOOKS - 1);
        self.searched = self.at + found.map_or(all, |found| from + found) as u64;
        found.map(|found| from + found)
    }

    /// A box is not whole. Where a fragment begins in it, it never will be.
    fn wait(&mut self) -> Step {
        let Some(found) = self.seen(1) else { return Step::More };
        self.drop_front(found);
        self.forget();
        Step::Done
    }

    /// The sample that is next, once all of it is here.
    fn sample(&mut self) -> Option<Sample> {
        let first = self.planned.front()?;
        self.skip_to = first.start.max(self.at);
        self.pass();
        let first = self.planned.front()?;
        if self.at < first.start || self.buffer.len() < first.size {
            return None;
        }
        let mut planned = self.planned.pop_front()?;
        planned.sample.bytes = self.buffer.split_to(planned.size).freeze();
        self.at += planned.size as u64;
        Some(planned.sample)
    }

    fn next_box(&mut self) -> Result<Step, Mp4Error> {
        if self.is_lost && !self.search() {
            return Ok(Step::More);
        }
        let Some((name, size)) = head(&self.buffer) else { return Ok(Step::More) };
        let (begin, end) = (self.at, size.map_or(u64::MAX, |size| self.at.saturating_add(size)));
        match &name {
            b"mdat" => {
                // What was planned is in it, or is not there at all.
                self.planned.retain(|it| it.start.saturating_add(it.size as u64) <= end);
                self.data_end = Some(end);
                Ok(Step::Done)
            }
            b"moov" | b"moof" => {
                let Some(whole) = size.filter(|&size| size <= BOX_BYTES_MAX as u64) else {
                    return self.distrust(&name);
                };
                let whole = usize::try_from(whole).unwrap_or(usize::MAX);
                if self.buffer.len() < whole {
                    return Ok(self.wait());
                }
                let bytes = self.buffer.split_to(whole).freeze();
                self.at = end;
                self.read(&name, &bytes, begin)
            }
            name if PASSED.contains(&name) => {
                self.skip_to = end;
                Ok(Step::Done)
            }
            name => self.distrust(name),
        }
    }

    fn read(&mut self, name: &[u8; 4], mut bytes: &[u8], begin: u64) -> Result<Step, Mp4Error> {
        if name == b"moov" {
            return match Moov::decode(&mut bytes) {
                Ok(moov) => Ok(Step::Tracks(self.begin(&moov))),
                Err(_) => self.distrust(name),
            };
        }
        let planned = Moof::decode(&mut bytes).is_ok_and(|moof| self.plan(&moof, begin));
        if planned { Ok(Step::Done) } else { self.distrust(name) }
    }

    /// This is no box: without a header there is nothing to go by, and behind one a fragment is looked for.
    fn distrust(&mut self, name: &[u8; 4]) -> Result<Step, Mp4Error> {
        if self.tracks.is_empty() {
            return Err(Mp4Error::Box { name: String::from_utf8_lossy(name).into_owned() });
        }
        self.buffer.advance(self.buffer.len().min(1));
        self.at += 1;
        self.is_lost = true;
        Ok(Step::Done)
    }

    /// Bytes are missing here: go on with the next fragment that is seen.
    pub(super) fn lose(&mut self) {
        self.at = self.end();
        self.buffer.clear();
        (self.data_end, self.skip_to, self.is_lost) = (None, 0, true);
        self.forget();
    }

    /// The samples that were to come do not.
    fn forget(&mut self) {
        self.planned.clear();
        self.tracks.iter_mut().for_each(|known| known.next = None);
    }

    /// Go to the next fragment; is there one?
    fn search(&mut self) -> bool {
        self.forget();
        let found = self.seen(0);
        let kept = self.buffer.len().saturating_sub(FRAGMENT_LOOKS - 1);
        self.drop_front(found.unwrap_or(kept));
        self.is_lost = found.is_none();
        found.is_some()
    }

    fn begin(&mut self, moov: &Moov) -> Vec<Track> {
        let defaults = |id: u32| {
            let all = moov.mvex.iter().flat_map(|mvex| &mvex.trex);
            all.into_iter().find(|trex| trex.track_id == id).cloned().unwrap_or_default()
        };
        let known = |trak: &Trak| {
            let id = trak.tkhd.track_id;
            let timescale = trak.mdia.mdhd.timescale.max(1);
            Known { id, timescale, defaults: defaults(id), next: None }
        };
        self.tracks = moov.trak.iter().map(known).collect();
        self.planned.clear();
        moov.trak.iter().map(track).collect()
    }

    /// Where the samples of a fragment are, which begins at `begin`; false where that cannot be.
    fn plan(&mut self, moof: &Moof, begin: u64) -> bool {
        let mut planned = Vec::new();
        let mut is_sound = true;
        for traf in &moof.traf {
            if let Some(known) = self.tracks.iter_mut().find(|it| it.id == traf.tfhd.track_id) {
                is_sound &= known.plan(traf, begin, &mut planned).is_some();
            }
        }
        planned.sort_by_key(|it| it.start);
        self.planned = planned.into();
        is_sound
    }
}

enum Step {
    More,
    Done,
    Tracks(Vec<Track>),
}

/// Name, and length of the whole box; without the last, it goes on to the end.
fn head(bytes: &[u8]) -> Option<([u8; 4], Option<u64>)> {
    let number = |from: usize, to: usize| {
        let part = bytes.get(from..to)?;
        Some(part.iter().fold(0_u64, |all, &byte| all << 8 | u64::from(byte)))
    };
    let name = bytes.get(4..HEAD)?.try_into().ok()?;
    match number(0, 4)? {
        0 => Some((name, None)),
        1 => Some((name, Some(number(HEAD, LONG_HEAD)?.max(LONG_HEAD as u64)))),
        size => Some((name, Some(size.max(HEAD as u64)))),
    }
}

fn track(trak: &Trak) -> Track {
    let codecs = &trak.mdia.minf.stbl.stsd.codecs;
    let coding = match codecs.first() {
        Some(Codec::Avc1(avc)) => Coding::H264(avc_of(&avc.avcc)),
        Some(Codec::Vp09(_)) => Coding::Vp9,
        Some(Codec::Av01(av1)) => Coding::Av1 { config: av1.av1c.config_obus.clone() },
        Some(Codec::Opus(opus)) => {
            Coding::Sound(SoundCoding::Opus { channels: opus.dops.output_channel_count })
        }
        Some(Codec::Mp4a(mp4a)) => sound(&mp4a.esds.es_desc.dec_config),
        Some(codec) => Coding::Other(name(codec)),
        None => Coding::Other("unknown".into()),
    };
    let is_video = trak.mdia.hdlr.handler == mp4_atom::FourCC::new(b"vide");
    Track { id: trak.tkhd.track_id, is_video, coding }
}

/// `objectTypeIndication` of AAC, and of MPEG audio (ISO/IEC 14496-1, table 5).
const AAC: u8 = 0x40;
const MPEG_AUDIO: [u8; 2] = [0x69, 0x6b];

fn sound(config: &DecoderConfig) -> Coding {
    match (config.object_type_indication, &config.dec_specific) {
        (AAC, Some(specific)) => Coding::Sound(SoundCoding::Aac { config: specific.raw.clone() }),
        (kind, _) if MPEG_AUDIO.contains(&kind) => Coding::Sound(SoundCoding::Mp3),
        (kind, _) => Coding::Other(format!("object type 0x{kind:02x}")),
    }
}

pub(super) fn avc_of(avcc: &Avcc) -> Avc {
    let mut parameters = Vec::new();
    let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
    sets.for_each(|set| start_code::add(set, &mut parameters));
    Avc { parameters, length_bytes: Some(usize::from(avcc.length_size)) }
}

/// What a codec is called: the first word of how it is printed.
fn name(codec: &Codec) -> String {
    if let Codec::Unknown(name, _) = codec {
        return name.to_string();
    }
    let printed = format!("{codec:?}");
    printed.split(|it: char| !it.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

impl Known {
    /// Its samples go into `out`; `None`: no stream has such ones.
    fn plan(&mut self, traf: &Traf, begin: u64, out: &mut Vec<Planned>) -> Option<()> {
        let time = traf.tfdt.as_ref().map(|tfdt| tfdt.base_media_decode_time);
        let mut time = time.or(self.next).unwrap_or_default();
        let mut is_continuous = self.next == Some(time);
        let mut place = begin;
        for trun in &traf.trun {
            if let Some(offset) = trun.data_offset {
                place = begin.saturating_add_signed(offset.into());
            }
            for entry in trun.samples.iter() {
                let (size, duration, flags) = self.resolve(&traf.tfhd, &entry);
                if out.len() == SAMPLES_MAX || size > SAMPLE_BYTES_MAX {
                    return None;
                }
                let decoded_until = time.saturating_add(duration);
                let sample = Sample {
                    track: self.id,
                    shown_ns: self.nanos(time.saturating_add_signed(entry.cts.unwrap_or_default())),
                    until_ns: self.nanos(decoded_until),
                    is_sync: flags & NON_SYNC == 0,
                    is_continuous,
                    bytes: Bytes::new(),
                };
                out.push(Planned { start: place, size, sample });
                (time, is_continuous) = (decoded_until, true);
                place = place.saturating_add(size as u64);
            }
        }
        self.next = Some(time);
        Some(())
    }

    fn nanos(&self, time: u64) -> u64 {
        let nanos = u128::from(time) * 1_000_000_000 / u128::from(self.timescale);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Size, duration and flags of a sample: its own, those of its fragment, or those of its track.
    fn resolve(&self, tfhd: &Tfhd, entry: &mp4_atom::TrunEntry) -> (usize, u64, u32) {
        let Trex { default_sample_duration, default_sample_size, default_sample_flags, .. } =
            self.defaults;
        let size = entry.size.or(tfhd.default_sample_size).unwrap_or(default_sample_size);
        let duration =
            entry.duration.or(tfhd.default_sample_duration).unwrap_or(default_sample_duration);
        let flags = entry.flags.or(tfhd.default_sample_flags).unwrap_or(default_sample_flags);
        (usize::try_from(size).unwrap_or(usize::MAX), duration.into(), flags)
    }
}
