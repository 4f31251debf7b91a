//! SIGINT and SIGTERM: the first one asks to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Wait for `running`, which is told of the first signal; and whether that was SIGTERM.
pub(crate) async fn until<T>(
    running: impl Future<Output = T>,
    shutdown: &CancellationToken,
) -> io::Result<(T, bool)> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::pin!(running);
    let terminated = tokio::select! {
        output = &mut running => return Ok((output, false)),
        _ = interrupt.recv() => false,
        _ = terminate.recv() => true,
    };
    shutdown.cancel();
    Ok((running.await, terminated))
}
