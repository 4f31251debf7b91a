//! What has no file behind it: a pipe or any reader, kept before it is offered for posting.
//!
//! ```text
//!   feed (thread or task) ──▶ store: copy on disk, or window in memory ──▶ have, read
//!                        └──▶ progress (how far, ended, failed): a `watch`, no wake-up is lost
//! ```
//!
//! The feed never waits for the network: a disk copy takes everything, and only a full window makes it
//! wait.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use freshet_protocol::{ByteRange, ETag, Stamp};
use rand::RngExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{
    Keep, SourceError, blocking,
    drawn::{self, Drawn},
    encoded::{self, Encoded},
    marks::Marks,
    stdin,
    window::Window,
};
use crate::{
    copy::Copy,
    encoder::EncoderError,
    limits::{CAPTURE_BYTES, FINISHED_PEEK},
    reply::View,
    resume::Have,
    target::Target,
    testcard::TestCardError,
};

pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;

#[derive(Debug)]
pub(super) struct Capture {
    store: Store,
    origin_id: String,
    idle: Option<(Feed, Recorder)>,
    progress: watch::Receiver<Progress>,
    marks: Arc<Mutex<Marks>>,
}

#[derive(Clone, Debug)]
enum Store {
    Disk(Arc<Copy>),
    Memory(Arc<Window>),
}

/// Where the bytes come from; on the way into a disk copy standard input needs a thread.
enum Feed {
    Stdin,
    Reader(Reader),
    Encoder(Box<Encoded>),
    Card(Drawn),
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdin => "Stdin",
            Self::Reader(_) => "Reader",
            Self::Encoder(_) => "Encoder",
            Self::Card(_) => "Card",
        })
    }
}

/// How far the capture is. Bytes count from where it began, in a disk copy from its first byte.
#[derive(Clone, Debug, Default)]
struct Progress {
    bytes: u64,
    ended: bool,
    failed: Option<Failure>,
    /// A finished copy only: its feed has been looked at.
    looked: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Failure {
    Io(Arc<io::Error>),
    Encoder(Arc<EncoderError>),
    Card(Arc<TestCardError>),
    /// The copy is finished, and there is more.
    More,
}

impl Capture {
    pub(super) async fn stdin(target: &Target, keep: Keep) -> Result<Self, SourceError> {
        let feed = match keep {
            Keep::Disk(_) => Feed::Stdin,
            Keep::Memory => Feed::Reader(Box::new(tokio::io::stdin())),
        };
        Self::open(target, keep, feed).await
    }

    pub(super) async fn reader(
        target: &Target,
        keep: Keep,
        reader: Reader,
    ) -> Result<Self, SourceError> {
        Self::open(target, keep, Feed::Reader(reader)).await
    }

    pub(super) async fn encoder(
        target: &Target,
        keep: Keep,
        encoded: Encoded,
    ) -> Result<Self, SourceError> {
        Self::open(target, keep, Feed::Encoder(Box::new(encoded))).await
    }

    /// In memory: what is drawn need not be kept.
    pub(super) async fn card(target: &Target, drawn: Drawn) -> Result<Self, SourceError> {
        Self::open(target, Keep::Memory, Feed::Card(drawn)).await
    }

    async fn open(target: &Target, keep: Keep, feed: Feed) -> Result<Self, SourceError> {
        let (store, origin_id, progress) = match keep {
            Keep::Disk(dir) => {
                let target = target.clone();
                let copy = blocking(move || Copy::open(&dir, &target)).await??;
                let bytes = copy.len().map_err(captured_badly)?;
                let ended = copy.total().is_some();
                let id = copy.origin_id();
                (Store::Disk(Arc::new(copy)), id, Progress { bytes, ended, ..Progress::default() })
            }
            Keep::Memory => {
                let id = format!("{:032x}", rand::rng().random::<u128>());
                (Store::Memory(Arc::new(Window::new())), id, Progress::default())
            }
        };
        let (sender, progress) = watch::channel(progress);
        let marks = Arc::<Mutex<Marks>>::default();
        let recorder =
            Recorder { store: store.clone(), progress: sender, marks: Arc::clone(&marks) };
        Ok(Self { store, origin_id, idle: Some((feed, recorder)), progress, marks })
    }

