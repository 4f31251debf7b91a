//! A copy of a stream in a file: from whatever an earlier run left to the end of the stream.

use std::{path::Path, time::Duration};

use freshet_protocol::ETag;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    ages::Ages,
    assemble::Assembly,
    clock::ClockOffset,
    fetch::{Fetch, FetchError, Manner},
    follow::Follow,
    limits,
    piece::Effort,
    progress::Progress,
    sink::{Existing, FileSink, SinkError},
};

/// How it went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Why it is over.
    pub end: End,
    /// Which incarnation it was; `None` where none was found before the end.
    pub etag: Option<ETag>,
    /// Who holds what.
    pub assembly: Assembly,
    /// What it took.
    pub effort: Effort,
    /// How old the newest byte was, each time that there was a newer one.
    pub ages: Ages,
    /// How far the distributor's clock is from ours, where it told.
    pub clock: Option<ClockOffset>,
}

/// Why taking a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The stream is complete, and so is what was wanted of it.
    Complete,
    /// The stream is complete, and bytes that were wanted cannot be had.
    Holes,
    /// We were told to stop.
    Interrupted,
    /// Nobody reads what we write.
    Closed,
}

/// Why a copy cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The stream.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// What the bytes in order are written to.
    #[error("cannot write")]
    Write(#[source] std::io::Error),
}

/// Fill the file at `path` with the stream until that is complete, or `shutdown`.
///
/// A copy that is whole already stays as it is, and so even where the distributor is gone or has
/// forgotten the stream. Not cancel safe: use `shutdown`, so that the last bytes are noted.
///
/// # Errors
///
/// The stream cannot be taken, or the file not be filled. What was written is noted before.
pub async fn to_file(
    fetch: Fetch,
    manner: Manner,
    path: &Path,
    existing: Existing,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) -> Result<Summary, CopyError> {
    let earlier = FileSink::find(path, existing)?;
    let before = earlier.as_ref().map_or_else(Assembly::default, FileSink::assembly);
    let untouched = {
        let etag = earlier.as_ref().map(|sink| sink.resume().etag);
        move |end| Summary { etag, assembly: before, ..Summary::empty(end) }
    };
    let opened = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(untouched(End::Interrupted)),
        opened = open(&fetch, manner, path, existing, earlier) => opened?,
    };
    let Some((mut follow, mut sink)) = opened else {
        return Ok(untouched(End::Complete));
    };
    loop {
        let filled = fill(&mut follow, &mut sink, progress, shutdown).await;
        sink.know_total(follow.assembly().total());
        if sink.is_dirty() {
            sink.save().await?;
        }
        match filled {
            Err(CopyError::Fetch(error @ FetchError::Replaced { .. }))
                if existing == Existing::Replace =>
            {
                // With its lock on the file.
                drop(sink);
                (follow, sink) = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => {
                        return Ok(Summary::of(End::Interrupted, &follow));
                    }
                    anew = begin_anew(&fetch, manner, path, &error) => anew?,
                };
            }
            filled => return Ok(Summary::of(filled?, &follow)),
        }
    }
}

impl Summary {
    pub(crate) fn of(end: End, follow: &Follow) -> Self {
        let (etag, assembly) = (Some(follow.etag().clone()), follow.assembly().clone());
        let (effort, ages, clock) = (follow.effort(), follow.ages().clone(), follow.clock());
        Self { end, etag, assembly, effort, ages, clock }
    }

    /// Nothing was found.
    pub(crate) fn empty(end: End) -> Self {
        let (etag, assembly, effort) = Default::default();
        Self { end, etag, assembly, effort, ages: Ages::default(), clock: None }
    }
}

/// The stream and the file; `None` where the file is whole and nobody can be asked about it.
async fn open(
    fetch: &Fetch,
    manner: Manner,
    path: &Path,
    existing: Existing,
    earlier: Option<FileSink>,
) -> Result<Option<(Follow, FileSink)>, CopyError> {
    let resume = earlier.as_ref().map(FileSink::resume);
    let whole = earlier.as_ref().is_some_and(|sink| sink.assembly().is_whole());
    // Whoever has it all does not wait for more of it.
    let wait = if whole { Duration::ZERO } else { fetch.wait };
    let follow = match (Fetch { wait, ..fetch.clone() }).open(manner, resume).await {
        Ok(follow) => follow,
        Err(error @ (FetchError::NoStream { .. } | FetchError::Unreachable { .. })) if whole => {
            warn!("{error}: the copy is whole, and was not compared with the distributor's");
            return Ok(None);
        }
        Err(error @ FetchError::Replaced { .. }) if existing == Existing::Replace => {
            drop(earlier);
            return begin_anew(fetch, manner, path, &error).await.map(Some);
        }
        Err(error) => return Err(error.into()),
    };
    let sink = match earlier {
        Some(sink) => sink,
        None => FileSink::create(path, &fetch.url, follow.etag())?,
    };
    Ok(Some((follow, sink)))
}

/// The stream is another one than the file has bytes of: the file as well, from now on.
async fn begin_anew(
    fetch: &Fetch,
    manner: Manner,
    path: &Path,
    why: &FetchError,
) -> Result<(Follow, FileSink), CopyError> {
    warn!("{why}; {} is begun anew", path.display());
    let follow = fetch.clone().open(manner, None).await?;
    let sink = FileSink::create(path, &fetch.url, follow.etag())?;
    Ok((follow, sink))
}

/// Pieces into the file, and a note of them every now and then.
async fn fill(
    follow: &mut Follow,
    sink: &mut FileSink,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) -> Result<End, CopyError> {
    let mut due = Instant::now() + limits::HAVE_SAVE;
    loop {
        let piece = {
            let next = follow.next();
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(End::Interrupted),
                    () = sleep_until(due), if sink.is_dirty() => {
                        sink.save().await?;
                        due = Instant::now() + limits::HAVE_SAVE;
                    }
                    () = progress.tick() => {}
                    piece = &mut next => break piece?,
                }
            }
        };
        let Some(piece) = piece else {
            return Ok(if follow.assembly().is_whole() { End::Complete } else { End::Holes });
        };
        sink.write(&piece)?;
        sink.know_total(follow.assembly().total());
        progress.note(&piece, follow);
    }
}
