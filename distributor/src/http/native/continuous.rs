//! The native reply that goes on: parts of a multipart body, new bytes first, older ones in between.
//!
//! What comes next is decided when hyper has room for it, so that nothing that has become old waits
//! in a queue: a consumer on a link slower than the stream stays at the live edge, with gaps behind.

use std::sync::Arc;

use bytes::Bytes;
use freshet_protocol::{
    Backfill, ByteRange, Delivery, From, Held, PartHead, Placed, RangeSet, Skip, Stamp,
    field::HAVE, limits::PART_BYTES_MAX,
};
use futures_util::stream;
use http::{Version, header};
use tokio::time::Instant;

use super::{
    super::{
        Asked, Response,
        body::{Body, Cut},
        delivery,
        headers::{self, value},
        reply,
    },
    pace::{Pace, Reach},
    plan,
};
use crate::{
    fanout::{Framing, HandOver},
    hub::{Follower, Landing, Stream},
};

/// The reply to a consumer that holds `have`.
pub(super) fn deliver(
    asked: &Asked,
    stream: &Arc<Stream>,
    have: Held,
    delivery: &Delivery,
) -> Response {
    let follower = asked.site.hub.follow(stream, asked.who("native"));
    let boundary = Arc::clone(asked.site.fanout.boundary());
    let mut parts = Parts::new(follower, boundary, have.set, delivery);
    // An older one's body is not sent in chunks.
    let has_chunks = asked.head.version >= Version::HTTP_11;
    parts.handover = asked.line.handover().filter(|_| has_chunks).cloned();
    let media_type = value(format!("multipart/byteranges; boundary={}", parts.boundary));
    let frames = stream::try_unfold(parts, |mut parts| async move {
        let bytes = parts.next().await?;
        Ok::<_, Cut>(bytes.map(|bytes| (bytes, parts)))
    });
    let mut response = reply::partial(Body::open(Box::pin(frames)));
    headers::describe(response.headers_mut(), stream);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    // Content-Range is for the parts.
    response.headers_mut().insert(HAVE, value(stream.held()));
    response
}

/// The parts of one reply.
struct Parts {
    follower: Follower,
    /// The fan-out's, which may write on.
    boundary: Arc<str>,
    /// How the socket is handed over at the live edge.
    handover: Option<Arc<HandOver>>,
    content_type: Option<String>,
    /// What the consumer held, and what it was sent.
    have: RangeSet,
    /// What is from here on is new.
    edge: u64,
    backfill: Backfill,
    skip: Skip,
    /// Nothing below is sent.
    floor: u64,
    /// In order: where older bytes begin. Else they come newest first.
    in_order_from: Option<u64>,
    /// What is left of the part at hand.
    part: Option<ByteRange>,
    pace: Pace,
    ended: bool,
}

/// What there is to do.
enum Next {
    Part(ByteRange),
    Wait,
    End,
}

impl Parts {
    fn new(follower: Follower, boundary: Arc<str>, have: RangeSet, delivery: &Delivery) -> Self {
        let (backfill, skip) = (delivery.backfill, delivery.skip);
        let stream = follower.stream();
        let (edge, floor) = match backfill {
            Backfill::None => (stream.end().max(have.end()), u64::MAX),
            Backfill::Ring => (have.end(), stream.ring_start()),
            Backfill::All => (have.end(), 0),
        };
        let in_order_from = match delivery.from {
            From::Live => None,
            From::Start => Some(0),
            From::Offset(offset) => Some(offset),
            // The caller has made places of them.
            From::Ago(_) | From::Time(_) => None,
        };
        Self {
            content_type: stream.content_type(),
            boundary,
            handover: None,
            follower,
            have,
            edge,
            backfill,
            skip,
            floor,
            in_order_from,
            part: None,
            pace: Pace::default(),
            ended: false,
        }
    }

