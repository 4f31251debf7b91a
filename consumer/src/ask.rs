//! The questions of this protocol, and what the answers mean.
//!
//! ```text
//!   Continuous   GET ?backfill=...  Accept: multipart/byteranges  Content-Range: HELD
//!   Poll         GET                Prefer: wait=25               Content-Range: HELD
//!   InOrder      GET                Range: bytes=NEXT-9007199254740991
//!                GET ?from=-30s     once, to begin at a join point
//! ```

use std::time::Duration;

use freshet_protocol::{
    Delivery, Held,
    limits::{LIVE_LAST_POSITION, OFFSET_END_MAX},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::{
    backoff::Pauses,
    fetch::{Fetch, FetchError, Manner, Start},
    head::Head,
    limits,
    request::{self, Body, Client, Cut, Fields},
};

/// A GET to be sent.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) manner: Manner,
    /// What we say that we hold.
    pub(crate) claim: Held,
    /// In order: the next byte.
    pub(crate) position: u64,
}

/// What a reply to a GET means.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Here are bytes.
    Body(Body),
    /// Nothing for you now; the head says what is held.
    Nothing,
    /// Ask again later.
    Later(Cut),
}

impl Question {
    pub(crate) async fn put(&self, client: &mut Client) -> Result<(Head, Incoming), Cut> {
        let claim = (header::CONTENT_RANGE, self.claim.to_string());
        match self.manner {
            Manner::Continuous(backfill) => {
                let query = Delivery { backfill, ..Delivery::default() }.to_query();
                let accept = (header::ACCEPT, "multipart/byteranges".into());
                client.get(&query, fields([claim, accept]), Duration::ZERO).await
            }
            Manner::Poll(_) => client.get("", fields([claim]), limits::POLL_WAIT).await,
            Manner::InOrder(Start::Join(from)) => {
                let query = Delivery { from, ..Delivery::default() }.to_query();
                client.get(&query, Fields::new(), Duration::ZERO).await
            }
            Manner::InOrder(_) => {
                let range = format!("bytes={}-{LIVE_LAST_POSITION}", self.position);
                client.get("", fields([(header::RANGE, range)]), Duration::ZERO).await
            }
        }
    }
}

fn fields<const N: usize>(pairs: [(HeaderName, String); N]) -> Fields {
    let field = |(name, value)| Some((name, HeaderValue::try_from(value).ok()?));
    pairs.into_iter().filter_map(field).collect()
}

/// Find the stream: a HEAD, again and again for as long as is to be waited.
pub(crate) async fn first(client: &mut Client, fetch: &Fetch) -> Result<Head, FetchError> {
    let deadline = Instant::now() + fetch.wait;
    let mut pauses = Pauses::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = left.min(limits::POLL_WAIT);
        let failure = match client.head(Fields::new(), wait).await {
            Ok(head) if head.status.is_success() => return Ok(head),
            Ok(head) => match refusal(fetch, &head, String::new()) {
                Ok(cut) => FetchError::Unreachable { url: fetch.url.clone(), last: cut },
                Err(error @ FetchError::NoStream { .. }) => error,
                Err(error) => return Err(error),
            },
            Err(last) => FetchError::Unreachable { url: fetch.url.clone(), last },
        };
        if Instant::now() >= deadline {
            return Err(failure);
        }
        tracing::debug!(%failure, "waiting for the stream");
        sleep_until(deadline.min(Instant::now() + pauses.next(None))).await;
    }
}

/// What the reply to a GET means.
pub(crate) async fn read(
    fetch: &Fetch,
    manner: Manner,
    head: &Head,
    incoming: Incoming,
) -> Result<Answer, FetchError> {
    match head.status {
        StatusCode::PARTIAL_CONTENT => Ok(Answer::Body(body(manner, head, incoming)?)),
        StatusCode::OK if matches!(manner, Manner::InOrder(Start::Join(_))) => {
            let place = head.join;
            let place =
                place.ok_or(FetchError::Foreign { what: "it does not say where it begins" })?;
            Ok(Answer::Body(Body::plain(incoming, place)))
        }
        StatusCode::NO_CONTENT => Ok(Answer::Nothing),
        StatusCode::RANGE_NOT_SATISFIABLE if is_follow(manner) => Ok(Answer::Nothing),
        status if status.is_success() => {
            Err(FetchError::Foreign { what: "it has bytes without a Content-Range" })
        }
        _ => Ok(Answer::Later(refusal(fetch, head, request::detail(incoming).await)?)),
    }
}

/// Is it asked for from a place on that may be the live edge?
fn is_follow(manner: Manner) -> bool {
    matches!(manner, Manner::InOrder(start) if !matches!(start, Start::Join(_)))
}

fn body(manner: Manner, head: &Head, incoming: Incoming) -> Result<Body, FetchError> {
    if let Manner::InOrder(_) = manner {
        let first = head.first_position();
        let first = first.ok_or(FetchError::Foreign { what: "it does not say where it begins" })?;
        return Ok(Body::run(incoming, head, first, None));
    }
    if let Some(boundary) = &head.boundary {
        return Ok(Body::parts(incoming, boundary));
    }
    let placed = head.placed();
    let placed = placed.ok_or(FetchError::Foreign { what: "its bytes have no place" })?;
    Ok(Body::run(incoming, head, placed.range.start(), placed.total))
}

/// A status that is no success: one that may pass is a cut, any other is final.
pub(crate) fn refusal(fetch: &Fetch, head: &Head, detail: String) -> Result<Cut, FetchError> {
    let status = head.status;
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(FetchError::NoStream { url: fetch.url.clone() })
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Ok(Cut::Later { status, detail, after: head.retry_after })
        }
        _ if status.is_server_error() => Ok(Cut::Later { status, detail, after: head.retry_after }),
        _ => Err(FetchError::Refused { status, detail }),
    }
}

const _: () = assert!(LIVE_LAST_POSITION < OFFSET_END_MAX);
