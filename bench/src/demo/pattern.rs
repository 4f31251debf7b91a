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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::chunk::Checker;

    #[tokio::test]
    async fn what_waits_for_the_relay_is_not_forgiven() {
        let (mut relay, pipe) = tokio::io::duplex(100);
        let (chunk_bytes, bits_per_second) = (100, 100 * 8 * 1_000);
        let schedule = Schedule { start: Moment::now(), chunk_bytes, bits_per_second };
        let (over, mut dues) = (CancellationToken::new(), Vec::new());
        let read = async {
            // The pipe has room for one chunk: the second one waits.
            sleep(Duration::from_millis(100)).await;
            let (mut checker, mut buffer) = (Checker::default(), [0; 100]);
            while let Ok(1..) = relay.read_exact(&mut buffer).await {
                checker.take(&buffer, |chunk| dues.push((chunk.number, chunk.due)));
                if dues.len() == 50 {
                    over.cancel();
                }
            }
        };
        let (written, ()) = tokio::join!(write(pipe, schedule, &over), read);

        assert_eq!(written.unwrap().0, dues.len() as u64 * 100);
        // Those that were due while it waited are as old as they are.
        for (number, due) in &dues[2..50] {
            assert_eq!(*due, schedule.chunk(*number).due, "chunk {number}");
        }
    }
}
