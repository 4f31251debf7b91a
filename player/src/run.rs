//! The task carried out, and what it comes to: a line for people and a status for scripts.

use std::io;

use anyhow::Context;
use freshet_consumer::{DoorError, FetchError};
use freshet_player::{PlayEnd, PlayError, Played, headless};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Task;

/// Statuses beside 0; those of signals are 128 and the signal's number, as a shell says it.
pub(crate) const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
const LOST: u8 = 3;
const NO_STREAM: u8 = 5;
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Show the stream until it ends, its program does, or a signal comes.
pub(crate) async fn run(task: Task) -> anyhow::Result<u8> {
    let shutdown = CancellationToken::new();
    let running = carry_out(task, &shutdown);
    let (ended, terminated) = until(running, &shutdown).await?;
    ended?;
    Ok(match (shutdown.is_cancelled(), terminated) {
        (false, _) => 0,
        (true, false) => INTERRUPTED,
        (true, true) => TERMINATED,
    })
}

async fn carry_out(task: Task, shutdown: &CancellationToken) -> anyhow::Result<()> {
    match task {
        Task::Play(play) => {
            let url = play.fetch.url.clone();
            let played = play.run(shutdown).await;
            tell(played.with_context(|| format!("cannot show {url}"))?);
        }
        Task::Door(play) => {
            let url = play.url.clone();
            let played = play.run(shutdown).await;
            tell(played.with_context(|| format!("cannot show {url}"))?);
        }
        Task::Headless(fetch, policy) => {
            let url = fetch.url.clone();
            let tally = headless(fetch, policy, shutdown, |tally| eprintln!("{tally}"))
                .await
                .with_context(|| format!("cannot take {url}"))?;
            eprintln!("{tally}");
        }
    }
    Ok(())
}

fn tell(played: Played) {
    let why = match played.end {
        PlayEnd::Stream => "the stream has ended",
        PlayEnd::Program => "the program has ended",
        PlayEnd::Interrupted => "interrupted",
    };
    eprintln!("{why}: {} bytes shown", played.bytes);
}

/// Wait for `running`, which is told of the first signal; and whether that was SIGTERM.
async fn until<T>(
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

/// What an error comes to.
pub(crate) fn status_of(error: &anyhow::Error) -> u8 {
    let fetch = match error.downcast_ref::<PlayError>() {
        Some(PlayError::Door(DoorError::NoStream { .. })) => return NO_STREAM,
        Some(PlayError::Fetch(fetch)) => Some(fetch),
        _ => error.downcast_ref::<FetchError>(),
    };
    match fetch {
        Some(FetchError::NoStream { .. }) => NO_STREAM,
        Some(FetchError::Lost { .. }) => LOST,
        _ => FAILED,
    }
}
