//! Where a stream's bytes come from, in one face for the loop that posts them.
//!
//! ```text
//!   file, file in a loop ──▶ paced ─────────────┐
//!   pipe, any reader ─┬──▶ copy on disk ────────┼──▶ have, read, captured, grown
//!   encoder ──────────┤                         │
//!   test card ────────┴──▶ window in memory ────┘
//! ```

mod capture;
mod drawn;
mod encoded;
mod file;
mod folder;
mod marks;
mod stdin;
mod window;

use std::{io, path::PathBuf, sync::Arc, time::SystemTime};

use bytes::Bytes;
use freshet_protocol::{ByteRange, ETag, Stamp};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

pub use folder::{Folder, FolderEntry, FolderError, LeftOut, walk};

use self::{capture::Capture, drawn::Drawn, encoded::Encoded, file::PacedFile};
use crate::{
    copy::CopyError,
    encoder::{Encoder, EncoderError},
    pace::Rate,
    probe::ProbeError,
    reply::View,
    resume::Have,
    target::Target,
    testcard::{TestCard, TestCardError},
};

/// The bytes of one stream.
#[derive(Debug)]
pub struct Source(Kind);

#[derive(Debug)]
enum Kind {
    File(PacedFile),
    Capture(Capture),
}

/// Where a capture is kept until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In this directory: everything, for good.
    Disk(PathBuf),
    /// In memory: only what is not acknowledged yet, at most 16 MiB; then the source waits.
    Memory,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Reading or capturing failed.
    #[error("cannot read {what}")]
    Read {
        /// File or pipe.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A loop over nothing.
    #[error("{} is empty and cannot be looped", path.display())]
    EmptyLoop {
        /// Which file.
        path: PathBuf,
    },
    /// Not a file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// The bit rate was not found.
    #[error("the bit rate of {} is not to be found; give --rate in bytes per second", path.display())]
    Rate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ProbeError,
    },
    /// The copy cannot be used.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A finished copy, and a pipe that has more.
    #[error(
        "the copy {} is of a stream that is finished, and there are new bytes to capture; \
         give another --copy or another name, or move the old copy away", path.display()
    )]
    Finished {
        /// The copy's media file.
        path: PathBuf,
    },
    /// The encoder ended, and starting it again does not help.
    #[error(transparent)]
    Encoder(Arc<EncoderError>),
    /// The test card cannot be drawn or encoded.
    #[error(transparent)]
    TestCard(Arc<TestCardError>),
    /// The capture was dropped before its end.
    #[error("the capture stopped without saying why")]
    Stopped,
}

impl Source {
    /// A file, released at `rate`; in a loop it never ends. Looks for its bit rate where `rate` is
    /// [`Rate::Real`].
    ///
    /// # Errors
    ///
    /// It is no file, cannot be read, is empty and to be looped, or has no bit rate.
    pub async fn file(
        path: impl Into<PathBuf>,
        rate: Rate,
        looped: bool,
    ) -> Result<Self, SourceError> {
        let path = path.into();
        let opened = blocking(move || PacedFile::open(path, rate, looped)).await?;
        Ok(Self(Kind::File(opened?)))
    }

    /// Standard input, captured for `target`. Reading begins when the push runs.
    ///
    /// # Errors
    ///
    /// The copy cannot be used.
    pub async fn stdin(target: &Target, keep: Keep) -> Result<Self, SourceError> {
        Ok(Self(Kind::Capture(Capture::stdin(target, keep).await?)))
    }

    /// Whatever `reader` gives, captured for `target`. Reading begins when the push runs.
    ///
    /// # Errors
    ///
    /// The copy cannot be used.
    pub async fn reader<R>(target: &Target, keep: Keep, reader: R) -> Result<Self, SourceError>
    where
        R: tokio::io::AsyncRead + Send + Unpin + 'static,
    {
        Ok(Self(Kind::Capture(Capture::reader(target, keep, Box::new(reader)).await?)))
    }

