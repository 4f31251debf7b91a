//! Matroska, WebM, Ogg, FLAC, WAV, MP3 and ADTS, taken apart by a library that reads when it wants to.
//!
//! ```text
//!   push ──▶ pending ──▶ Hose ──read──▶ the library, in a thread ──▶ Tracks, Sample, ...
//!                         └── hungry: it has read all that it was given, and waits
//! ```
//!
//! Its thread runs while it is waited for, and rests while it is hungry: what comes out of some bytes is all there
//! before more go in. It ends with the stream, or when this is dropped.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use bytes::{Buf, Bytes};
use mp4_atom::{Atom, Av1c, Avcc};
use symphonia::{
    core::{
        codecs::{
            CodecParameters,
            audio::well_known::CODEC_ID_OPUS,
            video::{
                VideoCodecId, VideoCodecParameters,
                well_known::{
                    CODEC_ID_AV1, CODEC_ID_H264, CODEC_ID_HEVC, CODEC_ID_VP8, CODEC_ID_VP9,
                },
            },
        },
        formats::{FormatOptions, FormatReader, Track as Known, probe::Hint},
        io::{MediaSourceStream, ReadOnlySource},
        meta::MetadataOptions,
        packet::Packet,
    },
    default::get_probe,
};

use super::{
    Coding, DemuxError, Event, KnownSound, Sample, SoundCoding, Track, key::is_key, mp4::avc_of,
};

/// Beginnings of what is read here, and where in it they are.
const BEGINNINGS: [(usize, &[u8]); 6] = [
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"RIFF"),
    (0, b"ID3"),
    // What frames of MP3 and ADTS begin with; the library looks at the rest.
    (0, b"\xff"),
];

/// What is not decoded, for people.
const NAMES: [(VideoCodecId, &str); 2] = [(CODEC_ID_VP8, "VP8"), (CODEC_ID_HEVC, "HEVC")];

/// Takes a stream apart in a thread of its own.
#[derive(Debug)]
pub(super) struct Pull {
    /// Without it the library finds the end.
    input: Option<SyncSender<Bytes>>,
    steps: Receiver<Step>,
    pending: VecDeque<Bytes>,
    is_hungry: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Step {
    /// It waits for more bytes.
    Hungry,
    Event(Event),
    /// It is none of what is read here.
    Unknown,
}

/// May the library know what begins like this?
pub(super) fn begins(first: &[u8]) -> bool {
    BEGINNINGS
        .iter()
        .any(|(at, beginning)| first.get(*at..).is_some_and(|first| first.starts_with(beginning)))
}

impl Pull {
    /// # Errors
    ///
    /// There is no thread for it.
    pub(super) fn new() -> io::Result<Self> {
        // One step at a time.
        let (input, bytes) = mpsc::sync_channel(0);
        let (steps_in, steps) = mpsc::sync_channel(0);
        let work = move || Reader { steps: steps_in.clone() }.run(Hose::new(bytes, steps_in));
        let thread = thread::Builder::new().name("demux".into()).spawn(work)?;
        let (input, thread) = (Some(input), Some(thread));
        Ok(Self { input, steps, pending: VecDeque::new(), is_hungry: false, thread })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.push_back(Bytes::copy_from_slice(bytes));
    }

    /// What comes next of what was pushed; `None`: nothing more.
    pub(super) fn next(&mut self) -> Result<Option<Event>, DemuxError> {
        loop {
            if self.is_hungry {
                let (Some(bytes), Some(input)) = (self.pending.pop_front(), &self.input) else {
                    return Ok(None);
                };
                self.is_hungry = false;
                // Whoever does not listen any more has ended: the next step tells.
                let _ = input.send(bytes);
            }
            match self.steps.recv() {
                Ok(Step::Hungry) => self.is_hungry = true,
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Unknown) => return Err(DemuxError::Container),
                // Nothing more comes of it, whatever it is given.
                Err(_) => return Ok(None),
            }
        }
    }
}

impl Pull {
    /// Nothing more comes: what is left is still told by [`next`](Self::next).
    pub(super) fn end(&mut self) {
        if self.is_hungry && self.pending.is_empty() {
            (self.input, self.is_hungry) = (None, false);
        }
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.input = None;
        // Until it has seen that: it may have something to say first.
        while self.steps.recv().is_ok() {}
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that takes a stream apart has panicked");
        }
    }
}

/// What the library reads from.
struct Hose {
    input: Mutex<Receiver<Bytes>>,
    steps: SyncSender<Step>,
    at_hand: Bytes,
}

impl Hose {
    fn new(input: Receiver<Bytes>, steps: SyncSender<Step>) -> Self {
        Self { input: Mutex::new(input), steps, at_hand: Bytes::new() }
    }

