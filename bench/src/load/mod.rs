//! Many plain consumers in few threads: what arrives is verified, and its age taken.
//!
//! ```text
//!   thread ─┬─ consumer: GET ──▶ Receiver ──▶ Reply ──▶ Checker ──▶ Report ─┐
//!           └─ consumer ...                                                 ├──▶ Report
//!   thread ─── ...                                                          ┘
//! ```
//!
//! The age of a chunk runs from when it was due, not from when it was sent: a source that was held up
//! is late, and so is what came of it. It ends when its last byte arrived at the socket, as the kernel
//! says; where several chunks are read at once, with the arrival of the last of them.

mod consumer;
mod native;
mod range;
mod receive;
mod report;
mod tls;
mod window;

mod reply;

use std::{
    sync::Arc,
    thread::{self, ScopedJoinHandle},
};

use anyhow::{Context, bail};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventFlags},
    fd::OwnedFd,
};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::{consumer::Consumer, receive::Receiver};
pub use self::{
    reply::Reply,
    report::{Report, Slow},
    window::Window,
};
pub use crate::ages::{Ages, Latency};
use crate::{
    chunk::Tally,
    clock::Moment,
    limits::{ASK_AGAIN, CONNECT_AT_ONCE, EVENTS, LOOK_EVERY, READ_BYTES, ROLE_ANSWER, SILENCE},
    publish::Credit,
    scenario::Delivery,
    target::{Scheme, Target},
};

/// Who is to consume what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Where the stream is; where there are several, each has a name of its own.
    pub from: Target,
    /// How many streams.
    pub streams: usize,
    /// How many consumers of each.
    pub consumers: usize,
    /// How many more of each, who are slow.
    pub slow: usize,
    /// Bytes a second that a slow one takes.
    pub slow_rate: u64,
    /// How they ask.
    pub delivery: Delivery,
    /// Bytes of what they ask for by ranges.
    pub stored: u64,
    /// In how many threads.
    pub threads: usize,
    /// Is it to be told when each chunk came to whom?
    pub is_traced: bool,
}

impl Load {
    /// Consume until all streams are over, or no chunk is to come that counts. `joined` is called once
    /// when every consumer has its reply, or has failed. `credit` is told how far they are.
    ///
    /// # Errors
    ///
    /// A thread cannot be had. What goes wrong with a consumer is in the report.
    pub fn run(
        &self,
        window: &Window,
        credit: Option<&Credit>,
        joined: impl FnOnce(),
    ) -> anyhow::Result<Report> {
        match self.delivery {
            Delivery::Plain => {}
            Delivery::Range => return range::run(self, window, joined),
            Delivery::Pushed | Delivery::Polled => return native::run(self, window, joined),
        }
        let all = self.streams * (self.consumers + self.slow);
        let threads = self.threads.clamp(1, all.max(1));
        let (tell, mut told) = mpsc::channel(all.max(1));
        thread::scope(|scope| {
            let started: Vec<_> = (0..threads)
                .map(|index| {
                    let numbers = (index..all).step_by(threads).collect();
                    let tell = tell.clone();
                    let work = move || Worker::new(self, window, tell)?.run(numbers, index, credit);
                    thread::Builder::new().name(format!("load-{index}")).spawn_scoped(scope, work)
                })
                .collect::<Result<_, _>>()
                .context("no thread for the load")?;
            drop(tell);
            let waited = (0..all).take_while(|_| told.blocking_recv().is_some()).count();
            if waited == all {
                joined();
            }
            sum(started)
        })
    }
}

/// What all of these threads saw together.
fn sum(started: Vec<ScopedJoinHandle<'_, anyhow::Result<Report>>>) -> anyhow::Result<Report> {
    let mut sum = Report::default();
    for thread in started {
        match thread.join() {
            Ok(report) => sum.add(report?),
            Err(_) => bail!("a thread of the load panicked"),
        }
    }
    Ok(sum)
}

