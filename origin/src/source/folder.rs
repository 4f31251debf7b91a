//! A folder as streams: which file gets which name, and which gets none.
//!
//! ```text
//!   DIR/a.mp3                     NAME/a.mp3
//!   DIR/Best of/01 Höhe.mp3       NAME/Best-of/01-H-he-5c1f09aa.mp3
//!   DIR/.DS_Store                 left out: hidden
//!   DIR/b/c/d/e.mp3               left out: a name has at most four segments
//! ```
//!
//! A name's segment is the file's (or folder's) name where that is allowed: `A-Z a-z 0-9 . _ -`, at
//! most 64. Else each run of other characters becomes one `-`; and where a letter was lost (anything
//! beyond ASCII) or it is too long, eight hex digits of the original name's SHA-256 follow the stem, so
//! that two names stay two. Should two files still come to one name, the later one is left out, and
//! said to be. Nothing is left out in silence.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use freshet_protocol::limits::NAME_SEGMENT_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::{
    limits::{FOLDER_DEPTH_MAX, FOLDER_FILES_MAX},
    target::{Target, TargetError},
};

/// The files of a folder, in the order of their paths.
#[derive(Debug, Default)]
pub struct Folder {
    /// Files with their streams.
    pub files: Vec<FolderEntry>,
    /// What is not posted, and why.
    pub left_out: Vec<LeftOut>,
}

/// One file of a folder.
#[derive(Debug)]
pub struct FolderEntry {
    /// The file.
    pub path: PathBuf,
    /// Its stream.
    pub target: Target,
}

/// Something in a folder that is not posted.
#[derive(Debug)]
pub struct LeftOut {
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    pub why: FolderError,
}

/// Why something in a folder is not posted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Its name begins with a dot.
    #[error("hidden")]
    Hidden,
    /// A pipe, a socket, a link to a folder.
    #[error("neither a regular file nor a folder")]
    NotAFile,
    /// No valid name comes of its path.
    #[error(transparent)]
    Name(#[from] TargetError),
    /// Another file has the name already.
    #[error("{} has the same name, {name}", other.display())]
    Taken {
        /// The stream's name.
        name: String,
        /// The file that has it.
        other: PathBuf,
    },
    /// Too deep below the folder.
    #[error("more than {FOLDER_DEPTH_MAX} folders deep")]
    TooDeep,
    /// Too many files.
    #[error("more than {FOLDER_FILES_MAX} files in one folder")]
    TooMany,
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
}

impl FolderError {
    /// Left out on purpose, as opposed to against one's will.
    #[must_use]
    pub const fn is_meant(&self) -> bool {
        matches!(self, Self::Hidden)
    }
}

/// The files below `dir` with the streams that they become below `base`. Blocks.
///
/// # Errors
///
/// `dir` itself cannot be read; what is wrong with anything in it is in [`Folder::left_out`].
pub fn walk(dir: &Path, base: &Target) -> io::Result<Folder> {
    let mut folder = Folder::default();
    let mut found = Vec::new();
    // Read here, so that the folder itself is an error and those below it are only reported.
    fs::read_dir(dir)?;
    collect(dir, 0, &mut found, &mut folder.left_out);
    let mut taken: HashMap<String, PathBuf> = HashMap::new();
    for path in found {
        match name_one(dir, &path, base, &taken) {
            Ok(target) => {
                taken.insert(target.to_string(), path.clone());
                folder.files.push(FolderEntry { path, target });
            }
            Err(why) => folder.left_out.push(LeftOut { path, why }),
        }
    }
    Ok(folder)
}

fn name_one(
    dir: &Path,
    path: &Path,
    base: &Target,
    taken: &HashMap<String, PathBuf>,
) -> Result<Target, FolderError> {
    let relative = path.strip_prefix(dir).unwrap_or(path);
    let segments: Vec<String> = relative.iter().map(segment).collect();
    let target = base.below(&segments.join("/"))?;
    match taken.get(&target.to_string()) {
        Some(other) => Err(FolderError::Taken { name: segments.join("/"), other: other.clone() }),
        None => Ok(target),
    }
}

