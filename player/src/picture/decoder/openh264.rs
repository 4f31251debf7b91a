//! H.264 by Cisco's decoder, which is C++.
//!
//! It puts pictures in order by itself, so that one may come with a later frame. Told to give each at once, as
//! it can where the baseline profile rules out that any is out of order, it does; with any other profile that
//! makes it lose pictures, and one is late instead. Where pictures are made from later ones, some differ from
//! ffmpeg's by up to 3 of 255.

use std::collections::BTreeMap;

use openh264::{
    OpenH264API,
    decoder::{DecodeOptions, DecodedYUV, Decoder as Cisco, DecoderConfig, Flush},
    formats::YUVSource,
};

use super::{Decoder, Fault, picture};
use crate::{
    limits::REORDER_PICTURES_MAX,
    picture::{Arrival, Moment, Picture, start_code},
};

/// `profile_idc` of the baseline profile (ITU-T H.264, A.2.1).
const BASELINE: u8 = 66;

#[derive(Default)]
pub(super) struct OpenH264 {
    decoder: Option<Cisco>,
    /// Moments of those that it was given and has not given back.
    moments: BTreeMap<u64, Arrival>,
    is_in_order: bool,
}

impl Decoder for OpenH264 {
    fn decode(
        &mut self,
        units: &[u8],
        moment: Moment,
        out: &mut Vec<Picture>,
    ) -> Result<(), Fault> {
        if let Some(profile) = start_code::profile(units) {
            self.is_in_order = profile == BASELINE;
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(decoder().ok_or(Fault::Damage)?),
        };
        // Units without a picture, as a delimiter by itself, have no moment.
        if start_code::has_picture(units) {
            self.moments.insert(moment.time_ns, moment.arrival);
        }
        if self.moments.len() > REORDER_PICTURES_MAX {
            self.moments.pop_first();
        }
        let flush = if self.is_in_order { Flush::Flush } else { Flush::NoFlush };
        let options = DecodeOptions::new().flush_after_decode(flush);
        let decoded = decoder.decode_with_options(units, options).map_err(|_| Fault::Damage)?;
        out.extend(decoded.and_then(|decoded| next(&mut self.moments, &decoded)));
        Ok(())
    }

    fn reset(&mut self, out: &mut Vec<Picture>) {
        let rest = self.decoder.as_mut().and_then(|decoder| decoder.flush_remaining().ok());
        let rest = rest.unwrap_or_default();
        out.extend(rest.iter().filter_map(|decoded| next(&mut self.moments, decoded)));
        *self = Self::default();
    }
}

/// The first that is to be shown of those that it was given is the one that it gives.
fn next(moments: &mut BTreeMap<u64, Arrival>, decoded: &DecodedYUV<'_>) -> Option<Picture> {
    let (time_ns, arrival) = moments.pop_first()?;
    let strides = decoded.strides();
    let planes = [(decoded.y(), strides.0), (decoded.u(), strides.1), (decoded.v(), strides.2)];
    Some(picture(decoded.dimensions(), planes, Moment { time_ns, arrival }))
}

fn decoder() -> Option<Cisco> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Cisco::with_api_config(OpenH264API::from_source(), config).ok()
}

impl std::fmt::Debug for OpenH264 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenH264").field("moments", &self.moments).finish_non_exhaustive()
    }
}
