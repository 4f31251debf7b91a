//! Where on the screen the picture is: all of it, or a part in a page. Pure.

use freshet_protocol::CardCode;

/// A rectangle of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the left of the screen.
    pub x: usize,
    /// From its top.
    pub y: usize,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
}

/// Parts of the picture's width, of which a search goes one further at a time; the code may be off by a
/// little more than that.
const STEPS: usize = 160;
/// Cells of the code from left to right.
const CELLS: usize = 32;
/// Smallest part of the screen's width that is looked at.
const PART_MIN: usize = 3;

impl Place {
    /// The code of the picture that is there.
    #[must_use]
    pub fn read(self, luma: impl Fn(usize, usize) -> u8) -> Option<CardCode> {
        CardCode::read(self.width, self.height, |x, y| luma(self.x + x, self.y + y))
    }

    /// Find a picture of the same shape as the screen of `size`, from the largest on, with its middle near the
    /// middle of the screen from left to right, as pages have it.
    #[must_use]
    pub fn find(size: (usize, usize), luma: impl Fn(usize, usize) -> u8) -> Option<Self> {
        let (width, height) = size;
        let step = (width / STEPS).max(1);
        let widths = (width / PART_MIN..=width).rev().step_by(step);
        widths
            .flat_map(|part| {
                let tall = part * height / width;
                let (middle, aside) = ((width - part) / 2, (part / CELLS / 2).max(1));
                let right = (middle + 3 * aside).min(width - part);
                let columns = (middle.saturating_sub(3 * aside)..=right).step_by(aside);
                let lines = (0..=height - tall).step_by((tall / 18 / 4).max(1));
                columns.flat_map(move |x| {
                    lines.clone().map(move |y| Self { x, y, width: part, height: tall })
                })
            })
            .find(|place| place.read(&luma).is_some())
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::Stamp;
    use proptest::prelude::*;

    use super::*;

    /// Is a picture of that width found, so far down and so far aside of the middle, and read as it was drawn?
    fn is_found(part: usize, top: f64, aside: isize, frame: u64) -> bool {
        let (width, height) = (1280, 720);
        let tall = part * height / width;
        let x = ((width - part) / 2).saturating_add_signed(aside).min(width - part);
        let y = ((height - tall) as f64 * top) as usize;
        let code = CardCode::new(Stamp::from_nanos(1_700_000_000_000_000_000), frame);
        let mut picture = vec![60; part * tall];
        code.draw(&mut picture, part);
        let luma = |at: usize, line: usize| {
            let inside = (x..x + part).contains(&at) && (y..y + tall).contains(&line);
            if inside { picture[(line - y) * part + at - x] } else { 60 }
        };
        Place::find((width, height), luma).and_then(|found| found.read(luma)) == Some(code)
    }

    proptest! {
        /// A picture of any size anywhere in the middle of a screen.
        #[test]
        fn a_picture_in_a_page_is_found(
            part in 480_usize..=1280, top in 0.0..1.0_f64, aside in -20..20_isize, frame in 0..1_000_000_u64,
        ) {
            prop_assert!(is_found(part, top, aside, frame));
        }
    }

    #[test]
    fn a_small_picture_is_found_as_far_aside_as_any() {
        for (part, aside) in (480..500).flat_map(|part| [(part, -20), (part, 20)]) {
            assert!(is_found(part, 0.0, aside, 0), "{part} wide, {aside} aside");
        }
    }

    #[test]
    fn on_an_empty_screen_nothing_is_found() {
        assert_eq!(Place::find((640, 360), |_, _| 128), None);
    }
}
