//! A file with holes, and its `.have` beside it.
//!
//! ```text
//!   piece ──pwrite──▶ FILE ──(four times a second) fdatasync──▶ FILE.have.tmp ──rename──▶ FILE.have
//! ```
//!
//! The file itself carries the lock: `FILE.have` is a new inode after each rename, and two
//! processes could hold the locks of two of them.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use freshet_protocol::{ByteRange, ETag, Held};
use rustix::fs::{FlockOperation, flock};
use tokio::task::spawn_blocking;

use crate::{
    assemble::Assembly,
    fetch::Resume,
    have_file::{self, Have, HaveError},
    piece::Piece,
    url::StreamUrl,
};

/// What to do with a file that is there and is no part of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone, and say so.
    #[default]
    Keep,
    /// Empty it.
    Replace,
}

/// Why a file cannot be filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The system says no.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A folder, a pipe, a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Another consumer fills it.
    #[error("{} is being filled by another consumer", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// It has bytes, and nothing says where they come from.
    #[error("{} is there already and has no {} that says what is in it", path.display(), have_file::beside(path).display())]
    NotOurs {
        /// Which.
        path: PathBuf,
    },
    /// It has bytes, and what says where they come from is damaged.
    #[error("{} cannot be used", have_file::beside(path).display())]
    Have {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: HaveError,
    },
}

/// A file that fills in place. Locked while it lives.
#[derive(Debug)]
pub(crate) struct FileSink {
    file: Arc<File>,
    path: PathBuf,
    have: Have,
    /// Bytes were written that no `.have` speaks of yet.
    dirty: bool,
}

impl FileSink {
    /// The file of an earlier run; `None` where there is none, or nothing in it that counts.
    pub(crate) fn find(path: &Path, existing: Existing) -> Result<Option<Self>, SinkError> {
        let fail = |what| move |source| SinkError::Io { what, path: path.into(), source };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("open")(error)),
        };
        lock(&file, path)?;
        let length = file.metadata().map_err(fail("look at"))?.len();
        let have = match Have::load(&have_file::beside(path)).map_err(fail("read what is in"))? {
            _ if length == 0 => return Ok(None),
            Some(Ok(have)) => have,
            _ if existing == Existing::Replace => return Ok(None),
            Some(Err(source)) => return Err(SinkError::Have { path: path.into(), source }),
            None => return Err(SinkError::NotOurs { path: path.into() }),
        };
        let mut sink = Self { file: Arc::new(file), path: path.into(), have, dirty: false };
        sink.believe(length);
        Ok(Some(sink))
    }

    /// Somebody may have cut the file since: what it is too short for is not in it.
    fn believe(&mut self, length: u64) {
        let set = &mut self.have.held.set;
        if let Some(beyond) = ByteRange::new(length, set.end()) {
            tracing::warn!("{} was cut to {length} bytes since", self.path.display());
            set.remove(beyond);
        }
    }

    /// An empty file for the incarnation `etag`, whatever was there before.
    pub(crate) fn create(path: &Path, url: &StreamUrl, etag: &ETag) -> Result<Self, SinkError> {
        let fail = |what| move |source| SinkError::Io { what, path: path.into(), source };
        let mut options = OpenOptions::new();
        // Not truncated before it is locked: another consumer may be filling it.
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(fail("create"))?;
        lock(&file, path)?;
        file.set_len(0).map_err(fail("empty"))?;
        let have = Have { url: url.to_string(), etag: etag.clone(), held: Held::default() };
        have.store(&have_file::beside(path)).map_err(fail("note what is in"))?;
        Ok(Self { file: Arc::new(file), path: path.into(), have, dirty: false })
    }

    /// What it has of which incarnation.
    pub(crate) fn resume(&self) -> Resume {
        Resume { etag: self.have.etag.clone(), held: self.have.held.clone() }
    }

    /// What it has, as a [`Follow`](crate::Follow) knows it.
    pub(crate) fn assembly(&self) -> Assembly {
        Assembly::resume(self.have.held.clone())
    }

    /// Put a piece into its place. Blocks no longer than it takes to copy it into the page cache.
    pub(crate) fn write(&mut self, piece: &Piece) -> Result<(), SinkError> {
        let fail = |source| SinkError::Io { what: "write to", path: self.path.clone(), source };
        self.file.write_all_at(&piece.bytes, piece.offset).map_err(fail)?;
        if let Some(range) = ByteRange::new(piece.offset, piece.end()) {
            self.have.held.set.insert(range);
        }
        self.dirty = true;
        Ok(())
    }

    /// The complete length is known.
    pub(crate) fn know_total(&mut self, total: Option<u64>) {
        self.dirty |= self.have.held.total != total;
        self.have.held.total = total;
    }

    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Note what the file has, once the file has it.
    pub(crate) async fn save(&mut self) -> Result<(), SinkError> {
        let (file, have, path) = (self.file.clone(), self.have.clone(), self.path.clone());
        let saved = spawn_blocking(move || {
            file.sync_data()?;
            have.store(&have_file::beside(&path))
        });
        let fail = |source| SinkError::Io { what: "save", path: self.path.clone(), source };
        saved.await.map_err(|error| fail(error.into()))?.map_err(fail)?;
        self.dirty = false;
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), SinkError> {
    let path = || path.to_path_buf();
    let fail = |what| move |source| SinkError::Io { what, path: path(), source };
    if !file.metadata().map_err(fail("look at"))?.is_file() {
        return Err(SinkError::NotAFile { path: path() });
    }
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(SinkError::Busy { path: path() })
        }
        Err(error) => Err(fail("lock")(error.into())),
    }
}