    pub(super) async fn begin(&mut self, tasks: &mut JoinSet<()>) -> Result<(), SourceError> {
        let Some((feed, recorder)) = self.idle.take() else { return Ok(()) };
        let finished = self.progress.borrow().ended;
        match feed {
            Feed::Stdin => stdin::begin(recorder, finished).map_err(captured_badly)?,
            Feed::Reader(reader) if finished => {
                tasks.spawn(look(reader, recorder));
            }
            Feed::Reader(reader) => {
                tasks.spawn(feed_from(reader, recorder));
            }
            Feed::Encoder(_) if finished => {
                // There would be more for sure. What is not delivered yet is delivered first.
                recorder.looked(true);
                return Ok(());
            }
            Feed::Encoder(encoded) => {
                tasks.spawn(encoded::run(*encoded, recorder));
            }
            Feed::Card(drawn) => {
                tasks.spawn(drawn::run(drawn, recorder));
            }
        }
        if finished {
            // Whoever waits for nothing (an idle pipe) is not in the way of what is to be delivered.
            let looked = self.progress.wait_for(|progress| progress.looked);
            let _ = timeout(FINISHED_PEEK, looked).await;
            return self.ended();
        }
        Ok(())
    }

    pub(super) fn origin_id(&self) -> String {
        self.origin_id.clone()
    }

    pub(super) fn etag(&self) -> Option<ETag> {
        match &self.store {
            Store::Disk(copy) => copy.etag(),
            Store::Memory(_) => None,
        }
    }

    pub(super) async fn remember(&self, etag: ETag) -> Result<(), SourceError> {
        let Store::Disk(copy) = &self.store else { return Ok(()) };
        let copy = Arc::clone(copy);
        blocking(move || copy.remember(&etag)).await?.map_err(captured_badly)
    }

    pub(super) fn meet(&self, view: &View) {
        if let Store::Memory(window) = &self.store {
            window.begin_at(view.held.end().max(view.retained_from));
        }
    }

    pub(super) fn release(&self, view: &View) {
        if let Store::Memory(window) = &self.store {
            window.release(&view.held, view.retained_from);
        }
    }

    pub(super) fn have(&self) -> Have {
        let (bytes, ended) = {
            let progress = self.progress.borrow();
            (progress.bytes, progress.ended)
        };
        let (floor, start) = match &self.store {
            Store::Disk(_) => (0, 0),
            Store::Memory(window) => window.extent(),
        };
        let end = floor.saturating_add(bytes);
        Have { floor, start, end, total: ended.then_some(end) }
    }

    pub(super) async fn grown(&mut self, have: Have) -> Result<(), SourceError> {
        let bytes = have.end.saturating_sub(have.floor);
        let changed = self.progress.wait_for(|progress| {
            progress.bytes > bytes || progress.ended || progress.failed.is_some()
        });
        let (grown, failed) = match changed.await {
            Ok(progress) => (progress.bytes > bytes || progress.ended, progress.failed.clone()),
            Err(_) => return Err(SourceError::Stopped),
        };
        // What was captured before the failure is delivered first.
        if grown { Ok(()) } else { failed.map_or(Ok(()), |failure| Err(self.failure(&failure))) }
    }

    pub(super) fn ended(&self) -> Result<(), SourceError> {
        let failed = self.progress.borrow().failed.clone();
        failed.map_or(Ok(()), |failure| Err(self.failure(&failure)))
    }

    fn failure(&self, failure: &Failure) -> SourceError {
        match (failure, &self.store) {
            (Failure::More, Store::Disk(copy)) => {
                SourceError::Finished { path: copy.path().to_path_buf() }
            }
            (Failure::More, Store::Memory(_)) => SourceError::Stopped,
            (Failure::Encoder(error), _) => SourceError::Encoder(Arc::clone(error)),
            (Failure::Card(error), _) => SourceError::TestCard(Arc::clone(error)),
            (Failure::Io(error), _) => {
                captured_badly(io::Error::new(error.kind(), Arc::clone(error)))
            }
        }
    }

    pub(super) async fn read(&self, range: ByteRange) -> Result<Bytes, SourceError> {
        match &self.store {
            Store::Disk(copy) => {
                let copy = Arc::clone(copy);
                blocking(move || read_copy(&copy, range)).await?.map_err(captured_badly)
            }
            Store::Memory(window) => window.read(range).ok_or(SourceError::Stopped),
        }
    }

