//! The picture: colour bars, a clock for people, a code for machines, something that moves, and noise.

use freshet_protocol::{CardCode, Stamp};

use super::{
    glyphs::{ADVANCE, DOTS, dots},
    noise::sprinkle,
};
use crate::encoder::Size;

/// Luma and chroma of the bars (ITU-R BT.709, 75 %): white, yellow, cyan, green, magenta, red, blue.
const BARS: [[u8; 3]; 7] = [
    [180, 128, 128],
    [168, 44, 136],
    [145, 147, 44],
    [133, 63, 52],
    [63, 193, 204],
    [51, 109, 212],
    [28, 212, 120],
];
const BLACK: [u8; 3] = [16, 128, 128];
const WHITE: u8 = 235;

/// Parts of the picture's height, in 18ths: the code ends, the bars end, the moving block ends, noise may begin.
const BARS_FROM: usize = 3;
const BARS_TO: usize = 10;
const BLOCK_TO: usize = 11;
const NOISE_FROM: usize = 15;

/// Frames that the moving block takes from left to right.
const SWEEP: u64 = 60;

/// Planes of a picture, 4:2:0.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) y: Vec<u8>,
    pub(super) u: Vec<u8>,
    pub(super) v: Vec<u8>,
}

/// A picture that is drawn again and again.
#[derive(Debug)]
pub(super) struct Picture {
    planes: Planes,
    /// The luma of what does not move.
    still: Vec<u8>,
}

impl Picture {
    pub(super) fn new(size: Size) -> Self {
        let (width, height) = size.sides();
        let (width, height) = (width as usize, height as usize);
        let colour = |x: usize, y: usize| {
            let bars = (BARS_FROM * height / 18..BARS_TO * height / 18).contains(&y);
            let bar = BARS.get(x * BARS.len() / width).filter(|_| bars);
            bar.copied().unwrap_or(BLACK)
        };
        let plane = |of: fn([u8; 3]) -> u8, step: usize| {
            let rows = (0..height).step_by(step);
            rows.flat_map(|y| (0..width).step_by(step).map(move |x| of(colour(x, y)))).collect()
        };
        let y: Vec<u8> = plane(|[y, _, _]| y, 1);
        let (u, v) = (plane(|[_, u, _]| u, 2), plane(|[_, _, v]| v, 2));
        Self { still: y.clone(), planes: Planes { width, height, y, u, v } }
    }

    /// Draw the frame of that number, captured then, with so many dots of noise where there is room for them.
    pub(super) fn draw(&mut self, captured: Stamp, frame: u64, noise: usize) -> &Planes {
        self.planes.y.copy_from_slice(&self.still);
        let (width, height) = (self.planes.width, self.planes.height);
        CardCode::new(captured, frame).draw(&mut self.planes.y, width);
        let block = height / 18;
        let left = (frame % SWEEP) as usize * (width - block) / (SWEEP as usize - 1);
        self.fill((left, BARS_TO * height / 18), (block, block));
        let scale = width / (ADVANCE * (CLOCK_LETTERS + 1));
        let below = BLOCK_TO * height / 18;
        self.write(&clock(captured), (scale * ADVANCE / 2, below + block / 2), scale);
        let top = below + block + DOTS.1 * scale;
        self.write(&frame.to_string(), (scale * ADVANCE / 2, top), scale / 2);
        let free = NOISE_FROM * height / 18 * width;
        if let Some(rows) = self.planes.y.get_mut(free..) {
            sprinkle(rows, width, noise, frame);
        }
        &self.planes
    }

    fn write(&mut self, text: &str, (left, top): (usize, usize), scale: usize) {
        for (x, y) in dots(text) {
            self.fill((left + x * scale, top + y * scale), (scale, scale));
        }
    }

    /// A white rectangle; what of it lies outside is left out.
    fn fill(&mut self, (left, top): (usize, usize), (width, height): (usize, usize)) {
        let right = (left + width).min(self.planes.width);
        let rows = self.planes.y.chunks_exact_mut(self.planes.width);
        for row in rows.skip(top).take(height) {
            row.get_mut(left..right).into_iter().for_each(|dots| dots.fill(WHITE));
        }
    }
}

const CLOCK_LETTERS: usize = "00:00:00.000".len();

/// The time of day in UTC.
fn clock(stamp: Stamp) -> String {
    let millis = stamp.nanos() / 1_000_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_drawn_and_its_code_can_be_read() {
        for size in ["160x90", "320x180", "640x480", "1280x720", "720x1280"] {
            let mut picture = Picture::new(size.parse().unwrap());
            for frame in [0, 59, 1_000_000] {
                let at = Stamp::from_nanos(1_700_000_000_123_456_000);
                let Planes { width, height, y, u, v } = picture.draw(at, frame, usize::MAX);
                let code = CardCode::read(*width, *height, |x, row| y[row * width + x]).unwrap();
                assert_eq!((code.captured(at), code.frame()), (at, frame as u32), "{size}");
                assert_eq!((u.len(), v.len()), (y.len() / 4, y.len() / 4), "{size}");
            }
        }
    }

    #[test]
    fn the_clock_is_the_time_of_day() {
        assert_eq!(clock(Stamp::from_nanos(86_399_999_999_999)), "23:59:59.999");
        assert_eq!(clock(Stamp::from_nanos(1_700_000_000_000_000_000)), "22:13:20.000");
    }

    #[test]
    fn two_frames_differ_in_more_than_the_code() {
        let mut picture = Picture::new("320x180".parse().unwrap());
        let below = |planes: &Planes| planes.y[320 * 30..].to_vec();
        let at = Stamp::from_nanos(0);
        assert_ne!(below(picture.draw(at, 1, 0)), below(picture.draw(at, 2, 0)));
    }
}