/// One thread of it.
struct Worker<'a> {
    load: &'a Load,
    window: &'a Window,
    tell: mpsc::Sender<()>,
    epoll: OwnedFd,
    receiver: Receiver,
    /// Where they come over TLS.
    config: Option<Arc<ClientConfig>>,
    consumers: Vec<Option<Consumer>>,
    /// Who is to ask, from when on.
    asking: Vec<(Moment, usize)>,
    /// Until when it is worth it.
    patience: Moment,
    report: Report,
    /// Of those who are slow.
    slow: Report,
}

impl<'a> Worker<'a> {
    fn new(load: &'a Load, window: &'a Window, tell: mpsc::Sender<()>) -> anyhow::Result<Self> {
        Ok(Self {
            load,
            window,
            tell,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            receiver: Receiver::new(),
            config: (load.from.scheme == Scheme::Https).then(tls::config).transpose()?,
            consumers: Vec::new(),
            asking: Vec::new(),
            patience: Moment::now().after(ROLE_ANSWER),
            report: Report::default(),
            slow: Report::default(),
        })
    }

    /// Be the consumers of these numbers.
    fn run(
        mut self,
        numbers: Vec<usize>,
        index: usize,
        credit: Option<&Credit>,
    ) -> anyhow::Result<Report> {
        let (now, mut events) = (Moment::now(), Vec::with_capacity(EVENTS));
        // The last one is asked for first.
        self.asking = numbers.into_iter().rev().map(|number| (now, number)).collect();
        let (mut look, mut told) = (now, None);
        loop {
            self.connect();
            let wait = if self.asking.is_empty() { LOOK_EVERY } else { LOOK_EVERY / 100 };
            let wait = rustix::time::Timespec::try_from(wait).context("a wait of no length")?;
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            self.receiver.wake();
            for event in events.drain(..) {
                self.read(usize::try_from(event.data.u64())?, READ_BYTES);
            }
            if let Some(credit) = credit {
                self.tell_credit(credit, index, &mut told);
            }
            let now = Moment::now();
            if now >= look {
                look = now.after(LOOK_EVERY);
                self.read_slow();
                if self.is_done(now) {
                    return Ok(self.finish());
                }
            }
        }
    }

    /// Some of those who are to ask do so.
    fn connect(&mut self) {
        if self.asking.is_empty() {
            return;
        }
        let now = Moment::now();
        // Those whom a relay has not accepted yet lie in a queue of the kernel's, and beyond its end they
        // are heard of after seconds.
        let waiting = self.consumers.iter().flatten().filter(|it| !it.has_head()).count();
        for _ in waiting..CONNECT_AT_ONCE {
            let Some((_, number)) = self.asking.pop_if(|(from, _)| *from <= now) else { return };
            let slot = self.consumers.len();
            let each = self.load.consumers + self.load.slow;
            let from = self.load.from.stream(number / each, self.load.streams);
            let is_slow = self.is_slow(number);
            let (is_traced, config) = (self.load.is_traced, self.config.as_ref());
            let opened =
                Consumer::open(&from, number, is_slow, is_traced, config).and_then(|consumer| {
                    // A slow one is read when it is its time, not when something is there.
                    if is_slow {
                        return Ok(consumer);
                    }
                    let data = epoll::EventData::new_u64(slot as u64);
                    epoll::add(&self.epoll, consumer.socket(), data, EventFlags::IN)?;
                    Ok(consumer)
                });
            match opened {
                Ok(consumer) if consumer.has_head() => {
                    self.has_joined(is_slow);
                    self.consumers.push(Some(consumer));
                }
                Ok(consumer) => self.consumers.push(Some(consumer)),
                Err(error) => self.refused(number, &error),
            }
        }
    }

    fn has_joined(&mut self, is_slow: bool) {
        self.report_of(is_slow).consumers += 1;
        // There is room for every consumer, and whoever waits for them may be gone.
        let _ = self.tell.try_send(());
    }

    const fn report_of(&mut self, is_slow: bool) -> &mut Report {
        if is_slow { &mut self.slow } else { &mut self.report }
    }

    fn is_slow(&self, number: usize) -> bool {
        number % (self.load.consumers + self.load.slow) >= self.load.consumers
    }

