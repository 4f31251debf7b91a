//! What a decoder is given: nothing that hangs on what is damaged or was never there.
//!
//! Decoders go on after a gap with pictures that are made from what is not there, and some say nothing of it. So
//! whatever comes after a gap is held back here until a picture that needs no other.

use super::{
    Moment, Picture, PictureError,
    decoder::{self, Decoder, Fault},
    start_code,
};
use crate::demux::{Avc, Coding, Sample};

/// A decoder, and what it may be given.
#[derive(Debug)]
pub(super) struct Gate {
    coding: Coding,
    decoder: Box<dyn Decoder>,
    /// Nothing is damaged since the last picture that needs no other.
    is_sound: bool,
    /// It has given a picture: what it does not know from then on is damage.
    has_decoded: bool,
    units: Vec<u8>,
}

impl Gate {
    /// `None`: there is no decoder for that.
    pub(super) fn of(coding: &Coding) -> Option<Self> {
        let decoder = decoder::of(coding)?;
        let (coding, units) = (coding.clone(), Vec::new());
        Some(Self { coding, decoder, is_sound: false, has_decoded: false, units })
    }

    /// Decode one sample; false: it was left out.
    pub(super) fn decode(
        &mut self,
        sample: &Sample,
        moment: Moment,
        out: &mut Vec<Picture>,
    ) -> Result<bool, PictureError> {
        let is_whole = self.collect(sample);
        let was_sound = self.is_sound && sample.is_continuous;
        if sample.is_sync && (!was_sound || self.begins_anew()) {
            // Whatever confused it before is of no matter any more.
            self.decoder.reset(out);
        }
        self.is_sound = (was_sound || sample.is_sync) && is_whole;
        if !self.is_sound {
            return Ok(false);
        }
        let before = out.len();
        match self.decoder.decode(&self.units, moment, out) {
            Ok(()) => {
                self.has_decoded |= out.len() > before;
                Ok(true)
            }
            Err(Fault::Tool(tool)) if !self.has_decoded => Err(PictureError::Tool(tool)),
            Err(Fault::Tool(_) | Fault::Damage) => {
                self.is_sound = false;
                Ok(false)
            }
        }
    }

    /// The stream has ended: what the decoder has kept back.
    pub(super) fn finish(&mut self, out: &mut Vec<Picture>) {
        self.decoder.reset(out);
    }

    /// The bytes that the decoder needs for that sample; is it whole?
    fn collect(&mut self, sample: &Sample) -> bool {
        self.units.clear();
        let (parameters, length) = match &self.coding {
            Coding::H264(Avc { parameters, length_bytes }) => (&parameters[..], *length_bytes),
            Coding::Av1 { config } => (&config[..], None),
            _ => (&[][..], None),
        };
        if sample.is_sync {
            self.units.extend_from_slice(parameters);
        }
        match length {
            Some(length) => start_code::convert(&sample.bytes, length, &mut self.units),
            None => {
                self.units.extend_from_slice(&sample.bytes);
                true
            }
        }
    }

    /// Does nothing that comes hang on what was before?
    fn begins_anew(&self) -> bool {
        matches!(self.coding, Coding::H264(_)) && start_code::has_idr(&self.units)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::process::Command;

    use freshet_protocol::Stamp;

    use super::*;
    use crate::picture::Arrival;

    /// A key frame and nine that hang on it, each behind a delimiter.
    fn frames() -> Vec<Vec<u8>> {
        let options = "-hide_banner -loglevel error -f lavfi -i testsrc2=size=64x48:rate=10:duration=1 \
                       -pix_fmt yuv420p -c:v libx264 -profile:v baseline -g 10 -x264-params aud=1 -f h264 -";
        let made = Command::new("ffmpeg").args(options.split_whitespace()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for (at, byte) in made.stdout.iter().enumerate() {
            if made.stdout[at..].starts_with(&[0, 0, 0, 1, 9]) {
                frames.push(Vec::new());
            }
            frames.last_mut().unwrap().push(*byte);
        }
        frames
    }

    #[test]
    fn what_has_no_picture_in_it_is_no_damage() {
        let mut frames = frames();
        assert_eq!(frames.len(), 10);
        frames.insert(5, vec![0, 0, 0, 1, 9, 0xf0]);
        let mut gate = Gate::of(&Coding::H264(Avc::default())).unwrap();
        let arrival = Arrival { captured: None, received: Stamp::from_nanos(0) };
        let mut out = Vec::new();
        for (at, bytes) in frames.into_iter().enumerate() {
            let (shown_ns, is_continuous) = (at as u64, true);
            let (until_ns, is_sync, bytes) = (shown_ns, at == 0, bytes.into());
            let sample = Sample { track: 1, shown_ns, until_ns, is_sync, is_continuous, bytes };
            let moment = Moment { time_ns: shown_ns, arrival };
            assert!(gate.decode(&sample, moment, &mut out).unwrap(), "frame {at}");
        }
        gate.finish(&mut out);
        // Each at its own time: the fifth is that of what has no picture.
        let times: Vec<_> = out.iter().map(|picture| picture.time_ns).collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
    }
}
