//! Requests in a row until there is nothing more to be had, through any number of cuts.
//!
//! ```text
//!            ┌───────────── pause ◀── cut ──┐
//!            ▼                              │
//!   open ──▶ Ask ── 206 ──▶ Reading ──▶ pieces ──▶ end ──▶ Confirm (HEAD) ──▶ Finished
//!    HEAD    ▲                  │ silent: HEAD                  │
//!            └──────────────────┴── something is missing ◀──────┘
//! ```
//!
//! A reply that ends is believed only after a HEAD has said the same: a proxy may end a body
//! properly that it received cut.

mod body;
mod wants;

use std::{collections::VecDeque, time::Duration};

use freshet_protocol::{Backfill, ByteRange, ETag};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use crate::{
    ages::Ages,
    ask::{self, Answer, Question},
    assemble::Assembly,
    backoff::Pauses,
    clock::{Clock, ClockOffset},
    fetch::{Fetch, FetchError, Manner, Policy, Resume, Start},
    head::Head,
    limits,
    piece::{Effort, Piece},
    request::{Body, Client, Cut, Fields},
};

/// A stream being taken.
#[derive(Debug)]
pub struct Follow {
    fetch: Fetch,
    client: Client,
    manner: Manner,
    etag: ETag,
    assembly: Assembly,
    /// In order: where it began.
    start: u64,
    state: State,
    ready: VecDeque<Piece>,
    pauses: Pauses,
    resume_at: Option<Instant>,
    /// Since when nothing has gone right.
    failing_since: Option<Instant>,
    effort: Effort,
    clock: Clock,
    ages: Ages,
    /// Bytes of a container's header that were handed out, and that the reply at hand has brought.
    header: (u64, u64),
    /// When a byte came that was not held before.
    fresh_at: Instant,
    /// Polling: where the distributor has nothing that we lack.
    swept: Option<ByteRange>,
}

const NOT_SAID: FetchError = FetchError::Foreign { what: "it does not say what is held" };

#[derive(Debug)]
enum State {
    Ask,
    Reading(Body),
    Confirm,
    Finished,
}

impl Follow {
    pub(crate) async fn open(
        fetch: Fetch,
        manner: Manner,
        resume: Option<Resume>,
    ) -> Result<Self, FetchError> {
        let mut client = Client::new(fetch.url.clone(), fetch.token.clone(), fetch.deadlines);
        let head = ask::first(&mut client, &fetch).await?;
        let now = head.etag.clone().ok_or(FetchError::Foreign { what: "it has no ETag" })?;
        let assembly = match resume {
            Some(resume) if resume.etag != now => {
                return Err(FetchError::Replaced { was: resume.etag, now });
            }
            Some(resume) => Assembly::resume(resume.held),
            None => Assembly::default(),
        };
        let mut follow = Self {
            fetch,
            client,
            manner,
            etag: now,
            assembly,
            start: 0,
            state: State::Ask,
            ready: VecDeque::new(),
            pauses: Pauses::new(),
            resume_at: None,
            failing_since: None,
            effort: Effort::default(),
            clock: Clock::default(),
            ages: Ages::default(),
            header: (0, 0),
            fresh_at: Instant::now(),
            swept: None,
        };
        follow.clock.extend(head.trip);
        let held = head.held().ok_or(NOT_SAID)?;
        follow.assembly.learn(held, head.retained_from)?;
        follow.begin();
        follow.check_lost()?;
        Ok(follow)
    }

    /// Where to begin, now that it is known what there is.
    fn begin(&mut self) {
        let edge = self.assembly.edge();
        match self.manner {
            Manner::InOrder(start) => {
                self.start = match start {
                    Start::Beginning => self.first_kept(),
                    Start::Live => edge,
                    Start::Offset(offset) => offset,
                    // The reply will tell.
                    Start::Join(_) => return self.start = self.assembly.floor(),
                };
            }
            Manner::Poll(Policy::Newest) | Manner::Continuous(Backfill::None) => {
                self.assembly.raise_floor(edge);
            }
            Manner::Poll(Policy::All) | Manner::Continuous(_) => {}
        }
        if self.has_all() {
            self.state = State::Finished;
        }
    }