/// All files below `dir`, sorted by path within each folder.
fn collect(dir: &Path, depth: usize, found: &mut Vec<PathBuf>, left_out: &mut Vec<LeftOut>) {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            left_out.push(LeftOut { path: dir.to_path_buf(), why: error.into() });
            return;
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match kind(&entry) {
            Ok(Kind::File) if found.len() < FOLDER_FILES_MAX => found.push(path),
            Ok(Kind::File) => left_out.push(LeftOut { path, why: FolderError::TooMany }),
            Ok(Kind::Folder) if depth < FOLDER_DEPTH_MAX => {
                collect(&path, depth + 1, found, left_out)
            }
            Ok(Kind::Folder) => left_out.push(LeftOut { path, why: FolderError::TooDeep }),
            Err(why) => left_out.push(LeftOut { path, why }),
        }
        if left_out.len() > FOLDER_FILES_MAX {
            return;
        }
    }
}

enum Kind {
    File,
    Folder,
}

/// Links to files are followed, links to folders are not: they can go round.
fn kind(entry: &fs::DirEntry) -> Result<Kind, FolderError> {
    if entry.file_name().as_encoded_bytes().starts_with(b".") {
        return Err(FolderError::Hidden);
    }
    if entry.file_type()?.is_dir() {
        return Ok(Kind::Folder);
    }
    if fs::metadata(entry.path())?.is_file() { Ok(Kind::File) } else { Err(FolderError::NotAFile) }
}

/// A name's segment for a file's name; see the head of this file.
fn segment(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut clean = String::new();
    for c in text.chars() {
        if allowed(c) {
            clean.push(c);
        } else if !clean.ends_with('-') {
            clean.push('-');
        }
    }
    if text.is_ascii() && clean.len() <= NAME_SEGMENT_BYTES_MAX {
        return clean;
    }
    let (stem, extension) = match clean.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 8 => (stem, format!(".{extension}")),
        _ => (clean.as_str(), String::new()),
    };
    let digest = Sha256::digest(name.as_encoded_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_SEGMENT_BYTES_MAX - mark.len() - extension.len() - 1;
    // All ASCII by now, so any byte is a place to cut.
    let stem = stem.get(..room.min(stem.len())).unwrap_or_default();
    format!("{}-{mark}{extension}", stem.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_file_name_becomes_a_valid_segment(name in "[^/\0.][^/\0]{0,200}") {
            let made = segment(OsStr::new(&name));
            prop_assert!(made.parse::<freshet_protocol::StreamName>().is_ok(), "{made}");
        }

        #[test]
        fn a_valid_name_stays_as_it_is(name in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}") {
            prop_assert_eq!(segment(OsStr::new(&name)), name);
        }
    }

    #[test]
    fn names_are_cleaned_and_two_names_stay_two() {
        assert_eq!(segment(OsStr::new("My Song (1).mp3")), "My-Song-1-.mp3");
        let (one, other) = (segment(OsStr::new("音楽.mp3")), segment(OsStr::new("映像.mp3")));
        assert!(one.ends_with(".mp3") && one != other, "{one} {other}");
        let long = segment(OsStr::new(&format!("{}.flac", "x".repeat(90))));
        assert!(long.len() == 64 && long.ends_with(".flac"), "{long}");
    }

    #[test]
    fn a_folder_is_its_files_and_what_cannot_be_named_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b/x y.ts", "a.mp3", "a b.mp3", "a-b.mp3", ".hidden", "c/d/e/f.mp3"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }

        let folder = walk(dir.path(), &"http://h/live/n".parse().unwrap()).unwrap();

        let names: Vec<_> =
            folder.files.iter().map(|file| file.target.name().unwrap().to_string()).collect();
        assert_eq!(names, ["n/a-b.mp3", "n/a.mp3", "n/b/x-y.ts"]);
        let left: Vec<_> = folder.left_out.iter().map(|left| left.why.to_string()).collect();
        assert!(left[0] == "hidden" && folder.left_out[0].why.is_meant());
        assert!(left[1].contains("has the same name"), "{left:?}");
        assert!(left[2].contains("segments"), "{left:?}");
        assert!(walk(&dir.path().join("absent"), &"http://h/live/n".parse().unwrap()).is_err());
    }
}
