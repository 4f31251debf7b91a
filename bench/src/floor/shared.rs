//! What the threads of the floor share: who reads what on which thread, and a way to tell one another.

use std::{
    collections::HashMap,
    io,
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::Sender,
    },
};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};

use super::{Peer, copy::Copied};
use crate::limits::FLOOR_BACKLOG_BYTES;

pub(super) struct Shared {
    pub(super) posts: Vec<Post>,
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    /// The thread that writes, where there is one.
    copy: Option<Sender<Copied>>,
}

/// What all threads know of a stream.
pub(super) struct Stream {
    pub(super) number: usize,
    /// The thread that reads it.
    pub(super) home: usize,
    /// Readers so far.
    pub(super) joined: AtomicUsize,
    /// Readers that each thread has.
    pub(super) readers: Vec<AtomicUsize>,
    /// Bytes that wait for readers, and for the disk.
    pub(super) waiting: AtomicUsize,
    /// Is it not read because much waits?
    pub(super) paused: AtomicBool,
}

impl Shared {
    pub(super) fn new(threads: usize, copy: Option<Sender<Copied>>) -> io::Result<Self> {
        let posts = (0..threads).map(|_| Post::new()).collect::<io::Result<_>>()?;
        Ok(Self { posts, streams: Mutex::default(), copy })
    }

    /// The stream of that name, which may be new.
    pub(super) fn stream(&self, name: &str) -> Arc<Stream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let number = streams.len();
        let new = || {
            let readers = self.posts.iter().map(|_| AtomicUsize::new(0)).collect();
            let (joined, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let home = number % self.posts.len();
            let paused = AtomicBool::new(false);
            Arc::new(Stream { number, home, joined, readers, waiting, paused })
        };
        Arc::clone(streams.entry(name.to_owned()).or_insert_with(new))
    }

    /// Have these bytes written, where there is a disk copy; false where it has failed.
    pub(super) fn keep(&self, stream: &Arc<Stream>, piece: Bytes) -> bool {
        let Some(copy) = &self.copy else { return true };
        stream.waiting.fetch_add(piece.len(), SeqCst);
        copy.send((Arc::clone(stream), piece)).is_ok()
    }

    /// So many bytes of it wait no longer: where it was too much to read on, it may be read again.
    pub(super) fn room(&self, stream: &Arc<Stream>, bytes: usize) {
        let left = stream.waiting.fetch_sub(bytes, SeqCst) - bytes;
        if left <= FLOOR_BACKLOG_BYTES / 2 && stream.paused.swap(false, SeqCst) {
            self.send(stream.home, Letter::Room(Arc::clone(stream)));
        }
    }

    /// Put a letter into the inbox of that thread, and wake it.
    pub(super) fn send(&self, thread: usize, letter: Letter) {
        let Some(post) = self.posts.get(thread) else { return };
        post.letters().push(letter);
        // A bell that cannot be rung is ringing.
        let _ = rustix::io::write(&post.bell, &1_u64.to_ne_bytes());
    }
}

/// What one thread tells another.
pub(super) enum Letter {
    /// Yours from now on.
    Socket(TcpStream, Peer),
    /// For your readers of that stream; nothing: it is over.
    Piece(Arc<Stream>, Bytes),
    /// It may be read again.
    Room(Arc<Stream>),
}

/// Where a thread gets letters.
pub(super) struct Post {
    letters: Mutex<Vec<Letter>>,
    pub(super) bell: OwnedFd,
}

impl Post {
    fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { letters: Mutex::default(), bell })
    }

    pub(super) fn letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
