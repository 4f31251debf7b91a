//! What the picture of the test card says to machines: when it was captured, and which one it is.
//!
//! ```text
//!   32 cells wide, 3 rows, at the top of the picture; a row is a 18th of its height
//!   marker 8 bits │ microseconds 48 bits │ frame 24 bits │ CRC-16 16 bits      white is 1
//! ```
//!
//! Row by row, the highest bit first. Microseconds are those of the Unix clock, without what is above
//! 48 bits. The CRC is CRC-16/IBM-3740 of the nine bytes before it. Only the middle of a cell is looked
//! at, and black and white are told apart by the marker, so that the code outlives being encoded, scaled
//! and shown. Origin, player and bench share it: whoever sees a picture can say how old it is.

use crate::Stamp;

const COLUMNS: usize = 32;
const ROWS: usize = 3;
/// The height of the picture in rows.
const ROWS_IN_PICTURE: usize = 18;
const BITS: usize = COLUMNS * ROWS;
const MARKER: u8 = 0b1011_0010;
/// Bytes of the whole code.
const BYTES: usize = BITS / 8;
const MICROS_MASK: u64 = (1 << 48) - 1;
const FRAME_MASK: u32 = (1 << 24) - 1;
/// Luma of black and white, as video has them (ITU-R BT.709, limited range).
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// Least distance of black and white in a picture that is no fog.
const CONTRAST_MIN: i32 = 48;
/// Points looked at in a cell, in each direction.
const POINTS: usize = 3;

/// When a picture of the test card was captured, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardCode {
    micros: u64,
    frame: u32,
}

impl CardCode {
    /// The code of picture `frame`, captured then; of its number only 24 bits are told.
    #[must_use]
    pub const fn new(captured: Stamp, frame: u64) -> Self {
        let micros = (captured.nanos() / 1000) & MICROS_MASK;
        Self { micros, frame: (frame & FRAME_MASK as u64) as u32 }
    }

    /// The picture's number, modulo 2^24.
    #[must_use]
    pub const fn frame(self) -> u32 {
        self.frame
    }

    /// When it was captured, in whole microseconds: the time nearest to `now` that has this code.
    #[must_use]
    pub fn captured(self, now: Stamp) -> Stamp {
        const PERIOD: u64 = MICROS_MASK + 1;
        let now = now.nanos() / 1000;
        let ahead = self.micros.wrapping_sub(now) & MICROS_MASK;
        let micros = if ahead < PERIOD / 2 {
            now.saturating_add(ahead)
        } else {
            now.saturating_sub(PERIOD - ahead)
        };
        Stamp::from_nanos(micros.saturating_mul(1000))
    }

    /// Draw it into the luma plane of a picture that has `width` bytes in a row.
    pub fn draw(self, luma: &mut [u8], width: usize) {
        let height = luma.len().checked_div(width).unwrap_or(0);
        let bytes = self.bytes();
        for (y, row) in luma.chunks_exact_mut(width.max(1)).enumerate() {
            let Some(code_row) = code_row(y, height) else { break };
            for column in 0..COLUMNS {
                let (from, to) = (column * width / COLUMNS, (column + 1) * width / COLUMNS);
                let white = bit(&bytes, code_row * COLUMNS + column);
                if let Some(cell) = row.get_mut(from..to) {
                    cell.fill(if white { WHITE } else { BLACK });
                }
            }
        }
    }

    /// Read it off a picture of that size, whose brightness at (x, y) `luma` tells; `None` where the
    /// picture has no code, or a damaged one.
    pub fn read(width: usize, height: usize, luma: impl Fn(usize, usize) -> u8) -> Option<Self> {
        let level = |at| mean(width, height, at, &luma);
        // Most places have none: whoever searches for it looks at the marker alone.
        let threshold = threshold(level)?;
        let mut bytes = [0_u8; BYTES];
        for at in 0..BITS {
            let white = level(at)? > threshold;
            if let Some(byte) = bytes.get_mut(at / 8) {
                *byte = *byte << 1 | u8::from(white);
            }
            if at == 7 && bytes.first() != Some(&MARKER) {
                return None;
            }
        }
        Self::of(&bytes)
    }

    fn bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let [_, _, micros @ ..] = self.micros.to_be_bytes();
        let [_, frame @ ..] = self.frame.to_be_bytes();
        let mut said = [MARKER].into_iter().chain(micros).chain(frame);
        bytes.fill_with(|| said.next().unwrap_or_default());
        let crc = crc16(bytes.get(1..10).unwrap_or_default()).to_be_bytes();
        bytes.iter_mut().skip(10).zip(crc).for_each(|(byte, crc)| *byte = crc);
        bytes
    }

    fn of(bytes: &[u8; BYTES]) -> Option<Self> {
        let &[MARKER, a, b, c, d, e, f, g, h, i, _, _] = bytes else { return None };
        let micros = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let code = Self { micros, frame: u32::from_be_bytes([0, g, h, i]) };
        (code.bytes() == *bytes).then_some(code)
    }
}

