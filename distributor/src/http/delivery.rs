//! What all deliveries share: bytes of a stream as frames of a body.

use bytes::Bytes;
use freshet_protocol::{ByteRange, way};
use futures_util::{StreamExt, stream};
use rand::RngExt;
use tracing::trace;

use super::{
    body::{Body, Cut, Frames},
    wire::Line,
};
use crate::{
    hub::{Follower, Read, ReadError},
    limits,
    outlet::Outlet,
};

/// A body of exactly the bytes of `range`.
pub(super) fn counted(line: &Line, follower: Follower, range: ByteRange) -> Body {
    let length = range.len();
    Body::counted(frames(line, follower, range), length)
}

/// The same, with `header` before it.
pub(super) fn counted_behind(
    header: Bytes,
    line: &Line,
    follower: Follower,
    range: ByteRange,
) -> Body {
    if header.is_empty() {
        return counted(line, follower, range);
    }
    let length = header.len() as u64 + range.len();
    let mut left = header;
    let pieces = std::iter::from_fn(move || {
        let piece = left.split_to(left.len().min(limits::FRAME_BYTES_MAX));
        (!piece.is_empty()).then_some(Ok(piece))
    });
    Body::counted(Box::pin(stream::iter(pieces).chain(frames(line, follower, range))), length)
}

fn frames(line: &Line, follower: Follower, range: ByteRange) -> Frames {
    let start = (line.outlet(), follower, Some(range));
    Box::pin(stream::try_unfold(start, |(outlet, mut follower, left)| async move {
        let Some(left) = left else { return Ok::<_, Cut>(None) };
        let max =
            outlet.as_ref().map_or(limits::FRAME_BYTES_MAX, |_| limits::STORED_FRAME_BYTES_MAX);
        let bytes = next(&mut follower, left, max).await?;
        let rest = ByteRange::new(left.start() + bytes.len() as u64, left.end());
        let bytes = from_disk(outlet.as_deref(), &mut follower, left.start(), bytes);
        Ok(Some((bytes, (outlet, follower, rest))))
    }))
}

/// What stands in for `bytes`, where the kernel can send them from the disk copy that they were just read from
/// and checked; it has them in memory. Only what goes into hyper's hands unchanged may be given that.
fn from_disk(outlet: Option<&Outlet>, follower: &mut Follower, at: u64, bytes: Bytes) -> Bytes {
    let outlet = outlet.filter(|_| bytes.len() >= limits::STORED_SEND_BYTES_MIN);
    let stored = outlet.and_then(|outlet| outlet.stand_in(follower.stored(at, &bytes)?));
    let Some(stored) = stored else { return bytes };
    drop(bytes);
    follower.lend();
    stored
}

/// The first bytes of `range`, which were held when it was chosen. Cancel safe.
pub(super) async fn next_of(follower: &mut Follower, range: ByteRange) -> Result<Bytes, Cut> {
    next(follower, range, limits::FRAME_BYTES_MAX).await
}

/// The same, at most `max` of them.
async fn next(follower: &mut Follower, range: ByteRange, max: usize) -> Result<Bytes, Cut> {
    let max = usize::try_from(range.len()).unwrap_or(usize::MAX).min(max);
    match follower.read(range.start(), max).await {
        Ok(Read::Bytes(bytes)) => {
            let end = range.start() + bytes.len() as u64;
            trace!(target: way::TARGET, step = way::SEND, end, peer = 0);
            Ok(bytes)
        }
        Ok(Read::Missing | Read::End) | Err(ReadError::Damaged { .. }) => {
            Err(Cut::Lost { at: range.start() })
        }
        Err(error) => Err(error.into()),
    }
}

/// What sets the parts of a multipart body off: nothing that a stream has by chance.
pub(super) fn boundary() -> String {
    format!("freshet-{:032x}", rand::rng().random::<u128>())
}
