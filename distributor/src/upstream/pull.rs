//! One stream's pull: asks one upstream after the other, and feeds what comes into the stream here.
//!
//! ```text
//!   choose ──▶ ask ──▶ flow: pieces ──▶ write ─┬─ all is here, or nobody wants it ──▶ leave
//!     ▲                  │ silence: ask around  │
//!     └── rest ◀── note ◀┴──────── cut ◀────────┘
//! ```
//!
//! New bytes come first. Older ones are asked for in order, from where our bytes end: what was missed
//! meanwhile, then what lies before. A viewer who waits for others has them asked for next.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use freshet_protocol::{Held, StreamName};
use futures_util::future::select;
use rand::RngExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::{
    Node, Pull, Supply,
    choose::{Choice, Next, Outcome},
    feed::{Deletion, Feed, Stop},
    header,
    request::{Answer, Arrival, Question},
    silence::{Asking, Silence, ask_around},
};
use crate::{
    limits,
    metrics::Counted,
    store::{Stream, WriteError},
};

/// The task of one pull. However it ends, the pull is over then.
pub(super) struct Puller {
    node: Arc<Node>,
    name: StreamName,
    pull: Arc<Pull>,
    choice: Choice,
    /// Where older bytes are to begin, if a viewer waits for them.
    seek: Option<u64>,
    sought: Instant,
    /// Who served last.
    served: Option<usize>,
    /// Is the delivery at hand wanted for the container's header?
    only_header: bool,
    /// Was it said in the log that upstream fails?
    complained: bool,
    _counted: Counted,
}

/// What came of asking: something to note, or to ask the same one again; `Break`: leave.
type Step = ControlFlow<(), Option<Outcome>>;

impl Puller {
    pub(super) fn new(node: Arc<Node>, name: StreamName, pull: Arc<Pull>) -> Self {
        Self {
            choice: Choice::new(node.config.upstream.len()),
            _counted: node.metrics.pull(),
            node,
            name,
            pull,
            seek: None,
            sought: Instant::now(),
            served: None,
            only_header: false,
            complained: false,
        }
    }

    /// Pull until the stream is complete, or nobody wants it, or the distributor stops.
    pub(super) async fn run(mut self) {
        debug!(stream = %self.name, "pull begins");
        let stop = self.node.stop.clone();
        // The end is looked for where nothing else has come.
        select(pin!(self.pull_on()), pin!(stop.cancelled())).await;
        debug!(stream = %self.name, "pull ends");
    }

    async fn pull_on(&mut self) {
        let mut begun = Instant::now();
        loop {
            let next = self.choice.next();
            let step = match next {
                Next::Ask(at) => self.ask(at).await,
                Next::Adopt => self.discard().await,
                Next::Missing | Next::Away => {
                    let is_away = next == Next::Away;
                    self.pull.say(if is_away { Supply::Away } else { Supply::Missing });
                    let step = self.rest(begun.elapsed()).await;
                    begun = Instant::now();
                    step
                }
            };
            match step {
                Break(()) => return,
                Continue(None) => {}
                Continue(Some(outcome)) => self.choice.note(outcome),
            }
        }
    }

    /// What is here of the stream; `Break` where it was published here, or is complete.
    async fn here(&self) -> ControlFlow<(), Option<Arc<Stream>>> {
        match self.node.store.find(&self.name).await {
            Some(stream) if !stream.is_pulled() || stream.is_done() => Break(()),
            found => Continue(found),
        }
    }

    /// Another incarnation has taken the place of ours.
    async fn discard(&mut self) -> Step {
        if self.here().await?.is_some() {
            info!(stream = %self.name, "another incarnation upstream: begun anew");
            // Those who are cut and come back wait for it.
            self.pull.say(Supply::Asking);
            if let Err(error) = self.node.store.delete(&self.name).await {
                warn!(stream = %self.name, %error, "files of the old incarnation are left");
            }
        }
        Continue(None)
    }

