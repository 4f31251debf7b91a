//! AV1 by dav1d, as it was brought over to Rust.

use std::fmt;

use re_rav1d::dav1d::{
    Decoder as Dav1d, Error, Picture as Decoded, PixelLayout, PlanarImageComponent, Settings,
};

use super::{Decoder, Fault, picture};
use crate::{
    limits::AV1_STEPS_MAX,
    picture::{Moment, Picture},
};

#[derive(Default)]
pub(super) struct Av1(Option<Dav1d>);

impl Decoder for Av1 {
    fn decode(
        &mut self,
        units: &[u8],
        moment: Moment,
        out: &mut Vec<Picture>,
    ) -> Result<(), Fault> {
        let dav1d = match &mut self.0 {
            Some(dav1d) => dav1d,
            none => none.insert(open()?),
        };
        let mut sent = dav1d.send_data(units.to_vec(), None, None, None);
        for _ in 0..AV1_STEPS_MAX {
            match dav1d.get_picture() {
                Ok(decoded) => out.push(shown(&decoded, moment)?),
                Err(Error::Again) if sent != Err(Error::Again) => return sent.map_err(fault),
                Err(Error::Again) => {}
                Err(error) => return Err(fault(error)),
            }
            if sent == Err(Error::Again) {
                sent = dav1d.send_pending_data();
            }
        }
        Err(Fault::Damage)
    }

    fn reset(&mut self, _: &mut Vec<Picture>) {
        self.0 = None;
    }
}

/// One thread, and no picture late.
fn open() -> Result<Dav1d, Fault> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    Dav1d::with_settings(&settings).map_err(fault)
}

fn fault(error: Error) -> Fault {
    match error {
        Error::UnsupportedBitstream => Fault::Tool("more than 8 bits".into()),
        _ => Fault::Damage,
    }
}

fn shown(decoded: &Decoded, moment: Moment) -> Result<Picture, Fault> {
    use PlanarImageComponent::{U, V, Y};
    if decoded.pixel_layout() != PixelLayout::I420 || decoded.bit_depth() != 8 {
        return Err(Fault::Tool("more than 8 bits, or colour at its full size".into()));
    }
    let planes = [Y, U, V].map(|part| (decoded.plane(part), decoded.stride(part) as usize));
    let [y, u, v] = &planes;
    let size = (decoded.width() as usize, decoded.height() as usize);
    Ok(picture(size, [(&y.0, y.1), (&u.0, u.1), (&v.0, v.1)], moment))
}

impl fmt::Debug for Av1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Av1")
    }
}
