//! Entity tags: which incarnation of a stream a peer has seen (RFC 9110, sections 8.8.3 and 13.1).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A strong entity tag, without its quotes. One for each incarnation of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ETag(Box<str>);

/// Why a text is not an entity tag, or not a list of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an entity tag in double quotes")]
pub struct ETagError {
    given: String,
}

impl ETag {
    /// The tag of `opaque`.
    ///
    /// # Errors
    ///
    /// A character that may not stand between the quotes.
    pub fn new(opaque: &str) -> Result<Self, ETagError> {
        let allowed = |byte: u8| byte == 0x21 || (0x23..=0x7e).contains(&byte);
        if opaque.bytes().all(allowed) {
            return Ok(Self(opaque.into()));
        }
        Err(ETagError { given: opaque.chars().take(60).collect() })
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A strong tag in quotes; a weak one is refused.
impl FromStr for ETag {
    type Err = ETagError;

    fn from_str(text: &str) -> Result<Self, ETagError> {
        let inner = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Self::new(inner.ok_or_else(|| ETagError { given: text.chars().take(60).collect() })?)
    }
}

impl TryFrom<String> for ETag {
    type Error = ETagError;

    fn try_from(text: String) -> Result<Self, ETagError> {
        text.parse()
    }
}

impl From<ETag> for String {
    fn from(tag: ETag) -> Self {
        tag.to_string()
    }
}

/// What `If-Match` and `If-None-Match` name: anything that exists, or some tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ETagList {
    /// `*`
    Any,
    /// The strong tags of the list, and whether each was marked weak.
    Tags(Vec<(ETag, bool)>),
}

impl ETagList {
    /// Strong comparison, as `If-Match` wants it: weak tags never match.
    #[must_use]
    pub fn matches_strong(&self, tag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|(one, weak)| !weak && one == tag),
        }
    }

    /// Weak comparison, as `If-None-Match` wants it.
    #[must_use]
    pub fn matches_weak(&self, tag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|(one, _)| one == tag),
        }
    }
}

impl FromStr for ETagList {
    type Err = ETagError;

    fn from_str(text: &str) -> Result<Self, ETagError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let tag = |item: &str| {
            let item = item.trim();
            let (weak, strong) = item.strip_prefix("W/").map_or((false, item), |rest| (true, rest));
            Ok((strong.parse()?, weak))
        };
        Ok(Self::Tags(text.split(',').take(64).map(tag).collect::<Result<_, ETagError>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_quotes_on_the_wire_only() {
        let tag = ETag::new("7f3a").unwrap();
        assert_eq!(tag.to_string(), "\"7f3a\"");
        assert_eq!("\"7f3a\"".parse(), Ok(tag));
        assert!("7f3a".parse::<ETag>().is_err());
        assert!(ETag::new("a\"b").is_err());
    }

    #[test]
    fn weak_tags_match_weakly_only() {
        let tag = ETag::new("x").unwrap();
        let list: ETagList = "\"y\", W/\"x\"".parse().unwrap();
        assert!(list.matches_weak(&tag));
        assert!(!list.matches_strong(&tag));
        assert!("*".parse::<ETagList>().unwrap().matches_strong(&tag));
    }
}
