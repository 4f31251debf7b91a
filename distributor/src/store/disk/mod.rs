//! The disk, behind the narrowest interface that lets a simulated one stand in.
//!
//! All calls but `read_cached` block; they are made by the store's own threads, never by the runtime's. A write that
//! returned is what `kill -9` leaves behind; only what was synced survives a loss of power.

mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::{fmt, io, os::fd::AsFd, path::Path, sync::Arc, time::SystemTime};

pub(crate) use real::RealDisk;

use crate::rope::Rope;

/// A file system: folders, names, and what makes them durable.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Make a folder and its parents.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder. Entries that are no UTF-8 are not ours and left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Open a file: for reading only, or for both, created where it is missing.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Give a file or folder a new name, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Remove a file; that it is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Remove a folder with all that is in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Make the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes that are free for us.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Keep other processes out for as long as the result lives.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// Holds a folder for one process until it is dropped.
pub(crate) trait DiskLock: fmt::Debug + Send + Sync {}

/// An open file, read and written at offsets.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// Read until `buffer` is full or the file ends; how much that was.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Fill `buffer` with what the system has in memory anyway; false where it would have to wait for
    /// the disk, or cannot tell.
    fn read_cached(&self, _buffer: &mut [u8], _at: u64) -> io::Result<bool> {
        Ok(false)
    }
    /// What the kernel knows it by, where that can send its bytes by itself (`sendfile(2)`).
    fn descriptor(self: Arc<Self>) -> Option<Arc<dyn AsFd + Send + Sync>> {
        None
    }
    /// Write all of `bytes`; on error any part of it may have been written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// The same of bytes that are in several pieces.
    fn write_rope_at(&self, rope: &Rope, mut at: u64) -> io::Result<()> {
        for piece in rope.iter() {
            self.write_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
    /// Nobody is expected to read these bytes soon: the system begins to bring them to the disk, and forgets
    /// those that are there already. A hint, on which nothing else depends.
    fn let_go(&self, _at: u64, _len: u64) {}
    /// So much will be written soon: find room for all of it at once, rather than with each write. The file's
    /// length is as it was. A hint, on which nothing else depends; [`set_len`](Self::set_len) gives back what was
    /// not used.
    fn reserve(&self, _len: u64) {}
    /// Cut the file, or extend it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// How long the file is.
    fn len(&self) -> io::Result<u64>;
    /// When it was written last.
    fn modified(&self) -> io::Result<SystemTime>;
    /// Make its bytes durable. An error is final for all that was written since the last success:
    /// the kernel may have dropped those pages and will not try again.
    fn sync(&self) -> io::Result<()>;
}

/// All of a file, up to `max` bytes.
pub(crate) fn read_all(file: &dyn DiskFile, max: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?.min(max)).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Put `bytes` at `path` whole or not at all: write beside it, then rename over it. With `durable`
/// it is there after a loss of power, too.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let file = disk.open(&beside, true)?;
    file.set_len(0)?;
    file.write_at(bytes, 0)?;
    if durable {
        file.sync()?;
    }
    disk.rename(&beside, path)?;
    match path.parent() {
        Some(folder) if durable => disk.sync_dir(folder),
        _ => Ok(()),
    }
}
