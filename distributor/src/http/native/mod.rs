//! The native GET: the consumer says what it holds, and is sent the newest bytes that it lacks.
//!
//! ```text
//!   GET, Content-Range: bytes 0-4095/*           206, one part: the newest missing run
//!                                                204, held set: nothing is missing
//!   the same, Accept: multipart/byteranges       206, parts without end, newest first
//! ```
//!
//! The meaning of Content-Range in a GET is ours (RFC 9110, section 14.4 leaves it open): such
//! replies are not stored, and say what they depend on. `Have` is the same for clients that may not
//! send the other.

mod continuous;
mod pace;
mod plan;

use std::{sync::Arc, time::Duration};

use freshet_protocol::{
    ByteRange, Delivery, From, Held, Placed,
    field::{HAVE, ORIGIN_TIME},
    limits::PART_BYTES_DEFAULT,
};
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, timeout_at};

use super::{
    Asked, Response, delivery,
    fields::{self, FieldError},
    headers::{self, value},
    range::RangeRefused,
    reply::{self, Refusal},
};
use crate::hub::{Follower, Stream};

/// What the consumer says it holds; `None` where it does not speak natively.
pub(super) fn held(headers: &HeaderMap) -> Result<Option<Held>, FieldError> {
    let range = fields::parsed(headers, header::CONTENT_RANGE)?;
    let have = fields::parsed(headers, HAVE)?;
    if range.is_some() && have.is_some() {
        return Err(FieldError::Both { name: header::CONTENT_RANGE, other: HAVE });
    }
    Ok(range.or(have))
}

/// Answer a consumer that holds `have`.
pub(super) async fn deliver(
    asked: &Asked,
    stream: &Arc<Stream>,
    have: Held,
    delivery: &Delivery,
) -> Result<Response, Refusal> {
    check(stream, &have)?;
    let delivery = &placed(asked, stream, delivery).await?;
    let mut response = if fields::accepts(&asked.head.headers, "multipart/byteranges") {
        asked.line.newest_first();
        continuous::deliver(asked, stream, have, delivery)
    } else {
        one_part(asked, stream, &have, delivery).await?
    };
    let headers = response.headers_mut();
    headers::live(headers);
    headers.insert(header::VARY, HeaderValue::from_static("Content-Range, Have, Range, Accept"));
    Ok(response)
}

/// The same, a time in it made a place.
async fn placed(
    asked: &Asked,
    stream: &Arc<Stream>,
    delivery: &Delivery,
) -> Result<Delivery, RangeRefused> {
    let mut delivery = delivery.clone();
    if delivery.from.is_time() {
        let place = asked.site.hub.timeline(stream).locate(delivery.from).await;
        let out_of_time = |why| RangeRefused::out_of_time(stream.end(), why);
        delivery.from = From::Offset(place.map_err(out_of_time)?);
    }
    Ok(delivery)
}

/// A consumer that holds more than there will ever be has another stream's bytes.
fn check(stream: &Stream, have: &Held) -> Result<(), RangeRefused> {
    match stream.total() {
        Some(total) if have.set.end() > total || have.total.is_some_and(|its| its != total) => {
            Err(RangeRefused::beyond(total))
        }
        _ => Ok(()),
    }
}

async fn one_part(
    asked: &Asked,
    stream: &Arc<Stream>,
    have: &Held,
    delivery: &Delivery,
) -> Result<Response, Refusal> {
    let limit = delivery.limit.unwrap_or(PART_BYTES_DEFAULT);
    let mut follower = asked.site.hub.follow(stream, asked.who("native polling"));
    let Some(range) = newest(asked, &mut follower, have, limit).await? else {
        let mut response = reply::no_content();
        headers::stand(response.headers_mut(), stream);
        return Ok(response);
    };
    let time = follower.origin_time(range.start()).await;
    let mut response = reply::partial(delivery::counted(&asked.line, follower, range));
    let headers = response.headers_mut();
    headers::describe(headers, stream);
    headers.insert(header::CONTENT_RANGE, value(Placed { range, total: stream.total() }));
    if let Some(time) = time {
        headers.insert(ORIGIN_TIME, value(time));
    }
    Ok(response)
}

/// The newest missing run, now or as soon as there is one within the time the request waits.
async fn newest(
    asked: &Asked,
    follower: &mut Follower,
    have: &Held,
    limit: u64,
) -> Result<Option<ByteRange>, Refusal> {
    let deadline = Instant::now() + asked.wait().unwrap_or(Duration::ZERO);
    loop {
        let stream = Arc::clone(follower.stream());
        if follower.mark().is_err() {
            return Err(Refusal::NoStream { name: stream.name().clone() });
        }
        let found = stream.with_readable(|readable, _| readable.newest_missing(&have.set, limit));
        if found.is_some() || stream.is_whole() || asked.wait().is_none() {
            return Ok(found);
        }
        tokio::select! {
            () = asked.site.shutdown.cancelled() => return Err(Refusal::Stopping),
            waited = timeout_at(deadline, follower.changed()) => if waited.is_err() {
                return Ok(None);
            },
        }
    }
}
