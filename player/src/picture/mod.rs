//! From coded frames to pictures, in the order in which they are shown.
//!
//! ```text
//!   Sample ──▶ Gate ──▶ Decoder ──▶ Order ──▶ Picture
//! ```
//!
//! Nothing here waits, or knows the time of day. Bounds are those of [`limits`](crate::limits).

mod decoder;
mod gate;
mod order;
pub(crate) mod start_code;

use freshet_protocol::{CardCode, Stamp};

use self::{gate::Gate, order::Order};
use crate::demux::{Coding, Sample, Track};

/// A decoded picture, 4:2:0.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Brightness, row by row.
    pub y: Vec<u8>,
    /// Blue against brightness, at half the width and height.
    pub u: Vec<u8>,
    /// Red against brightness, likewise.
    pub v: Vec<u8>,
    /// When it is to be shown, in nanoseconds of the stream's own time.
    pub time_ns: u64,
    /// When its last byte came.
    pub arrival: Arrival,
}

/// When bytes were captured and when they came, by our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When the origin captured them, where it says so.
    pub captured: Option<Stamp>,
    /// When they came.
    pub received: Stamp,
}

/// When a picture is shown, and when it came.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// In nanoseconds of the stream's own time.
    time_ns: u64,
    arrival: Arrival,
}

/// Why there will be no pictures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// There is no video in it that can be decoded.
    #[error("its video is {0}, and H.264 is decoded")]
    Codec(String),
    /// Its decoder was not built in.
    #[error("its video is {codec}, which only a player built with `--features {feature}` decodes")]
    Feature {
        /// What it is.
        codec: &'static str,
        /// What builds the decoder in.
        feature: &'static str,
    },
    /// There is no video.
    #[error("there is no video in it")]
    NoVideo,
    /// A tool of the codec that the decoder does not know.
    #[error("its video needs {0}, which the decoder does not know")]
    Tool(String),
}

/// Makes pictures of the coded frames of a track.
#[derive(Debug)]
pub(crate) struct Video {
    track: u32,
    gate: Gate,
    order: Order,
    decoded: Vec<Picture>,
}

impl Video {
    /// For the first track of video that can be decoded.
    pub(crate) fn of(tracks: &[Track]) -> Result<Self, PictureError> {
        let videos = || tracks.iter().filter(|track| track.is_video);
        let known = videos().find_map(|track| Some((track.id, Gate::of(&track.coding)?)));
        if let Some((track, gate)) = known {
            return Ok(Self { track, gate, order: Order::default(), decoded: Vec::new() });
        }
        Err(videos().find_map(|track| lack(&track.coding)).unwrap_or(PictureError::NoVideo))
    }

    /// Decode a coded frame; what can be shown now goes into `out`. False: it was left out.
    pub(crate) fn decode(
        &mut self,
        sample: &Sample,
        arrival: Arrival,
        out: &mut Vec<Picture>,
    ) -> Result<bool, PictureError> {
        if sample.track != self.track {
            return Ok(true);
        }
        let moment = Moment { time_ns: sample.shown_ns, arrival };
        let is_there = self.gate.decode(sample, moment, &mut self.decoded)?;
        self.decoded.drain(..).for_each(|picture| self.order.push(picture, out));
        self.order.until(sample.until_ns, out);
        Ok(is_there)
    }

    /// The stream has ended: what was kept back for its order.
    pub(crate) fn finish(&mut self) -> Vec<Picture> {
        let mut shown = Vec::new();
        self.gate.finish(&mut self.decoded);
        self.decoded.drain(..).for_each(|picture| self.order.push(picture, &mut shown));
        shown.extend(self.order.drain());
        shown
    }
}

/// Why there are no pictures of that; `None`: it is no video.
fn lack(coding: &Coding) -> Option<PictureError> {
    match coding {
        Coding::Other(name) => Some(PictureError::Codec(name.clone())),
        Coding::Vp9 => Some(PictureError::Feature { codec: "VP9", feature: "vp9" }),
        Coding::Av1 { .. } => Some(PictureError::Feature { codec: "AV1", feature: "av1" }),
        Coding::H264(_) | Coding::Sound(_) => None,
    }
}

impl Picture {
    /// What the picture of a test card says of itself.
    #[must_use]
    pub fn card(&self) -> Option<CardCode> {
        let luma = |x: usize, y: usize| self.y.get(y * self.width + x).copied().unwrap_or_default();
        CardCode::read(self.width, self.height, luma)
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { width, height, time_ns, .. } = self;
        write!(f, "{width}x{height} at {time_ns} ns")
    }
}
