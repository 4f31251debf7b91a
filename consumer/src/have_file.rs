//! `FILE.have`: which bytes of which incarnation a file with holes has.
//!
//! ```text
//!   freshet-have 1
//!   url http://127.0.0.1:8080/live/radio
//!   etag "5f3a"
//!   total 1000                      or * while it is unknown
//!   0-99                            a line for each run, as Content-Range writes it
//!   200-299
//!   sha-256=:...:                   of all lines above
//! ```
//!
//! Written to another name and renamed, after the bytes that it speaks of: it may claim less than
//! the file has, never more. The digest refuses whatever else a disk may make of it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use freshet_protocol::{ByteRange, ETag, Held, RangeSet, Sha256Digest};
use sha2::{Digest, Sha256};

use crate::limits;

/// What a file with holes has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Where it came from; for people, the entity tag decides.
    pub url: String,
    /// The incarnation.
    pub etag: ETag,
    /// The bytes.
    pub held: Held,
}

/// Why a text is no `.have` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HaveError {
    /// The first line is another one.
    #[error("it does not begin with \"{MAGIC}\"")]
    Magic,
    /// Cut off, or changed.
    #[error("its digest does not fit")]
    Digest,
    /// A line that means nothing.
    #[error("line {line} means nothing")]
    Line {
        /// Which one, from 1.
        line: usize,
    },
}

const MAGIC: &str = "freshet-have 1";

/// The name of the `.have` file of `file`.
#[must_use]
pub(crate) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".have");
    name.into()
}

impl Have {
    /// As the file has it.
    #[must_use]
    pub fn encode(&self) -> String {
        let total = self.held.total.map_or_else(|| "*".into(), |total| total.to_string());
        let mut text = format!("{MAGIC}\nurl {}\netag {}\ntotal {total}\n", self.url, self.etag);
        for run in self.held.set.iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{run}");
        }
        let digest = digest(&text);
        let _ = writeln!(text, "{digest}");
        text
    }

    /// Read what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// It is anything else, or a part of it.
    pub fn decode(text: &str) -> Result<Self, HaveError> {
        if !text.starts_with(MAGIC) {
            return Err(HaveError::Magic);
        }
        let body = text.strip_suffix('\n').ok_or(HaveError::Digest)?;
        let last = body.rfind('\n').ok_or(HaveError::Digest)? + 1;
        let (lines, said) = body.split_at_checked(last).ok_or(HaveError::Digest)?;
        if digest(lines).to_string() != said {
            return Err(HaveError::Digest);
        }
        parse(lines)
    }

    /// The `.have` file at `path`; `None` where there is none.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Result<Self, HaveError>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limits::HAVE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(Self::decode(&String::from_utf8_lossy(&bytes))))
    }

    /// Put it at `path`, whole or not at all.
    pub(crate) fn store(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let mut file = File::create(&beside)?;
        file.write_all(self.encode().as_bytes())?;
        file.sync_data()?;
        fs::rename(&beside, path)
    }
}

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest(Sha256::digest(text).into())
}

fn parse(lines: &str) -> Result<Have, HaveError> {
    let mut lines = lines.lines().zip(1..).skip(1);
    let mut named = |name: &str| {
        let (line, at) = lines.next().ok_or(HaveError::Line { line: 0 })?;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.map(|value| (value, at)).ok_or(HaveError::Line { line: at })
    };
    let (url, _) = named("url")?;
    let (etag, at) = named("etag")?;
    let etag = etag.parse().map_err(|_| HaveError::Line { line: at })?;
    let (total, at) = named("total")?;
    let total = match total {
        "*" => None,
        number => Some(number.parse().map_err(|_| HaveError::Line { line: at })?),
    };
    let set = lines
        .map(|(line, at)| run(line).ok_or(HaveError::Line { line: at }))
        .collect::<Result<RangeSet, _>>()?;
    Ok(Have { url: url.into(), etag, held: Held { set, total } })
}

fn run(line: &str) -> Option<ByteRange> {
    let (first, last) = line.split_once('-')?;
    ByteRange::closed(first.parse().ok()?, last.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_have() -> impl Strategy<Value = Have> {
        (vec((0..1u64 << 62, 1..1000u64), 0..20), any::<bool>(), "[a-f0-9]{1,20}").prop_map(
            |(runs, total, tag)| {
                let set: RangeSet =
                    runs.into_iter().filter_map(|(start, len)| ByteRange::at(start, len)).collect();
                let total = total.then(|| set.end());
                let url = "http://[::1]:8080/live/radio".into();
                Have { url, etag: ETag::new(&tag).unwrap(), held: Held { set, total } }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(have in any_have()) {
            prop_assert_eq!(Have::decode(&have.encode()), Ok(have));
        }

        #[test]
        fn every_torn_or_changed_one_is_refused(have in any_have(), flip in any::<prop::sample::Index>()) {
            let text = have.encode();
            for end in 0..text.len() {
                prop_assert!(Have::decode(&text[..end]).is_err(), "cut at {}", end);
            }
            let mut bytes = text.into_bytes();
            let at = flip.index(bytes.len());
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(Have::decode(&text).is_err(), "flipped at {}", at);
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("radio"));
        assert_eq!(path.file_name().unwrap(), "radio.have");
        assert!(Have::load(&path).unwrap().is_none());

        let mut have =
            Have { url: "u".into(), etag: ETag::new("a").unwrap(), held: Held::default() };
        have.store(&path).unwrap();
        have.held.set.insert(ByteRange::new(3, 9).unwrap());
        have.store(&path).unwrap();

        assert_eq!(Have::load(&path).unwrap(), Some(Ok(have)));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");
    }
}
