//! H.264 by a decoder that is Rust alone and gives what ffmpeg does, to the bit.

use std::fmt;

use rusty_h264::{DecodeError, YuvFrame};

use super::{Decoder, Fault};
use crate::picture::{Moment, Picture};

#[derive(Default)]
pub(super) struct RustyH264(rusty_h264::Decoder);

impl Decoder for RustyH264 {
    fn decode(
        &mut self,
        units: &[u8],
        moment: Moment,
        out: &mut Vec<Picture>,
    ) -> Result<(), Fault> {
        match self.0.decode(units) {
            Ok(frame) => {
                // There are units without a picture: delimiters, parameters, words beside them.
                out.extend(frame.map(|frame| picture(frame, moment)));
                Ok(())
            }
            Err(DecodeError::Unsupported(tool)) => Err(Fault::Tool(tool.into())),
            Err(_) => Err(Fault::Damage),
        }
    }

    fn reset(&mut self, _: &mut Vec<Picture>) {
        self.0 = rusty_h264::Decoder::new();
    }
}

fn picture(frame: YuvFrame, Moment { time_ns, arrival }: Moment) -> Picture {
    let YuvFrame { width, height, y, u, v, .. } = frame;
    Picture { width, height, y, u, v, time_ns, arrival }
}

impl fmt::Debug for RustyH264 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RustyH264")
    }
}
