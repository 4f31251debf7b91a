//! What the test card gives, on its way into the window: drawn on a thread of its own, since to draw and to
//! encode takes a processor.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver};
use tokio_util::sync::CancellationToken;

use super::{
    blocking,
    capture::{Failure, Recorder, keep},
};
use crate::{
    limits::CARD_PIECES_MAX,
    testcard::{Captured, TestCard},
};

/// A test card, and the word that ends it.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) card: TestCard,
    pub(super) stop: CancellationToken,
}

/// Draw until its time is over, `stop`, or an encoder fails.
pub(super) async fn run(drawn: Drawn, recorder: Recorder) {
    let Drawn { card, stop } = drawn;
    let (sender, pieces) = mpsc::channel(CARD_PIECES_MAX);
    // It ends when nobody takes its pieces any more.
    let studio = blocking(move || card.run(|piece| sender.blocking_send(piece).is_ok()));
    let (ended, kept) = tokio::join!(studio, take(pieces, stop, &recorder));
    // Joined, not left alone: the end must be recorded before this task is over.
    let _ = blocking(move || match (ended, kept) {
        (_, Err(error)) => recorder.fail(error),
        (Ok(Err(error)), _) => recorder.failed(Failure::Card(Arc::new(error))),
        (Ok(Ok(())), Ok(())) => recorder.finish(),
        (Err(_), Ok(())) => recorder.fail(std::io::Error::other("the test card has panicked")),
    })
    .await;
}

async fn take(
    mut pieces: Receiver<Captured>,
    stop: CancellationToken,
    recorder: &Recorder,
) -> std::io::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            piece = pieces.recv() => match piece {
                Some(Captured { bytes, at }) => keep(recorder, bytes, at).await?,
                None => return Ok(()),
            }
        }
    }
}
