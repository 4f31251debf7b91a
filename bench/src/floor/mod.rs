//! The floor: a raw-TCP relay that does nothing that a relay could leave out. What it costs is the
//! kernel's price, and every relay is measured against it.
//!
//! ```text
//!   PUT /NAME\n bytes ──▶ read ──┬──▶ one send to each reader of this thread  ◀── GET /NAME\n
//!                                └──▶ bell and inbox of the other thread, if it has readers ──▶ likewise
//! ```
//!
//! A thread is an epoll. A piece that was read goes to each reader by one `send`, and is copied by nobody;
//! what a reader does not take waits as a reference to it, and when much waits nothing is read. So nothing
//! is lost, and nothing is checked. Level-triggered: no call is made to learn that there is nothing. Where there
//! is a disk copy, each piece goes to the thread that writes as well.

mod copy;
mod shared;

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    thread,
};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    event::{epoll, epoll::EventFlags},
};

use self::shared::{Letter, Post, Shared, Stream};
use crate::limits::{EVENTS, FLOOR_BACKLOG_BYTES, HEAD_BYTES_MAX, READ_BYTES};

/// What epoll calls the listener and the bell; sockets count from [`FIRST`] on.
const LISTENER: u64 = 0;
const BELL: u64 = 1;
const FIRST: u64 = 2;

/// Serve for ever, in so many threads, 1 at least; with a disk copy where there is a `folder` for it.
///
/// # Errors
///
/// The listener breaks, or a thread cannot be had.
pub fn serve(listener: &TcpListener, threads: usize, folder: Option<PathBuf>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (copy, inbox) = mpsc::channel();
    let shared = Arc::new(Shared::new(threads.max(1), folder.is_some().then_some(copy))?);
    if let Some(folder) = folder {
        let shared = Arc::clone(&shared);
        let keep = move || {
            if let Err(error) = copy::keep(&folder, &inbox, &shared) {
                tracing::error!(%error, folder = %folder.display(), "no disk copy any more");
            }
        };
        thread::Builder::new().name("floor-disk".to_owned()).spawn(keep)?;
    }
    for index in 1..threads {
        let mut worker = Worker::new(index, Arc::clone(&shared))?;
        let work = move || worker.run(None);
        thread::Builder::new().name(format!("floor-{index}")).spawn(work)?;
    }
    Worker::new(0, shared)?.run(Some(listener))
}

/// Who is at the other end of a socket.
enum Peer {
    /// It has said so much of its line.
    Unknown(Vec<u8>),
    Publisher(Arc<Stream>),
    Reader {
        stream: Arc<Stream>,
        waiting: VecDeque<Bytes>,
        is_over: bool,
    },
}