    /// Pause between two rounds; `Break` if nobody wants the stream any more.
    async fn rest(&self, round: Duration) -> Step {
        let here = self.here().await?;
        if here.is_none() && self.pull.demand.borrow().patient == 0 {
            let mut demand = self.pull.demand.subscribe();
            tokio::select! {
                () = sleep(limits::UPSTREAM_NEGATIVE) => {}
                _ = demand.wait_for(|demand| demand.patient > 0) => {}
            }
            if self.retire(false) {
                return Break(());
            }
        }
        let pause = self.choice.pause(rand::rng().random());
        if let Some(stream) = &here {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.until_unwanted(stream) => return Break(()),
            }
        } else {
            // A round that was spent waiting upstream was its own pause.
            sleep(pause.saturating_sub(round)).await;
        }
        Continue(None)
    }

    fn retire(&self, here: bool) -> bool {
        self.node.retire(&self.name, &self.pull, here)
    }

    /// Resolves once the pull has retired, because nobody follows the stream. Cancel safe.
    async fn until_unwanted(&self, stream: &Stream) {
        loop {
            sleep(limits::VIEWERS_EVERY).await;
            if self.is_unwanted(stream) {
                return;
            }
        }
    }

    fn is_unwanted(&self, stream: &Stream) -> bool {
        if stream.consumers() > 0 {
            self.pull.touch();
        }
        self.retire(true)
    }

    fn question(&self, here: Option<&Stream>, wait: Duration) -> Question {
        Question { wait, ..Question::new(&self.node, &self.pull, &self.name, here, self.seek) }
    }

    /// How long upstream may wait for the stream to begin: not at all in the first round, so that
    /// those who do not wait have their answer.
    fn wait(&self, here: bool) -> Duration {
        let decided = self.pull.supply.borrow().is_decided();
        match (here, decided, self.node.config.upstream.len()) {
            (false, true, 1) => limits::UPSTREAM_WAIT_MAX,
            (false, true, _) => limits::UPSTREAM_WAIT_SLICE,
            _ => Duration::ZERO,
        }
    }

    /// Ask the upstream at `at`, and take what it gives.
    async fn ask(&mut self, at: usize) -> Step {
        let here = self.here().await?;
        let Some(upstream) = self.node.config.upstream.get(at).cloned() else {
            return Continue(Some(Outcome::Failed));
        };
        let wait = self.wait(here.is_some());
        let question = self.question(here.as_deref(), wait);
        (self.only_header, self.seek) = (question.only_header, None);
        self.node.metrics.upstream_requests.inc();
        let mut demand = self.pull.demand.subscribe();
        let answer = tokio::select! {
            answer = question.get(&upstream) => answer,
            _ = demand.wait_for(|demand| !wait.is_zero() && demand.patient == 0) => {
                // Nobody waits any more; the next round looks whether to go on.
                return Continue(Some(Outcome::Missing));
            }
        };
        match answer {
            Ok(Answer::Delivery(arrival)) => self.flow(at, here, arrival).await,
            Ok(Answer::Missing) => Continue(Some(Outcome::Missing)),
            Ok(Answer::Other) => Continue(Some(Outcome::Other)),
            Ok(Answer::Held { .. }) => self.failed(at, "it does not speak this protocol"),
            Ok(Answer::Refused { status }) => self.failed(at, &format!("it answers {status}")),
            Err(cut) => self.failed(at, &cut.to_string()),
        }
    }

    /// This upstream is of no use now. Said aloud once in a row of such rounds.
    fn failed(&mut self, at: usize, why: &str) -> Step {
        self.node.metrics.upstream_errors.inc();
        let upstream = self.node.config.upstream.get(at).map(ToString::to_string);
        let (stream, upstream) = (&self.name, upstream.unwrap_or_default());
        if self.complained {
            debug!(%stream, upstream, why, "upstream failed");
        } else {
            warn!(%stream, upstream, why, "upstream failed");
        }
        self.complained = true;
        Continue(Some(Outcome::Failed))
    }

    /// Take the bytes of a delivery until it ends, or is not wanted any more.
    async fn flow(
        &mut self,
        at: usize,
        here: Option<Arc<Stream>>,
        mut arrival: Box<Arrival>,
    ) -> Step {
        let begun = Instant::now();
        if self.served.is_some_and(|before| before != at) {
            info!(stream = %self.name, upstream = at + 1, "goes on from another upstream");
            self.node.metrics.failovers.inc();
        }
        self.served = Some(at);
        let mut came = false;
        let stop = match self.feed(at, here, &mut arrival, &mut came).await {
            Ok(step) => return step,
            Err(stop) => stop,
        };
        // Those who come now wait for what the next one says.
        self.pull.say(Supply::Asking);
        if let Stop::Local | Stop::Write(WriteError::Deleted | WriteError::Superseded) = stop {
            return Break(());
        }
        let why = stop.to_string();
        if came && begun.elapsed() >= limits::SERVED_WELL {
            self.node.metrics.upstream_errors.inc();
            info!(stream = %self.name, upstream = at + 1, why, "cut by upstream");
            return Continue(Some(Outcome::Cut));
        }
        self.failed(at, &why)
    }

    async fn feed(
        &mut self,
        at: usize,
        here: Option<Arc<Stream>>,
        arrival: &mut Arrival,
        came: &mut bool,
    ) -> Result<Step, Stop> {
        let mut feed = here.map(|stream| Feed::new(stream, false, arrival)).transpose()?;
        if let Some(feed) = &mut feed {
            feed.learn_total(arrival.held.total).await?;
            self.learn_header(at, feed, arrival).await;
            self.announce(feed, arrival, false);
        }
        let (mut silence, mut tick) = (Silence::new(), interval(limits::VIEWERS_EVERY));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deletion = Deletion::default();
        loop {
            tokio::select! {
                // What comes is looked for first, alone where it is there. The runtime gives the others their turn.
                biased;
                piece = arrival.next() => {
                    let Some(piece) = piece? else { return self.end(at, feed, arrival).await };
                    let feed = match &mut feed {
                        Some(feed) => feed,
                        none => {
                            let content_type = piece.content_type.clone();
                            none.insert(self.create(at, arrival, content_type).await?)
                        }
                    };
                    feed.take(piece, &self.node.metrics).await?;
                    self.announce(feed, arrival, true);
                    (*came, self.complained) = (true, false);
                    silence.broken();
                    if self.only_header && feed.stream().can_be_joined() {
                        return Ok(Continue(None));
                    }
                }
                () = deletion.of(feed.as_ref()) => return Err(WriteError::Deleted.into()),
                _ = tick.tick() => if let Some(step) = self.look(feed.as_ref()) {
                    return Ok(step);
                },
                found = silence.doubt(|| self.around(at, feed.as_ref())) => if found.is_some() {
                    return Ok(Continue(found));
                },
            }
        }
    }

    /// Where no byte of the container's header will come, it is asked for apart. A stream without one
    /// can be followed from its beginning only; so whatever fails is no reason to go elsewhere.
    async fn learn_header(&self, at: usize, feed: &Feed, arrival: &Arrival) {
        let (stream, node) = (feed.stream(), &self.node);
        if arrival.retained_from > 0 && !stream.can_be_joined() {
            let Some(upstream) = node.config.upstream.get(at) else { return };
            node.metrics.upstream_requests.inc();
            header::learn(&self.question(Some(stream), Duration::ZERO), upstream, stream).await;
        }
    }

    /// Let those in who wait, once they have something to begin with.
    fn announce(&self, feed: &Feed, arrival: &Arrival, came: bool) {
        let is_known = matches!(*self.pull.supply.borrow(), Supply::Flowing(_));
        if !is_known && feed.is_under_way(arrival, came) {
            self.pull.say(Supply::Flowing(arrival.via.clone()));
        }
    }

    /// Is it still wanted, and are these the bytes?
    fn look(&mut self, feed: Option<&Feed>) -> Option<Step> {
        let Some(feed) = feed else { return self.retire(false).then_some(Break(())) };
        if self.is_unwanted(feed.stream()) {
            return Some(Break(()));
        }
        if self.sought.elapsed() < limits::SEEK_EVERY {
            return None;
        }
        let at = feed.stream().take_wanted()?;
        let is_near = feed.older <= at && at - feed.older < limits::SEEK_BYTES_MIN;
        let is_here = feed.stream().with_readable(|readable, _| readable.contains(at));
        if is_near || is_here || !feed.stream().is_being_filled() {
            return None;
        }
        debug!(stream = %self.name, at, "older bytes from here on");
        (self.seek, self.sought) = (Some(at), Instant::now());
        Some(Continue(None))
    }

    /// The delivery has ended as it should, so the stream is complete; the upstream says at which
    /// length.
    async fn end(&self, at: usize, feed: Option<Feed>, arrival: &Arrival) -> Result<Step, Stop> {
        let here = feed.as_ref().map(|feed| Arc::clone(feed.stream()));
        let question = Question {
            etag: Some(arrival.etag.clone()),
            ..self.question(here.as_deref(), Duration::ZERO)
        };
        let Some(upstream) = self.node.config.upstream.get(at) else {
            return Err(Stop::Unfinished);
        };
        self.node.metrics.upstream_requests.inc();
        let Answer::Held { held: Held { total: Some(total), .. }, content_type } =
            question.head(upstream).await?
        else {
            return Err(Stop::Unfinished);
        };
        let mut feed = match feed {
            Some(feed) => feed,
            None => self.create(at, arrival, content_type).await?,
        };
        if feed.finish(total).await? { Ok(Break(())) } else { Err(Stop::Unfinished) }
    }

    async fn create(
        &self,
        at: usize,
        arrival: &Arrival,
        content_type: Option<String>,
    ) -> Result<Feed, Stop> {
        let feed = Feed::create(&self.node.store, &self.name, content_type, arrival).await?;
        self.learn_header(at, &feed, arrival).await;
        Ok(feed)
    }

    fn around(&self, at: usize, feed: Option<&Feed>) -> Option<Asking> {
        let here = Arc::clone(feed?.stream());
        let question = self.question(Some(&here), Duration::ZERO);
        Some(ask_around(self.node.config.upstream.clone(), question, at, here))
    }
}

/// However it ends, those who still want the stream begin anew.
impl Drop for Puller {
    fn drop(&mut self) {
        self.node.remove(&self.name, &self.pull);
        self.pull.say(Supply::Over);
    }
}
