//! From a stream's bytes to what can be shown.
//!
//! ```text
//!   bytes in order ──▶ Demux ──▶ Sample ──▶ Video ──▶ Picture
//! ```

use crate::{
    demux::{Demux, DemuxError, Event, Sample, Track},
    picture::{Arrival, Picture, PictureError, Video},
    sound::{Audio, Sound},
};

/// What came out of some bytes.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Pictures, in the order in which they are shown.
    pub pictures: Vec<Picture>,
    /// Sound, if it is wanted.
    pub sounds: Vec<Sound>,
    /// Coded frames that were left out, because they are damaged or lack others that they are made from.
    pub dropped: u64,
}

/// Why nothing of a stream can be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// It cannot be taken apart.
    #[error(transparent)]
    Demux(#[from] DemuxError),
    /// Its video.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Makes pictures of a stream's bytes.
#[derive(Debug, Default)]
pub struct Media {
    demux: Demux,
    video: Option<Video>,
    audio: Option<Audio>,
    with_sound: bool,
    /// Of what came last.
    arrival: Option<Arrival>,
}

impl Media {
    /// A stream that begins now: with its container's header, and then anywhere a player may join.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with its sound.
    #[must_use]
    pub fn with_sound() -> Self {
        Self { with_sound: true, ..Self::default() }
    }

    /// Take the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// Nothing of it will be shown.
    pub fn push(&mut self, bytes: &[u8], arrival: Arrival) -> Result<Decoded, MediaError> {
        self.demux.push(bytes)?;
        self.arrival = Some(arrival);
        self.take(arrival)
    }

    /// What has come whole by now.
    fn take(&mut self, arrival: Arrival) -> Result<Decoded, MediaError> {
        let mut decoded = Decoded::default();
        while let Some(event) = self.demux.next()? {
            match event {
                Event::Tracks(tracks) => self.begin(&tracks)?,
                Event::Sample(sample) => self.decode(&sample, arrival, &mut decoded)?,
            }
        }
        Ok(decoded)
    }

    /// What can be shown or heard of these; who hears nothing needs a picture.
    fn begin(&mut self, tracks: &[Track]) -> Result<(), PictureError> {
        self.audio = Audio::of(tracks).filter(|_| self.with_sound);
        self.video = match Video::of(tracks) {
            Ok(video) => Some(video),
            Err(PictureError::NoVideo) if self.audio.is_some() => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn decode(
        &mut self,
        sample: &Sample,
        arrival: Arrival,
        decoded: &mut Decoded,
    ) -> Result<(), PictureError> {
        if let Some(audio) = &mut self.audio {
            audio.decode(sample, arrival, &mut decoded.sounds);
        }
        if let Some(video) = &mut self.video {
            let is_there = video.decode(sample, arrival, &mut decoded.pictures)?;
            decoded.dropped += u64::from(!is_there);
        }
        Ok(())
    }

    /// Bytes are missing between those before and those that come next: it goes on with the next picture that
    /// needs no other.
    pub fn lose(&mut self) {
        self.demux.lose();
    }

    /// The stream has ended: what was kept back for its order, or for want of more.
    pub fn finish(&mut self) -> Decoded {
        self.demux.end();
        let rest = self.arrival.and_then(|arrival| self.take(arrival).ok());
        let mut decoded = rest.unwrap_or_default();
        decoded.pictures.extend(self.video.as_mut().map(Video::finish).unwrap_or_default());
        decoded
    }
}
