//! The source of the demo: the test pattern, each chunk written when it is due.

use freshet_protocol::Sha256Digest;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::publish::Schedule;

/// Write into `pipe` until `over`, at least one chunk; how many bytes that were, and their digest.
pub(super) async fn write(
    mut pipe: impl AsyncWrite + Unpin,
    schedule: Schedule,
    over: &CancellationToken,
) -> anyhow::Result<(u64, Sha256Digest)> {
    let (mut bytes, mut hash, mut buffer) = (0, Sha256::new(), Vec::new());
    for number in 0.. {
        let chunk = schedule.chunk(number);
        tokio::select! {
            biased;
            () = over.cancelled(), if number > 0 => break,
            () = sleep(chunk.due.left()) => {}
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
