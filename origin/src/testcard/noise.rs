//! Noise in the picture: as much of it as makes the stream as large as it was asked to be. Pure.
//!
//! A drawn picture costs an encoder next to nothing, and a camera's a lot. Players and links should meet
//! what a camera gives; so a corner is noise, which costs the same in each frame, and its size is what the
//! bit rate is kept by: quality stays as it is, and no frame is left out.

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::limits::CARD_NOISE_FRAMES;

/// What a dot of noise costs, roughly: the rest is learnt from what frames turn out to cost.
const BITS_PER_DOT: f64 = 6.0;

/// Noise is grey, and this much of it differs from dot to dot.
const MASK: u8 = 0x3f;
const GREY: u8 = 96;

/// How much noise there is.
#[derive(Debug)]
pub(super) struct Noise {
    bits_per_frame: f64,
    /// What the frames so far have cost beyond their share; nothing further back than it can be made up for.
    debt: f64,
}

impl Noise {
    pub(super) fn new(bits_per_second: u32, fps: u32) -> Self {
        Self { bits_per_frame: f64::from(bits_per_second) / f64::from(fps.max(1)), debt: 0.0 }
    }

    /// Dots of noise in the frame that is drawn next.
    pub(super) fn dots(&self) -> usize {
        let bits = self.bits_per_frame - self.debt / CARD_NOISE_FRAMES;
        // No more than a picture has, and none where that is negative.
        (bits / BITS_PER_DOT) as usize
    }

    /// A frame has cost so many bytes.
    pub(super) fn cost(&mut self, bytes: usize) {
        let most = self.bits_per_frame * CARD_NOISE_FRAMES;
        self.debt = (self.debt + bytes as f64 * 8.0 - self.bits_per_frame).clamp(-most, most);
    }
}

/// Fill the last `dots` of the right half of the `rows`, of `width` each, with what is other in each frame.
pub(super) fn sprinkle(rows: &mut [u8], width: usize, dots: usize, frame: u64) {
    let (mut noise, mut left) = (SmallRng::seed_from_u64(frame), dots);
    for row in rows.rchunks_exact_mut(width) {
        let part = left.min(width / 2);
        let Some(row) = row.get_mut(width - part..) else { return };
        noise.fill_bytes(row);
        row.iter_mut().for_each(|dot| *dot = GREY + (*dot & MASK));
        left -= part;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a dot costs and a picture besides, key frames included, the rate is kept where it can be.
        #[test]
        fn the_rate_is_kept(bits_per_dot in 3.0..12.0_f64, base in 0..1000_usize, key in 0..8000_usize) {
            let (mut noise, mut bytes) = (Noise::new(2_000_000, 30), 0);
            for frame in 0..900 {
                let key = if frame % 30 == 0 { key } else { 0 };
                let cost = base + key + (noise.dots() as f64 * bits_per_dot / 8.0) as usize;
                noise.cost(cost);
                bytes += cost;
            }
            let rate = bytes as f64 * 8.0 / 30.0;
            prop_assert!((rate / 2_000_000.0 - 1.0).abs() < 0.05, "{rate}");
        }
    }

    #[test]
    fn what_costs_too_much_without_any_noise_has_none() {
        let mut noise = Noise::new(10_000, 30);
        (0..1000).for_each(|_| noise.cost(1000));
        assert_eq!(noise.dots(), 0);
        noise.cost(0);
        assert!(noise.debt > 0.0);
    }

    #[test]
    fn the_last_dots_of_the_right_half_are_noise_and_nothing_else_is() {
        let mut rows = [0; 10 * 4];
        sprinkle(&mut rows, 10, 7, 1);
        let is_noise: Vec<_> =
            rows.chunks(10).map(|row| row.iter().filter(|&&dot| dot > 0).count()).collect();
        assert_eq!(is_noise, [0, 0, 2, 5]);
        assert!(rows[38..].iter().all(|&dot| dot >= GREY));
        sprinkle(&mut rows, 10, 1_000, 2);
        assert_eq!(rows.iter().filter(|&&dot| dot > 0).count(), 20);
    }
}
