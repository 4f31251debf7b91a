//! Many plain consumers in few threads: what arrives is verified, and its age taken.
//!
//! ```text
//!   thread ─┬─ consumer: GET ──▶ Reply ──▶ Checker ──▶ Record ─┐
//!           └─ consumer ...                                    ├──▶ Report
//!   thread ─── ...                                             ┘
//! ```
//!
//! The age of a chunk runs from when it was due, not from when it was sent: a source that was held up
//! is late, and so is what came of it. It ends when we have read the last byte, so that it includes the
//! time in which other consumers of the same thread are read: it is never too small.

mod reply;
mod report;

use std::{
    cell::RefCell,
    io::ErrorKind,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, bail};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    runtime,
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::timeout,
};

pub use reply::Reply;
pub use report::{Latency, Record, Report, histogram, latency};

use crate::{
    chunk::Checker,
    clock::Moment,
    limits::{READ_BYTES, ROLE_ANSWER, SILENCE},
};

/// Who is to consume what.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// What is asked for, the query included.
    pub path: String,
    /// How many consumers.
    pub consumers: usize,
    /// In how many threads.
    pub threads: usize,
}

/// Which chunks count: those due in it. Closed until it is opened.
#[derive(Clone, Debug)]
pub struct Window(Arc<(AtomicU64, AtomicU64)>);

impl Default for Window {
    fn default() -> Self {
        Self(Arc::new((AtomicU64::new(u64::MAX), AtomicU64::new(0))))
    }
}

impl Window {
    /// Let those count that are due from `from` on and before `to`.
    pub fn open(&self, from: Moment, to: Moment) {
        self.0.1.store(to.nanos(), Ordering::Relaxed);
        self.0.0.store(from.nanos(), Ordering::Relaxed);
    }

    fn has(&self, due: Moment) -> bool {
        let (from, to) = &*self.0;
        (from.load(Ordering::Relaxed)..to.load(Ordering::Relaxed)).contains(&due.nanos())
    }
}

impl Load {
    /// Consume until all streams are over. `joined` is called once when every consumer has its reply,
    /// or has failed.
    ///
    /// # Errors
    ///
    /// A thread cannot be had. What goes wrong with a consumer is in the report.
    pub fn run(&self, window: &Window, joined: impl FnOnce()) -> anyhow::Result<Report> {
        let threads = self.threads.clamp(1, self.consumers.max(1));
        let (tell, mut told) = mpsc::channel(self.consumers.max(1));
        let started: Vec<_> = (0..threads)
            .map(|index| {
                let share = (self.consumers + index) / threads;
                let (load, window, tell) = (self.clone(), window.clone(), tell.clone());
                let work = move || load.one_thread(share, &window, &tell);
                thread::Builder::new().name(format!("load-{index}")).spawn(work)
            })
            .collect::<Result<_, _>>()
            .context("no thread for the load")?;
        drop(tell);
        let waited = (0..self.consumers).take_while(|_| told.blocking_recv().is_some()).count();
        if waited == self.consumers {
            joined();
        }
        let mut sum = Record::new()?;
        for thread in started {
            match thread.join() {
                Ok(record) => sum.add(record?)?,
                Err(_) => bail!("a thread of the load panicked"),
            }
        }
        Ok(sum.report())
    }

    fn one_thread(
        &self,
        consumers: usize,
        window: &Window,
        tell: &mpsc::Sender<()>,
    ) -> anyhow::Result<Record> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let record = Rc::new(RefCell::new(Record::new()?));
        let buffer = Rc::new(RefCell::new(vec![0; READ_BYTES]));
        let (load, window, tell) = (Rc::new(self.clone()), window.clone(), tell.clone());
        let all = async {
            let mut consuming = JoinSet::new();
            for _ in 0..consumers {
                let consumer = Consumer {
                    load: Rc::clone(&load),
                    window: window.clone(),
                    record: Rc::clone(&record),
                    buffer: Rc::clone(&buffer),
                    checker: Checker::default(),
                    joined: Some(tell.clone()),
                };
                consuming.spawn_local(consumer.run());
            }
            while let Some(ended) = consuming.join_next().await {
                ended.context("a consumer panicked")?;
            }
            anyhow::Ok(())
        };
        LocalSet::new().block_on(&runtime, all)?;
        Ok(record.replace(Record::new()?))
    }
}

struct Consumer {
    load: Rc<Load>,
    window: Window,
    record: Rc<RefCell<Record>>,
    buffer: Rc<RefCell<Vec<u8>>>,
    checker: Checker,
    /// Dropped, or told, once there is a reply or none to be had.
    joined: Option<mpsc::Sender<()>>,
}

impl Consumer {
    async fn run(mut self) {
        let consumed = self.consume().await;
        self.has_joined();
        self.record.borrow_mut().left(self.checker.tally(), consumed.as_ref().err());
    }

    fn has_joined(&mut self) {
        if let Some(joined) = self.joined.take() {
            // There is room for every consumer, and whoever waits for them may be gone.
            let _ = joined.try_send(());
        }
    }

    async fn consume(&mut self) -> anyhow::Result<()> {
        let address = self.load.address;
        let mut socket = timeout(ROLE_ANSWER, TcpStream::connect(address)).await??;
        // The stream may begin after us.
        let wait = ROLE_ANSWER.as_secs();
        let path = &self.load.path;
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nPrefer: wait={wait}\r\n\r\n");
        socket.write_all(ask.as_bytes()).await?;
        let mut reply = Reply::default();
        while !reply.has_ended() {
            timeout(SILENCE, socket.readable()).await.context("silence")??;
            match self.read(&socket, &mut reply)? {
                Some(0) => bail!("the connection ended before the stream"),
                Some(_) if reply.has_head() && self.joined.is_some() => {
                    self.record.borrow_mut().joined();
                    self.has_joined();
                }
                _ => {}
            }
        }
        if !self.checker.is_between() {
            bail!("the stream ended inside a chunk");
        }
        Ok(())
    }

    /// What the socket has, if it has anything.
    fn read(&mut self, socket: &TcpStream, reply: &mut Reply) -> anyhow::Result<Option<usize>> {
        // Nothing is awaited while the buffer and the record are borrowed.
        let mut buffer = self.buffer.borrow_mut();
        let bytes = match socket.try_read(&mut buffer) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let now = Moment::now();
        let (checker, window) = (&mut self.checker, &self.window);
        let mut record = self.record.borrow_mut();
        reply.take(buffer.get(..bytes).unwrap_or_default(), |body| {
            checker.take(body, |chunk| {
                if window.has(chunk.due) {
                    record.chunk(chunk.length, now.since(chunk.due));
                }
            });
        })?;
        Ok(Some(bytes))
    }
}