    /// What `encoder` gives, captured for `target`: started when the push runs, again whenever it
    /// dies, and ended by `stop`; the stream is complete then.
    ///
    /// # Errors
    ///
    /// The copy cannot be used.
    pub async fn encoder(
        target: &Target,
        keep: Keep,
        encoder: Encoder,
        stop: CancellationToken,
    ) -> Result<Self, SourceError> {
        let encoded = Encoded { encoder, stop };
        Ok(Self(Kind::Capture(Capture::encoder(target, keep, encoded).await?)))
    }

    /// A test card for `target`, kept in memory until it is acknowledged: drawn when the push runs, and
    /// ended by `stop`; the stream is complete then.
    ///
    /// # Errors
    ///
    /// It cannot be drawn in this size.
    pub async fn test_card(
        target: &Target,
        card: TestCard,
        stop: CancellationToken,
    ) -> Result<Self, SourceError> {
        card.check().map_err(|error| SourceError::TestCard(Arc::new(error)))?;
        Ok(Self(Kind::Capture(Capture::card(target, Drawn { card, stop }).await?)))
    }

    /// The token that names this source at a distributor, in every run of it on this machine.
    #[must_use]
    pub fn origin_id(&self, target: &Target) -> String {
        match &self.0 {
            Kind::File(file) => file.origin_id(target),
            Kind::Capture(capture) => capture.origin_id(),
        }
    }

    /// Begin to capture. What runs ends with `tasks`.
    pub(crate) async fn begin(&mut self, tasks: &mut JoinSet<()>) -> Result<(), SourceError> {
        match &mut self.0 {
            Kind::File(_) => Ok(()),
            Kind::Capture(capture) => capture.begin(tasks).await,
        }
    }

    /// The incarnation that these bytes were posted to before.
    pub(crate) fn etag(&self) -> Option<ETag> {
        match &self.0 {
            Kind::File(_) => None,
            Kind::Capture(capture) => capture.etag(),
        }
    }

    /// These bytes are posted to this incarnation from now on.
    pub(crate) async fn remember(&self, etag: &ETag) -> Result<(), SourceError> {
        match &self.0 {
            Kind::File(_) => Ok(()),
            Kind::Capture(capture) => capture.remember(etag.clone()).await,
        }
    }

    /// An incarnation is met for the first time: what it holds is counted as released.
    pub(crate) fn meet(&mut self, view: &View, now: Instant) {
        match &mut self.0 {
            Kind::File(file) => file.meet(view, now),
            Kind::Capture(capture) => capture.meet(view),
        }
    }

    /// What is acknowledged need not be kept in memory.
    pub(crate) fn release(&self, view: &View) {
        if let Kind::Capture(capture) = &self.0 {
            capture.release(view);
        }
    }

    /// What there is at `now`.
    pub(crate) fn have(&self, now: Instant) -> Have {
        match &self.0 {
            Kind::File(file) => file.have(now),
            Kind::Capture(capture) => capture.have(),
        }
    }

    /// Wait until there is more than `have`, or the end is known.
    ///
    /// Cancel safe.
    pub(crate) async fn grown(&mut self, have: Have) -> Result<(), SourceError> {
        match &mut self.0 {
            Kind::File(file) => {
                file.grown(have).await;
                Ok(())
            }
            Kind::Capture(capture) => capture.grown(have).await,
        }
    }

    /// The end is delivered: did the source end well?
    pub(crate) fn ended(&self) -> Result<(), SourceError> {
        match &self.0 {
            Kind::File(_) => Ok(()),
            Kind::Capture(capture) => capture.ended(),
        }
    }

    /// The bytes of `range`, all of which are there.
    pub(crate) async fn read(&self, range: ByteRange) -> Result<Bytes, SourceError> {
        match &self.0 {
            Kind::File(file) => file.read(range).await,
            Kind::Capture(capture) => capture.read(range).await,
        }
    }

    /// When the byte at `offset` was captured, where that is known.
    pub(crate) fn captured(&self, offset: u64, now: Instant) -> Option<Stamp> {
        match &self.0 {
            Kind::File(file) => {
                SystemTime::now().checked_sub(file.age(offset, now)).map(Into::into)
            }
            Kind::Capture(capture) => capture.captured(offset),
        }
    }
}

/// Run what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SourceError::Stopped)
}
