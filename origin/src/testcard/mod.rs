//! The test card: a live picture with a clock in it and a tone, drawn and encoded here.
//!
//! ```text
//!   Picture ──▶ H.264 ──┐
//!                       ├──▶ fragments of an MP4, one for each frame ──▶ source
//!   Sound ───▶ Opus ────┘
//! ```
//!
//! Each frame says in itself when it was captured ([`freshet_protocol::CardCode`]), so whoever sees it can
//! say how old it is. The times of the media are those of the Unix clock: a test card that is started again
//! goes on with a gap, as a camera does.

mod glyphs;
mod mp4;
mod noise;
mod picture;
mod sound;
mod video;

use std::{
    thread::sleep,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use freshet_protocol::Stamp;
use tokio::time::Instant;

use self::{noise::Noise, picture::Picture, sound::Sound, video::Video};
use crate::{
    encoder::Size,
    limits::{
        CAPTURE_FPS_DEFAULT, CAPTURE_SIZE_DEFAULT, CARD_BITRATE_DEFAULT, CARD_LATE_MAX,
        CARD_SIDES_MAX, CARD_SIDES_MIN,
    },
};

/// What is drawn, and how it is encoded.
#[derive(Clone, Copy, Debug)]
pub struct TestCard {
    /// Size of the picture.
    pub size: Size,
    /// Pictures per second.
    pub fps: u32,
    /// Pictures from one key frame to the next.
    pub gop: u32,
    /// Bits per second of the picture, about: noise makes it as large, where a corner has room for that.
    pub video_bitrate: u32,
    /// Is there a tone?
    pub sound: bool,
    /// End after so long; without it, when told to.
    pub seconds: Option<Duration>,
}

/// Why there is no test card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestCardError {
    /// The code in the picture, or the encoder, cannot have it.
    #[error(
        "a test card of {size} is not possible; expected from {}x{} to {}x{}",
        CARD_SIDES_MIN.0, CARD_SIDES_MIN.1, CARD_SIDES_MAX.0, CARD_SIDES_MAX.1
    )]
    Size {
        /// What was asked for.
        size: Size,
    },
    /// The encoder of the picture.
    #[error("the H.264 encoder fails")]
    Video(#[from] openh264::Error),
    /// It gave no picture, or one without a header.
    #[error("the H.264 encoder gives {what}")]
    Encoded {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The encoder of the tone does not start.
    #[error("the Opus encoder does not start")]
    SoundStart(#[from] ropus::EncoderBuildError),
    /// The encoder of the tone.
    #[error("the Opus encoder fails")]
    Sound(#[from] ropus::EncodeError),
    /// The container.
    #[error("the MP4 cannot be written")]
    Mp4(#[from] mp4_atom::Error),
}

/// A piece of the stream: a frame, or a packet of the tone.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) bytes: Bytes,
    pub(crate) at: Stamp,
}

impl Default for TestCard {
    fn default() -> Self {
        Self {
            size: Size::of(CAPTURE_SIZE_DEFAULT),
            fps: CAPTURE_FPS_DEFAULT,
            gop: CAPTURE_FPS_DEFAULT,
            video_bitrate: CARD_BITRATE_DEFAULT,
            sound: true,
            seconds: None,
        }
    }
}

impl TestCard {
    /// The media type of the stream.
    pub const MEDIA_TYPE: &str = "video/mp4";

    /// Can it be drawn?
    ///
    /// # Errors
    ///
    /// It is too small for the code in it, or too large for the encoder.
    pub fn check(&self) -> Result<(), TestCardError> {
        let (width, height) = self.size.sides();
        let fits = width >= CARD_SIDES_MIN.0 && height >= CARD_SIDES_MIN.1;
        let encodes =
            width.max(height) <= CARD_SIDES_MAX.0 && width.min(height) <= CARD_SIDES_MAX.1;
        if fits && encodes { Ok(()) } else { Err(TestCardError::Size { size: self.size }) }
    }

    /// Draw, encode and hand out until its time is over or `out` takes no more. Blocks.
    pub(crate) fn run(self, out: impl FnMut(Captured) -> bool) -> Result<(), TestCardError> {
        self.check()?;
        Studio::new(self)?.run(out)
    }
}

/// What works while the card is shown.
struct Studio {
    card: TestCard,
    /// When it began, by both clocks.
    begun: (Instant, Stamp),
    picture: Picture,
    noise: Noise,
    video: Video,
    sound: Option<Sound>,
    mp4: mp4::Writer,
    /// Frames drawn or left out.
    frames: u64,
}

impl Studio {
    fn new(card: TestCard) -> Result<Self, TestCardError> {
        let begun = (Instant::now(), SystemTime::now().into());
        Ok(Self {
            card,
            begun,
            picture: Picture::new(card.size),
            noise: Noise::new(card.video_bitrate, card.fps),
            video: Video::new(&card),
            sound: card.sound.then(|| Sound::new(begun.1)).transpose()?,
            mp4: mp4::Writer::default(),
            frames: 0,
        })
    }

    fn run(mut self, mut out: impl FnMut(Captured) -> bool) -> Result<(), TestCardError> {
        loop {
            let frame_due = self.frame_due();
            if self.card.seconds.is_some_and(|all| frame_due >= all) {
                return Ok(());
            }
            let sound = self.sound.as_mut().filter(|sound| sound.due() < frame_due);
            wait_until(self.begun.0 + sound.as_ref().map_or(frame_due, |sound| sound.due()));
            let captured = match sound {
                Some(sound) => {
                    let time = sound.time();
                    let (packet, at) = sound.packet()?;
                    let bytes = self.mp4.sound(packet, time)?;
                    Captured { bytes, at }
                }
                None => self.frame()?,
            };
            if !out(captured) {
                return Ok(());
            }
            self.leave_out_what_is_late();
        }
    }

    /// When the next frame is due, since the beginning.
    fn frame_due(&self) -> Duration {
        Duration::from_nanos(self.frames * 1_000_000_000 / u64::from(self.card.fps))
    }

    fn frame(&mut self) -> Result<Captured, TestCardError> {
        let at = Stamp::from(SystemTime::now());
        let picture = self.picture.draw(at, self.frames, self.noise.dots());
        let frame = self.video.encode(picture)?;
        self.noise.cost(frame.bytes.len());
        let due = |frame: u64| mp4::video_time(self.begun.1, frame, self.card.fps);
        let (time, next) = (due(self.frames), due(self.frames + 1));
        let mut bytes = Vec::new();
        if let Some(header) = self.video.new_header() {
            let lookahead = self.sound.as_ref().map(Sound::lookahead);
            bytes = mp4::header(header, self.card.size, lookahead)?;
        }
        self.mp4.video(&frame, time, next, &mut bytes)?;
        self.frames += 1;
        Ok(Captured { bytes: bytes.into(), at })
    }

    /// What nobody took in time is not drawn later: a camera does not wait either.
    fn leave_out_what_is_late(&mut self) {
        let elapsed = self.begun.0.elapsed();
        if elapsed.saturating_sub(self.frame_due()) > CARD_LATE_MAX {
            let frames = elapsed.as_nanos() * u128::from(self.card.fps) / 1_000_000_000;
            self.frames = u64::try_from(frames).unwrap_or(u64::MAX);
        }
        if let Some(sound) = &mut self.sound
            && elapsed.saturating_sub(sound.due()) > CARD_LATE_MAX
        {
            sound.skip_to(elapsed);
        }
    }
}

fn wait_until(due: Instant) {
    sleep(due.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests;
