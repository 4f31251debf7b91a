//! The source of the demo: the test pattern, each chunk captured when it is due.
//!
//! The event loop's timer counts in milliseconds, and wakes us up to two of them late: that is the
//! source's doing, not the relay's, so the capture is when we woke. Where we did not sleep the pipe held
//! us up, and the capture is when it was due: nothing that waits for the relay is forgiven.

use freshet_protocol::Sha256Digest;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{clock::Moment, publish::Schedule};

/// Write into `pipe` until `over`, at least one chunk; how many bytes that were, and their digest.
pub(super) async fn write(
    mut pipe: impl AsyncWrite + Unpin,
    schedule: Schedule,
    over: &CancellationToken,
) -> anyhow::Result<(u64, Sha256Digest)> {
    let (mut bytes, mut hash, mut buffer) = (0, Sha256::new(), Vec::new());
    for number in 0.. {
        let mut chunk = schedule.chunk(number);
        let left = chunk.due.left();
        if !left.is_zero() {
            // Whoever is told to end at once has its first chunk all the same.
            tokio::select! {
                () = over.cancelled(), if number > 0 => break,
                () = sleep(left) => chunk.due = Moment::now(),
            }
        } else if number > 0 && over.is_cancelled() {
            break;
        }
        buffer.clear();
        chunk.write_to(&mut buffer);
        hash.update(&buffer);
        pipe.write_all(&buffer).await?;
        bytes += buffer.len() as u64;
    }
    pipe.shutdown().await?;
    Ok((bytes, Sha256Digest(hash.finalize().into())))
}