    pub(super) fn captured(&self, offset: u64) -> Option<Stamp> {
        let (floor, _) = match &self.store {
            Store::Disk(_) => (0, 0),
            Store::Memory(window) => window.extent(),
        };
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.at(offset.checked_sub(floor)?)
    }
}

fn read_copy(copy: &Copy, range: ByteRange) -> io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from(range.len()).map_err(io::Error::other)?];
    copy.read(range.start(), &mut buffer)?;
    Ok(buffer.into())
}

fn captured_badly(source: io::Error) -> SourceError {
    SourceError::Read { what: "what is captured".into(), source }
}

/// The writing end of a capture.
#[derive(Debug)]
pub(super) struct Recorder {
    store: Store,
    progress: watch::Sender<Progress>,
    marks: Arc<Mutex<Marks>>,
}

impl Recorder {
    /// The disk copy, for a feed that writes into it by itself.
    pub(super) fn copy(&self) -> Option<&Copy> {
        match &self.store {
            Store::Disk(copy) => Some(copy),
            Store::Memory(_) => None,
        }
    }

    /// The same, for a thread of its own.
    pub(super) fn shared_copy(&self) -> Option<Arc<Copy>> {
        match &self.store {
            Store::Disk(copy) => Some(Arc::clone(copy)),
            Store::Memory(_) => None,
        }
    }

    /// Where the next byte goes.
    pub(super) fn end(&self) -> u64 {
        self.progress.borrow().bytes
    }

    /// `bytes` more are kept: they may be posted.
    pub(super) fn kept(&self, bytes: usize, captured: Stamp) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(self.end(), captured);
        self.progress.send_modify(|progress| progress.bytes += bytes as u64);
    }

    /// The source ended. Blocks where there is a disk copy.
    pub(super) fn finish(&self) {
        match self.copy().map_or(Ok(()), |copy| copy.finish(self.end())) {
            Ok(()) => self.progress.send_modify(|progress| progress.ended = true),
            Err(error) => self.fail(error),
        }
    }

    /// The source, or the copy, failed.
    pub(super) fn fail(&self, error: io::Error) {
        self.failed(Failure::Io(Arc::new(error)));
    }

    /// The encoder failed.
    pub(super) fn fail_encoding(&self, error: Arc<EncoderError>) {
        self.failed(Failure::Encoder(error));
    }

    pub(super) fn failed(&self, failure: Failure) {
        let failed = Some(failure);
        self.progress.send_modify(|progress| progress.failed = failed);
    }

    /// The feed of a finished copy was looked at: has it more?
    pub(super) fn looked(&self, more: bool) {
        self.progress.send_modify(|progress| {
            progress.looked = true;
            progress.failed = more.then_some(Failure::More);
        });
    }
}

async fn feed_from(mut reader: Reader, recorder: Recorder) {
    let mut buffer = BytesMut::new();
    let error = loop {
        buffer.reserve(CAPTURE_BYTES);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error),
        }
        let captured = SystemTime::now().into();
        if let Err(error) = keep(&recorder, buffer.split().freeze(), captured).await {
            break Some(error);
        }
    };
    // Joined, not left alone: the end must be on disk before this task is over.
    let _ = blocking(move || match error {
        Some(error) => recorder.fail(error),
        None => recorder.finish(),
    })
    .await;
}

/// Keep a piece, and only then offer it for posting.
pub(super) async fn keep(recorder: &Recorder, piece: Bytes, captured: Stamp) -> io::Result<()> {
    let (bytes, end) = (piece.len(), recorder.end());
    match &recorder.store {
        Store::Memory(window) => window.push(piece).await,
        Store::Disk(copy) => {
            let copy = Arc::clone(copy);
            blocking(move || copy.append(end, &piece)).await.map_err(io::Error::other)??;
        }
    }
    recorder.kept(bytes, captured);
    Ok(())
}

async fn look(mut reader: Reader, recorder: Recorder) {
    match reader.read(&mut [0]).await {
        Ok(bytes) => recorder.looked(bytes > 0),
        Err(error) => recorder.fail(error),
    }
}
