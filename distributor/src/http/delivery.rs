//! What all deliveries share: bytes of a stream as frames of a body.

use bytes::Bytes;
use freshet_protocol::ByteRange;
use futures_util::stream;
use rand::RngExt;

use super::body::{Body, Cut, Frames};
use crate::{
    hub::{Follower, Read, ReadError},
    limits,
};

/// A body of exactly the bytes of `range`.
pub(super) fn counted(follower: Follower, range: ByteRange) -> Body {
    let frames: Frames =
        Box::pin(stream::try_unfold((follower, Some(range)), |(mut follower, left)| async move {
            let Some(left) = left else { return Ok::<_, Cut>(None) };
            let bytes = next_of(&mut follower, left).await?;
            let rest = ByteRange::new(left.start() + bytes.len() as u64, left.end());
            Ok(Some((bytes, (follower, rest))))
        }));
    Body::counted(frames, range.len())
}

/// The first bytes of `range`, which were held when it was chosen. Cancel safe.
pub(super) async fn next_of(follower: &mut Follower, range: ByteRange) -> Result<Bytes, Cut> {
    let max = usize::try_from(range.len()).unwrap_or(usize::MAX).min(limits::FRAME_BYTES_MAX);
    match follower.read(range.start(), max).await {
        Ok(Read::Bytes(bytes)) => Ok(bytes),
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
