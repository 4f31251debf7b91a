//! The floor's disk copy: what a relay pays the kernel for keeping what it relays.
//!
//! ```text
//!   pieces ──▶ 1 MiB, one write ──▶ on its way to the disk ──▶ 16 MiB: synced ──▶ 64 MiB later: its memory is let go
//! ```
//!
//! One thread, and nothing that a copy could do without: no checksum, no index, nothing that is read again. It asks the
//! system for its disk's room and for its own memory back, as the distributor does for what comes this fast.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, IoSlice},
    mem,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
};

use bytes::Bytes;
use rustix::{
    fs::{Advice, FallocateFlags, fadvise, fallocate},
    io::{pwritev, retry_on_intr},
};

use super::shared::{Shared, Stream};
use crate::limits::{COPY_FILE_BYTES, COPY_FILES_REMEMBERED, COPY_WRITE_BYTES};

/// What the thread is given: bytes of a stream, in their order; none at its end.
pub(super) type Copied = (Arc<Stream>, Bytes);

/// Keep what comes in `folder`, and tell `shared` what waits no longer, until nobody sends any more.
///
/// # Errors
///
/// The disk takes no more.
pub(super) fn keep(folder: &Path, inbox: &Receiver<Copied>, shared: &Shared) -> io::Result<()> {
    let mut copies = HashMap::new();
    while let Ok((stream, piece)) = inbox.recv() {
        let new = || Copy::new(folder.join(stream.number.to_string()));
        let copy = copies.entry(stream.number).or_insert_with(new);
        let bytes = piece.len();
        if bytes == 0 {
            copy.end()?;
        }
        copy.put(piece)?;
        shared.room(&stream, bytes);
    }
    Ok(())
}

/// The copy of one stream.
#[derive(Debug)]
struct Copy {
    /// Of its files' names; the rest is the place of the first byte.
    path: PathBuf,
    file: Option<File>,
    /// Bytes that were written.
    at: u64,
    /// The next write.
    pieces: Vec<Bytes>,
    waiting: usize,
    /// Files whose bytes the system has in memory.
    remembered: VecDeque<File>,
}

impl Copy {
    fn new(path: PathBuf) -> Self {
        let (pieces, remembered) = (Vec::new(), VecDeque::new());
        Self { path, file: None, at: 0, pieces, waiting: 0, remembered }
    }

    fn put(&mut self, mut piece: Bytes) -> io::Result<()> {
        while !piece.is_empty() {
            let some = piece.split_to(piece.len().min(COPY_WRITE_BYTES - self.waiting));
            self.waiting += some.len();
            self.pieces.push(some);
            if self.waiting == COPY_WRITE_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// There is no more.
    fn end(&mut self) -> io::Result<()> {
        if self.waiting > 0 {
            self.write()?;
        }
        self.file.take().map_or(Ok(()), |file| file.sync_data())
    }

    fn write(&mut self) -> io::Result<()> {
        let file = self.file.take().map_or_else(|| self.next_file(), Ok)?;
        let (from, bytes) = (self.at % COPY_FILE_BYTES, self.waiting as u64);
        write_all(&file, &mem::take(&mut self.pieces), from)?;
        forget(&file, from, bytes);
        self.waiting = 0;
        self.at += bytes;
        if self.at.is_multiple_of(COPY_FILE_BYTES) {
            file.sync_data()?;
            self.remember(file);
        } else {
            self.file = Some(file);
        }
        Ok(())
    }

    fn next_file(&self) -> io::Result<File> {
        let file = File::create(self.path.with_extension(format!("{:020}", self.at)))?;
        // A file system that does not know how finds room with each write.
        let _ = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, COPY_FILE_BYTES);
        Ok(file)
    }

    fn remember(&mut self, file: File) {
        self.remembered.push_back(file);
        if self.remembered.len() > COPY_FILES_REMEMBERED
            && let Some(oldest) = self.remembered.pop_front()
        {
            forget(&oldest, 0, COPY_FILE_BYTES);
        }
    }
}

fn write_all(file: &File, pieces: &[Bytes], mut at: u64) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match retry_on_intr(|| pwritev(file, rest, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            some => {
                at += some as u64;
                IoSlice::advance_slices(&mut rest, some);
            }
        }
    }
    Ok(())
}

/// To the disk with it, and out of memory what is there.
fn forget(file: &File, from: u64, bytes: u64) {
    // A hint: without it more memory is used.
    let _ = fadvise(file, from, NonZeroU64::new(bytes), Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: usize = 16 << 20;

    #[test]
    fn the_files_one_after_the_other_are_the_stream() {
        is_kept(FILE + COPY_WRITE_BYTES + 12_345, 2);
    }

    #[test]
    fn a_stream_that_fills_its_file_has_no_other() {
        is_kept(FILE, 1);
    }

    fn is_kept(length: usize, file_count: usize) {
        let folder = tempfile::TempDir::new().unwrap();
        let stream: Bytes = (0..length).map(|at| (at % 251) as u8).collect();
        let mut copy = Copy::new(folder.path().join("7"));
        for piece in stream.chunks(77_777) {
            copy.put(Bytes::copy_from_slice(piece)).unwrap();
        }
        copy.end().unwrap();

        let files = fs::read_dir(folder.path()).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert_eq!(paths.len(), file_count);
        assert!(paths.iter().flat_map(|path| fs::read(path).unwrap()).eq(stream));
    }
}
