//! `GET` and nothing else: curl, VLC, mpv, ffmpeg, `<video>`. Everything in order, from one place on.
//!
//! ```text
//!   complete and whole     200, Content-Length
//!   live                   200, chunked, until the stream ends; HTTP/1.0 until the connection does;
//!                          the container's header, and the stream from the newest join point on
//!   at a hole              waits for the origin to fill it, then skips it or is cut
//! ```
//!
//! A body that is cut lacks its last chunk, or is shorter than announced, or ends with a reset: a
//! consumer can always tell that from an end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use freshet_protocol::{
    Behind, ByteRange, Delivery, From,
    field::{STREAM_HEADER, STREAM_JOIN},
    way,
};
use futures_util::stream;
use http::{HeaderValue, Version, header::ACCEPT_RANGES};
use tokio::time::{Instant, timeout_at};
use tracing::trace;

use super::{
    Asked, Response,
    body::{Body, Cut, Frames},
    delivery,
    headers::{self, value},
    range::RangeRefused,
    reply::{self, Refusal},
};
use crate::{
    fanout::{Framing, HandOver},
    hub::{Follower, Read, ReadError, Skip, Stream},
    join::Join,
    limits,
};

/// Answer a plain GET.
pub(super) async fn deliver(
    asked: &Asked,
    stream: &Arc<Stream>,
    delivery: &Delivery,
) -> Result<Response, Refusal> {
    let Join { header, at: from } = begin(asked, stream, delivery.from).await?;
    let is_moved = from > 0 || !header.is_empty();
    let follower = asked.site.hub.follow(stream, asked.who("plain"));
    let rest = stream.total().filter(|_| stream.is_whole()).map(|total| total.max(from));
    let mut response = reply::ok(match rest.map(|end| ByteRange::new(from, end)) {
        Some(Some(range)) => delivery::counted_behind(header.clone(), &asked.line, follower, range),
        Some(None) => Body::empty(),
        None => {
            let gap_wait = Some(asked.site.bounds.gap_wait);
            let mut way = InOrder::new(follower, from, delivery.behind, gap_wait);
            (way.header, way.edge) = (header.clone(), Edge::of(asked));
            if delivery.behind != Behind::Lag {
                asked.line.newest_first();
            }
            Body::open(frames(way))
        }
    });
    let headers = response.headers_mut();
    headers::describe(headers, stream);
    headers.insert(STREAM_JOIN, value(from));
    if !header.is_empty() {
        headers.insert(STREAM_HEADER, value(header.len()));
    }
    if rest.is_some() && from == 0 {
        headers::immutable(headers, asked.site.guard.reading_is_free());
    } else {
        headers::live(headers);
    }
    if is_moved {
        // Positions in this body are not the stream's: a player that seeks by them gets other bytes.
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    }
    if rest.is_none() && asked.head.version < Version::HTTP_11 {
        asked.line.end_with_connection();
    }
    Ok(response)
}

/// Where a delivery begins, and what goes before.
async fn begin(asked: &Asked, stream: &Arc<Stream>, from: From) -> Result<Join, Refusal> {
    if from == From::Live && stream.total().is_none() {
        return Ok(stream.join());
    }
    let retained_from = stream.retained_from();
    let (first, end) = (stream.first(), stream.end());
    let at = match from {
        From::Live | From::Start => first,
        From::Offset(offset) if offset > end => return Err(RangeRefused::beyond(end).into()),
        From::Offset(offset) => offset.max(retained_from),
        From::Ago(_) | From::Time(_) => {
            let mut timeline = asked.site.hub.timeline(stream);
            let place = timeline.locate(from).await;
            let at = place.map_err(|why| RangeRefused::out_of_time(end, why))?;
            return Ok(timeline.join(at).await);
        }
    };
    Ok(Join { header: Bytes::new(), at })
}

/// Everything from `from` on, waiting at holes for as long as it takes (RFC 8673).
pub(super) fn in_order(asked: &Asked, stream: &Arc<Stream>, from: u64) -> Frames {
    let follower = asked.site.hub.follow(stream, asked.who("plain"));
    let mut way = InOrder::new(follower, from, Behind::Lag, None);
    way.edge = Edge::of(asked);
    frames(way)
}

fn frames(delivery: InOrder) -> Frames {
    Box::pin(stream::try_unfold(delivery, |mut delivery| async move {
        let bytes = delivery.next().await?;
        Ok::<_, Cut>(bytes.map(|bytes| (bytes, delivery)))
    }))
}

/// One consumer's way through a stream, in order.
struct InOrder {
    follower: Follower,
    /// What goes before the stream's bytes, and was not sent yet.
    header: Bytes,
    at: u64,
    behind: Behind,
    /// Where it will leave what it is behind with.
    skip: Option<Skip>,
    gap_wait: Option<Duration>,
    /// Until when the hole at `at` is waited for.
    hole: Option<Instant>,
    /// Has it been in memory once? Who begins far back is late, not slow.
    caught_up: bool,
    /// How the socket is handed over at the live edge.
    edge: Option<Edge>,
}

