//! What is known of a stream beside its bytes: `stream.json`, and a second copy of it.
//!
//! A line of JSON and a line with its CRC-32C. Each copy is replaced whole, one after the other:
//! whatever moment a crash picks, and whichever copy is damaged, the other one is sound.

use std::{io, path::Path};

use freshet_protocol::{ETag, Stamp, StreamName};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, read_all, replace};

/// The format that this program writes. A newer one is refused, never guessed at.
const FORMAT: u32 = 1;

/// The two copies, the one that is written first in front.
const COPIES: [&str; 2] = ["stream.json", "stream-copy.json"];

/// Far more than a manifest ever has.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The stream's number in the catalogue, and the name of its folder.
    pub(crate) id: u64,
    pub(crate) name: StreamName,
    pub(crate) etag: ETag,
    /// Binds journal records to this stream.
    pub(crate) salt: u64,
    /// Bytes of the stream that one segment spans.
    pub(crate) segment_bytes: u64,
    pub(crate) created: Stamp,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    /// The complete length, once it is known.
    #[serde(default)]
    pub(crate) total: Option<u64>,
    /// First offset that retention keeps.
    #[serde(default)]
    pub(crate) retained_from: u64,
    /// Was it pulled from another distributor, which gave it its incarnation?
    #[serde(default)]
    pub(crate) pulled: bool,
}

/// Why no manifest could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("neither stream.json nor its copy is whole")]
    Damaged,
    #[error(
        "its format is {found}, and this program knows formats up to {FORMAT}: use a newer one"
    )]
    Newer { found: u32 },
}

impl Manifest {
    pub(crate) fn new(
        id: u64,
        name: StreamName,
        etag: ETag,
        salt: u64,
        segment_bytes: u64,
        created: Stamp,
    ) -> Self {
        let (content_type, total, retained_from, pulled) = (None, None, 0, false);
        let format = FORMAT;
        Self {
            format,
            id,
            name,
            etag,
            salt,
            segment_bytes,
            created,
            content_type,
            total,
            retained_from,
            pulled,
        }
    }

    /// Write both copies to `folder`.
    pub(crate) fn write(&self, disk: &dyn Disk, folder: &Path, durable: bool) -> io::Result<()> {
        let json = serde_json::to_string(self)?;
        let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
        COPIES
            .iter()
            .try_for_each(|copy| replace(disk, &folder.join(copy), text.as_bytes(), durable))
    }

    /// Read the first sound copy in `folder`.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, ManifestError> {
        let copies = COPIES.iter().filter_map(|copy| read_copy(disk, &folder.join(copy)));
        let found = copies.into_iter().next().ok_or(ManifestError::Damaged)?;
        if found.format > FORMAT {
            return Err(ManifestError::Newer { found: found.format });
        }
        Ok(found)
    }

    /// Is one of the two copies in `folder` missing or damaged?
    pub(crate) fn needs_repair(disk: &dyn Disk, folder: &Path) -> bool {
        COPIES.iter().any(|copy| read_copy(disk, &folder.join(copy)).is_none())
    }
}

fn read_copy(disk: &dyn Disk, path: &Path) -> Option<Manifest> {
    let file = disk.open(path, false).ok()?;
    parse(&read_all(file.as_ref(), MANIFEST_BYTES_MAX).ok()?)
}

fn parse(bytes: &[u8]) -> Option<Manifest> {
    let (json, crc) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let sound = u32::from_str_radix(crc.trim(), 16).ok()? == crc32c::crc32c(json.as_bytes());
    if sound { serde_json::from_str(json).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::sim::SimDisk;

    fn manifest() -> Manifest {
        let etag = ETag::new("abc").unwrap();
        Manifest::new(3, "a/b".parse().unwrap(), etag, 9, 1 << 20, Stamp::from_nanos(5))
    }

    #[test]
    fn one_sound_copy_is_enough() {
        let (disk, folder) = (SimDisk::new(1), Path::new("/s"));
        disk.create_dir(folder).unwrap();
        manifest().write(&disk, folder, true).unwrap();
        assert!(!Manifest::needs_repair(&disk, folder));
        for copy in COPIES {
            let file = disk.open(&folder.join(copy), true).unwrap();
            for at in 0..file.len().unwrap() {
                let mut byte = [0];
                file.read_at(&mut byte, at).unwrap();
                file.write_at(&[byte[0] ^ 1], at).unwrap();
                assert_eq!(Manifest::read(&disk, folder).unwrap(), manifest());
                file.write_at(&byte, at).unwrap();
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_a_reason() {
        let (disk, folder) = (SimDisk::new(1), Path::new("/s"));
        disk.create_dir(folder).unwrap();
        Manifest { format: 9, ..manifest() }.write(&disk, folder, false).unwrap();
        let error = Manifest::read(&disk, folder).unwrap_err().to_string();
        assert!(error.contains("format is 9"), "{error}");
    }
}
