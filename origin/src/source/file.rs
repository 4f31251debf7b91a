//! A file as a source: released at a pace, once or round and round.
//!
//! In a loop the byte at offset O is the file's byte O modulo its length, so offsets go on for ever and a
//! restart finds its place without remembering anything.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use freshet_protocol::{ByteRange, limits::OFFSET_END_MAX};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::{SourceError, blocking};
use crate::{
    pace::{Pace, Rate},
    probe,
    reply::View,
    resume::Have,
    target::Target,
};

#[derive(Debug)]
pub(super) struct PacedFile {
    path: PathBuf,
    file: Arc<File>,
    len: u64,
    looped: bool,
    rate: Option<u64>,
    pace: Pace,
}

impl PacedFile {
    /// Blocks. The length is what it is now: a file that grows meanwhile is posted as far as this.
    pub(super) fn open(path: PathBuf, rate: Rate, looped: bool) -> Result<Self, SourceError> {
        let file = File::open(&path).map_err(unreadable(&path))?;
        let metadata = file.metadata().map_err(unreadable(&path))?;
        if !metadata.is_file() {
            return Err(SourceError::NotAFile { path });
        }
        let len = metadata.len();
        if looped && len == 0 {
            return Err(SourceError::EmptyLoop { path });
        }
        let rate = match rate {
            Rate::Max => None,
            Rate::Bytes(rate) => Some(rate),
            Rate::Real if len == 0 => None,
            Rate::Real => Some(
                probe::bytes_per_second(&path)
                    .map_err(|source| SourceError::Rate { path: path.clone(), source })?,
            ),
        };
        let pace = Pace::new(rate, 0, Instant::now());
        Ok(Self { path, file: Arc::new(file), len, looped, rate, pace })
    }

    /// The same for the same file to the same place, so that a restart takes its own lease over; no
    /// secret, and says nothing of the path to whoever sees it.
    pub(super) fn origin_id(&self, target: &Target) -> String {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut digest = Sha256::new();
        digest.update(rustix::system::uname().nodename().to_bytes());
        for part in [path.as_os_str().as_encoded_bytes(), target.to_string().as_bytes()] {
            digest.update([0]);
            digest.update(part);
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn meet(&mut self, view: &View, now: Instant) {
        let released = view.held.end().max(view.retained_from);
        self.pace = Pace::new(self.rate, released, now);
    }

    pub(super) fn have(&self, now: Instant) -> Have {
        let (limit, total) =
            if self.looped { (OFFSET_END_MAX, None) } else { (self.len, Some(self.len)) };
        Have { floor: 0, start: 0, end: self.pace.released(now).min(limit), total }
    }

    pub(super) async fn grown(&self, have: Have) {
        sleep(self.pace.wait(Instant::now(), have.end.saturating_add(1))).await;
    }

    pub(super) fn age(&self, offset: u64, now: Instant) -> Duration {
        self.pace.age(now, offset)
    }

    pub(super) async fn read(&self, range: ByteRange) -> Result<Bytes, SourceError> {
        let (file, len) = (Arc::clone(&self.file), self.len);
        let read = blocking(move || read_round(&file, len, range)).await?;
        read.map_err(unreadable(&self.path))
    }
}

/// The bytes of `range`, as if the file of `len` bytes stood behind itself again and again.
fn read_round(file: &File, len: u64, range: ByteRange) -> io::Result<Bytes> {
    let bytes = usize::try_from(range.len()).map_err(io::Error::other)?;
    let mut buffer = vec![0; bytes];
    let (mut rest, mut at) = (buffer.as_mut_slice(), range.start());
    while !rest.is_empty() {
        let within = at % len;
        let here = usize::try_from(len - within).unwrap_or(usize::MAX).min(rest.len());
        let (now, later) = rest.split_at_mut(here);
        file.read_exact_at(now, within)?;
        at += here as u64;
        rest = later;
    }
    Ok(buffer.into())
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let what = path.display().to_string();
    |source| SourceError::Read { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_goes_round_within_one_chunk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("five");
        std::fs::write(&path, b"01234").unwrap();
        let file = File::open(path).unwrap();

        let range = ByteRange::new(8, 21).unwrap();

        assert_eq!(read_round(&file, 5, range).unwrap(), "3401234012340");
    }

    #[test]
    fn a_loop_has_no_end_and_a_file_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("five");
        std::fs::write(&path, b"01234").unwrap();
        let have = |looped| {
            let file = PacedFile::open(path.clone(), Rate::Max, looped).unwrap();
            file.have(Instant::now())
        };
        assert_eq!((have(false).end, have(false).total), (5, Some(5)));
        assert_eq!((have(true).end, have(true).total), (OFFSET_END_MAX, None));
    }

    #[test]
    fn the_id_is_the_files_and_the_targets() {
        let dir = tempfile::tempdir().unwrap();
        let id = |file: &str, url: &str| {
            let path = dir.path().join(file);
            std::fs::write(&path, b"x").unwrap();
            let source = PacedFile::open(path, Rate::Max, false).unwrap();
            source.origin_id(&url.parse().unwrap())
        };
        assert_eq!(id("a", "http://h/live/a"), id("a", "http://h/live/a"));
        assert_ne!(id("a", "http://h/live/a"), id("b", "http://h/live/a"));
        assert_ne!(id("a", "http://h/live/a"), id("a", "http://h/live/b"));
    }

    #[test]
    fn what_cannot_be_a_source_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str, rate, looped| {
            PacedFile::open(dir.path().join(name), rate, looped).unwrap_err()
        };
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        std::fs::write(dir.path().join("text"), b"no media at all").unwrap();
        assert!(matches!(open("absent", Rate::Max, false), SourceError::Read { .. }));
        assert!(matches!(open(".", Rate::Max, false), SourceError::NotAFile { .. }));
        assert!(matches!(open("empty", Rate::Max, true), SourceError::EmptyLoop { .. }));
        assert!(open("text", Rate::Real, false).to_string().contains("give --rate"));
    }
}
