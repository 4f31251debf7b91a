//! A movie of a group in a file: what comes in datagrams, and over HTTP what does not.
//!
//! ```text
//!   datagrams ──place──▶ file ◀── pieces ── native GET with what is held, and what is still to come
//! ```
//!
//! Bytes that a datagram may still bring are not asked for: to the distributor they are held.

use std::{fs::File, io, os::unix::fs::FileExt, pin::Pin};

use bytes::Bytes;
use freshet_protocol::{Backfill, ByteRange, ETag, Held, limits::OFFSET_END_MAX};
use tokio::time::{Instant, sleep_until};

use crate::{
    assemble::Assembly,
    fetch::{Fetch, FetchError, Manner, Policy, Resume},
    follow::Follow,
    limits::GROUP_REPAIR,
};

/// A movie that is being put together.
#[derive(Debug)]
pub(super) struct GroupFilm {
    fetch: Fetch,
    file: File,
    assembly: Assembly,
    etag: Option<ETag>,
    /// One past the newest byte that has come, or should have.
    newest: u64,
    /// What is missing below is asked for: it was `newest` a while ago.
    horizon: u64,
    work: Work,
    /// When it is looked for what is missing.
    look: Instant,
    /// Bytes that came over HTTP.
    fetched: u64,
}

enum Work {
    Idle,
    Opening(Pin<Box<dyn Future<Output = Result<Follow, FetchError>> + Send>>),
    Following(Box<Follow>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Opening(_) => "Opening",
            Self::Following(_) => "Following",
        })
    }
}

/// Why a movie cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilmError {
    /// The file.
    #[error("cannot write the movie")]
    File(#[from] io::Error),
    /// What is missing.
    #[error("cannot fetch what is missing")]
    Fetch(#[from] FetchError),
}

impl GroupFilm {
    /// The movie at the URL of `fetch`, into an empty file that can be read and written.
    #[must_use]
    pub(super) fn new(fetch: Fetch, file: File) -> Self {
        Self {
            fetch,
            file,
            assembly: Assembly::default(),
            etag: None,
            newest: 0,
            horizon: 0,
            work: Work::Idle,
            look: Instant::now(),
            fetched: 0,
        }
    }

    /// Put bytes into their place; were any of them new?
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn place(&mut self, offset: u64, bytes: &Bytes) -> io::Result<bool> {
        let end = offset.saturating_add(bytes.len() as u64);
        let Some(range) = ByteRange::new(offset, end) else { return Ok(false) };
        self.newest = self.newest.max(end);
        let is_new = !self.assembly.place(range).is_empty();
        if is_new {
            self.file.write_all_at(bytes, offset)?;
        }
        Ok(is_new)
    }

    /// The bytes below should be here, or on their way.
    pub(super) fn expect(&mut self, end: u64) {
        self.newest = self.newest.max(end);
    }

    /// The movie ends there.
    ///
    /// # Errors
    ///
    /// It was said to end somewhere else.
    pub(super) fn end(&mut self, length: u64) -> Result<(), FilmError> {
        self.newest = self.newest.max(length);
        let learned = self.assembly.learn_total(Some(length), length);
        Ok(learned.map_err(FetchError::from)?)
    }

    /// Is all of it here?
    #[must_use]
    pub(super) fn is_whole(&self) -> bool {
        self.assembly.is_whole()
    }

    /// Its length so far, and how much of that came over HTTP.
    #[must_use]
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.assembly.held_bytes(), self.fetched)
    }

    /// The bytes from there to that end, as far as they are here without a gap.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(super) fn read(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let end = self.assembly.first_missing(from).min(to);
        let len = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// Look for what is missing, and fetch it; returns now and then. Cancel safe.
    ///
    /// # Errors
    ///
    /// It cannot be had.
    pub(super) async fn repair(&mut self) -> Result<(), FilmError> {
        match &mut self.work {
            Work::Idle => {
                sleep_until(self.look).await;
                self.look = Instant::now() + GROUP_REPAIR;
                self.begin();
            }
            Work::Opening(opening) => {
                let opened = opening.await;
                self.work = Work::Idle;
                self.opened(opened?)?;
            }
            Work::Following(follow) => {
                let piece = follow.next().await;
                let Some(piece) = piece? else {
                    self.work = Work::Idle;
                    return Ok(());
                };
                if self.place(piece.offset, &piece.bytes)? {
                    self.fetched += piece.bytes.len() as u64;
                }
                if !self.lacks() {
                    self.work = Work::Idle;
                }
            }
        }
        Ok(())
    }

    /// Ask which stream it is, or for what is missing of it.
    fn begin(&mut self) {
        let (manner, resume) = match &self.etag {
            None => (Manner::Poll(Policy::All), None),
            Some(etag) => {
                let lacks = self.lacks();
                let resume = Resume { etag: etag.clone(), held: self.pretended() };
                // What is newest now should all be here when it is looked again.
                self.horizon = self.newest;
                if !lacks {
                    return;
                }
                (Manner::Continuous(Backfill::All), Some(resume))
            }
        };
        self.work = Work::Opening(Box::pin(self.fetch.clone().open(manner, resume)));
    }

    fn opened(&mut self, follow: Follow) -> Result<(), FilmError> {
        if self.etag.is_none() {
            self.etag = Some(follow.etag().clone());
            let (total, end) = (follow.assembly().total(), follow.assembly().edge());
            self.assembly.learn_total(total, end).map_err(FetchError::from)?;
            return Ok(());
        }
        self.work = Work::Following(Box::new(follow));
        Ok(())
    }

    /// Is a byte missing that should be here?
    fn lacks(&self) -> bool {
        self.assembly.first_missing(0) < self.horizon
    }

    /// What is held, and as if it were so, what is still to come.
    fn pretended(&self) -> Held {
        let mut held = self.assembly.held();
        let end = held.total.unwrap_or(OFFSET_END_MAX);
        if let Some(coming) = ByteRange::new(self.horizon, end) {
            held.set.insert(coming);
        }
        held
    }
}