    /// More bytes; `None` at the end.
    fn more(&self) -> Option<Bytes> {
        self.steps.send(Step::Hungry).ok()?;
        self.input.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}

impl Read for Hose {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at_hand.is_empty() {
            let Some(bytes) = self.more() else { return Ok(0) };
            self.at_hand = bytes;
        }
        let count = buffer.len().min(self.at_hand.len());
        self.at_hand.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The library at work.
struct Reader {
    steps: SyncSender<Step>,
}

impl Reader {
    fn run(self, hose: Hose) {
        let source =
            MediaSourceStream::new(Box::new(ReadOnlySource::new(hose)), Default::default());
        let (format, meta) = (FormatOptions::default(), MetadataOptions::default());
        let Ok(mut format) = get_probe().probe(&Hint::new(), source, format, meta) else {
            // Where nobody listens any more, nobody has to know.
            let _ = self.steps.send(Step::Unknown);
            return;
        };
        let tracks = format.tracks().to_vec();
        if self.tell(Event::Tracks(tracks.iter().map(track).collect())) {
            let mut clocks: Vec<_> = tracks.iter().map(Clock::new).collect();
            while self.one(format.as_mut(), &mut clocks) {}
        }
    }

    fn tell(&self, event: Event) -> bool {
        self.steps.send(Step::Event(event)).is_ok()
    }

    /// The next packet; false: there is none, or nobody wants it.
    fn one(&self, format: &mut dyn FormatReader, clocks: &mut [Clock]) -> bool {
        let Ok(Some(packet)) = format.next_packet() else { return false };
        let known = clocks.iter_mut().find(|clock| clock.track.id == packet.track_id);
        known.is_none_or(|clock| self.tell(Event::Sample(clock.sample(packet))))
    }
}

/// Times of one track, and how it is coded.
struct Clock {
    track: Known,
    coding: Coding,
    /// The latest time so far.
    latest: u64,
    has_begun: bool,
}

impl Clock {
    fn new(known: &Known) -> Self {
        let coding = track(known).coding;
        Self { track: known.clone(), coding, latest: 0, has_begun: false }
    }

    fn sample(&mut self, packet: Packet) -> Sample {
        let time = self.track.time_base.and_then(|base| base.calc_time(packet.pts));
        let shown_ns = time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or_default());
        let until_ns = self.until(shown_ns);
        self.latest = self.latest.max(shown_ns);
        Sample {
            track: packet.track_id,
            shown_ns,
            until_ns,
            is_sync: is_key(&self.coding, &packet.data),
            is_continuous: std::mem::replace(&mut self.has_begun, true),
            bytes: packet.data.into(),
        }
    }

    /// When something is decoded is not said here. Where frames may be out of order, none that comes is earlier than
    /// the latest but this.
    fn until(&self, shown_ns: u64) -> u64 {
        match &self.coding {
            Coding::H264(_) if shown_ns > self.latest => self.latest,
            Coding::H264(_) => 0,
            _ => shown_ns,
        }
    }
}

fn track(known: &Known) -> Track {
    let (is_video, coding) = match &known.codec_params {
        Some(CodecParameters::Video(video)) => (true, video_of(video)),
        Some(CodecParameters::Audio(audio)) if audio.codec == CODEC_ID_OPUS => {
            let channels = audio.channels.as_ref().map_or(2, |channels| channels.count());
            let channels = u8::try_from(channels).unwrap_or(2);
            (false, Coding::Sound(SoundCoding::Opus { channels }))
        }
        Some(CodecParameters::Audio(audio)) => {
            (false, Coding::Sound(SoundCoding::Known(KnownSound(audio.clone()))))
        }
        _ => (false, Coding::Other("neither video nor sound".into())),
    };
    Track { id: known.id, is_video, coding }
}

fn video_of(video: &VideoCodecParameters) -> Coding {
    let config = video.extra_data.first().map_or(&[][..], |config| &config.data[..]);
    match video.codec {
        CODEC_ID_H264 => Avcc::decode_body(&mut &*config).map_or_else(
            |_| Coding::Other("H.264 without parameters".into()),
            |avcc| Coding::H264(avc_of(&avcc)),
        ),
        CODEC_ID_VP9 => Coding::Vp9,
        CODEC_ID_AV1 => {
            let config = Av1c::decode_body(&mut &*config).map(|config| config.config_obus);
            Coding::Av1 { config: config.unwrap_or_default() }
        }
        codec => {
            let known = NAMES.iter().find(|(it, _)| *it == codec);
            Coding::Other(known.map_or("unknown", |(_, name)| name).into())
        }
    }
}
