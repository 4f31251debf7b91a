//! Stream names: one to four path segments, safe to print, to log and to put into a URL as they are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits::{NAME_SEGMENT_BYTES_MAX, NAME_SEGMENTS_MAX};

/// A stream's name, known to be valid. Made only by parsing.
///
/// `A-Z a-z 0-9 . _ -` in segments of 1 to 64, none beginning with a dot, joined by `/`. There is
/// no percent-encoding: what may stand in a name needs none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Box<str>);

/// Why a string is not a stream name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing between two slashes, or nothing at all.
    #[error("stream name {name:?} has an empty segment")]
    Empty {
        /// The name as given.
        name: String,
    },
    /// Too deep.
    #[error("stream name has {segments} segments, at most {NAME_SEGMENTS_MAX} are allowed")]
    TooDeep {
        /// Segments given.
        segments: usize,
    },
    /// A segment is too long.
    #[error(
        "stream name has a segment of {bytes} bytes, at most {NAME_SEGMENT_BYTES_MAX} are allowed"
    )]
    TooLong {
        /// Bytes of the first such segment.
        bytes: usize,
    },
    /// A segment begins with a dot.
    #[error("stream name segment {segment:?} begins with a dot")]
    Dot {
        /// The first such segment.
        segment: String,
    },
    /// A character outside `A-Z a-z 0-9 . _ -`.
    #[error("stream name has {found:?}, only A-Z a-z 0-9 . _ - are allowed")]
    Character {
        /// The first offender.
        found: char,
    },
}

impl StreamName {
    /// The name as text, segments joined by `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let segments = text.split('/').count();
        if segments > NAME_SEGMENTS_MAX {
            return Err(NameError::TooDeep { segments });
        }
        text.split('/').try_for_each(|segment| check(text, segment))?;
        Ok(Self(text.into()))
    }
}

fn check(name: &str, segment: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if segment.is_empty() {
        return Err(NameError::Empty { name: name.chars().take(256).collect() });
    }
    if segment.len() > NAME_SEGMENT_BYTES_MAX {
        return Err(NameError::TooLong { bytes: segment.len() });
    }
    if let Some(found) = segment.chars().find(|&c| !allowed(c)) {
        return Err(NameError::Character { found });
    }
    if segment.starts_with('.') {
        return Err(NameError::Dot { segment: segment.into() });
    }
    Ok(())
}

impl TryFrom<String> for StreamName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_to_four_safe_segments() {
        let long = "x".repeat(64);
        for good in ["radio", "a/b/c/d", "News.1_x-Y", &long] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn whatever_could_leave_the_folder_is_refused() {
        use NameError::{Character, Dot, Empty, TooDeep, TooLong};
        for (bad, why) in [
            ("", Empty { name: String::new() }),
            ("a//b", Empty { name: "a//b".into() }),
            ("/a", Empty { name: "/a".into() }),
            ("a/..", Dot { segment: "..".into() }),
            (".hidden", Dot { segment: ".hidden".into() }),
            ("%2e%2e%2f", Character { found: '%' }),
            ("a\0b", Character { found: '\0' }),
            ("a\\b", Character { found: '\\' }),
            ("é", Character { found: 'é' }),
            ("a/b/c/d/e", TooDeep { segments: 5 }),
            (&"x".repeat(65), TooLong { bytes: 65 }),
        ] {
            assert_eq!(bad.parse::<StreamName>(), Err(why), "{bad:?}");
        }
    }
}
