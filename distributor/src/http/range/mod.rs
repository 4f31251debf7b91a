//! `GET` with `Range`: RFC 9110, section 14, and RFC 8673 where the stream is live.
//!
//! ```text
//!   bytes=A-B, A-, -N      206  what is held of it, Content-Length
//!   several                206  multipart/byteranges, Content-Length
//!   bytes=A-9007199254740991 on a live stream
//!                          206  from A on, as it comes, chunked
//! ```
//!
//! With `resume=1` in the query an open range of a live stream is answered by [`resume`].

pub(super) mod resume;
mod spec;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use freshet_protocol::{ByteRange, PartHead, Placed};
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::time::{Instant, timeout_at};

use self::spec::{Answer, Extent, RangeError, Wanted};
use super::{
    Asked, Response,
    body::{Body, Cut, Frames},
    delivery,
    headers::{self, value},
    plain, reply,
    reply::Refusal,
};
use crate::hub::{Follower, OutOfTime, Stream};

/// Why a `Range` is not answered.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct RangeRefused {
    /// The current length.
    pub(super) length: u64,
    why: RangeError,
}

impl RangeRefused {
    /// Something beyond the current `length`.
    pub(super) fn beyond(length: u64) -> Self {
        Self { length, why: RangeError::Beyond { length } }
    }

    /// A time that nothing is of, in a stream of the current `length`.
    pub(super) fn out_of_time(length: u64, why: OutOfTime) -> Self {
        Self { length, why: why.into() }
    }
}

/// Answer `field`; `None` where it counts as absent.
pub(super) async fn deliver(
    asked: &Asked,
    stream: &Arc<Stream>,
    field: &str,
) -> Result<Option<Response>, Refusal> {
    let refused = |why| RangeRefused { length: length(stream), why };
    let Some(wanted) = Wanted::parse(field).map_err(refused)? else { return Ok(None) };
    let mut response = match settle(asked, stream, &wanted).await? {
        Answer::Ignored => return Ok(None),
        Answer::Follow { from, last } => return Ok(Some(follow(asked, stream, from, &last))),
        Answer::Parts(parts) => match parts.as_slice() {
            [one] => single(asked, stream, *one),
            _ => several(asked, stream, parts),
        },
    };
    let is_final =
        stream.is_whole() || stream.with_readable(|readable, _| wanted.is_final(readable));
    if is_final {
        headers::immutable(response.headers_mut(), asked.site.guard.reading_is_free());
    } else {
        // The same request has more to get later.
        headers::live(response.headers_mut());
    }
    Ok(Some(response))
}

fn length(stream: &Stream) -> u64 {
    stream.with_readable(|readable, total| total.unwrap_or_else(|| readable.end()))
}

fn look(stream: &Stream, wanted: &Wanted) -> Result<Answer, RangeError> {
    let retained_from = stream.retained_from();
    stream.with_readable(|readable, total| wanted.answer(Extent { readable, total, retained_from }))
}

/// What `wanted` comes to, now or within the time that the request is willing to wait.
async fn settle(asked: &Asked, stream: &Arc<Stream>, wanted: &Wanted) -> Result<Answer, Refusal> {
    let begun = Instant::now();
    let mut follower: Option<Follower> = None;
    loop {
        // Marked as seen before the look: what changes in between ends the wait.
        if follower.as_mut().is_some_and(|follower| follower.mark().is_err()) {
            return Err(Refusal::NoStream { name: stream.name().clone() });
        }
        let why = match look(stream, wanted) {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        let refused = Refusal::Range(RangeRefused { length: length(stream), why: why.clone() });
        let Some(wait) = patience(asked, stream, &why).filter(|_| !stream.is_whole()) else {
            return Err(refused);
        };
        let Some(follower) = &mut follower else {
            follower = Some(asked.site.hub.follow(stream, asked.who("range")));
            continue;
        };
        tokio::select! {
            () = asked.site.shutdown.cancelled() => return Err(Refusal::Stopping),
            waited = timeout_at(begun + wait, follower.changed()) => waited.map_err(|_| refused)?,
        }
    }
}

/// How long a request waits that cannot be answered: as long as it says, and where its bytes are on
/// their way from upstream, as long as for any other hole.
fn patience(asked: &Asked, stream: &Stream, why: &RangeError) -> Option<Duration> {
    if let RangeError::Hole { at } = *why {
        stream.want(at);
    }
    let is_coming = matches!(why, RangeError::Hole { .. }) && stream.is_being_filled();
    let own = asked.wait().filter(|_| why.may_pass());
    own.or_else(|| is_coming.then_some(asked.site.bounds.gap_wait))
}

fn single(asked: &Asked, stream: &Arc<Stream>, range: ByteRange) -> Response {
    let follower = asked.site.hub.follow(stream, asked.who("range"));
    let body = delivery::counted(&asked.line, follower, range);
    let mut response = reply::partial(body);
    let placed = Placed { range, total: stream.total() };
    headers::describe(response.headers_mut(), stream);
    response.headers_mut().insert(header::CONTENT_RANGE, value(placed));
    response
}

fn several(asked: &Asked, stream: &Arc<Stream>, parts: Vec<ByteRange>) -> Response {
    let boundary = delivery::boundary();
    let head = |range| PartHead {
        placed: Placed { range, total: stream.total() },
        content_type: stream.content_type(),
        origin_time: None,
    };
    let mut steps: VecDeque<Step> = VecDeque::new();
    for range in parts {
        steps.push_back(Step::Text(head(range).encode(&boundary)));
        steps.push_back(Step::Range(range));
    }
    steps.push_back(Step::Text(PartHead::closing(&boundary)));
    let length = steps.iter().map(Step::len).sum();
    let frames = frames_of(asked.site.hub.follow(stream, asked.who("range")), steps);
    let mut response = reply::partial(Body::counted(frames, length));
    headers::describe(response.headers_mut(), stream);
    let media_type = value(format!("multipart/byteranges; boundary={boundary}"));
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

enum Step {
    Text(Bytes),
    Range(ByteRange),
}

impl Step {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.len(),
        }
    }
}

fn frames_of(follower: Follower, steps: VecDeque<Step>) -> Frames {
    Box::pin(stream::try_unfold((follower, steps), |(mut follower, mut steps)| async move {
        let Some(step) = steps.pop_front() else { return Ok::<_, Cut>(None) };
        let bytes = match step {
            Step::Text(text) => text,
            Step::Range(range) => {
                let bytes = delivery::next_of(&mut follower, range).await?;
                let rest = ByteRange::new(range.start() + bytes.len() as u64, range.end());
                rest.into_iter().for_each(|rest| steps.push_front(Step::Range(rest)));
                bytes
            }
        };
        Ok(Some((bytes, (follower, steps))))
    }))
}

fn follow(asked: &Asked, stream: &Arc<Stream>, from: u64, last: &str) -> Response {
    let frames = plain::in_order(asked, stream, from);
    let mut response = reply::partial(Body::open(frames));
    let headers = response.headers_mut();
    headers::describe(headers, stream);
    headers::live(headers);
    headers.insert(header::CONTENT_RANGE, value(format!("bytes {from}-{last}/*")));
    // Players that take this for the whole stop at a reply that keeps its connection.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
