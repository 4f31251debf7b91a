//! What a distributor's reply means to an origin: the only place that knows statuses. Pure.
//!
//! ```text
//!   2xx          this is held                       go on with what is missing
//!   404          the stream does not exist          it begins at 0
//!   409 + Retry  another origin holds the lease     wait, ask again
//!   409          other bytes are there              stop
//!   412          another incarnation                begin anew
//!   416          too far ahead of what is there     fill from the oldest hole on
//!   408 429 5xx  not now                            wait, ask again
//!   other 4xx    never                              stop
//! ```

use std::time::Duration;

use freshet_protocol::{ETag, Held, Problem, RangeSet, field};
use http::{HeaderMap, HeaderName, StatusCode, header};

/// What the distributor says that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Bytes held, as durable as it is configured.
    pub(crate) held: RangeSet,
    /// The complete length, once it knows it.
    pub(crate) total: Option<u64>,
    /// Older bytes than this are neither wanted nor kept.
    pub(crate) retained_from: u64,
    /// Which incarnation of the stream this is.
    pub(crate) etag: Option<ETag>,
    /// The largest chunk it takes.
    pub(crate) chunk_max: Option<u64>,
}

/// What a reply asks an origin to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Holds(View),
    Absent,
    Leased {
        retry: Option<Duration>,
        detail: String,
    },
    Conflict {
        detail: String,
    },
    OtherIncarnation,
    TooFarAhead,
    NotNow {
        status: StatusCode,
        retry: Option<Duration>,
        detail: String,
    },
    Refused {
        status: StatusCode,
        detail: String,
    },
    /// A success that makes no sense: something else is listening there.
    Strange {
        detail: String,
    },
}

/// Read a reply.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Reply {
    if status.is_success() {
        return view(headers).map_or_else(|detail| Reply::Strange { detail }, Reply::Holds);
    }
    let detail = detail_of(status, body);
    let retry = retry_of(headers);
    match status {
        StatusCode::NOT_FOUND => Reply::Absent,
        StatusCode::CONFLICT if retry.is_some() => Reply::Leased { retry, detail },
        StatusCode::CONFLICT => Reply::Conflict { detail },
        StatusCode::PRECONDITION_FAILED => Reply::OtherIncarnation,
        StatusCode::RANGE_NOT_SATISFIABLE => Reply::TooFarAhead,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Reply::NotNow { status, retry, detail }
        }
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            Reply::NotNow { status, retry, detail }
        }
        status => Reply::Refused { status, detail },
    }
}

fn view(headers: &HeaderMap) -> Result<View, String> {
    let Some(said) = text(headers, &header::CONTENT_RANGE) else {
        return Err("no Content-Range in the reply: is this a distributor?".into());
    };
    let Held { set, total } = said.parse().map_err(|error| format!("Content-Range: {error}"))?;
    let etag = text(headers, &header::ETAG).map(str::parse::<ETag>).transpose();
    let retained = text(headers, &field::RETAINED_FROM).map(str::parse).transpose();
    Ok(View {
        held: set,
        total,
        retained_from: retained.map_err(|_| "Retained-From is no offset")?.unwrap_or(0),
        etag: etag.map_err(|error| error.to_string())?,
        chunk_max: text(headers, &field::UPLOAD_LIMIT).and_then(append_max),
    })
}

/// `max-append-size=N` among other limits.
fn append_max(limits: &str) -> Option<u64> {
    let (_, value) = limits
        .split(',')
        .filter_map(|limit| limit.split_once('='))
        .find(|(name, _)| name.trim() == "max-append-size")?;
    value.trim().parse().ok().filter(|&bytes| bytes > 0)
}

fn retry_of(headers: &HeaderMap) -> Option<Duration> {
    text(headers, &header::RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn detail_of(status: StatusCode, body: &[u8]) -> String {
    let said = Problem::detail_of(body).filter(|detail| !detail.is_empty());
    said.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").into())
}

#[cfg(test)]
mod tests {
    use freshet_protocol::ByteRange;

    use super::*;

    fn reply(status: u16, fields: &[(HeaderName, &str)]) -> Reply {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let body = br#"{"title":"x","status":400,"detail":"because"}"#;
        read(StatusCode::from_u16(status).unwrap(), &headers.collect(), body)
    }

    #[test]
    fn a_success_says_what_is_held() {
        let said = reply(
            200,
            &[
                (header::CONTENT_RANGE, "bytes 5-9/10"),
                (header::ETAG, "\"a\""),
                (field::RETAINED_FROM, "5"),
                (field::UPLOAD_LIMIT, "max-size=9, max-append-size=4096"),
            ],
        );
        let view = View {
            held: [ByteRange::closed(5, 9).unwrap()].into_iter().collect(),
            total: Some(10),
            retained_from: 5,
            etag: Some("\"a\"".parse().unwrap()),
            chunk_max: Some(4096),
        };
        assert_eq!(said, Reply::Holds(view));
    }

    #[test]
    fn a_success_of_something_else_is_not_believed() {
        for fields in [&[][..], &[(header::CONTENT_RANGE, "items 1/2")]] {
            assert!(matches!(reply(200, fields), Reply::Strange { .. }));
        }
    }

    #[test]
    fn a_lease_is_told_from_a_conflict_by_its_retry_after() {
        let detail = || "because".to_owned();
        let retry = Some(Duration::from_secs(7));
        assert_eq!(
            reply(409, &[(header::RETRY_AFTER, "7")]),
            Reply::Leased { retry, detail: detail() }
        );
        assert_eq!(reply(409, &[]), Reply::Conflict { detail: detail() });
    }

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_final() {
        for status in [408, 429, 500, 502, 503, 504, 507] {
            assert!(matches!(reply(status, &[]), Reply::NotNow { .. }), "{status}");
        }
        for status in [301, 400, 401, 403, 405, 413, 415, 501] {
            assert!(matches!(reply(status, &[]), Reply::Refused { .. }), "{status}");
        }
        assert_eq!(reply(404, &[]), Reply::Absent);
        assert_eq!(reply(412, &[]), Reply::OtherIncarnation);
        assert_eq!(reply(416, &[]), Reply::TooFarAhead);
    }
}
