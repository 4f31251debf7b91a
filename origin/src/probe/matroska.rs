//! How long a Matroska or WebM file plays: `Duration` of its `Info`, in units of `TimestampScale`.

use std::time::Duration;

use super::{Media, number};
use crate::limits::PROBE_ITEMS_MAX;

/// What every such file begins with: the EBML header's id.
pub(super) const MAGIC: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_a966;
const TIMESTAMP_SCALE: u64 = 0x002a_d7b1;
const DURATION: u64 = 0x4489;

/// An element's id, and where its payload is.
#[derive(Clone, Copy)]
struct Element {
    id: u64,
    start: u64,
    end: u64,
}

pub(super) fn duration(media: &Media) -> Option<Duration> {
    let segment = find(media, 0, media.len, SEGMENT)?;
    let info = find(media, segment.start, segment.end, INFO)?;
    let scale = find(media, info.start, info.end, TIMESTAMP_SCALE);
    let scale = match scale {
        Some(scale) => number(&payload(media, scale)?),
        None => 1_000_000,
    };
    let bytes = payload(media, find(media, info.start, info.end, DURATION)?)?;
    let ticks = match bytes.len() {
        4 => f64::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        _ => f64::from_be_bytes(bytes.try_into().ok()?),
    };
    let scale = u32::try_from(scale).map(f64::from).ok()?;
    Duration::try_from_secs_f64(ticks * scale / 1e9).ok()
}

fn find(media: &Media, start: u64, end: u64, id: u64) -> Option<Element> {
    let mut at = start;
    for _ in 0..PROBE_ITEMS_MAX {
        let element = next(media, at, end)?;
        if element.id == id {
            return Some(element);
        }
        at = element.end;
    }
    None
}

fn next(media: &Media, at: u64, end: u64) -> Option<Element> {
    let (id, id_bytes) = number_at(media, at, true)?;
    let (size, size_bytes) = number_at(media, at + id_bytes, false)?;
    let start = at + id_bytes + size_bytes;
    // All ones: unknown, up to the end of what is around it. Only a live Segment has that here.
    let unknown = size == (1 << (7 * size_bytes)) - 1;
    let stop = if unknown { end } else { start.checked_add(size)? };
    // A file that is still written, or was cut, ends before its elements do.
    (start <= end).then_some(Element { id, start, end: stop.min(end) })
}

/// A number of variable length, and how many bytes it takes; an id keeps the bit that marks its
/// length.
fn number_at(media: &Media, at: u64, is_id: bool) -> Option<(u64, u64)> {
    let first = *media.read(at, 1)?.first()?;
    let bytes = first.leading_zeros() + 1;
    if bytes > if is_id { 4 } else { 8 } {
        return None;
    }
    let all = number(&media.read(at, bytes as usize)?);
    let marked = if is_id { all } else { all & !(1 << (7 * bytes)) };
    Some((marked, bytes.into()))
}

/// A short payload: 8 bytes are the longest number.
fn payload(media: &Media, element: Element) -> Option<Vec<u8>> {
    let bytes = usize::try_from(element.end.checked_sub(element.start)?).ok()?;
    if bytes > 8 { None } else { media.read(element.start, bytes) }
}
