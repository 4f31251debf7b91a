//! The head of a reply, read once: what the distributor says about the stream.

use std::time::Duration;

use freshet_protocol::{ETag, Held, Placed, RoundTrip, Sha256Digest, Stamp, boundary_of, field};
use http::{HeaderMap, HeaderName, StatusCode, header, response::Parts};

/// What a reply says before its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<ETag>,
    /// Bytes below it are gone for good.
    pub(crate) retained_from: u64,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) digest: Option<Sha256Digest>,
    pub(crate) origin_time: Option<Stamp>,
    /// What the distributor's clock said.
    pub(crate) stream_time: Option<Stamp>,
    /// Where a plain reply begins in the stream, and how many bytes of a header go before.
    pub(crate) join: Option<(u64, u64)>,
    /// How the reply came, once it has.
    pub(crate) trip: Option<RoundTrip>,
    pub(crate) boundary: Option<String>,
    content_range: Option<String>,
}

impl Head {
    pub(crate) fn read(parts: &Parts) -> Self {
        let fields = &parts.headers;
        let number = |name| text(fields, name)?.parse::<u64>().ok();
        let seconds = || text(fields, &header::RETRY_AFTER)?.parse().ok();
        Self {
            status: parts.status,
            etag: text(fields, &header::ETAG).and_then(|tag| tag.parse().ok()),
            retained_from: text(fields, &field::RETAINED_FROM)
                .and_then(|offset| offset.parse().ok())
                .unwrap_or(0),
            retry_after: seconds().map(Duration::from_secs),
            digest: text(fields, &field::REPR_DIGEST).and_then(|digest| digest.parse().ok()),
            origin_time: text(fields, &field::ORIGIN_TIME).and_then(|time| time.parse().ok()),
            stream_time: text(fields, &field::STREAM_TIME).and_then(|time| time.parse().ok()),
            join: number(&field::STREAM_JOIN).zip(number(&field::STREAM_HEADER).or(Some(0))),
            trip: None,
            boundary: text(fields, &header::CONTENT_TYPE).and_then(boundary_of).map(Into::into),
            content_range: text(fields, &header::CONTENT_RANGE).map(Into::into),
        }
    }

    /// What the distributor holds: the reading of a message without bytes.
    pub(crate) fn held(&self) -> Option<Held> {
        self.content_range.as_deref()?.parse().ok()
    }

    /// Where the bytes belong: the reading of a message with bytes.
    pub(crate) fn placed(&self) -> Option<Placed> {
        self.content_range.as_deref()?.parse().ok()
    }

    /// Where the bytes of a range reply begin. Its last position and length may be the virtual
    /// ones of RFC 8673, which need not fit together.
    pub(crate) fn first_position(&self) -> Option<u64> {
        let range = self.content_range.as_deref()?.strip_prefix("bytes ")?;
        range.split_once('-')?.0.parse().ok()
    }
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut reply = http::Response::builder().status(206);
        for (name, value) in fields {
            reply = reply.header(*name, *value);
        }
        Head::read(&reply.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn what_is_missing_or_malformed_is_not_there() {
        let head = head(&[("etag", "W/\"a\""), ("retry-after", "soon"), ("content-range", "x")]);
        assert_eq!((head.etag.clone(), head.retry_after), (None, None));
        assert_eq!((head.held(), head.placed(), head.first_position()), (None, None, None));
        assert_eq!(head.retained_from, 0);
    }

    #[test]
    fn a_follow_begins_where_it_says() {
        for last in ["9007199254740991/*", "9007199254740991/100", "99999999999999999999/*"] {
            let head = head(&[("content-range", &format!("bytes 42-{last}"))]);
            assert_eq!(head.first_position(), Some(42), "{last}");
        }
    }
}
