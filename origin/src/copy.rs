//! The origin's own disk copy of what has no file behind it: a plain media file, and beside it the
//! little that is needed to go on after a kill -9.
//!
//! ```text
//!   DIR/cam.ts          the bytes, in order, nothing else; its length is how far the capture came
//!   DIR/.cam.ts.json    which stream, which incarnation, under which id, and where it ended
//!   DIR/.cam.ts.lock    held while an origin uses the copy
//! ```
//!
//! The length is never doubted: bytes are appended by one writer and nothing is ever cut off, so a
//! write that was torn by a kill is merely shorter, and the pipe goes on after what is there. From a
//! pipe the bytes move into the file inside the kernel (`splice`): a kill -9 finds each byte in the
//! pipe or in the file, never in a buffer of ours. Nothing is synced: a power cut is not covered.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};

use freshet_protocol::{ETag, StreamName};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    limits::{DISK_FULL_PAUSE, LOCK_WAIT},
    target::Target,
};

/// A copy on disk, open and locked.
#[derive(Debug)]
pub(crate) struct Copy {
    media: File,
    media_path: PathBuf,
    state_path: PathBuf,
    state: Mutex<State>,
    _lock: File,
}

/// What is remembered beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    stream: String,
    origin_id: String,
    etag: Option<ETag>,
    total: Option<u64>,
}

/// Why a copy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The URL names no stream.
    #[error("the URL names no stream")]
    NoName,
    /// The file system says no.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another origin uses it.
    #[error("the copy in {} is in use by another origin", dir.display())]
    InUse {
        /// Its directory.
        dir: PathBuf,
    },
    /// Its state is no state.
    #[error("{} is damaged; move it and the copy away", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It belongs to another stream.
    #[error("the copy in {} is of {stream}; give another --copy", dir.display())]
    OtherStream {
        /// Its directory.
        dir: PathBuf,
        /// The stream it is of.
        stream: String,
    },
    /// A finished copy without its last bytes.
    #[error("{} has {len} bytes, but was finished at {total}", path.display())]
    Short {
        /// Which file.
        path: PathBuf,
        /// Its length.
        len: u64,
        /// The length it was finished at.
        total: u64,
    },
}

impl Copy {
    /// Open the copy of `target` in `dir`, or begin one. Blocks: up to two seconds on the lock.
    pub(crate) fn open(dir: &Path, target: &Target) -> Result<Self, CopyError> {
        let name = target.name().ok_or(CopyError::NoName)?;
        let leaf = name.as_str().rsplit('/').next().unwrap_or_default();
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = lock(dir, &dir.join(format!(".{leaf}.lock")))?;
        let media_path = dir.join(leaf);
        let media = open_media(&media_path).map_err(at(&media_path))?;
        let len = media.metadata().map_err(at(&media_path))?.len();
        let state_path = dir.join(format!(".{leaf}.json"));
        let state = recall(dir, &state_path, target, name)?;
        if let Some(total) = state.total.filter(|&total| total != len) {
            return Err(CopyError::Short { path: media_path, len, total });
        }
        let copy = Self { media, media_path, state_path, state: Mutex::new(state), _lock: lock };
        copy.change(|_| {}).map_err(at(&copy.state_path))?;
        Ok(copy)
    }

    /// The media file.
    pub(crate) fn path(&self) -> &Path {
        &self.media_path
    }

    /// Bytes in it.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.media.metadata()?.len())
    }

    /// How long ago it was begun, where the file system knows.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.media.metadata().ok()?.created().ok()?.elapsed().ok()
    }

    /// Where the stream ended, if it did.
    pub(crate) fn total(&self) -> Option<u64> {
        self.recalled().total
    }

    /// The random token that names the origin of this copy in every run.
    pub(crate) fn origin_id(&self) -> String {
        self.recalled().origin_id
    }

    /// The incarnation that it was last posted to.
    pub(crate) fn etag(&self) -> Option<ETag> {
        self.recalled().etag
    }

    /// Remember the incarnation that it is posted to.
    pub(crate) fn remember(&self, etag: &ETag) -> io::Result<()> {
        self.change(|state| state.etag = Some(etag.clone()))
    }

    /// Remember that the stream ended.
    pub(crate) fn finish(&self, total: u64) -> io::Result<()> {
        self.change(|state| state.total = Some(total))
    }

    /// Put `bytes` at `offset`, the end. On a full disk it waits for room.
    pub(crate) fn append(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.media.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    bytes = bytes.get(written..).unwrap_or_default();
                }
                Err(error) => wait_for_room(error)?,
            }
        }
        Ok(())
    }

    /// Move at most `max` bytes from a pipe to `offset`, the end; 0 at the pipe's end. Blocks until
    /// there are some. `Unsupported` where the source is no pipe.
    #[cfg(target_os = "linux")]
    pub(crate) fn splice(&self, pipe: impl AsFd, offset: u64, max: usize) -> io::Result<usize> {
        use rustix::pipe::{SpliceFlags, splice};
        loop {
            let mut to = offset;
            match splice(&pipe, None, &self.media, Some(&mut to), max, SpliceFlags::empty()) {
                Ok(moved) => return Ok(moved),
                Err(rustix::io::Errno::INVAL) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) => wait_for_room(error.into())?,
            }
        }
    }

    /// Not to be had here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn splice(&self, _: impl AsFd, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fill `buffer` from `offset`.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.media.read_exact_at(buffer, offset)
    }

    fn recalled(&self) -> State {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Change the state in memory and on disk: written aside and renamed, so a kill leaves the old
    /// one or the new one.
    fn change(&self, edit: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        edit(&mut state);
        let aside = self.state_path.with_extension("tmp");
        std::fs::write(&aside, serde_json::to_vec_pretty(&*state)?)?;
        std::fs::rename(&aside, &self.state_path)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_path_buf();
    |source| CopyError::Io { path, source }
}

/// Never truncated: what is there is the truth.
fn open_media(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// The lock dies with its process; one that has just been killed may take a moment to be gone.
fn lock(dir: &Path, path: &Path) -> Result<File, CopyError> {
    let file = open_media(path).map_err(at(path))?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                thread::sleep(LOCK_WAIT / 40);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(CopyError::InUse { dir: dir.to_path_buf() });
            }
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
        }
    }
}

