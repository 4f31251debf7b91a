//! H.264 by a decoder that is Rust alone and gives what ffmpeg does, to the bit.
//!
//! It goes on after a gap with pictures that are made from what is not there, and says nothing of it. So
//! whatever comes after a gap is held back here until a picture that needs no other.

use rusty_h264::{DecodeError, Decoder, YuvFrame};

use super::{PictureError, start_code};
use crate::demux::{Avc, Sample};

pub(super) struct H264 {
    decoder: Decoder,
    avc: Avc,
    /// Nothing is damaged since the last picture that needs no other.
    is_sound: bool,
    /// It has given a picture: what it does not know from then on is damage.
    has_decoded: bool,
    units: Vec<u8>,
}

impl H264 {
    pub(super) fn new(avc: Avc) -> Self {
        Self {
            decoder: Decoder::new(),
            avc,
            is_sound: false,
            has_decoded: false,
            units: Vec::new(),
        }
    }

    /// The picture of one sample; `None` where it is left out.
    pub(super) fn decode(&mut self, sample: &Sample) -> Result<Option<YuvFrame>, PictureError> {
        self.units.clear();
        if sample.is_sync {
            self.units.extend_from_slice(&self.avc.parameters);
        }
        let is_whole = match self.avc.length_bytes {
            Some(length) => start_code::convert(&sample.bytes, length, &mut self.units),
            None => {
                self.units.extend_from_slice(&sample.bytes);
                true
            }
        };
        let was_sound = self.is_sound && sample.is_continuous;
        if sample.is_sync && (!was_sound || start_code::has_idr(&self.units)) {
            // Whatever confused it before is of no matter any more.
            self.decoder = Decoder::new();
        }
        self.is_sound = (was_sound || sample.is_sync) && is_whole;
        if !self.is_sound {
            return Ok(None);
        }
        match self.decoder.decode(&self.units) {
            Ok(frame) => {
                self.has_decoded |= frame.is_some();
                Ok(frame)
            }
            Err(DecodeError::Unsupported(tool)) if !self.has_decoded => {
                Err(PictureError::Tool(tool))
            }
            Err(_) => {
                self.is_sound = false;
                Ok(None)
            }
        }
    }
}

impl std::fmt::Debug for H264 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264").field("is_sound", &self.is_sound).finish_non_exhaustive()
    }
}
