//! From coded frames to sound.
//!
//! ```text
//!   Sample ──▶ frames ──▶ Decoder: AAC-LC, MP3, Opus ──▶ Sound
//! ```
//!
//! Nothing here waits, or knows the time of day. A frame that cannot be decoded is left out.

mod codec;
mod frames;

use self::codec::Codec;
use crate::{
    demux::{Coding, Sample, Track},
    picture::Arrival,
};

/// Some decoded sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples of each channel in a second.
    pub rate: u32,
    /// How many channels there are.
    pub channels: usize,
    /// One sample of each channel after the other, from -1 to 1.
    pub samples: Vec<f32>,
    /// When the first of them is to be heard, in nanoseconds of the stream's own time.
    pub time_ns: u64,
    /// When it came.
    pub arrival: Arrival,
}

/// Makes sound of the coded frames of a track.
#[derive(Debug)]
pub(crate) struct Audio {
    track: u32,
    codec: Codec,
}

impl Audio {
    /// For the first track of sound that can be decoded.
    pub(crate) fn of(tracks: &[Track]) -> Option<Self> {
        tracks.iter().find_map(|track| {
            let Coding::Sound(coding) = &track.coding else { return None };
            Some(Self { track: track.id, codec: Codec::new(coding)? })
        })
    }

    /// Decode what a sample has into `out`.
    pub(crate) fn decode(&mut self, sample: &Sample, arrival: Arrival, out: &mut Vec<Sound>) {
        if sample.track != self.track {
            return;
        }
        if !sample.is_continuous {
            self.codec.reset();
        }
        let mut time_ns = sample.shown_ns;
        self.codec.decode(&sample.bytes, |rate, channels, samples| {
            let frames = (samples.len() / channels.max(1)) as u64;
            out.push(Sound { rate, channels, samples, time_ns, arrival });
            time_ns = time_ns.saturating_add(frames * 1_000_000_000 / u64::from(rate.max(1)));
        });
    }
}
