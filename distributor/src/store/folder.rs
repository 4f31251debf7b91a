//! The data directory: who may use it, which streams are in it, and which number is next.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, DiskLock, read_all, replace},
    limits,
    manifest::Manifest,
    place::Place,
};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another distributor: stop that one, or choose another --data")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot use {path} as --data: {source}")]
    Io {
        /// The directory, or what is in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `--durability` promises what cannot be kept without a disk copy.
    #[error("durability os or disk needs a data directory: name one with --data, or choose memory")]
    NoData,
    /// A segment size that makes no sense.
    #[error(
        "segments of {given} bytes are too small, at least {} are needed",
        limits::SEGMENT_BYTES_MIN
    )]
    SegmentBytes {
        /// The size asked for.
        given: u64,
    },
}

/// A data directory that is ours.
#[derive(Debug)]
pub(super) struct DataFolder {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) data: PathBuf,
    /// Held for as long as the store lives.
    _lock: Box<dyn DiskLock>,
}

impl DataFolder {
    pub(super) fn open(disk: Arc<dyn Disk>, data: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: data.into(), source };
        disk.create_dir(&data.join("streams")).map_err(failed)?;
        let lock = disk.lock(&data.join("lock")).map_err(|source| match source.kind() {
            ErrorKind::WouldBlock => OpenError::InUse { path: data.into() },
            _ => failed(source),
        })?;
        Ok(Self { disk, data: data.into(), _lock: lock })
    }

    pub(super) fn place(&self, manifest: &Manifest) -> Place {
        let folder = self.data.join("streams").join(manifest.id.to_string());
        Place::new(Arc::clone(&self.disk), folder, manifest.salt, manifest.segment_bytes)
    }

    /// The manifests of all streams. Folders without one that can be read are left alone, and
    /// reported.
    pub(super) fn manifests(&self) -> Result<Vec<Manifest>, OpenError> {
        let folder = self.data.join("streams");
        let failed = |source| OpenError::Io { path: folder.clone(), source };
        let mut found = Vec::new();
        for name in self.disk.list(&folder).map_err(failed)? {
            let path = folder.join(&name);
            if name.ends_with(".trash") {
                self.disk.remove_dir(&path).map_err(failed)?;
            } else if name.parse::<u64>().is_ok() {
                found.extend(self.manifest(&path));
            }
        }
        Ok(found)
    }

    pub(super) fn manifest(&self, folder: &Path) -> Option<Manifest> {
        let disk = self.disk.as_ref();
        match Manifest::read(disk, folder) {
            Ok(manifest) => {
                if Manifest::needs_repair(disk, folder) {
                    let repaired = manifest.write(disk, folder, true);
                    tracing::warn!(folder = %folder.display(), ?repaired, "manifest mended");
                }
                Some(manifest)
            }
            Err(error) => {
                tracing::error!(folder = %folder.display(), %error, "stream left alone");
                None
            }
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        let file = self.disk.open(&self.data.join("next-id"), false);
        let text = file.and_then(|file| read_all(file.as_ref(), 64)).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().parse().unwrap_or(1)
    }

    pub(super) fn keep_next_id(&self, next: u64) -> io::Result<()> {
        let text = format!("{next}\n");
        replace(self.disk.as_ref(), &self.data.join("next-id"), text.as_bytes(), false)
    }
}
