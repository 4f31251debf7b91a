//! FLAC as a file of its own (RFC 9639): `fLaC`, metadata blocks, frames.
//!
//! A frame does not say how long it is. Its head is known by the sync code, by its CRC-8, and by its
//! number, which is the one after that of the frame before: what looks like a head inside of a frame
//! is not in that order.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::HEADER_BYTES_MAX,
    read::{be24, be32},
};

#[derive(Debug, Default)]
pub(super) struct Flac {
    header: Vec<u8>,
    ready: bool,
    /// The number of the next frame.
    expected: Option<u64>,
    /// What may have been a frame: where, and which number would follow.
    tentative: Option<(u64, u64)>,
}

/// Longest head of a frame: code, sizes, number, block size, sample rate, CRC.
const HEAD_BYTES_MAX: usize = 4 + 7 + 2 + 2 + 1;

impl Flac {
    pub(super) fn lose(&mut self) -> bool {
        (self.expected, self.tentative) = (None, None);
        self.ready
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if !self.ready {
            return self.metadata(bytes, found);
        }
        match bytes.iter().position(|&byte| byte == 0xff) {
            Some(0) => {}
            Some(before) => return Step::Used(before as u64),
            None => return Step::Used(bytes.len() as u64),
        }
        let Some(second) = bytes.get(1) else { return Step::More(2) };
        if second & 0xfe != 0xf8 {
            return Step::Used(1);
        }
        let Some(head) = bytes.get(..HEAD_BYTES_MAX) else { return Step::More(HEAD_BYTES_MAX) };
        if let Some((number, next)) = frame(head) {
            self.frame(at, number, next, found);
        }
        Step::Used(2)
    }

    fn frame(&mut self, at: u64, number: u64, next: u64, found: &mut Found) {
        if self.expected != Some(number) {
            match self.tentative.replace((at, next)) {
                Some((before, wanted)) if wanted == number => found.point(before),
                _ => return,
            }
        }
        (self.expected, self.tentative) = (Some(next), None);
        found.point(at);
    }

    fn metadata(&mut self, bytes: &[u8], found: &mut Found) -> Step {
        let mark = if self.header.is_empty() { 4 } else { 0 };
        let (Some(&kind), Some(len)) = (bytes.get(mark), be24(bytes, mark + 1)) else {
            return Step::More(mark + 4);
        };
        let len = mark + 4 + len as usize;
        if self.header.len() + len > HEADER_BYTES_MAX {
            return Step::Raw;
        }
        let Some(unit) = bytes.get(..len) else { return Step::More(len) };
        self.header.extend_from_slice(unit);
        if kind & 0x80 != 0 {
            self.ready = true;
            found.set_header(vec![Bytes::copy_from_slice(&self.header)]);
        }
        Step::Used(len as u64)
    }
}

/// The number of the frame that begins here, and that of the next.
fn frame(head: &[u8]) -> Option<(u64, u64)> {
    let code = be32(head, 0)?;
    let (block, rate) = (code >> 12 & 0xf, code >> 8 & 0xf);
    let (channels, width) = (code >> 4 & 0xf, code >> 1 & 7);
    if block == 0 || rate == 15 || channels > 10 || width == 3 || code & 1 != 0 {
        return None;
    }
    let (digits, number) = coded_number(head.get(4..)?)?;
    let mut at = 4 + digits;
    let byte = |at: usize| head.get(at).map(|&byte| u64::from(byte));
    let samples = match block {
        1 => 192,
        2..=5 => 576 << (block - 2),
        6 => byte(at)? + 1,
        7 => (byte(at)? << 8 | byte(at + 1)?) + 1,
        _ => 256 << (block - 8),
    };
    at += match block {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    at += match rate {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let is_sound = crc8(head.get(..at)?) == *head.get(at)?;
    let variable = code >> 16 & 1 == 1;
    is_sound.then_some((number, number + if variable { samples } else { 1 }))
}

/// A number coded as UTF-8 codes letters, up to 36 bits: how wide it is, and what it says.
fn coded_number(bytes: &[u8]) -> Option<(usize, u64)> {
    let first = *bytes.first()?;
    let width = match first.leading_ones() {
        0 => return Some((1, u64::from(first))),
        ones @ 2..=7 => ones as usize,
        _ => return None,
    };
    let start = u64::from(first) & (0x7f >> width);
    let rest = bytes.get(1..width)?;
    let sound = rest.iter().all(|byte| byte >> 6 == 2);
    let number = rest.iter().fold(start, |number, &byte| number << 6 | u64::from(byte & 0x3f));
    sound.then_some((width, number))
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| (crc << 1) ^ if crc >> 7 == 1 { 7 } else { 0 })
    })
}
