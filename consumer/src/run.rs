//! The task carried out, and what it comes to: a line for people and a status for scripts.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::Context;
use freshet_consumer::{
    CopyError, DoorError, End, FetchError, Progress, Summary, VerifyError, digest_of_file, to_file,
    to_writer, verify,
};
use freshet_protocol::Sha256Digest;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Output, StreamTask, Task},
    group, prompt, signals,
};

/// 128 and the signal's number, as a shell says it.
const TERMINATED: u8 = 143;

/// Why it ended, as an exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Holes = 3,
    Differs = 4,
    NoStream = 5,
    Replaced = 6,
    Interrupted = 130,
}

/// The command from the first byte to the exit code.
pub(crate) async fn command(task: Task) -> ExitCode {
    let mut progress = Progress::on_terminal();
    log_beside(&progress);
    let shutdown = CancellationToken::new();
    let running = async {
        match task {
            Task::Stream(task) => run(*task, &mut progress, &shutdown).await,
            Task::Door(task) => prompt::run(task, &shutdown).await,
            Task::Group(task) => group::run(*task, &shutdown).await,
        }
    };
    let (outcome, terminated) = match signals::until(running, &shutdown).await {
        Ok(ended) => ended,
        Err(error) => (Err(error.into()), false),
    };
    progress.finish();
    let status = outcome.unwrap_or_else(|error| {
        eprintln!("consumer: {error:#}");
        hint(&error).into_iter().for_each(|hint| eprintln!("{hint}"));
        status_of(&error)
    });
    match status {
        Status::Interrupted if terminated => TERMINATED.into(),
        status => (status as u8).into(),
    }
}

/// Log lines for the person at the screen, who knows what time it is and what was started.
fn log_beside(progress: &Progress) {
    let aside = progress.aside();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || aside.clone());
    log.without_time().with_target(false).with_ansi(io::stderr().is_terminal()).init();
}

/// Take the stream; check it where that is asked for.
async fn run(
    task: StreamTask,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) -> anyhow::Result<Status> {
    let StreamTask { fetch, output, verify: wanted } = task;
    let url = fetch.url.to_string();
    let (summary, ours) = match &output {
        Output::File { path, manner, existing } => {
            let taken = to_file(fetch.clone(), *manner, path, *existing, progress, shutdown).await;
            (taken, None)
        }
        Output::Stdout { start } => {
            let (mut hash, mut out) = (Sha256::new(), tokio::io::stdout());
            let taken = to_writer(fetch.clone(), *start, &mut out, &mut hash, progress, shutdown);
            (taken.await, Some(Sha256Digest(hash.finalize().into())))
        }
    };
    progress.finish();
    let summary = summary.with_context(|| format!("cannot take {url}"))?;
    tell(&summary);
    if !wanted || summary.end != End::Complete {
        return Ok(status(&summary));
    }
    let ours = match (ours, &output) {
        (Some(ours), _) => ours,
        (None, Output::File { path, .. }) => digest_of_file(path).await?,
        (None, Output::Stdout { .. }) => return Ok(Status::Failed),
    };
    verify(&fetch, summary.etag.as_ref(), ours).await?;
    eprintln!("verified: {ours}");
    Ok(Status::Done)
}

fn status(summary: &Summary) -> Status {
    match summary.end {
        End::Complete | End::Closed => Status::Done,
        End::Holes => Status::Holes,
        End::Interrupted => Status::Interrupted,
    }
}

fn tell(summary: &Summary) {
    let (assembly, effort) = (&summary.assembly, summary.effort);
    let what = match summary.end {
        End::Complete => "complete",
        End::Holes => "ended with holes",
        End::Interrupted => "interrupted",
        End::Closed => "the reader has had enough",
    };
    let total = assembly.total().map_or_else(String::new, |total| format!(" of {total}"));
    eprintln!(
        "{what}: {}{total} bytes held, {} received in {} requests, {} cuts",
        assembly.held_bytes(),
        effort.received_bytes,
        effort.requests,
        effort.cuts,
    );
    if summary.ages.count() > 0 {
        eprintln!("age of the newest byte: {}", summary.ages);
    }
    if let Some(clock) = summary.clock {
        eprintln!("the distributor's clock against ours: {clock}");
    }
    let holes = assembly.holes();
    if summary.end == End::Holes && !holes.is_empty() {
        let (runs, shown) = (holes.runs(), holes.newest_runs(8));
        let more = if runs > 8 { " and older ones" } else { "" };
        let word = if runs == 1 { "hole" } else { "holes" };
        eprintln!("missing: {} bytes in {runs} {word}: {shown}{more}", holes.bytes());
    }
}

/// What an error comes to.
fn status_of(error: &anyhow::Error) -> Status {
    let fetch = match error.downcast_ref::<CopyError>() {
        Some(CopyError::Fetch(fetch)) => Some(fetch),
        _ => None,
    };
    match fetch {
        Some(FetchError::NoStream { .. }) => return Status::NoStream,
        Some(FetchError::Replaced { .. }) => return Status::Replaced,
        Some(FetchError::Lost { .. }) => return Status::Holes,
        _ => {}
    }
    if let Some(DoorError::NoStream { .. }) = error.downcast_ref::<DoorError>() {
        return Status::NoStream;
    }
    match error.downcast_ref::<VerifyError>() {
        Some(VerifyError::Differs { .. } | VerifyError::NoDigest) => Status::Differs,
        Some(VerifyError::Replaced) => Status::Replaced,
        _ => Status::Failed,
    }
}

/// What may help, where we know it.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    use freshet_consumer::SinkError;
    match error.downcast_ref::<CopyError>()? {
        CopyError::Fetch(FetchError::NoStream { .. }) => Some("--wait SECONDS waits for it"),
        CopyError::Fetch(FetchError::Unreachable { .. }) => Some("--wait SECONDS tries for longer"),
        CopyError::Fetch(FetchError::Replaced { .. }) => {
            Some("--replace takes the new one instead; or give another file with -o")
        }
        CopyError::Fetch(FetchError::Refused { status, .. })
            if matches!(status.as_u16(), 401 | 403) =>
        {
            Some("give the read token with --token-file or FRESHET_READ_TOKEN")
        }
        CopyError::Sink(SinkError::NotOurs { .. } | SinkError::Have { .. }) => {
            Some("--replace empties it and begins anew; or give another file with -o")
        }
        _ => None,
    }
}
