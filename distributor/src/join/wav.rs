//! WAV: a header up to the beginning of the `data` chunk, then samples.
//!
//! Samples have no mark; where one begins follows from the size of all channels' samples together.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::{HEADER_BYTES_MAX, WAV_POINT_BYTES},
    read::{le16, le32},
};

#[derive(Debug, Default)]
pub(super) struct Wav {
    header: Vec<u8>,
    /// Bytes of one sample of all channels.
    align: u64,
    samples: Option<Samples>,
}

#[derive(Clone, Copy, Debug)]
struct Samples {
    start: u64,
    end: u64,
    /// Bytes from one join point to the next.
    stride: u64,
}

/// A stream's length is not known when its header is written; these stand for that.
const NO_LENGTH: [u32; 2] = [0, u32::MAX];

impl Wav {
    pub(super) fn lose(&mut self) -> bool {
        self.samples.is_some()
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        let Some(samples) = self.samples else { return self.chunk(bytes, found) };
        let Some(inside) = at.checked_sub(samples.start).filter(|_| at < samples.end) else {
            return Step::Used(samples.start.saturating_sub(at).max(WAV_POINT_BYTES));
        };
        let past = inside % samples.stride;
        if past == 0 {
            found.point(at);
        }
        Step::Used(samples.stride - past)
    }

    fn chunk(&mut self, bytes: &[u8], found: &mut Found) -> Step {
        let skip = if self.header.is_empty() { 12 } else { 0 };
        let (Some(kind), Some(len)) = (bytes.get(skip..skip + 4), le32(bytes, skip + 4)) else {
            return Step::More(skip + 8);
        };
        let is_data = kind == b"data";
        // A chunk of odd length is followed by a byte of padding.
        let body = if is_data { 0 } else { len as usize + (len as usize & 1) };
        let unit_len = skip + 8 + body;
        if self.header.len() + unit_len > HEADER_BYTES_MAX {
            return Step::Raw;
        }
        let Some(unit) = bytes.get(..unit_len) else { return Step::More(unit_len) };
        if kind == b"fmt " {
            self.align = le16(unit, skip + 8 + 12).map_or(0, u64::from);
        }
        self.header.extend_from_slice(unit);
        if is_data {
            if self.align == 0 {
                return Step::Raw;
            }
            self.begin(len, found);
        }
        Step::Used(unit_len as u64)
    }

    fn begin(&mut self, len: u32, found: &mut Found) {
        let start = self.header.len() as u64;
        let end = if NO_LENGTH.contains(&len) { u64::MAX } else { start + u64::from(len) };
        let stride = WAV_POINT_BYTES.next_multiple_of(self.align);
        self.samples = Some(Samples { start, end, stride });
        found.set_header(vec![Bytes::copy_from_slice(&self.header)]);
    }
}
