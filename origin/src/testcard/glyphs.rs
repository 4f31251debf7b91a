//! The figures of the clock in the picture, 5 by 7 dots.

/// Dots of a figure, in both directions.
pub(super) const DOTS: (usize, usize) = (5, 7);

/// From one figure to the next, in dots.
pub(super) const ADVANCE: usize = 6;

/// The rows of a character from top to bottom, the leftmost dot the highest of five bits; nothing for
/// one that is not there.
const fn rows(character: char) -> [u8; 7] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        ':' => [0, 0b00100, 0b00100, 0, 0b00100, 0b00100, 0],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        _ => [0; 7],
    }
}

/// The white dots of a text, as columns and rows from its upper left corner.
pub(super) fn dots(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.chars().enumerate().flat_map(|(at, character)| {
        rows(character).into_iter().enumerate().flat_map(move |(y, row)| {
            let white = (0..DOTS.0).filter(move |x| row >> (DOTS.0 - 1 - x) & 1 == 1);
            white.map(move |x| (at * ADVANCE + x, y))
        })
    })
}
