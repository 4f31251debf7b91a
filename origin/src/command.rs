//! What `origin file`, `folder`, `stdin`, `capture` and `testcard` do, and with which exit code they end.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use freshet_origin::{
    EncoderError, InputError, Keep, LinkError, Options, Push, PushError, Rate, Source, SourceError,
    Summary, Target, TestCard, limits::CAPTURE_DRAIN, media_type, walk,
};
use http::StatusCode;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    args::{Args, Common, Encoding, Kept, What},
    progress::Bar,
};

/// Everything is posted and acknowledged.
pub(crate) const DONE: u8 = 0;
/// Refused, or an error that trying again does not mend.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage; clap's own.
pub(crate) const USAGE: u8 = 2;
/// Interrupted or given up: started again, it goes on.
pub(crate) const UNFINISHED: u8 = 3;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot read the token's file")]
    Token(#[source] io::Error),
    #[error("there is no home for the copy; say --copy DIR")]
    NoHome,
    #[error("{failed} of {all} files are not posted")]
    Some { failed: usize, all: usize },
}

impl CommandError {
    const fn code(&self) -> u8 {
        match self {
            Self::Push(PushError::Interrupted { .. } | PushError::GaveUp { .. }) => UNFINISHED,
            Self::Input(InputError::Empty | InputError::Dash) => USAGE,
            _ => FAILED,
        }
    }

    /// Would the next file of a folder end in the same way?
    fn ends_all(&self) -> bool {
        match self {
            Self::Push(PushError::Refused { status, .. }) => {
                matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            }
            other => other.code() == UNFINISHED,
        }
    }
}

/// What the signals ask for.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// The first one: come to an end.
    pub(crate) asked: CancellationToken,
    /// The second one: at once.
    pub(crate) now: CancellationToken,
}

/// Run the command to its end and say how it went.
pub(crate) async fn run(args: Args, bar: &Bar, stop: &Stop) -> u8 {
    if let Err(why) = args.what.check() {
        error!("{why}");
        return USAGE;
    }
    let shutdown = &stop.asked;
    let ended = match args.what {
        What::File { path, to, pace, looped, common } => {
            let rate = pace.rate.unwrap_or(if looped { Rate::Real } else { Rate::Max });
            file(&path, &to, rate, looped, &common, bar, shutdown).await
        }
        What::Folder { dir, to, pace, common } => {
            folder(&dir, &to, pace.rate.unwrap_or_default(), &common, bar, shutdown).await
        }
        What::Stdin { to, kept, common } => stdin(&to, kept, &common, bar, shutdown).await,
        What::Capture { input, to, encoding, kept, common } => {
            capture(&input, &to, encoding, kept, &common, bar, stop).await
        }
        What::Testcard { to, card, common } => {
            test_card(&to, card.card(), &common, bar, stop).await
        }
    };
    match ended {
        Ok(()) => DONE,
        Err(error) => {
            match error.code() {
                UNFINISHED => warn!("{}", chain(&error)),
                _ => error!("{}", chain(&error)),
            }
            error.code()
        }
    }
}

async fn file(
    path: &Path,
    to: &Target,
    rate: Rate,
    looped: bool,
    common: &Common,
    bar: &Bar,
    shutdown: &CancellationToken,
) -> Result<(), CommandError> {
    let options = options(common, path)?;
    let source = Source::file(path, rate, looped).await?;
    push(to, source, options, bar, shutdown).await
}

async fn stdin(
    to: &Target,
    kept: Kept,
    common: &Common,
    bar: &Bar,
    shutdown: &CancellationToken,
) -> Result<(), CommandError> {
    let options = options(common, Path::new(to.name().map_or("", |name| name.as_str())))?;
    let source = Source::stdin(to, keep(kept, to)?).await?;
    push(to, source, options, bar, shutdown).await
}

async fn capture(
    input: &str,
    to: &Target,
    encoding: Encoding,
    kept: Kept,
    common: &Common,
    bar: &Bar,
    stop: &Stop,
) -> Result<(), CommandError> {
    let encoder = encoding.encoder(input, to)?.found(env::var_os("PATH"))?;
    let options =
        common.options(encoder.container.media_type().into()).map_err(CommandError::Token)?;
    let source = Source::encoder(to, keep(kept, to)?, encoder, stop.asked.clone()).await?;
    push_until(to, source, options, bar, stop).await
}

