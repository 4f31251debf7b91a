//! The task carried out, and what it comes to: a line for people and a status for scripts.

use std::io;

use anyhow::Context;
use freshet_consumer::{DoorError, Fetch, FetchError, Policy};
use freshet_player::{
    Figures, PlayEnd, PlayError, Played, Stage, Watch, WatchError, Window, headless,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::args::{On, Task};

/// Statuses beside 0; those of signals are 128 and the signal's number, as a shell says it.
const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
const LOST: u8 = 3;
const NO_STREAM: u8 = 5;
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Show the stream until it ends, what shows it does, or a signal comes.
pub(crate) fn run(task: Task) -> anyhow::Result<u8> {
    let runtime = Runtime::new().context("cannot begin")?;
    let Task::Watch(watch, On::Window) = task else { return runtime.block_on(headed(task)) };
    match Window::new(&watch.fetch.url.to_string()) {
        Ok((window, stage)) => in_window(&runtime, watch, window, stage),
        Err(error) => {
            eprintln!("{error}; playing on without one");
            runtime.block_on(headed(Task::Watch(watch, On::Nothing)))
        }
    }
}

/// The window on this thread, as it has to be, and all else on another.
fn in_window(runtime: &Runtime, watch: Watch, window: Window, stage: Stage) -> anyhow::Result<u8> {
    let (closed, status) = window.run(|| {
        runtime.block_on(to_its_end(|shutdown| async move {
            show(watch, stage, &shutdown, |_| ()).await
        }))
    });
    let status = status?;
    closed?;
    Ok(status)
}

async fn headed(task: Task) -> anyhow::Result<u8> {
    to_its_end(|shutdown| async move { carry_out(task, &shutdown).await }).await
}

/// Let it run, and say how it ended: by itself, or by a signal.
async fn to_its_end<T>(run: impl FnOnce(CancellationToken) -> T) -> anyhow::Result<u8>
where
    T: Future<Output = anyhow::Result<()>>,
{
    let shutdown = CancellationToken::new();
    let (ended, terminated) = until(run(shutdown.clone()), &shutdown).await?;
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
        Task::Group(play) => {
            let url = play.url.clone();
            let played = play.run(shutdown).await;
            tell(played.with_context(|| format!("cannot show {url}"))?);
        }
        Task::Watch(watch, _) => {
            let (fetch, policy) = (watch.fetch.clone(), watch.policy);
            let report = |figures: &Figures| eprintln!("{figures}");
            match show(watch, Stage::headless(), shutdown, report).await {
                Err(error) if is_undecodable(&error) => {
                    eprintln!("{error:#}; counting its bytes");
                    count(fetch, policy, shutdown).await?;
                }
                shown => shown?,
            }
        }
    }
    Ok(())
}

async fn show(
    watch: Watch,
    stage: Stage,
    shutdown: &CancellationToken,
    report: impl FnMut(&Figures),
) -> anyhow::Result<()> {
    let url = watch.fetch.url.clone();
    let shown = watch.run(stage, shutdown, report).await;
    let hint = |error: &WatchError| match error {
        WatchError::Media(_) => "; another program may: --via mpv",
        _ => "",
    };
    let hint = shown.as_ref().err().map(hint).unwrap_or_default();
    let figures = shown.with_context(|| format!("cannot show {url}{hint}"))?;
    eprintln!("{figures}");
    Ok(())
}

fn is_undecodable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(WatchError::Media(_)))
}

async fn count(fetch: Fetch, policy: Policy, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let url = fetch.url.clone();
    let counted = headless(fetch, policy, shutdown, |tally| eprintln!("{tally}")).await;
    eprintln!("{}", counted.with_context(|| format!("cannot take {url}"))?);
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
    let fetch = match error.downcast_ref::<WatchError>() {
        Some(WatchError::Fetch(fetch)) => Some(fetch),
        _ => fetch,
    };
    match fetch {
        Some(FetchError::NoStream { .. }) => NO_STREAM,
        Some(FetchError::Lost { .. }) => LOST,
        _ => FAILED,
    }
}
