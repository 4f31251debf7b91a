//! A stream taken apart: which tracks there are, and their coded frames, each as soon as its last byte is there.
//!
//! ```text
//!   bytes in order ──▶ sniff ──▶ Mp4, Ts, Pull ──▶ Tracks, Sample, Sample, ...
//! ```
//!
//! Nothing here waits, or knows the time of day. What is damaged or missing is passed over: it goes on with
//! the next fragment or packet that is sound.

mod key;
mod mp4;
mod pes;
mod pull;
mod ts;

use std::io;

use bytes::Bytes;
use symphonia::core::codecs::audio::AudioCodecParameters;

pub use self::mp4::Mp4Error;
use self::{mp4::Mp4, pull::Pull, ts::Ts};

/// What is known of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) id: u32,
    pub(crate) is_video: bool,
    pub(crate) coding: Coding,
}

/// What a track is coded by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// H.264.
    H264(Avc),
    /// VP9.
    Vp9,
    /// AV1, and the units that go before its key frames.
    Av1 { config: Vec<u8> },
    /// Sound.
    Sound(SoundCoding),
    /// What is not decoded; its name is for people.
    Other(String),
}

/// Sound that is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SoundCoding {
    /// AAC, and its `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    Aac { config: Vec<u8> },
    /// AAC, each frame behind a header that says what it is.
    Adts,
    /// MPEG audio layer III.
    Mp3,
    /// Opus.
    Opus { channels: u8 },
    /// Anything else that a library knows.
    Known(KnownSound),
}

/// What a library needs to know of sound.
#[derive(Clone, Debug)]
pub(crate) struct KnownSound(pub(crate) AudioCodecParameters);

impl PartialEq for KnownSound {
    fn eq(&self, other: &Self) -> bool {
        self.0.codec == other.0.codec && self.0.extra_data == other.0.extra_data
    }
}

impl Eq for KnownSound {}

/// How units of H.264 are told apart, and what they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Avc {
    /// Parameter sets, behind start codes.
    pub(crate) parameters: Vec<u8>,
    /// Bytes of the length before each unit; `None`: there are start codes.
    pub(crate) length_bytes: Option<usize>,
}

/// A frame as it is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) track: u32,
    /// When it is shown, in nanoseconds of the stream's own time.
    pub(crate) shown_ns: u64,
    /// When its decoding is over, likewise: none after it is shown earlier.
    pub(crate) until_ns: u64,
    /// It can be decoded without any before it.
    pub(crate) is_sync: bool,
    /// It follows on the sample before it.
    pub(crate) is_continuous: bool,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
pub(crate) enum Event {
    Tracks(Vec<Track>),
    Sample(Sample),
}

/// Why a stream cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemuxError {
    /// The container.
    #[error(
        "its container is none of those that are read: fragmented MP4, MPEG-TS, Matroska, WebM, Ogg, FLAC, WAV, MP3, ADTS"
    )]
    Container,
    /// There is no thread to take it apart in.
    #[error("there is no thread to take it apart in")]
    Thread(#[from] io::Error),
    /// It is broken from the beginning.
    #[error(transparent)]
    Mp4(#[from] Mp4Error),
}

/// Bytes by which a container is known.
const SNIFF_BYTES: usize = 8;

/// Takes a stream apart.
#[derive(Debug, Default)]
pub(crate) struct Demux(Container);

#[derive(Debug)]
enum Container {
    /// So much has come, and it is not known what it is.
    New(Vec<u8>),
    Mp4(Mp4),
    Ts(Ts),
    Pull(Pull),
}

impl Default for Container {
    fn default() -> Self {
        Self::New(Vec::new())
    }
}

impl Demux {
    /// The next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), DemuxError> {
        match &mut self.0 {
            Container::Mp4(mp4) => mp4.push(bytes),
            Container::Ts(ts) => ts.push(bytes),
            Container::Pull(pull) => pull.push(bytes),
            Container::New(first) => {
                first.extend_from_slice(bytes);
                if first.len() >= SNIFF_BYTES {
                    self.0 = Self::known(first)?;
                }
            }
        }
        Ok(())
    }

    fn known(first: &[u8]) -> Result<Container, DemuxError> {
        match first.get(4..SNIFF_BYTES) {
            Some(b"ftyp" | b"moov") => {
                let mut mp4 = Mp4::default();
                mp4.push(first);
                Ok(Container::Mp4(mp4))
            }
            _ if ts::begins(first) => {
                let mut ts = Ts::default();
                ts.push(first);
                Ok(Container::Ts(ts))
            }
            _ if pull::begins(first) => {
                let mut pull = Pull::new()?;
                pull.push(first);
                Ok(Container::Pull(pull))
            }
            _ => Err(DemuxError::Container),
        }
    }

    /// What has come whole; `None`: nothing more.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, DemuxError> {
        match &mut self.0 {
            Container::New(_) => Ok(None),
            Container::Mp4(mp4) => Ok(mp4.next()?),
            Container::Ts(ts) => Ok(ts.next()),
            Container::Pull(pull) => pull.next(),
        }
    }

    /// Nothing more comes: what was kept back for want of more is still told by [`next`](Self::next).
    pub(crate) fn end(&mut self) {
        if let Container::Pull(pull) = &mut self.0 {
            pull.end();
        }
    }

    /// Bytes are missing between those before and those that come next.
    pub(crate) fn lose(&mut self) {
        match &mut self.0 {
            Container::New(first) => first.clear(),
            Container::Mp4(mp4) => mp4.lose(),
            Container::Ts(ts) => ts.lose(),
            // It finds the next frame or cluster by itself.
            Container::Pull(_) => {}
        }
    }
}