    fn first_kept(&self) -> u64 {
        let floor = self.assembly.floor();
        if floor > 0 {
            warn!("bytes below {floor} are gone; it begins there");
        }
        floor
    }

    /// The next bytes; `None` once there is nothing more to be had.
    ///
    /// Cancel safe: what was received is kept, a request under way is sent again.
    ///
    /// # Errors
    ///
    /// It cannot go on: see [`FetchError`]. What was handed out stays right.
    pub async fn next(&mut self) -> Result<Option<Piece>, FetchError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            match &mut self.state {
                State::Finished => return Ok(None),
                State::Ask => self.ask().await?,
                State::Confirm => self.confirm().await?,
                State::Reading(body) => {
                    let silence = self.fetch.deadlines.silence;
                    match timeout(silence, body.next()).await {
                        Ok(step) => self.take(step)?,
                        Err(_) => self.doubt().await?,
                    }
                }
            }
        }
    }

    /// Who holds what, as far as is known. Bytes of a piece count as held once it is handed out.
    #[must_use]
    pub const fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// Which incarnation of the stream this is.
    #[must_use]
    pub const fn etag(&self) -> &ETag {
        &self.etag
    }

    /// What it took so far.
    #[must_use]
    pub const fn effort(&self) -> Effort {
        self.effort
    }

    /// How old the newest byte was, each time that there was a newer one.
    #[must_use]
    pub const fn ages(&self) -> &Ages {
        &self.ages
    }

    /// How far the distributor's clock is from ours; `None` where it does not tell the time.
    #[must_use]
    pub fn clock(&self) -> Option<ClockOffset> {
        self.clock.offset()
    }

    /// In order: the offset of the next byte.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.assembly.first_missing(self.start)
    }

    /// Send the next request, once the pause is over.
    async fn ask(&mut self) -> Result<(), FetchError> {
        self.rest().await;
        let asked = Instant::now();
        let claim = self.claim();
        let claim_end = claim.set.end();
        let question = Question { manner: self.manner, claim, position: self.position() };
        self.effort.requests += 1;
        let (head, incoming) = match question.put(&mut self.client).await {
            Ok(reply) => reply,
            Err(cut) => return self.pause(cut),
        };
        self.clock.extend(head.trip);
        match ask::read(&self.fetch, self.manner, &head, incoming).await? {
            Answer::Later(cut) => self.pause(cut),
            Answer::Body(body) => {
                self.same(&head)?;
                self.assembly.raise_floor(head.retained_from);
                self.check_lost()?;
                self.swept = self.sweep(&head, claim_end);
                self.header.1 = 0;
                if let (Manner::InOrder(Start::Join(_)), Some((at, _))) = (self.manner, head.join) {
                    self.start = at;
                }
                self.state = State::Reading(body);
                Ok(())
            }
            Answer::Nothing => {
                self.learn(&head)?;
                self.nothing(asked);
                Ok(())
            }
        }
    }

    /// Until the pause is over. One that is interrupted goes on where it was.
    async fn rest(&mut self) {
        if let Some(at) = self.resume_at {
            sleep_until(at).await;
            self.resume_at = None;
        }
    }

    /// There is nothing for us now: done, or asked again. A distributor that did not wait as asked
    /// is not asked faster for it.
    fn nothing(&mut self, asked: Instant) {
        self.swept = None;
        self.state = match self.manner {
            _ if self.has_all() || self.is_left_alone() => State::Finished,
            Manner::Poll(_) => {
                self.resume_at = Some(asked + limits::POLL_PAUSE);
                State::Ask
            }
            Manner::Continuous(_) | Manner::InOrder(_) => State::Confirm,
        };
    }

    /// The body is silent: is the source, or is the connection dead?
    async fn doubt(&mut self) -> Result<(), FetchError> {
        match self.client.sibling().head(Fields::new(), Duration::ZERO).await {
            Err(cut) => return self.pause(cut),
            Ok(head) if head.status.is_success() => {
                self.clock.extend(head.trip);
                self.learn(&head)?;
            }
            Ok(head) => {
                // It is there and has no time for questions: no reason to give up the body.
                ask::refusal(&self.fetch, &head, String::new())?;
                return Ok(());
            }
        }
        if self.has_all() || self.is_left_alone() {
            self.state = State::Finished;
            return Ok(());
        }
        if !self.is_overdue() {
            return Ok(());
        }
        let State::Reading(body) = &mut self.state else { return Ok(()) };
        match timeout(self.fetch.deadlines.silence_grace, body.next()).await {
            Ok(step) => self.take(step),
            Err(_) => self.pause(Cut::Silent),
        }
    }

    /// A reply has ended: does the distributor mean it?
    async fn confirm(&mut self) -> Result<(), FetchError> {
        self.rest().await;
        let head = match self.client.head(Fields::new(), Duration::ZERO).await {
            Ok(head) => head,
            Err(cut) => return self.pause_in(State::Confirm, cut),
        };
        self.clock.extend(head.trip);
        if !head.status.is_success() {
            let cut = ask::refusal(&self.fetch, &head, String::new())?;
            return self.pause_in(State::Confirm, cut);
        }
        self.learn(&head)?;
        // A reply that goes on ends when there is nothing more to wait for; one in order may end at
        // a hole as well.
        let meant = matches!(self.manner, Manner::Continuous(_))
            && self.assembly.total().is_some()
            && !self.is_overdue();
        if meant || self.has_all() || self.is_left_alone() {
            self.state = State::Finished;
            return Ok(());
        }
        self.pause(Cut::Unfinished)
    }

    fn same(&self, head: &Head) -> Result<(), FetchError> {
        match &head.etag {
            Some(now) if *now == self.etag => Ok(()),
            Some(now) => Err(FetchError::Replaced { was: self.etag.clone(), now: now.clone() }),
            None => Err(FetchError::Foreign { what: "it has no ETag" }),
        }
    }

    /// What a reply without bytes says about the stream.
    fn learn(&mut self, head: &Head) -> Result<(), FetchError> {
        self.same(head)?;
        self.failing_since = None;
        self.assembly.learn(head.held().ok_or(NOT_SAID)?, head.retained_from)?;
        self.check_lost()
    }

    /// In order there is no way round a byte that is gone.
    fn check_lost(&self) -> Result<(), FetchError> {
        let (wanted, oldest) = (self.position(), self.assembly.floor());
        if matches!(self.manner, Manner::InOrder(_)) && wanted < oldest {
            return Err(FetchError::Lost { wanted, oldest });
        }
        Ok(())
    }

    /// Something went wrong that may go right the next time.
    fn pause(&mut self, cut: Cut) -> Result<(), FetchError> {
        self.pause_in(State::Ask, cut)
    }

    fn pause_in(&mut self, next: State, cut: Cut) -> Result<(), FetchError> {
        let now = Instant::now();
        let why = cut.chain();
        match self.failing_since {
            // Said once: a distributor that is away for an hour does not fill a log.
            None => warn!("{why}; asking again"),
            Some(_) => debug!("{why}; asking again"),
        }
        let since = *self.failing_since.get_or_insert(now);
        if self.fetch.give_up.is_some_and(|patience| now - since >= patience) {
            return Err(FetchError::Unreachable { url: self.fetch.url.clone(), last: cut });
        }
        self.effort.cuts += 1;
        let least = if let Cut::Later { after, .. } = &cut { *after } else { None };
        self.resume_at = Some(now + self.pauses.next(least));
        self.state = next;
        Ok(())
    }
}
