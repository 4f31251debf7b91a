//! The bytes of a stream in order, exactly once, into whatever takes them.

use std::io;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::{
    copy::{CopyError, End, Summary},
    fetch::{Fetch, Manner, Start},
    follow::Follow,
    progress::Progress,
};

/// Write the stream to `out`, from `start` on, until it is complete, `out` is closed, or `shutdown`.
/// What is written goes through `hash` as well.
///
/// # Errors
///
/// The stream cannot be taken, or `out` fails in another way than by being closed.
pub async fn to_writer(
    fetch: Fetch,
    start: Start,
    out: &mut (impl AsyncWrite + Unpin),
    hash: &mut Sha256,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) -> Result<Summary, CopyError> {
    let opened = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        opened = fetch.open(Manner::InOrder(start), None) => Some(opened?),
    };
    let Some(mut follow) = opened else {
        return Ok(Summary::empty(End::Interrupted));
    };
    let end = pour(&mut follow, out, hash, progress, shutdown).await?;
    let ended = follow.assembly().total().is_some_and(|total| follow.position() >= total);
    let short = !ended || start == Start::Beginning && !follow.assembly().is_whole();
    let end = if end == End::Complete && short { End::Holes } else { end };
    Ok(Summary::of(end, &follow))
}

async fn pour(
    follow: &mut Follow,
    out: &mut (impl AsyncWrite + Unpin),
    hash: &mut Sha256,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) -> Result<End, CopyError> {
    loop {
        let piece = {
            let next = follow.next();
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(End::Interrupted),
                    () = progress.tick() => {}
                    piece = &mut next => break piece?,
                }
            }
        };
        let Some(piece) = piece else { return Ok(End::Complete) };
        let written = async {
            out.write_all(&piece.bytes).await?;
            out.flush().await
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(End::Interrupted),
            written = written => match written {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Closed),
                Err(error) => return Err(CopyError::Write(error)),
            },
        }
        hash.update(&piece.bytes);
        progress.note(&piece, follow);
    }
}
