//! From a stream's bytes to what can be shown.
//!
//! ```text
//!   bytes in order ──▶ Demux ──▶ Sample ──▶ Video ──▶ Picture
//! ```

use crate::{
    demux::{Demux, DemuxError, Event},
    picture::{Arrival, Picture, PictureError, Video},
};

/// What came out of some bytes.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Pictures, in the order in which they are shown.
    pub pictures: Vec<Picture>,
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
}

impl Media {
    /// A stream that begins now: with its container's header, and then anywhere a player may join.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Take the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// Nothing of it will be shown.
    pub fn push(&mut self, bytes: &[u8], arrival: Arrival) -> Result<Decoded, MediaError> {
        self.demux.push(bytes)?;
        let mut decoded = Decoded::default();
        while let Some(event) = self.demux.next()? {
            match event {
                Event::Tracks(tracks) => self.video = Some(Video::of(&tracks)?),
                Event::Sample(sample) => {
                    let Some(video) = &mut self.video else { return Err(PictureError::NoVideo)? };
                    let is_there = video.decode(&sample, arrival, &mut decoded.pictures)?;
                    decoded.dropped += u64::from(!is_there);
                }
            }
        }
        Ok(decoded)
    }

    /// Bytes are missing between those before and those that come next: it goes on with the next picture that
    /// needs no other.
    pub fn lose(&mut self) {
        self.demux.lose();
    }

    /// The stream has ended: what was kept back for its order.
    pub fn finish(&mut self) -> Vec<Picture> {
        self.video.as_mut().map(Video::finish).unwrap_or_default()
    }
}
