//! What makes pictures of coded frames: a decoder for each codec, behind one trait.
//!
//! | | by | built in |
//! | --- | --- | --- |
//! | H.264 | `rusty_h264`, or `openh264` where that feature is on | always |
//! | VP9 | `rusty_vp9` | with the feature `vp9` |
//! | AV1 | `re_rav1d` | with the feature `av1` |

#[cfg(feature = "av1")]
mod av1;
#[cfg(feature = "openh264")]
mod openh264;
#[cfg(not(feature = "openh264"))]
mod rusty_h264;
#[cfg(feature = "vp9")]
mod vp9;

use std::fmt;

use super::{Moment, Picture};
use crate::demux::Coding;

/// Makes pictures of one track.
pub(super) trait Decoder: fmt::Debug + Send {
    /// Decode one coded frame, which is shown at that moment. Whatever is a picture by now goes into `out`.
    fn decode(&mut self, units: &[u8], moment: Moment, out: &mut Vec<Picture>)
    -> Result<(), Fault>;

    /// What comes next hangs on nothing before it: what was kept back goes into `out`, the rest is forgotten.
    fn reset(&mut self, out: &mut Vec<Picture>);
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is damaged, or made from what is.
    Damage,
    /// A tool of the codec that the decoder does not know.
    Tool(String),
}

/// The decoder for that; `None`: there is none here.
pub(super) fn of(coding: &Coding) -> Option<Box<dyn Decoder>> {
    match coding {
        #[cfg(feature = "openh264")]
        Coding::H264(_) => Some(Box::new(openh264::OpenH264::default())),
        #[cfg(not(feature = "openh264"))]
        Coding::H264(_) => Some(Box::new(rusty_h264::RustyH264::default())),
        #[cfg(feature = "vp9")]
        Coding::Vp9 => Some(Box::new(vp9::Vp9::default())),
        #[cfg(feature = "av1")]
        Coding::Av1 { .. } => Some(Box::new(av1::Av1::default())),
        _ => None,
    }
}

/// The rows of a plane that has more bytes in each than are shown.
#[cfg(any(feature = "av1", feature = "openh264"))]
fn rows(plane: &[u8], stride: usize, width: usize, height: usize) -> Vec<u8> {
    let rows = plane.chunks(stride.max(1)).take(height);
    rows.flat_map(|row| row.get(..width).unwrap_or(row)).copied().collect()
}

/// A picture out of such planes.
#[cfg(any(feature = "av1", feature = "openh264"))]
fn picture(size: (usize, usize), planes: [(&[u8], usize); 3], moment: Moment) -> Picture {
    let ((width, height), Moment { time_ns, arrival }) = (size, moment);
    let half = (width.div_ceil(2), height.div_ceil(2));
    let [y, u, v] = planes;
    let y = rows(y.0, y.1, width, height);
    let [u, v] = [u, v].map(|(plane, stride)| rows(plane, stride, half.0, half.1));
    Picture { width, height, y, u, v, time_ns, arrival }
}