/// A reply whose next bytes need not come through hyper: how they look on the wire, and who writes them.
struct Edge {
    handover: Arc<HandOver>,
    framing: Framing,
}

impl Edge {
    /// For a body of unknown length, as hyper frames it.
    fn of(asked: &Asked) -> Option<Self> {
        let has_chunks = asked.head.version >= Version::HTTP_11;
        let framing = if has_chunks { Framing::Chunked } else { Framing::Raw };
        let handover = Arc::clone(asked.line.handover()?);
        Some(Self { handover, framing })
    }
}

impl InOrder {
    fn new(follower: Follower, at: u64, behind: Behind, gap_wait: Option<Duration>) -> Self {
        let (header, skip, hole) = (Bytes::new(), None, None);
        let (caught_up, edge) = (false, None);
        Self { follower, header, at, behind, skip, gap_wait, hole, caught_up, edge }
    }

    /// The next bytes; `None` at the stream's end. Not cancel safe: see [`HandOver::wait`].
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        if !self.header.is_empty() {
            let len = self.header.len().min(limits::FRAME_BYTES_MAX);
            return Ok(Some(self.header.split_to(len)));
        }
        loop {
            self.keep_up()?;
            match self.follower.read(self.at, self.max()).await {
                Ok(Read::Bytes(bytes)) => {
                    self.at += bytes.len() as u64;
                    self.hole = None;
                    trace!(target: way::TARGET, step = way::SEND, end = self.at, peer = self.port());
                    return Ok(Some(bytes));
                }
                Ok(Read::End) => return Ok(None),
                // What is damaged has just become a hole.
                Ok(Read::Missing) | Err(ReadError::Damaged { .. }) => self.wait().await?,
                Err(ReadError::Gone { .. }) if self.behind == Behind::Skip => {
                    self.at = self.follower.stream().join().at;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The port of the consumer; 0 where it is not known.
    fn port(&self) -> u16 {
        self.edge.as_ref().map_or(0, |edge| edge.handover.port())
    }

    /// Most bytes of the next frame: a skip begins where a unit ends.
    fn max(&self) -> usize {
        let left = self.skip.map_or(u64::MAX, |skip| skip.leave.saturating_sub(self.at).max(1));
        usize::try_from(left).unwrap_or(usize::MAX).min(limits::FRAME_BYTES_MAX)
    }

    /// Move or cut a consumer that has fallen out of memory, if it asked for that. Behind a stream
    /// that has ended nobody falls any more.
    fn keep_up(&mut self) -> Result<(), Cut> {
        self.leave();
        let (at, stream) = (self.at, self.follower.stream());
        if self.behind == Behind::Lag || stream.total().is_some() {
            return Ok(());
        }
        let end = stream.end();
        // The ring is larger than that, and looking for its start takes a while.
        if end.saturating_sub(at) < limits::NEWEST_JUMP_BYTES || stream.ring_start() <= at {
            self.caught_up = true;
            return Ok(());
        }
        match self.behind {
            Behind::Close if self.caught_up => return Err(Cut::Behind { at, end }),
            Behind::Skip if self.caught_up && self.skip.is_none() => {
                self.skip = stream.skip(at);
                self.leave();
            }
            _ => {}
        }
        Ok(())
    }

    /// Skip, where that was meant to be here.
    fn leave(&mut self) {
        if let Some(skip) = self.skip.take_if(|skip| skip.leave <= self.at) {
            // A newer place may have come up on the way.
            let to = self.follower.stream().skip(self.at).map_or(skip.to, |newer| newer.to);
            self.at = self.at.max(to);
        }
    }

    /// Wait at the live edge for a byte, which may be written meanwhile, or at a hole for it to be filled, for a while.
    async fn wait(&mut self) -> Result<(), Cut> {
        let at = self.at;
        let is_hole = at < self.follower.stream().end();
        if is_hole {
            self.follower.stream().want(at);
        } else if let (Some(edge), None) = (&self.edge, self.skip)
            // Who waits for an origin to come back is told when to give up.
            && !self.follower.stream().is_abandoned()
        {
            self.hole = None;
            self.at = edge.handover.wait(&mut self.follower, at, edge.framing).await;
            return Ok(());
        }
        let Some(waited) = self.gap_wait.filter(|_| is_hole) else {
            self.hole = None;
            self.follower.changed().await;
            return Ok(());
        };
        let until = *self.hole.get_or_insert_with(|| Instant::now() + waited);
        if timeout_at(until, self.follower.changed()).await.is_ok() {
            return Ok(());
        }
        let stream = self.follower.stream();
        let after = stream.with_readable(|readable, _| {
            readable.iter().map(ByteRange::start).find(|&start| start > at)
        });
        let Some(start) = after.filter(|_| self.behind == Behind::Skip) else {
            return Err(Cut::Hole { at, waited });
        };
        match stream.after_hole(start) {
            Some(join) => (self.at, self.hole, self.skip) = (join, None, None),
            // The hole was waited for long enough; now it is a place to go on at.
            None => self.follower.changed().await,
        }
        Ok(())
    }
}