    /// It did not get its stream: it asks again, as long as there is time for it.
    fn refused(&mut self, number: usize, why: &anyhow::Error) {
        let now = Moment::now();
        if now < self.patience && !self.window.is_closed() {
            self.asking.insert(0, (now.after(ASK_AGAIN), number));
            return;
        }
        let is_slow = self.is_slow(number);
        self.report_of(is_slow).left(Tally::default(), Some(why));
        let _ = self.tell.try_send(());
    }

    /// Read what that one has; how many bytes that were.
    fn read(&mut self, slot: usize, most: usize) -> usize {
        let Some(place) = self.consumers.get_mut(slot) else { return 0 };
        let Some(consumer) = place else { return 0 };
        let (had_head, is_slow) = (consumer.has_head(), consumer.is_slow());
        let report = if is_slow { &mut self.slow } else { &mut self.report };
        let read = consumer.read(&mut self.receiver, most, self.window, report);
        let (has_head, number, tally) = (consumer.has_head(), consumer.number(), consumer.tally());
        if matches!(read, Ok(None) | Err(_)) {
            *place = None;
        }
        if has_head && !had_head {
            self.has_joined(is_slow);
        }
        match read {
            Ok(bytes) => {
                if bytes.is_none() {
                    self.report_of(is_slow).left(tally, None);
                }
                bytes.unwrap_or(0)
            }
            Err(why) => {
                if has_head {
                    self.report_of(is_slow).left(tally, Some(&why));
                } else {
                    self.refused(number, &why);
                }
                0
            }
        }
    }

    /// Give the slow ones what is theirs for this while.
    fn read_slow(&mut self) {
        let share = (self.load.slow_rate as f64 * LOOK_EVERY.as_secs_f64()) as usize;
        for slot in 0..self.consumers.len() {
            let is_slow = |consumer: &Consumer| consumer.is_slow();
            if self.consumers.get(slot).is_some_and(|it| it.as_ref().is_some_and(is_slow)) {
                let mut left = share;
                while left > 0 {
                    match self.read(slot, left) {
                        0 => break,
                        bytes => left -= bytes,
                    }
                }
            }
        }
    }

    /// Say how far the slowest is, where it has moved by enough to be worth a word.
    fn tell_credit(&self, credit: &Credit, index: usize, told: &mut Option<u64>) {
        if !self.asking.is_empty() {
            return;
        }
        // When all are gone nobody is waited for.
        let live = self.consumers.iter().flatten().filter(|consumer| !consumer.is_slow());
        let mut live = live.peekable();
        let slowest = match live.peek() {
            Some(_) => live.map(Consumer::next).min().flatten(),
            None => Some(u64::MAX),
        };
        if let Some(next) = slowest
            && told.is_none_or(|before| next > before)
        {
            credit.set(index, next);
            *told = Some(next);
        }
    }

    /// Is nothing to come any more? Those who are silent for too long are cut.
    fn is_done(&mut self, now: Moment) -> bool {
        if self.window.is_closed() || self.window.is_late(now) {
            return true;
        }
        for place in &mut self.consumers {
            let silent = |consumer: &mut Consumer| now.since(consumer.heard()) > SILENCE;
            if let Some(consumer) = place.take_if(silent) {
                let why = anyhow::anyhow!("silence for {} s", SILENCE.as_secs());
                let report = if consumer.is_slow() { &mut self.slow } else { &mut self.report };
                report.left(consumer.tally(), Some(&why));
                if !consumer.has_head() {
                    let _ = self.tell.try_send(());
                }
            }
        }
        let mut live = self.consumers.iter().flatten();
        self.asking.is_empty() && live.all(|consumer| consumer.is_slow() || consumer.has_passed())
    }

    fn finish(mut self) -> Report {
        for consumer in self.consumers.iter().flatten() {
            let report = if consumer.is_slow() { &mut self.slow } else { &mut self.report };
            report.left(consumer.tally(), None);
        }
        let Report { consumers, cut, gaps, wrong, .. } = self.slow;
        self.report.slow = Slow { consumers, cut, gaps, wrong };
        self.report
    }
}