async fn test_card(
    to: &Target,
    card: TestCard,
    common: &Common,
    bar: &Bar,
    stop: &Stop,
) -> Result<(), CommandError> {
    let options = common.options(TestCard::MEDIA_TYPE.into()).map_err(CommandError::Token)?;
    let source = Source::test_card(to, card, stop.asked.clone()).await?;
    push_until(to, source, options, bar, stop).await
}

/// Two steps to the end: the first signal ends the source, and the push what it gave; the second one, or
/// the deadline, ends the push.
async fn push_until(
    to: &Target,
    source: Source,
    options: Options,
    bar: &Bar,
    stop: &Stop,
) -> Result<(), CommandError> {
    let abort = CancellationToken::new();
    let pushed = push(to, source, options, bar, &abort);
    tokio::pin!(pushed);
    tokio::select! {
        ended = &mut pushed => return ended,
        () = enough(stop) => abort.cancel(),
    }
    pushed.await
}

async fn enough(stop: &Stop) {
    stop.asked.cancelled().await;
    tokio::select! {
        () = stop.now.cancelled() => {}
        () = sleep(CAPTURE_DRAIN) => warn!("given up before all of it was delivered"),
    }
}

/// Where the capture is kept, and a word about it.
fn keep(kept: Kept, to: &Target) -> Result<Keep, CommandError> {
    let keep = if kept.no_copy { Keep::Memory } else { disk_copy(kept.copy, to)? };
    if let Keep::Disk(dir) = &keep {
        info!(copy = %dir.display(), "capturing");
    }
    Ok(keep)
}

/// One file after the other. One that is refused does not keep the others back.
async fn folder(
    dir: &Path,
    base: &Target,
    rate: Rate,
    common: &Common,
    bar: &Bar,
    shutdown: &CancellationToken,
) -> Result<(), CommandError> {
    let unreadable = |source| CommandError::Io { path: dir.to_path_buf(), source };
    let folder = walk(dir, base).map_err(unreadable)?;
    let mut failed = 0;
    for left in &folder.left_out {
        if left.why.is_meant() {
            info!(path = %left.path.display(), why = %left.why, "left out");
        } else {
            warn!(path = %left.path.display(), why = %chain(&left.why), "left out");
            failed += 1;
        }
    }
    let all = folder.files.len() + failed;
    for entry in folder.files {
        match file(&entry.path, &entry.target, rate, false, common, bar, shutdown).await {
            Ok(()) => {}
            Err(error) if error.ends_all() => return Err(error),
            Err(error) => {
                error!(path = %entry.path.display(), "{}", chain(&error));
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(CommandError::Some { failed, all }) } else { Ok(()) }
}

async fn push(
    to: &Target,
    source: Source,
    options: Options,
    bar: &Bar,
    shutdown: &CancellationToken,
) -> Result<(), CommandError> {
    let push = Push::new(to, source, options)?;
    let stats = push.stats();
    let Summary { total, posted, .. } = bar.during(to, stats, push.run(shutdown)).await?;
    info!(stream = %to, bytes = total, posted, "complete");
    Ok(())
}

fn options(common: &Common, name: &Path) -> Result<Options, CommandError> {
    common.options(media_type(name)).map_err(CommandError::Token)
}

/// The directory asked for, or the one that this stream's copy has by default. `~` is in no name and
/// in no host, so two streams never share one.
fn disk_copy(asked: Option<PathBuf>, to: &Target) -> Result<Keep, CommandError> {
    if let Some(dir) = asked {
        return Ok(Keep::Disk(dir));
    }
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .ok_or(CommandError::NoHome)?;
    let name = to.name().map_or("", |name| name.as_str());
    let leaf = format!("{}~{name}", to.authority()).replace([':', '/'], "~");
    Ok(Keep::Disk(state.join("freshet/origin").join(leaf)))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
