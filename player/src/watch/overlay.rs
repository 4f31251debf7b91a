//! The figures over the picture, in letters of a font that needs no file.

use font8x8::{BASIC_FONTS, UnicodeFonts};

/// Points of a letter in each direction, before it is enlarged.
const LETTER: usize = 8;
/// A point of a letter is so many of the window, in each direction.
const SCALE: usize = 2;
const MARGIN: usize = 8;
const WHITE: u32 = 0xff_ff_ff;
const BLACK: u32 = 0;

/// Write `text` into the upper left corner, broken at its commas, as far as there is room.
pub(super) fn write(text: &str, out: &mut [u32], width: usize) {
    for (row, line) in text.split(", ").enumerate() {
        for (column, letter) in line.chars().enumerate() {
            let (left, top) = (MARGIN + column * LETTER * SCALE, MARGIN + row * LETTER * SCALE);
            if left + LETTER * SCALE <= width {
                draw(letter, out, width, (left, top));
            }
        }
    }
}

/// One letter on a black ground.
fn draw(letter: char, out: &mut [u32], width: usize, (left, top): (usize, usize)) {
    let glyph = BASIC_FONTS.get(letter).unwrap_or_default();
    for y in 0..LETTER * SCALE {
        let bits = glyph.get(y / SCALE).copied().unwrap_or_default();
        let begin = (top + y) * width + left;
        let points = out.get_mut(begin..begin + LETTER * SCALE).unwrap_or_default();
        for (x, point) in points.iter_mut().enumerate() {
            *point = if bits >> (x / SCALE) & 1 == 1 { WHITE } else { BLACK };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_where_there_is_room_and_nowhere_else() {
        let (width, height) = (60, 40);
        let mut out = vec![7; width * height];
        write("I am a long line, and another", &mut out, width);
        let white = |from: usize| out[from * width..].iter().filter(|&&it| it == WHITE).count();
        assert!(white(0) > white(MARGIN + LETTER * SCALE), "a second line is below the first");
        assert!(white(MARGIN + LETTER * SCALE) > 0);
        assert_eq!(out[..MARGIN * width], vec![7; MARGIN * width]);
        write("no room at all", &mut [], 0);
    }
}
