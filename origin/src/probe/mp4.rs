//! How long an MP4 plays: `mvhd`, or for fragments `mehd`, or the times of the fragments themselves.

use std::time::Duration;

use super::{Media, number};
use crate::limits::PROBE_ITEMS_MAX;

/// A box's kind, and where its payload is.
#[derive(Clone, Copy)]
struct Box4 {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

/// Does an MP4 begin with this kind of box?
pub(super) fn is_box(kind: &[u8]) -> bool {
    [b"ftyp", b"styp", b"moov", b"mdat", b"free", b"wide", b"skip"]
        .iter()
        .any(|known| *known == kind)
}

pub(super) fn duration(media: &Media) -> Option<Duration> {
    let top = boxes(media, 0, media.len);
    let moov = *top.iter().find(|one| &one.kind == b"moov")?;
    let (scale, length) = timed(media, child(media, moov, b"mvhd")?)?;
    let said = length.or_else(|| {
        let mehd = child(media, child(media, moov, b"mvex")?, b"mehd")?;
        let wide = media.read(mehd.start, 1)? == [1];
        let bytes = if wide { 8 } else { 4 };
        Some(number(&media.read(mehd.start + 4, bytes)?)).filter(|&length| length > 0)
    });
    match said {
        Some(length) => seconds(length, scale),
        None => fragments(media, moov, &top),
    }
}

/// From the first fragment's time to the last one's, and as much again as one has on the average:
/// the last one does not say where it ends.
fn fragments(media: &Media, moov: Box4, top: &[Box4]) -> Option<Duration> {
    let moofs: Vec<_> = top.iter().filter(|one| &one.kind == b"moof").collect();
    let (track, first) = fragment(media, **moofs.first()?, None)?;
    let (_, last) = fragment(media, **moofs.last()?, Some(track))?;
    let steps = u64::try_from(moofs.len()).ok()?.checked_sub(1).filter(|&steps| steps > 0)?;
    let between = last.checked_sub(first)?;
    seconds(between + between / steps, track_scale(media, moov, track)?)
}

/// Track and begin of a fragment: its first track's, or the one asked for.
fn fragment(media: &Media, moof: Box4, wanted: Option<u64>) -> Option<(u64, u64)> {
    let trafs = boxes(media, moof.start, moof.end);
    trafs.into_iter().filter(|one| &one.kind == b"traf").find_map(|traf| {
        let tfhd = child(media, traf, b"tfhd")?;
        let track = number(&media.read(tfhd.start + 4, 4)?);
        let tfdt = child(media, traf, b"tfdt")?;
        let bytes = if media.read(tfdt.start, 1)? == [1] { 8 } else { 4 };
        let begin = number(&media.read(tfdt.start + 4, bytes)?);
        wanted.is_none_or(|wanted| wanted == track).then_some((track, begin))
    })
}

fn track_scale(media: &Media, moov: Box4, track: u64) -> Option<u64> {
    let traks = boxes(media, moov.start, moov.end);
    traks.into_iter().filter(|one| &one.kind == b"trak").find_map(|trak| {
        let tkhd = child(media, trak, b"tkhd")?;
        let at = if media.read(tkhd.start, 1)? == [1] { 20 } else { 12 };
        if number(&media.read(tkhd.start + at, 4)?) != track {
            return None;
        }
        let mdhd = child(media, child(media, trak, b"mdia")?, b"mdhd")?;
        timed(media, mdhd).map(|(scale, _)| scale)
    })
}

/// Time scale and duration of an `mvhd` or `mdhd`; a duration of 0 or all ones is none.
fn timed(media: &Media, header: Box4) -> Option<(u64, Option<u64>)> {
    let (at, bytes, unknown) = match media.read(header.start, 1)?.as_slice() {
        [1] => (20, 8, u64::MAX),
        _ => (12, 4, u32::MAX.into()),
    };
    let scale = number(&media.read(header.start + at, 4)?);
    let length = number(&media.read(header.start + at + 4, bytes)?);
    Some((scale, Some(length).filter(|&length| length != 0 && length != unknown)))
}

fn child(media: &Media, parent: Box4, kind: &[u8; 4]) -> Option<Box4> {
    boxes(media, parent.start, parent.end).into_iter().find(|one| &one.kind == kind)
}

/// The boxes between `start` and `end`, up to the first that makes no sense.
fn boxes(media: &Media, start: u64, end: u64) -> Vec<Box4> {
    let (mut found, mut at) = (Vec::new(), start);
    while let Some(one) = next(media, at, end) {
        if found.len() == PROBE_ITEMS_MAX {
            break;
        }
        at = one.end;
        found.push(one);
    }
    found
}

fn next(media: &Media, at: u64, end: u64) -> Option<Box4> {
    let head = media.read(at, 8)?;
    let (size, kind) = head.split_at_checked(4)?;
    let (head, size) = match number(size) {
        0 => (8, end.checked_sub(at)?),
        1 => (16, number(&media.read(at + 8, 8)?)),
        size => (8, size),
    };
    let stop = at.checked_add(size)?;
    if size < head || stop > end {
        return None;
    }
    Some(Box4 { kind: kind.try_into().ok()?, start: at + head, end: stop })
}

fn seconds(length: u64, scale: u64) -> Option<Duration> {
    let nanos = (u128::from(length) * 1_000_000_000).checked_div(scale.into())?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}