/// Which row of the code the row `y` of the picture belongs to.
fn code_row(y: usize, height: usize) -> Option<usize> {
    Some(y * ROWS_IN_PICTURE / height).filter(|&row| row < ROWS)
}

fn bit(bytes: &[u8; BYTES], at: usize) -> bool {
    bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

/// The brightness of the middle of a cell; `None` where the picture is too small for it.
fn mean(width: usize, height: usize, at: usize, luma: impl Fn(usize, usize) -> u8) -> Option<i32> {
    let (row, column) = (at / COLUMNS, at % COLUMNS);
    // From a quarter to three quarters of the cell.
    let place = |cell: usize, cells: usize, size: usize, point: usize| {
        let quarters = 4 * cell * (POINTS - 1) + (POINTS - 1) + 2 * point;
        let place = quarters * size / (4 * (POINTS - 1) * cells);
        (place < size).then_some(place)
    };
    let mut sum = 0;
    for point in 0..POINTS * POINTS {
        let x = place(column, COLUMNS, width, point % POINTS)?;
        let y = place(row, ROWS_IN_PICTURE, height, point / POINTS)?;
        sum += i32::from(luma(x, y));
    }
    Some(sum / (POINTS * POINTS) as i32)
}

/// Half-way between the black and the white of the marker.
fn threshold(level: impl Fn(usize) -> Option<i32>) -> Option<i32> {
    let (mut white, mut black) = ((0, 0), (0, 0));
    for at in 0..8 {
        let side = if MARKER >> (7 - at) & 1 == 1 { &mut white } else { &mut black };
        *side = (side.0 + level(at)?, side.1 + 1);
    }
    let (white, black) = (white.0 / white.1, black.0 / black.1);
    (white - black >= CONTRAST_MIN).then_some((white + black) / 2)
}

/// CRC-16/IBM-3740, also called CCITT-FALSE: polynomial 0x1021, begins with 0xffff.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(code: CardCode, width: usize, height: usize) -> Vec<u8> {
        let mut luma = vec![90; width * height];
        code.draw(&mut luma, width);
        luma
    }

    fn read(luma: &[u8], width: usize) -> Option<CardCode> {
        CardCode::read(width, luma.len() / width, |x, y| luma[y * width + x])
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_read_at_any_size(
            nanos: u64, frame: u64, width in 128..500_usize, height in 72..300_usize,
        ) {
            let code = CardCode::new(Stamp::from_nanos(nanos), frame);
            prop_assert_eq!(read(&drawn(code, width, height), width), Some(code));
        }

        #[test]
        fn a_picture_that_is_scaled_dimmed_and_noisy_is_read(
            nanos: u64, frame: u64, dim in 3..10_i32, noise in proptest::collection::vec(-20..20_i32, 97),
        ) {
            let code = CardCode::new(Stamp::from_nanos(nanos), frame);
            let large = drawn(code, 1280, 720);
            let luma = |x: usize, y: usize| {
                let level = i32::from(large[y * 720 / 360 * 1280 + x * 1280 / 500]);
                (level * dim / 10 + noise[(x * 31 + y * 17) % 97]).clamp(0, 255) as u8
            };
            prop_assert_eq!(CardCode::read(500, 360, luma), Some(code));
        }

        #[test]
        fn a_cell_that_is_wrong_is_noticed(nanos: u64, frame: u64, cell in 0..BITS) {
            let mut bytes = CardCode::new(Stamp::from_nanos(nanos), frame).bytes();
            bytes[cell / 8] ^= 1 << (cell % 8);
            prop_assert_eq!(CardCode::of(&bytes), None);
        }

        #[test]
        fn the_time_is_the_one_nearest_to_now(now in 1_u64 << 60..1 << 62, off in -1_000_000_000_i64..1_000_000_000) {
            let now = Stamp::from_nanos(now);
            let captured = Stamp::from_nanos(now.shifted(off * 1000).nanos() / 1000 * 1000);
            prop_assert_eq!(CardCode::new(captured, 0).captured(now), captured);
        }
    }

    #[test]
    fn a_picture_without_a_code_has_none() {
        for luma in [vec![128; 320 * 180], (0..320 * 180).map(|at| (at * 7 % 251) as u8).collect()]
        {
            assert_eq!(read(&luma, 320), None);
        }
        assert_eq!(read(&[1, 2], 1), None);
    }

    #[test]
    fn the_crc_is_the_one_that_is_named() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
    }
}
