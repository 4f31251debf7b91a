//! The disk of this machine. Symbolic links are never followed to a file of ours.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    },
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::{FlockOperation, OFlags, flock, statvfs};
#[cfg(target_os = "linux")]
use rustix::{
    fs::{Advice, FallocateFlags, fadvise, fallocate},
    io::{Errno, ReadWriteFlags, preadv2, pwritev, retry_on_intr},
};

use super::{Disk, DiskFile, DiskLock};
#[cfg(target_os = "linux")]
use crate::{limits::SLICES_MAX, rope::Rope};

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct RealDisk;

#[derive(Debug)]
struct Locked(#[allow(dead_code, reason = "the lock lives as long as its descriptor")] File);

impl DiskLock for Locked {}

fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        no_follow(options.read(true).write(write).create(write));
        Ok(Arc::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        let file = no_follow(options.read(true).write(true).create(true)).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(Locked(file)))
    }
}

impl DiskFile for File {
    fn read_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buffer.is_empty() {
            match FileExt::read_at(self, buffer, at) {
                Ok(0) => break,
                Ok(read) => {
                    total += read;
                    at += read as u64;
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    #[cfg(target_os = "linux")]
    fn read_cached(&self, buffer: &mut [u8], at: u64) -> io::Result<bool> {
        let length = buffer.len();
        let mut slices = [io::IoSliceMut::new(buffer)];
        match retry_on_intr(|| preadv2(self, &mut slices, at, ReadWriteFlags::NOWAIT)) {
            Ok(read) => Ok(read == length),
            // Not in memory, or a file system that does not know.
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn descriptor(self: Arc<Self>) -> Option<Arc<dyn AsFd + Send + Sync>> {
        Some(self)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    #[cfg(target_os = "linux")]
    fn write_rope_at(&self, rope: &Rope, at: u64) -> io::Result<()> {
        let mut written = 0;
        while written < rope.len() {
            let slices = rope.slices(written, SLICES_MAX);
            match retry_on_intr(|| pwritev(self, &slices, at + written as u64))? {
                0 => return Err(ErrorKind::WriteZero.into()),
                some => written += some,
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn let_go(&self, at: u64, len: u64) {
        // A file system that does not take the hint does as it did.
        let _ = fadvise(self, at, std::num::NonZeroU64::new(len), Advice::DontNeed);
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, len: u64) {
        // A file system that cannot finds room as it did.
        let _ = fallocate(self, FallocateFlags::KEEP_SIZE, 0, len);
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.metadata()?.modified()
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_rope_of_more_pieces_than_one_call_takes_is_written_as_a_whole() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = RealDisk.open(&folder.path().join("x"), true).unwrap();
        let bytes: Vec<u8> = (0..SLICES_MAX * 5).map(|at| (at % 251) as u8).collect();
        let rope: Rope = bytes.chunks(2).map(Bytes::copy_from_slice).collect();
        file.write_rope_at(&rope, 3).unwrap();

        let mut read = vec![0; bytes.len() + 4];
        assert_eq!(file.read_at(&mut read, 3).unwrap(), bytes.len());
        assert_eq!(read[..bytes.len()], bytes);
    }

    #[test]
    fn what_was_just_written_is_there_without_waiting_and_what_is_behind_the_end_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = RealDisk.open(&folder.path().join("x"), true).unwrap();
        file.write_at(b"0123456789", 0).unwrap();

        let mut buffer = [0; 4];
        // Not every file system can tell.
        if file.read_cached(&mut buffer, 3).unwrap() {
            assert_eq!(&buffer, b"3456");
        }
        assert!(!file.read_cached(&mut buffer, 7).unwrap());
    }
}
