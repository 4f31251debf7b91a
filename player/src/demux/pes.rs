//! The frames of one track of a transport stream: packetized elementary streams (ISO/IEC 13818-1, 2.4.3.6).

use super::{Coding, Sample, Track, ts::Packet};
use crate::{limits::SAMPLE_BYTES_MAX, picture::start_code};

/// Ticks of its clock in a second, and after how many of them it begins anew.
const CLOCK: u128 = 90_000;
const CLOCK_BITS: u32 = 33;

/// Bytes before its own header's length is known.
const HEAD: usize = 9;

/// One track, as it is put together.
#[derive(Debug)]
pub(super) struct Pes {
    track: u32,
    is_h264: bool,
    /// The counter that the next packet should have.
    counter: Option<u8>,
    /// The frame at hand; without one, packets are of no use.
    frame: Option<Vec<u8>>,
    is_random_access: bool,
    /// Whether the next frame follows on the one before it.
    is_continuous: bool,
    /// Packets are filled up in the middle of frames as well.
    stuffs_midway: bool,
    /// Time of decoding of the frame before, and how long it took, in ticks that do not begin anew.
    last: Option<u64>,
    lasted: u64,
}

impl Pes {
    pub(super) fn new(track: &Track) -> Self {
        Self {
            track: track.id,
            is_h264: matches!(track.coding, Coding::H264(_)),
            counter: None,
            frame: None,
            is_random_access: false,
            is_continuous: false,
            stuffs_midway: false,
            last: None,
            lasted: 0,
        }
    }

    /// Bytes are missing here.
    pub(super) fn lose(&mut self) {
        (self.counter, self.frame, self.is_continuous) = (None, None, false);
    }

    /// A packet: the frames that it ends, which are one or two.
    pub(super) fn take(&mut self, packet: &Packet<'_>) -> Vec<Sample> {
        if self.counter.is_some_and(|counter| counter != packet.counter) {
            // The same once more is sent on purpose, and is no use.
            if self.counter == Some((packet.counter + 1) & 0xf) {
                return Vec::new();
            }
            self.lose();
        }
        self.counter = Some((packet.counter + 1) & 0xf);
        let mut samples = Vec::new();
        if packet.is_start {
            samples.extend(self.end());
            self.frame = Some(Vec::new());
            self.is_random_access = packet.is_random_access;
        } else if self.frame.is_none() && self.last.is_some() && !packet.payload.is_empty() {
            self.stuffs_midway |= self.is_continuous;
            self.is_continuous = false;
        }
        let Some(frame) = &mut self.frame else { return samples };
        if frame.len() + packet.payload.len() > SAMPLE_BYTES_MAX {
            self.lose();
            return samples;
        }
        frame.extend_from_slice(packet.payload);
        let is_last = match declared(frame) {
            Some(length) => frame.len() >= length,
            None => packet.is_stuffed && !self.stuffs_midway && frame.len() >= HEAD,
        };
        if is_last {
            samples.extend(self.end());
        }
        samples
    }

    /// The frame at hand is whole.
    fn end(&mut self) -> Option<Sample> {
        let frame = self.frame.take()?;
        let sample = self.sample(&frame);
        self.is_continuous = sample.is_some();
        sample
    }

    fn sample(&mut self, frame: &[u8]) -> Option<Sample> {
        let &[0, 0, 1, _, _, _, _, flags, length, ref rest @ ..] = frame else { return None };
        let (times, bytes) = rest.split_at_checked(length.into())?;
        let shown = if flags & 0x80 != 0 { time(times.get(..5)?) } else { None };
        let decoded = if flags & 0x40 != 0 { time(times.get(5..10)?) } else { None };
        // One without a time is decoded when the one before it is over.
        let next = self.last.map_or(0, |last| last + self.lasted);
        let shown = shown.map_or(next, |shown| self.unwrap(shown));
        let decoded = decoded.map_or(shown, |decoded| self.unwrap(decoded));
        self.lasted = self.last.map_or(0, |last| decoded.saturating_sub(last));
        self.last = Some(decoded);
        let is_sync = !self.is_h264 || self.is_random_access || start_code::has_idr(bytes);
        Some(Sample {
            track: self.track,
            shown_ns: nanos(shown),
            until_ns: nanos(decoded + self.lasted),
            is_sync,
            is_continuous: self.is_continuous,
            bytes: bytes.to_vec().into(),
        })
    }

    /// A time that does not begin anew: the one nearest to that of the frame before.
    fn unwrap(&self, ticks: u64) -> u64 {
        const PERIOD: u64 = 1 << CLOCK_BITS;
        let near = self.last.unwrap_or(ticks);
        let ahead = ticks.wrapping_sub(near) % PERIOD;
        if ahead < PERIOD / 2 {
            near.saturating_add(ahead)
        } else {
            near.saturating_sub(PERIOD - ahead)
        }
    }
}

/// How long a frame with its head is, where that says it.
fn declared(frame: &[u8]) -> Option<usize> {
    let &[high, low] = frame.get(4..6)? else { return None };
    let length = usize::from(high) << 8 | usize::from(low);
    (length > 0).then_some(6 + length)
}

/// A time of 33 bits, in five bytes.
fn time(bytes: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = bytes else { return None };
    let part = |byte: u8, shift: u32| u64::from(byte) << shift;
    Some(part(a >> 1 & 7, 30) | part(b, 22) | part(c >> 1, 15) | part(d, 7) | part(e >> 1, 0))
}

fn nanos(ticks: u64) -> u64 {
    u64::try_from(u128::from(ticks) * 1_000_000_000 / CLOCK).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_on_where_their_clock_begins_anew() {
        let track = Track { id: 1, is_video: false, coding: Coding::Other(String::new()) };
        let mut pes = Pes::new(&track);
        assert_eq!(pes.unwrap((1 << 33) - 10), (1 << 33) - 10);
        pes.last = Some((1 << 33) - 10);
        assert_eq!(pes.unwrap(5), (1 << 33) + 5);
        pes.last = Some((1 << 33) + 5);
        assert_eq!(pes.unwrap((1 << 33) - 1), (1 << 33) - 1, "a little before");
    }

    #[test]
    fn a_time_is_put_together_of_its_five_bytes() {
        assert_eq!(time(&[0x21, 0, 1, 0, 1]), Some(0));
        assert_eq!(time(&[0x2f, 0xff, 0xff, 0xff, 0xff]), Some((1 << 33) - 1));
        assert_eq!(time(&[0x21, 0x00, 0x05, 0xbf, 0x21]), Some(0x02 << 15 | 0xbf << 7 | 0x10));
    }
}