struct Worker {
    index: usize,
    shared: Arc<Shared>,
    epoll: OwnedFd,
    sockets: HashMap<u64, (TcpStream, Peer)>,
    /// The sockets of each stream's readers here.
    readers: HashMap<usize, Vec<u64>>,
    publishers: HashMap<usize, u64>,
    next: u64,
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (sockets, readers, publishers) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { index, shared, epoll, sockets, readers, publishers, next: FIRST })
    }

    fn run(&mut self, listener: Option<&TcpListener>) -> io::Result<()> {
        let (shared, mut events) = (Arc::clone(&self.shared), Vec::with_capacity(EVENTS));
        let Some(post) = shared.posts.get(self.index) else { return Ok(()) };
        epoll::add(&self.epoll, &post.bell, epoll::EventData::new_u64(BELL), EventFlags::IN)?;
        if let Some(listener) = listener {
            let data = epoll::EventData::new_u64(LISTENER);
            epoll::add(&self.epoll, listener, data, EventFlags::IN)?;
        }
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                match (event.data.u64(), listener) {
                    (LISTENER, Some(listener)) => self.accept(listener)?,
                    (BELL, _) => self.letters(post)?,
                    (id, _) => self.ready(id, event.flags)?,
                }
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                self.take(socket, Peer::Unknown(Vec::new()))
            }
            // Gone again before we came to it.
            Err(_) => Ok(()),
        }
    }

    fn letters(&mut self, post: &Post) -> io::Result<()> {
        // Read or not, whatever rang is in the inbox.
        let _ = rustix::io::read(&post.bell, &mut [0; 8]);
        let letters = std::mem::take(&mut *post.letters());
        for letter in letters {
            match letter {
                Letter::Socket(socket, peer) => self.take(socket, peer)?,
                Letter::Piece(stream, piece) => self.fan_out(&stream, &piece),
                Letter::Room(stream) => {
                    if let Some(id) = self.publishers.get(&stream.number).copied() {
                        self.watch(id, EventFlags::IN);
                    }
                }
            }
        }
        Ok(())
    }

    /// This socket is ours.
    fn take(&mut self, socket: TcpStream, peer: Peer) -> io::Result<()> {
        let id = self.next;
        self.next += 1;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(id), EventFlags::IN)?;
        match &peer {
            Peer::Reader { stream, .. } => {
                self.readers.entry(stream.number).or_default().push(id);
                stream.readers.get(self.index).map(|count| count.fetch_add(1, SeqCst));
            }
            Peer::Publisher(stream) => {
                self.publishers.insert(stream.number, id);
            }
            Peer::Unknown(_) => {}
        }
        self.sockets.insert(id, (socket, peer));
        Ok(())
    }

    fn watch(&self, id: u64, flags: EventFlags) {
        if let Some((socket, _)) = self.sockets.get(&id) {
            // A socket that is gone shows when it is read.
            let _ = epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(id), flags);
        }
    }

    fn ready(&mut self, id: u64, flags: EventFlags) -> io::Result<()> {
        match self.sockets.get_mut(&id) {
            Some((socket, Peer::Unknown(said))) => {
                let done = line(socket, said);
                self.introduce(id, done)
            }
            Some((socket, Peer::Publisher(stream))) => {
                let stream = Arc::clone(stream);
                let mut piece = Vec::with_capacity(READ_BYTES);
                match rustix::io::read(&*socket, spare_capacity(&mut piece)) {
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
                    Ok(read) if read > 0 => {}
                    _ => self.forget(id),
                }
                self.publish(id, &stream, piece.into());
                Ok(())
            }
            Some((_, Peer::Reader { .. })) if flags.contains(EventFlags::OUT) => {
                self.flush(id);
                Ok(())
            }
            // A reader has nothing to say: it is gone.
            Some((_, Peer::Reader { .. })) => {
                self.forget(id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It has said who it is, or is gone (`None`).
    fn introduce(&mut self, id: u64, line: Option<Option<String>>) -> io::Result<()> {
        let Some(line) = line else { return Ok(()) };
        let Some((socket, _)) = self.sockets.remove(&id) else { return Ok(()) };
        epoll::delete(&self.epoll, &socket)?;
        let Some((verb, name)) = line.as_deref().and_then(|line| line.split_once(' ')) else {
            return Ok(());
        };
        let stream = self.shared.stream(name);
        let (thread, peer) = if verb == "PUT" {
            (stream.home, Peer::Publisher(stream))
        } else {
            let nth = stream.joined.fetch_add(1, SeqCst);
            let thread = (stream.home + nth) % self.shared.posts.len();
            (thread, Peer::Reader { stream, waiting: VecDeque::new(), is_over: false })
        };
        if thread == self.index {
            return self.take(socket, peer);
        }
        self.shared.send(thread, Letter::Socket(socket, peer));
        Ok(())
    }

    fn publish(&mut self, id: u64, stream: &Arc<Stream>, piece: Bytes) {
        for (thread, readers) in stream.readers.iter().enumerate() {
            if thread != self.index && readers.load(SeqCst) > 0 {
                self.shared.send(thread, Letter::Piece(Arc::clone(stream), piece.clone()));
            }
        }
        self.fan_out(stream, &piece);
        if !self.shared.keep(stream, piece) {
            return self.forget(id);
        }
        if stream.waiting.load(SeqCst) > FLOOR_BACKLOG_BYTES {
            stream.paused.store(true, SeqCst);
            self.watch(id, EventFlags::empty());
            // What waited may be gone by now, and nobody else would tell us.
            self.shared.room(stream, 0);
        }
    }

    fn fan_out(&mut self, stream: &Arc<Stream>, piece: &Bytes) {
        let Some(readers) = self.readers.get(&stream.number) else { return };
        let mut gone = Vec::new();
        for id in readers {
            let Some((socket, Peer::Reader { waiting, is_over, .. })) = self.sockets.get_mut(id)
            else {
                continue;
            };
            *is_over |= piece.is_empty();
            if *is_over && waiting.is_empty() {
                gone.push(*id);
            } else if !waiting.is_empty() {
                stream.waiting.fetch_add(piece.len(), SeqCst);
                waiting.push_back(piece.clone());
            } else {
                match send(socket, piece) {
                    Ok(sent) if sent < piece.len() => {
                        stream.waiting.fetch_add(piece.len() - sent, SeqCst);
                        waiting.push_back(piece.slice(sent..));
                        let (data, flags) = (epoll::EventData::new_u64(*id), EventFlags::OUT);
                        // A socket that is gone shows when it is written to.
                        let _ = epoll::modify(&self.epoll, &*socket, data, flags | EventFlags::IN);
                    }
                    Ok(_) => {}
                    Err(_) => gone.push(*id),
                }
            }
        }
        gone.into_iter().for_each(|id| self.forget(id));
    }

    /// Send what waits for that reader.
    fn flush(&mut self, id: u64) {
        let Some((socket, Peer::Reader { stream, waiting, is_over })) = self.sockets.get_mut(&id)
        else {
            return;
        };
        let (stream, mut flushed, mut works) = (Arc::clone(stream), 0, true);
        while let Some(piece) = waiting.front_mut() {
            match send(socket, piece) {
                Ok(sent) => {
                    flushed += sent;
                    let rest = piece.split_off(sent);
                    *piece = rest;
                }
                Err(_) => works = false,
            }
            if !works || !piece.is_empty() {
                break;
            }
            waiting.pop_front();
        }
        let (done, is_over) = (waiting.is_empty(), *is_over);
        self.shared.room(&stream, flushed);
        if !works || done && is_over {
            self.forget(id);
        } else if done {
            self.watch(id, EventFlags::IN);
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some((_, Peer::Reader { stream, waiting, .. })) = self.sockets.remove(&id) {
            if let Some(readers) = self.readers.get_mut(&stream.number) {
                readers.retain(|reader| *reader != id);
            }
            stream.readers.get(self.index).map(|count| count.fetch_sub(1, SeqCst));
            self.shared.room(&stream, waiting.iter().map(Bytes::len).sum());
        }
    }
}

/// One `send`; how much of it went.
fn send(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

/// The first line, without its end, once it is there: no byte behind it is read. `Some(None)`: there is
/// none to come.
fn line(socket: &mut TcpStream, said: &mut Vec<u8>) -> Option<Option<String>> {
    let mut byte = [0];
    loop {
        match socket.read(&mut byte) {
            Ok(1) if byte == [b'\n'] => return Some(String::from_utf8(said.clone()).ok()),
            Ok(1) if said.len() < HEAD_BYTES_MAX => said.extend_from_slice(&byte),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            _ => return Some(None),
        }
    }
}