/// The state of an earlier run. At another distributor the stream's incarnation is another one.
fn recall(dir: &Path, path: &Path, target: &Target, name: &StreamName) -> Result<State, CopyError> {
    let stream = target.to_string();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let origin_id = format!("{:032x}", rand::rng().random::<u128>());
            return Ok(State { stream, origin_id, etag: None, total: None });
        }
        Err(error) => return Err(at(path)(error)),
    };
    let mut state: State = serde_json::from_slice(&text)
        .map_err(|source| CopyError::State { path: path.to_path_buf(), source })?;
    let earlier: Option<Target> = state.stream.parse().ok();
    if earlier.as_ref().and_then(Target::name) != Some(name) {
        return Err(CopyError::OtherStream { dir: dir.to_path_buf(), stream: state.stream });
    }
    if state.stream != stream {
        (state.stream, state.etag) = (stream, None);
    }
    Ok(state)
}

/// A full disk is waited for: whoever writes into the pipe waits with us, and nothing is lost.
fn wait_for_room(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            tracing::warn!(%error, "no room for the copy, waiting");
            thread::sleep(DISK_FULL_PAUSE);
            Ok(())
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn target(url: &str) -> Target {
        url.parse().unwrap()
    }

    #[test]
    fn a_copy_is_a_plain_file_that_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let to = target("http://h/live/a/cam.ts");
        let copy = Copy::open(dir.path(), &to).unwrap();
        copy.append(0, b"hello ").unwrap();
        copy.remember(&"\"e\"".parse().unwrap()).unwrap();
        let id = copy.origin_id();
        drop(copy);

        let copy = Copy::open(dir.path(), &to).unwrap();
        copy.append(copy.len().unwrap(), b"again").unwrap();

        assert_eq!(std::fs::read(dir.path().join("cam.ts")).unwrap(), b"hello again");
        assert_eq!((copy.origin_id(), copy.etag()), (id, Some("\"e\"".parse().unwrap())));
        assert_eq!(copy.total(), None);
    }

    #[test]
    fn one_origin_at_a_time_uses_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let _copy = Copy::open(dir.path(), &target("http://h/live/a")).unwrap();
        let second = Copy::open(dir.path(), &target("http://h/live/a"));
        assert!(matches!(second, Err(CopyError::InUse { .. })));
    }

    #[test]
    fn a_copy_knows_its_stream() {
        let dir = tempfile::tempdir().unwrap();
        let copy = Copy::open(dir.path(), &target("http://h/live/a/x")).unwrap();
        copy.remember(&"\"e\"".parse().unwrap()).unwrap();
        drop(copy);

        let other = Copy::open(dir.path(), &target("http://h/live/b/x"));
        assert!(matches!(other, Err(CopyError::OtherStream { .. })));
        let moved = Copy::open(dir.path(), &target("http://elsewhere/live/a/x")).unwrap();
        assert_eq!(moved.etag(), None, "another distributor, another incarnation");
    }

    #[test]
    fn a_finished_copy_that_lost_bytes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let to = target("http://h/live/a");
        let copy = Copy::open(dir.path(), &to).unwrap();
        copy.append(0, b"12345").unwrap();
        copy.finish(5).unwrap();
        drop(copy);
        assert_eq!(Copy::open(dir.path(), &to).unwrap().total(), Some(5));

        std::fs::write(dir.path().join("a"), b"123").unwrap();

        let short = Copy::open(dir.path(), &to);
        assert!(matches!(short, Err(CopyError::Short { len: 3, total: 5, .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_flows_into_the_copy_and_anything_else_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let copy = Copy::open(dir.path(), &target("http://h/live/a")).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"from the pipe").unwrap();
        drop(writer);

        let moved = copy.splice(&reader, 0, 4).unwrap();
        let rest = copy.splice(&reader, 4, 1000).unwrap();

        assert_eq!((moved, rest, copy.splice(&reader, 13, 1000).unwrap()), (4, 9, 0));
        assert_eq!(std::fs::read(copy.path()).unwrap(), b"from the pipe");
        let file = File::open(copy.path()).unwrap();
        let error = copy.splice(&file, 13, 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
