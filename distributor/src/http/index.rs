//! `/index/NAME`: a stream's timeline, a line of JSON for the bytes that came together.
//!
//! Made while it is sent, so that a timeline of any length costs the memory of a page of it.

use std::sync::Arc;

use bytes::Bytes;
use freshet_protocol::{From, Listing, StreamName, TimelineEntry};
use futures_util::stream;
use http::{HeaderValue, Method, Version, header};

use super::{
    Asked, Response,
    body::{Body, Cut, Frames},
    handle, headers,
    range::RangeRefused,
    reply::{self, Refusal},
};
use crate::{
    hub::{Stream, Timeline},
    limits::TIMELINE_PAGE_LINES,
};

/// Answer a GET or HEAD.
pub(super) async fn deliver(asked: &Asked, name: &StreamName) -> Result<Response, Refusal> {
    let listing = Listing::parse(asked.head.uri.query().unwrap_or_default())?;
    let stream = handle::find(asked, name).await?;
    let mut timeline = asked.site.hub.timeline(&stream);
    let at = begin(&stream, &mut timeline, listing.from).await?;
    let body = if asked.head.method == Method::HEAD {
        Body::empty()
    } else {
        Body::open(frames(Lines { timeline, at, left: listing.limit, follow: listing.follow }))
    };
    let mut response = reply::ok(body);
    let headers = response.headers_mut();
    headers::identify(headers, &stream);
    headers::live(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if asked.head.version < Version::HTTP_11 {
        asked.line.end_with_connection();
    }
    Ok(response)
}

async fn begin(
    stream: &Arc<Stream>,
    timeline: &mut Timeline,
    from: From,
) -> Result<u64, RangeRefused> {
    match from {
        From::Start => Ok(0),
        From::Live => Ok(stream.join().at),
        From::Offset(offset) if offset > stream.end() => Err(RangeRefused::beyond(stream.end())),
        From::Offset(offset) => Ok(offset),
        From::Ago(_) | From::Time(_) => {
            let place = timeline.locate(from).await;
            place.map_err(|why| RangeRefused::out_of_time(stream.end(), why))
        }
    }
}

/// What is left of a listing.
struct Lines {
    timeline: Timeline,
    at: u64,
    left: Option<u64>,
    follow: bool,
}

fn frames(lines: Lines) -> Frames {
    Box::pin(stream::try_unfold(lines, |mut lines| async move {
        let text = lines.next().await?;
        Ok::<_, Cut>(text.map(|text| (text, lines)))
    }))
}

impl Lines {
    /// The next lines; `None` where the listing ends.
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            let left = self.left.and_then(|left| usize::try_from(left).ok());
            let count = left.map_or(TIMELINE_PAGE_LINES, |left| left.min(TIMELINE_PAGE_LINES));
            let page = self.timeline.page(self.at, count).await?;
            if let Some(last) = page.last() {
                self.at = last.offset + last.length;
                self.left = self.left.map(|left| left - page.len() as u64);
                return Ok(Some(page.iter().flat_map(line).collect()));
            }
            let is_over = self.timeline.stream().total().is_some_and(|total| total <= self.at);
            if !self.follow || count == 0 || is_over {
                return Ok(None);
            }
            self.timeline.changed().await?;
        }
    }
}

fn line(entry: &TimelineEntry) -> Vec<u8> {
    // Numbers and nothing else: that cannot fail.
    let mut line = serde_json::to_vec(entry).unwrap_or_default();
    line.push(b'\n');
    line
}
