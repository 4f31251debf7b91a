//! What a GET may ask for in its query: where to begin, what to do when behind, how far back.

use std::{borrow::Cow, fmt::Write, str::FromStr};

use percent_encoding::percent_decode_str;

use crate::from::From;

/// Options of a delivery, as the query says them. Unknown keys are ignored, as URLs go; a known
/// key with a value that means nothing is an error.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Delivery {
    /// `from=`: where a plain reply begins; in a continuous native one, where older bytes begin, which
    /// then come in order.
    pub from: From,
    /// `behind=`: what happens to a plain consumer that is slower than the stream.
    pub behind: Behind,
    /// `backfill=`: how far back a continuous native reply goes.
    pub backfill: Backfill,
    /// `skip=`: where a continuous native reply goes on after bytes that it left out.
    pub skip: Skip,
    /// `limit=`: most bytes of a one-part native reply.
    pub limit: Option<u64>,
    /// `resume=1`: a live stream is shaped as a file, so that players which resume files resume it.
    pub resume: bool,
}

/// What happens to a plain consumer that is slower than the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Behind {
    /// It is served from the disk copy: late, but without a hole.
    #[default]
    Lag,
    /// It is moved to the newest place where a player can begin.
    Skip,
    /// It is cut.
    Close,
}

/// How far back a continuous native delivery fills what was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backfill {
    /// Not at all: new bytes only.
    None,
    /// What is in memory.
    #[default]
    Ring,
    /// Everything that is held.
    All,
}

/// Where a continuous native delivery goes on when the consumer has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Skip {
    /// At the newest place where a player can begin, if the container is known.
    #[default]
    Join,
    /// At the newest bytes, wherever that is.
    Any,
}

/// Why a query cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value} is not understood; expected {expected}")]
pub struct QueryError {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}

impl Delivery {
    /// Read a query (without its `?`).
    ///
    /// # Errors
    ///
    /// A known key has a value that means nothing.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut delivery = Self::default();
        for (key, value) in pairs(query) {
            let value = value.as_ref();
            match key {
                "from" => delivery.from = parse("from", value, From::EXPECTED)?,
                "behind" => delivery.behind = parse("behind", value, "lag, skip or close")?,
                "backfill" => delivery.backfill = parse("backfill", value, "none, ring or all")?,
                "skip" => delivery.skip = parse("skip", value, "join or any")?,
                "limit" => {
                    delivery.limit = Some(parse("limit", value, "a number of bytes above 0")?);
                }
                "resume" => delivery.resume = flag("resume", value)?,
                _ => {}
            }
        }
        if delivery.resume && delivery.behind != Behind::Lag {
            // Its bytes have their places as those of a file have: none can be left out.
            let (value, expected) = ("1".into(), "no behind= beside it but lag");
            return Err(QueryError { key: "resume", value, expected });
        }
        if delivery.resume && delivery.from.is_time() {
            let (value, expected) = ("1".into(), "no time in from= beside it: a file has offsets");
            return Err(QueryError { key: "resume", value, expected });
        }
        if delivery.limit == Some(0) {
            let (value, expected) = ("0".into(), "a number of bytes above 0");
            return Err(QueryError { key: "limit", value, expected });
        }
        Ok(delivery)
    }

    /// As a query, with its `?`; empty where everything is as it is by default.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = String::new();
        let mut put = |key: &str, value: String| {
            let mark = if query.is_empty() { '?' } else { '&' };
            // Writing to a String cannot fail.
            let _ = write!(query, "{mark}{key}={value}");
        };
        if self.from != From::Live {
            put("from", self.from.to_string());
        }
        match self.behind {
            Behind::Lag => {}
            Behind::Skip => put("behind", "skip".into()),
            Behind::Close => put("behind", "close".into()),
        }
        match self.backfill {
            Backfill::Ring => {}
            Backfill::None => put("backfill", "none".into()),
            Backfill::All => put("backfill", "all".into()),
        }
        match self.skip {
            Skip::Join => {}
            Skip::Any => put("skip", "any".into()),
        }
        if let Some(limit) = self.limit {
            put("limit", limit.to_string());
        }
        if self.resume {
            put("resume", "1".into());
        }
        query
    }
}

/// The pairs of a query, with the escapes of their values undone: browsers write `:` as `%3A`.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key, percent_decode_str(value).decode_utf8_lossy()))
}

pub(crate) fn parse<T: FromStr>(
    key: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, QueryError> {
    value.parse().map_err(|_| QueryError { key, value: value.chars().take(60).collect(), expected })
}

pub(crate) fn flag(key: &'static str, value: &str) -> Result<bool, QueryError> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => {
            let value = value.chars().take(60).collect();
            Err(QueryError { key, value, expected: "0 or 1" })
        }
    }
}

impl FromStr for Behind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "lag" => Ok(Self::Lag),
            "skip" => Ok(Self::Skip),
            "close" => Ok(Self::Close),
            _ => Err(()),
        }
    }
}

impl FromStr for Backfill {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "none" => Ok(Self::None),
            "ring" => Ok(Self::Ring),
            "all" => Ok(Self::All),
            _ => Err(()),
        }
    }
}

impl FromStr for Skip {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "join" => Ok(Self::Join),
            "any" => Ok(Self::Any),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_parsed_as_it_is_printed() {
        for query in ["", "?from=start", "?from=7&behind=skip&backfill=all&skip=any&limit=4096"] {
            let delivery = Delivery::parse(query.trim_start_matches('?')).unwrap();
            assert_eq!(delivery.to_query(), query);
        }
        for query in ["?from=-30s", "?from=-1.5s&behind=skip", "?from=@1700000000.500000000"] {
            assert_eq!(Delivery::parse(&query[1..]).unwrap().to_query(), query);
        }
        let escaped = Delivery::parse("from=2026-11-25T10%3A00%3A00%2B01%3A00").unwrap();
        assert_eq!(escaped.from, "2026-11-25T09:00:00Z".parse().unwrap());
        let resumed = "?from=7&resume=1";
        assert_eq!(Delivery::parse(&resumed[1..]).unwrap().to_query(), resumed);
        assert_eq!(Delivery::parse("resume=0").unwrap(), Delivery::default());
        assert_eq!(Delivery::parse("unknown=1&&x").unwrap(), Delivery::default());
    }

    #[test]
    fn a_known_key_with_a_senseless_value_says_what_was_expected() {
        let error = Delivery::parse("behind=never").unwrap_err();
        assert_eq!(
            error.to_string(),
            "behind=never is not understood; expected lag, skip or close"
        );
        assert!(Delivery::parse("limit=0").is_err());
        assert!(Delivery::parse("resume=yes").is_err());
        for behind in ["skip", "close"] {
            let error = Delivery::parse(&format!("resume=1&behind={behind}")).unwrap_err();
            assert!(error.to_string().contains("no behind= beside it but lag"), "{error}");
        }
        let error = Delivery::parse("resume=1&from=-30s").unwrap_err();
        assert!(error.to_string().contains("a file has offsets"), "{error}");
    }
}
