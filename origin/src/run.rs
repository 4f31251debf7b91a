//! The loop that posts one stream: ask what is held, send what is missing, until nothing is.
//!
//! ```text
//!        ┌──────────── pause (back-off, jitter) ◀── cut, 5xx, leased, too late
//!        ▼                                              ▲
//!   ask: what is held? ──▶ prove it is ours ──▶ next step: post, complete, wait ──▶ done
//! ```
//!
//! The proof: an origin that meets a stream for the first time posts a few bytes again that are held
//! already. If they differ, somebody else's bytes are there, and going on after them would mix the two.
//! Likewise where more is held than is here, by a twin that was faster or because a copy lost its end in
//! a power cut: once the source has caught up, its newest bytes are proved before it goes on.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use freshet_protocol::{ByteRange, ChunkRange, ETag, Placed};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, trace, warn};

use crate::{
    backoff::Backoff,
    limits::{CHUNK_BYTES_MAX, PROOF_BYTES},
    push::{Chunk, CutError, Link, LinkError},
    reply::{Reply, View},
    resume::{self, Have, Late, MismatchError, Step},
    source::Source,
    target::Target,
    terms::{Options, PushError, State, Stats, Summary},
};

/// One stream on its way to one distributor.
#[derive(Debug)]
pub struct Push {
    link: Link,
    source: Source,
    options: Options,
    stats: watch::Sender<Stats>,
    backoff: Backoff,
    /// What the distributor last said; `None`: ask.
    view: Option<View>,
    /// The incarnation that the bytes go to.
    seen: Option<ETag>,
    /// Pieces that must be posted again before anything else.
    proofs: Vec<ByteRange>,
    /// More was held than was here; where the source meets it, its bytes must be proved.
    outrun: bool,
    /// How far ahead of what is held the distributor takes bytes, where it has refused some.
    reach: Option<u64>,
    failing_since: Option<Instant>,
}

impl Push {
    /// Prepare to post `source` to `target`.
    ///
    /// # Errors
    ///
    /// The target names no stream, or an option cannot be said in a header field.
    pub fn new(target: &Target, source: Source, options: Options) -> Result<Self, LinkError> {
        let origin_id = options.origin_id.clone().unwrap_or_else(|| source.origin_id(target));
        let link = Link::new(target, &origin_id, options.token.as_deref(), &options.content_type)?;
        Ok(Self {
            link,
            seen: source.etag(),
            source,
            backoff: Backoff::new(options.seed),
            options,
            stats: watch::Sender::default(),
            view: None,
            proofs: Vec::new(),
            outrun: false,
            reach: None,
            failing_since: None,
        })
    }

