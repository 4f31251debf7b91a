//! VP9 by a decoder that is Rust alone.

use std::fmt;

use rusty_vp9::{DecodedFrame, Error, Vp9Decoder};

use super::{Decoder, Fault};
use crate::{
    limits::VP9_FRAMES_MAX,
    picture::{Moment, Picture},
};

#[derive(Default)]
pub(super) struct Vp9(Vp9Decoder);

impl Decoder for Vp9 {
    fn decode(
        &mut self,
        units: &[u8],
        moment: Moment,
        out: &mut Vec<Picture>,
    ) -> Result<(), Fault> {
        self.0.push(units, None).map_err(fault)?;
        // As many as a packet may have, with one that tells that there are no more.
        for _ in 0..=VP9_FRAMES_MAX {
            match self.0.next_frame() {
                Ok(frame) => out.push(picture(frame, moment)?),
                Err(Error::Again | Error::Eof) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Ok(())
    }

    fn reset(&mut self, _: &mut Vec<Picture>) {
        self.0 = Vp9Decoder::new();
    }
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Unsupported(tool) => Fault::Tool(tool),
        _ => Fault::Damage,
    }
}

fn picture(frame: DecodedFrame, Moment { time_ns, arrival }: Moment) -> Result<Picture, Fault> {
    if (frame.bit_depth, frame.subsampling_x, frame.subsampling_y) != (8, 1, 1) {
        return Err(Fault::Tool("more than 8 bits, or colour at its full size".into()));
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    let [y, u, v] = <[_; 3]>::try_from(frame.planes).map_err(|_| Fault::Damage)?;
    Ok(Picture { width, height, y, u, v, time_ns, arrival })
}

impl fmt::Debug for Vp9 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vp9")
    }
}
