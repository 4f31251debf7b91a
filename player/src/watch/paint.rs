//! A picture in the colours and at the size of a window: as large as fits, in its own proportions. Pure.

use crate::picture::Picture;

/// How the colours of a picture are made of its three planes, in 256ths: red and blue difference in red, in
/// green, in blue (ITU-R BT.601 and BT.709, limited range).
struct Matrix {
    red: i32,
    green: (i32, i32),
    blue: i32,
}

const BT601: Matrix = Matrix { red: 409, green: (-100, -208), blue: 516 };
const BT709: Matrix = Matrix { red: 459, green: (-55, -136), blue: 541 };

/// Pictures of so many lines are of BT.709, where they do not say otherwise.
const HIGH_DEFINITION_LINES: usize = 720;

const BLACK: u32 = 0;

/// Where in a window a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fit {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Fit {
    fn of(picture: (usize, usize), window: (usize, usize)) -> Self {
        let ((width, height), (wide, tall)) = (picture, window);
        let is_flat = width * tall >= height * wide;
        let (width, height) = if is_flat {
            (wide, height * wide / width.max(1))
        } else {
            (width * tall / height.max(1), tall)
        };
        Self { left: (wide - width) / 2, top: (tall - height) / 2, width, height }
    }
}

/// Paint the picture over all of a window, which has `width` points in a line; a point is 0RGB.
pub(super) fn paint(picture: &Picture, out: &mut [u32], width: usize) {
    let height = out.len().checked_div(width).unwrap_or(0);
    let fit = Fit::of((picture.width, picture.height), (width, height));
    let matrix = if picture.height >= HIGH_DEFINITION_LINES { BT709 } else { BT601 };
    let columns: Vec<_> = (0..fit.width).map(|x| x * picture.width / fit.width).collect();
    for (y, line) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let inside = y.checked_sub(fit.top).filter(|&y| y < fit.height);
        let Some(y) = inside else {
            line.fill(BLACK);
            continue;
        };
        let (left, rest) = line.split_at_mut(fit.left);
        let (middle, right) = rest.split_at_mut(fit.width);
        left.fill(BLACK);
        right.fill(BLACK);
        let row = Row::of(picture, y * picture.height / fit.height);
        if fit.width == picture.width {
            row.paint(middle, &matrix);
        } else {
            row.paint_scaled(middle, &columns, &matrix);
        }
    }
}

/// A line of a picture.
struct Row<'a> {
    y: &'a [u8],
    u: &'a [u8],
    v: &'a [u8],
}

fn line(plane: &[u8], width: usize, at: usize) -> &[u8] {
    plane.get(at * width..(at + 1) * width).unwrap_or_default()
}

impl<'a> Row<'a> {
    fn of(picture: &'a Picture, at: usize) -> Self {
        let half = picture.width / 2;
        Self {
            y: line(&picture.y, picture.width, at),
            u: line(&picture.u, half, at / 2),
            v: line(&picture.v, half, at / 2),
        }
    }

    fn paint(&self, out: &mut [u32], matrix: &Matrix) {
        let colours = self.u.iter().zip(self.v);
        for ((out, y), (&u, &v)) in out.chunks_exact_mut(2).zip(self.y.chunks_exact(2)).zip(colours)
        {
            out.iter_mut().zip(y).for_each(|(out, &y)| *out = matrix.point(y, u, v));
        }
    }

    fn paint_scaled(&self, out: &mut [u32], columns: &[usize], matrix: &Matrix) {
        for (out, &x) in out.iter_mut().zip(columns) {
            let at = |plane: &[u8], x: usize| plane.get(x).copied().unwrap_or_default();
            *out = matrix.point(at(self.y, x), at(self.u, x / 2), at(self.v, x / 2));
        }
    }
}

impl Matrix {
    fn point(&self, y: u8, u: u8, v: u8) -> u32 {
        let (light, u, v) =
            ((i32::from(y) - 16) * 298 + 128, i32::from(u) - 128, i32::from(v) - 128);
        let level = |sum: i32| (sum >> 8).clamp(0, 255) as u32;
        let red = level(light + self.red * v);
        let green = level(light + self.green.0 * u + self.green.1 * v);
        red << 16 | green << 8 | level(light + self.blue * u)
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::Stamp;
    use proptest::prelude::*;

    use super::*;
    use crate::picture::Arrival;

    fn picture(width: usize, height: usize, luma: u8) -> Picture {
        let half = vec![128; width * height / 4];
        let arrival = Arrival { captured: None, received: Stamp::from_nanos(0) };
        let y = vec![luma; width * height];
        Picture { width, height, y, u: half.clone(), v: half, time_ns: 0, arrival }
    }

    #[test]
    fn black_white_and_the_colours_are_what_they_are() {
        assert_eq!((BT601.point(16, 128, 128), BT601.point(235, 128, 128)), (0, 0xff_ff_ff));
        // Full red by both, within what rounding leaves (BT.601: 81, 90, 240; BT.709: 63, 102, 240).
        for point in [BT601.point(81, 90, 240), BT709.point(63, 102, 240)] {
            assert!(point >> 16 >= 0xfd && point & 0xff_ff < 0x03_03, "{point:06x}");
        }
    }

    #[test]
    fn what_is_too_flat_for_the_window_is_between_bars() {
        let mut out = vec![7; 4 * 6];
        paint(&picture(4, 2, 235), &mut out, 4);
        assert_eq!(out[..8], [0; 8]);
        assert_eq!(out[8..16], [0xff_ff_ff; 8]);
        assert_eq!(out[16..], [0; 8]);
    }

    proptest! {
        #[test]
        fn any_picture_fits_any_window(
            width in 1..40_usize, height in 1..40_usize, wide in 0..100_usize, tall in 0..100_usize,
        ) {
            let (width, height) = (width * 2, height * 2);
            let mut out = vec![7; wide * tall];
            paint(&picture(width, height, 235), &mut out, wide);
            prop_assert!(out.iter().all(|&point| point == 0 || point == 0xff_ff_ff));
            let fit = Fit::of((width, height), (wide, tall));
            prop_assert!(fit.width == wide || fit.height == tall);
        }
    }
}