    /// How far it is, at any time.
    #[must_use]
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Post until the stream is complete and all of it acknowledged.
    ///
    /// # Errors
    ///
    /// See [`PushError`]. What is acknowledged stays; a new push goes on from there.
    pub async fn run(mut self, shutdown: &CancellationToken) -> Result<Summary, PushError> {
        // What captures runs here, and ends when this does.
        let mut tasks = JoinSet::new();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            ended = self.deliver(&mut tasks) => return ended,
        }
        Err(PushError::Interrupted { acknowledged: self.stats.borrow().acknowledged })
    }

    async fn deliver(&mut self, tasks: &mut JoinSet<()>) -> Result<Summary, PushError> {
        self.source.begin(tasks).await?;
        loop {
            let Some(view) = self.view.take() else {
                self.ask().await?;
                continue;
            };
            let have = self.source.have(Instant::now());
            self.compare(&view, have);
            let step = match self.proofs.last() {
                Some(&range) => Step::Post { range, total: None },
                None => self.next(&view, have)?,
            };
            trace!(?step, "next");
            match step {
                Step::Post { range, total } => {
                    self.post(ChunkRange::Bytes(Placed { range, total }), &view).await?;
                }
                Step::Complete { total } => {
                    self.post(ChunkRange::Complete { total }, &view).await?
                }
                Step::Wait => {
                    self.reach = None;
                    self.recovered();
                    self.publish(&view, State::Waiting);
                    self.view = Some(view);
                    self.source.grown(have).await?;
                }
                Step::Done => {
                    self.publish(&view, State::Done);
                    self.source.ended()?;
                    let posted = self.stats.borrow().posted;
                    return Ok(Summary { total: have.end, posted, etag: self.seen.clone() });
                }
            }
        }
    }

    /// Is more held than is here, or was there, and the source has caught up?
    fn compare(&mut self, view: &View, have: Have) {
        let ahead = view.held.end().saturating_sub(have.end);
        if ahead > 0 && !self.outrun {
            warn!(
                bytes = ahead,
                "the distributor is ahead of what is here, waiting for the source"
            );
        }
        if ahead == 0 && self.outrun {
            self.proofs = resume::proof(&view.held, have, PROOF_BYTES);
        }
        self.outrun = ahead > 0;
    }

    /// The next step, within reach. Where that is less than a chunk, everything goes in order.
    fn next(&self, view: &View, mut have: Have) -> Result<Step, MismatchError> {
        let (mut late, chunk) = (self.options.late, self.chunk(view));
        match self.reach {
            Some(reach) if late == Late::Newest && reach >= chunk => {
                have.end = have.end.min(view.held.end().saturating_add(reach));
            }
            Some(_) => late = Late::All,
            None => {}
        }
        resume::next(view, have, late, chunk)
    }

    fn chunk(&self, view: &View) -> u64 {
        let asked = self.options.chunk.clamp(1, CHUNK_BYTES_MAX);
        view.chunk_max.map_or(asked, |max| asked.min(max))
    }

    /// The handshake.
    async fn ask(&mut self) -> Result<(), PushError> {
        self.stats.send_modify(|stats| stats.handshakes += 1);
        match self.link.ask().await {
            Ok(Reply::Holds(view)) => self.meet(view),
            Ok(Reply::Absent) => self.meet(View::default()),
            other => self.fail(other).await?,
        }
        Ok(())
    }

    /// The handshake's answer: is it the incarnation that we know?
    fn meet(&mut self, view: View) {
        if self.seen.is_some() && self.seen != view.etag {
            info!("the stream begins anew there");
            self.seen = None;
        }
        if self.seen.is_none() || self.stats.borrow().handshakes == 1 {
            self.source.meet(&view, Instant::now());
        }
        if self.seen.is_none() {
            let have = self.source.have(Instant::now());
            self.proofs = resume::proof(&view.held, have, PROOF_BYTES);
            self.seen.clone_from(&view.etag);
        }
        debug!(held = %view.held, total = view.total, "handshake");
        // A link that cuts every request and still brings some bytes over is no reason to slow down.
        if acknowledged(&view) > self.stats.borrow().acknowledged {
            self.recovered();
        }
        self.publish(&view, State::Posting);
        self.view = Some(view);
    }

    /// One chunk, or the end.
    async fn post(&mut self, place: ChunkRange, view: &View) -> Result<(), PushError> {
        let (bytes, captured) = match place {
            ChunkRange::Bytes(Placed { range, .. }) => (
                self.source.read(range).await?,
                self.source.captured(range.start(), Instant::now()),
            ),
            ChunkRange::Complete { .. } => (Bytes::new(), None),
        };
        let chunk = Chunk { place, bytes, captured };
        match self.link.post(chunk, self.seen.as_ref()).await {
            Ok(Reply::Holds(now)) if keeps(&now, place) => self.accepted(now, place, view).await,
            Ok(Reply::Holds(_)) => self.pause(None, "acknowledged, but not held".into()).await,
            Ok(Reply::Absent | Reply::OtherIncarnation) => {
                self.pause(None, "the stream is another one now".into()).await
            }
            Ok(Reply::TooFarAhead) if self.come_closer(place, view) => {
                self.view = Some(view.clone());
                Ok(())
            }
            other => self.fail(other).await,
        }
    }

    /// Refused for being too far ahead: half as far is the next try. In a few steps the newest bytes
    /// are within reach again. False where it was not ahead at all.
    fn come_closer(&mut self, place: ChunkRange, view: &View) -> bool {
        let ChunkRange::Bytes(Placed { range, .. }) = place else { return false };
        let ahead = range.start().saturating_sub(view.held.end().max(view.retained_from));
        debug!(ahead, "too far ahead of what is held");
        let closer = self.reach.is_none_or(|reach| reach > 0);
        self.reach = Some(ahead / 2);
        closer && self.options.late == Late::Newest
    }

    async fn accepted(
        &mut self,
        mut now: View,
        place: ChunkRange,
        before: &View,
    ) -> Result<(), PushError> {
        now.chunk_max = now.chunk_max.or(before.chunk_max);
        if self.proofs.pop().is_none()
            && let ChunkRange::Bytes(Placed { range, .. }) = place
        {
            self.stats.send_modify(|stats| stats.posted += range.len());
        }
        if self.proofs.is_empty() && now.etag.is_some() && self.source.etag() != now.etag {
            self.seen.clone_from(&now.etag);
            if let Some(etag) = &self.seen {
                self.source.remember(etag).await?;
            }
        }
        self.recovered();
        self.source.release(&now);
        self.publish(&now, State::Posting);
        self.view = Some(now);
        Ok(())
    }

    fn recovered(&mut self) {
        self.backoff.reset();
        if self.failing_since.take().is_some() {
            info!("going on");
        }
    }

    /// What is no success: wait and ask again, or stop.
    async fn fail(&mut self, reply: Result<Reply, CutError>) -> Result<(), PushError> {
        match reply {
            Ok(Reply::Leased { retry, detail }) => {
                self.pause(retry, format!("another origin posts it: {detail}")).await
            }
            Ok(Reply::NotNow { status, retry, detail }) => {
                self.pause(retry, format!("{status}: {detail}")).await
            }
            Ok(Reply::TooFarAhead) => {
                self.pause(None, "the distributor takes nothing so far ahead".into()).await
            }
            Ok(Reply::Conflict { detail }) => Err(PushError::Conflict { detail }),
            Ok(Reply::Refused { status, detail }) => Err(PushError::Refused { status, detail }),
            Ok(Reply::Strange { detail }) => Err(PushError::Strange { detail }),
            Ok(Reply::Absent | Reply::OtherIncarnation | Reply::Holds(_)) => {
                self.pause(None, "the stream is another one now".into()).await
            }
            Err(error) => self.pause(None, chain(&error)).await,
        }
    }

    /// Wait, then ask again what is held: whatever failed, an unknown part of it may have arrived.
    async fn pause(&mut self, asked: Option<Duration>, why: String) -> Result<(), PushError> {
        self.view = None;
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        let mut pause = self.backoff.next(asked);
        if let Some(limit) = self.options.give_up {
            let left = limit.saturating_sub(now - since);
            if left.is_zero() {
                return Err(PushError::GaveUp { after: limit, last: why });
            }
            pause = pause.min(left);
        }
        if self.backoff.failures() == 1 {
            warn!(%why, "trying again");
        } else {
            debug!(%why, ?pause, "trying again");
        }
        self.stats.send_modify(|stats| stats.state = State::Retrying { why });
        sleep(pause).await;
        Ok(())
    }

    fn publish(&self, view: &View, state: State) {
        let have = self.source.have(Instant::now());
        // An endless file at full speed has everything at once: nothing is behind.
        let available = if have.end == freshet_protocol::limits::OFFSET_END_MAX {
            view.held.end()
        } else {
            have.end
        };
        self.stats.send_modify(|stats| {
            stats.acknowledged = acknowledged(view);
            stats.available = available;
            stats.total = have.total;
            stats.state = state;
        });
    }
}

/// Bytes of the stream that were acknowledged at some time.
fn acknowledged(view: &View) -> u64 {
    view.held.bytes() + view.retained_from
}

/// Does this acknowledgement cover what was posted?
fn keeps(view: &View, place: ChunkRange) -> bool {
    match place {
        ChunkRange::Complete { total } => view.total == Some(total),
        ChunkRange::Bytes(Placed { range, total }) => {
            let start = range.start().max(view.retained_from);
            let held = ByteRange::new(start, range.end());
            held.is_none_or(|range| view.held.covers(range))
                && (total.is_none() || view.total == total)
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &CutError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