    /// The next bytes of the body. Not cancel safe: see [`HandOver::wait`].
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        if let Some(part) = self.part {
            let bytes = delivery::next_of(&mut self.follower, part).await?;
            self.part = ByteRange::new(part.start() + bytes.len() as u64, part.end());
            return Ok(Some(bytes));
        }
        loop {
            if self.ended {
                return Ok(None);
            }
            self.follower.mark()?;
            self.pace.look(Instant::now());
            match self.plan() {
                Next::Part(part) => {
                    let time = self.follower.origin_time(part.start()).await;
                    return Ok(Some(self.begin(part, time)));
                }
                Next::Wait => {
                    self.follower.check_origin()?;
                    self.pace.idle();
                    self.wait().await;
                }
                Next::End => {
                    self.ended = true;
                    return Ok(Some(PartHead::closing(&self.boundary)));
                }
            }
        }
    }

    /// Wait for more. Where nothing can come but what is newest, the fan-out writes that meanwhile.
    async fn wait(&mut self) {
        let handover = self.handover.clone().filter(|_| self.has_all_before(self.edge));
        let Some(handover) = handover else { return self.follower.changed().await };
        let at = handover.wait(&mut self.follower, self.edge, Framing::Parts).await;
        if let Some(written) = ByteRange::new(self.edge, at) {
            self.have.insert(written);
            self.edge = at;
        }
    }

    /// Begin a part: its head.
    fn begin(&mut self, part: ByteRange, origin_time: Option<Stamp>) -> Bytes {
        self.part = Some(part);
        self.pace.begin(part.len(), Instant::now());
        self.have.insert(part);
        self.edge = self.edge.max(part.end());
        let head = PartHead {
            placed: Placed { range: part, total: self.follower.stream().total() },
            content_type: self.content_type.clone(),
            origin_time,
        };
        head.encode(&self.boundary)
    }

    fn plan(&mut self) -> Next {
        let stream = Arc::clone(self.follower.stream());
        let reach = self.pace.reach();
        let landing = self.landing(&stream, reach);
        let newer = |readable: &RangeSet| plan::newer(readable, self.edge, reach, landing);
        if let Some(part) = stream.with_readable(|readable, _| newer(readable)) {
            return Next::Part(part);
        }
        if self.backfill != Backfill::None
            && let Some(part) = self.older(&stream)
        {
            return Next::Part(part);
        }
        if self.is_over(&stream) { Next::End } else { Next::Wait }
    }

    /// Where bytes that are skipped may end. Not looked for while there is nothing to skip: where so
    /// much comes meanwhile that there is, this part still goes in order.
    fn landing(&self, stream: &Stream, reach: Reach) -> Landing {
        match self.skip {
            Skip::Any => Landing::Anywhere,
            Skip::Join if reach.is_far(self.edge, stream.end()) => stream.landing(),
            Skip::Join => Landing::At(None),
        }
    }

    fn older(&mut self, stream: &Stream) -> Option<ByteRange> {
        let most = if stream.is_live() { self.pace.reach().part } else { PART_BYTES_MAX };
        let have = &self.have;
        let find = |floor| {
            stream.with_readable(|held, _| match self.in_order_from {
                Some(from) => plan::older_in_order(held, have, from, floor, most),
                None => plan::older(held, have, floor, most),
            })
        };
        let found = find(self.floor)?;
        if self.backfill == Backfill::All {
            return Some(found);
        }
        // The ring only moves on: its start is looked for when something is to be sent, not at
        // each byte that comes.
        self.floor = self.floor.max(stream.ring_start());
        find(self.floor)
    }

    /// Is the stream complete, and nothing missing that is wanted and still kept?
    fn is_over(&self, stream: &Stream) -> bool {
        stream.total().is_some_and(|total| self.has_all_before(total))
    }

    /// Is nothing missing below `end` that is wanted and still kept?
    fn has_all_before(&self, end: u64) -> bool {
        let wanted = match self.backfill {
            Backfill::None => self.edge,
            Backfill::Ring => self.floor,
            Backfill::All => self.follower.stream().retained_from(),
        };
        ByteRange::new(wanted, end).is_none_or(|wanted| self.have.covers(wanted))
    }
}
