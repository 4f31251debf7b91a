//! The timeline of a stream: which bytes came when, as `/index/NAME` lists it.

use serde::{Deserialize, Serialize};

use crate::{
    from::From,
    query::{QueryError, flag, pairs, parse},
    stamp::Stamp,
};

/// One line: bytes that came together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Where they begin.
    pub offset: u64,
    /// How many there are, at least one.
    pub length: u64,
    /// When the first of them was captured, by the origin's clock, in nanoseconds since the Unix
    /// epoch; null where no origin told.
    pub origin_time: Option<Stamp>,
    /// When the first of them came in, by the distributor's clock, likewise.
    pub receive_time: Stamp,
    /// The first place in them where a player can begin; null where there is none.
    pub join: Option<u64>,
}

/// Which part of a timeline is asked for, as the query says it. Unknown keys are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `from=`: where it begins.
    pub from: From,
    /// `limit=`: most lines.
    pub limit: Option<u64>,
    /// `follow=1`: at the live edge it waits for more.
    pub follow: bool,
}

impl Default for Listing {
    fn default() -> Self {
        Self { from: From::Start, limit: None, follow: false }
    }
}

impl Listing {
    /// Read a query (without its `?`).
    ///
    /// # Errors
    ///
    /// A known key has a value that means nothing.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut listing = Self::default();
        for (key, value) in pairs(query) {
            let value = value.as_ref();
            match key {
                "from" => listing.from = parse("from", value, From::EXPECTED)?,
                "limit" => listing.limit = Some(parse("limit", value, "a number of lines")?),
                "follow" => listing.follow = flag("follow", value)?,
                _ => {}
            }
        }
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_begins_at_the_start_and_is_as_long_as_the_timeline() {
        assert_eq!(Listing::parse("").unwrap(), Listing::default());
        let asked = Listing::parse("from=7&limit=2&follow=1&other=x").unwrap();
        assert_eq!(asked, Listing { from: From::Offset(7), limit: Some(2), follow: true });
        for bad in ["from=then", "limit=-1", "follow=yes"] {
            assert!(Listing::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_names_what_it_says() {
        let entry = TimelineEntry {
            offset: 4096,
            length: 100,
            origin_time: None,
            receive_time: Stamp::from_nanos(7),
            join: Some(4100),
        };
        let line = serde_json::to_string(&entry).unwrap();
        let expected =
            r#"{"offset":4096,"length":100,"origin_time":null,"receive_time":7,"join":4100}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<TimelineEntry>(&line).unwrap(), entry);
    }
}
