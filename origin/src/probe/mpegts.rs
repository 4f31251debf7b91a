//! How fast an MPEG transport stream plays: bytes and time between its first and its last clock value.

use super::{Media, number};
use crate::limits::PROBE_BYTES;

/// Ticks of the clock's base in a second, and values before it begins again (26.5 hours).
const CLOCK: u128 = 90_000;
const CLOCK_ROUND: u64 = 1 << 33;

/// A clock value: of which stream, where, and the time.
#[derive(Clone, Copy)]
struct Clock {
    pid: u64,
    at: u64,
    base: u64,
}

pub(super) fn rate(media: &Media) -> Option<u64> {
    let size = [188, 192].into_iter().find(|&size| is_packets(media, size))?;
    let first = clocks(media, size, 0).find(|_| true)?;
    let tail = media.len.saturating_sub(PROBE_BYTES) / size * size;
    let last = clocks(media, size, tail).filter(|clock| clock.pid == first.pid).last()?;
    let ticks = last.base.wrapping_sub(first.base) % CLOCK_ROUND;
    // Backwards: the clock was set anew somewhere, and says nothing about the whole.
    if ticks == 0 || ticks > CLOCK_ROUND / 2 {
        return None;
    }
    let rate = u128::from(last.at - first.at) * CLOCK / u128::from(ticks);
    u64::try_from(rate).ok()
}

/// Where a packet's first byte is: packets of 192 bytes begin with four bytes of time.
const fn lead(size: u64) -> u64 {
    size - 188
}

fn is_packets(media: &Media, size: u64) -> bool {
    (0..3)
        .all(|packet| media.read(packet * size + lead(size), 1).is_some_and(|byte| byte == [0x47]))
}

/// The clock values from the packet at `start` on, within the next few megabytes.
fn clocks(media: &Media, size: u64, start: u64) -> impl Iterator<Item = Clock> {
    let bytes = usize::try_from(PROBE_BYTES.min(media.len - start)).unwrap_or(0);
    let packets = media.read(start, bytes).unwrap_or_default();
    let step = usize::try_from(size).unwrap_or(188);
    (0..bytes / step).filter_map(move |index| {
        let packet = packets.get(index * step..)?.get(step - 188..step)?;
        clock(packet).map(|(pid, base)| Clock { pid, at: start + index as u64 * size, base })
    })
}

/// Stream and time of a packet that has a clock value.
fn clock(packet: &[u8]) -> Option<(u64, u64)> {
    let [0x47, high, low, control, length, flags, ..] = *packet else { return None };
    let has_clock = control & 0x20 != 0 && length >= 7 && flags & 0x10 != 0;
    let pid = number(&[high & 0x1f, low]);
    has_clock.then_some(())?;
    Some((pid, number(packet.get(6..11)?) >> 7))
}
