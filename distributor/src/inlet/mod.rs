//! Who reads from a socket: hyper, or for a while whoever takes the body in.
//!
//! ```text
//!   hyper reads, its place is known ──between two chunks, and all is handed out──▶ read straight
//!     ▲                                                                                 │
//!     └──────── the line that says that there are no more chunks, and what is behind ◀──┘
//! ```
//!
//! A live body in small chunks costs hyper more than the system calls do: its dispatcher, a channel, and a
//! second wake-up of the task for each chunk, which on an idle machine is a second thread's. So whoever takes
//! in a body that has begun well reads on by himself, straight from the socket. Hyper is at a place where the
//! size of a chunk comes next, sees a socket that has nothing, and is told of the end of the body in its own
//! words. A body that is left before its end is never given back: its connection ends with the reply.

mod chunks;
mod head;
mod once;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

use self::chunks::{Chunks, Next};
pub(crate) use self::{head::Scan, once::Once};
use crate::received::Received;

/// Who reads from one socket.
#[derive(Debug)]
pub(crate) struct Inlet {
    socket: Arc<TcpStream>,
    received: Counter,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
enum Turn {
    /// Hyper reads; where it is in a body, if that is one of chunks.
    Hyper(Option<Chunks>),
    /// Somebody else does; who is to be woken when that ends.
    Straight(Option<Waker>),
    /// Hyper goes on with these bytes.
    Back(Bytes),
}

impl Inlet {
    /// Hyper reads from `socket`; `received` counts the bytes that are read past it.
    pub(crate) fn new(socket: &Arc<TcpStream>, received: Counter) -> Arc<Self> {
        let (socket, turn) = (Arc::clone(socket), Mutex::new(Turn::Hyper(None)));
        Arc::new(Self { socket, received, turn })
    }

    /// Hyper has read a head to its end. Is what follows a body of chunks?
    pub(crate) fn begin(&self, is_chunked: bool) {
        if let Turn::Hyper(chunks) = &mut *lock(&self.turn) {
            *chunks = is_chunked.then(Chunks::new);
        }
    }

    /// Hyper has read these bytes of a body.
    pub(crate) fn follow(&self, read: &[u8]) {
        if let Turn::Hyper(Some(chunks)) = &mut *lock(&self.turn) {
            chunks.follow(read);
        }
    }

    /// Read for hyper, by `read`, or what was read for it already; pending where it is not its turn. From where
    /// on `buf` has what was read just now.
    pub(crate) fn poll_for_hyper(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<usize>> {
        let was_given = ready!(self.poll_turn(cx, buf));
        let from = buf.filled().len();
        if !was_given {
            ready!(read(cx, buf))?;
        }
        Poll::Ready(Ok(from))
    }

    /// Hyper is about to read into `buf`: true where it has been given what was read for it.
    fn poll_turn(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<bool> {
        let mut turn = lock(&self.turn);
        match &mut *turn {
            Turn::Hyper(_) => return Poll::Ready(false),
            Turn::Straight(waker) => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Turn::Back(bytes) => {
                let some = bytes.split_to(bytes.len().min(buf.remaining()));
                buf.put_slice(&some);
                if !bytes.is_empty() {
                    return Poll::Ready(true);
                }
            }
        }
        *turn = Turn::Hyper(None);
        Poll::Ready(true)
    }

    /// Read on past hyper, if that has handed out all that it has read, so many bytes, and is between two chunks.
    pub(crate) fn take(self: &Arc<Self>, handed_out: u64) -> Option<Straight> {
        let mut turn = lock(&self.turn);
        let Turn::Hyper(Some(chunks)) = *turn else { return None };
        if handed_out == 0 || chunks.data != handed_out || !chunks.is_between() {
            return None;
        }
        *turn = Turn::Straight(None);
        Some(Straight { inlet: Arc::clone(self), chunks, read: BytesMut::new() })
    }

    /// Hyper goes on, with `bytes` first.
    fn give_back(&self, bytes: Bytes) {
        let before = std::mem::replace(&mut *lock(&self.turn), Turn::Back(bytes));
        if let Turn::Straight(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// Read what `socket` has into `buf`, which has room; how much that was, zero at the end of the connection.
pub(crate) fn poll_read(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut impl BufMut,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let (room, mut got) = (buf.chunk_mut().len(), None);
        let tried = socket.try_io(Interest::READABLE, || {
            let read = *got.insert(socket.try_read_buf(buf)?);
            // There is no more, which the runtime would have to try to know.
            if (1..room).contains(&read) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (got, tried) {
            (Some(read), _) => return Poll::Ready(Ok(read)),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                return Poll::Ready(Err(error));
            }
            _ => {}
        }
    }
}

/// A body that is read past hyper.
#[derive(Debug)]
pub(crate) struct Straight {
    inlet: Arc<Inlet>,
    chunks: Chunks,
    read: BytesMut,
}

impl Straight {
    /// The next bytes; `None` where there are no more, and hyper goes on.
    ///
    /// # Errors
    ///
    /// The connection broke, or the body does not keep to its form.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        let mut is_all = false;
        loop {
            match self.chunks.next(&mut self.read, is_all) {
                Next::Bytes(bytes) => return Poll::Ready(Ok(Some(Received::read(bytes)))),
                Next::More => {}
                Next::Last => {
                    self.inlet.give_back([b"0\r\n", &*self.read].concat().into());
                    return Poll::Ready(Ok(None));
                }
                Next::Malformed => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "malformed chunks",
                    )));
                }
            }
            let room = self.make_room();
            match poll_read(&self.inlet.socket, cx, &mut (&mut self.read).limit(room)) {
                Poll::Ready(Ok(read)) if read > 0 => {
                    self.inlet.received.inc_by(read as u64);
                }
                // What came before goes first.
                _ if !self.read.is_empty() => is_all = true,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Have room for the next read, where nobody else has a part of it, or else in memory of just that size; how
    /// much is to be read.
    fn make_room(&mut self) -> usize {
        let there = self.read.len();
        let room = self.chunks.room(there);
        if !self.read.try_reclaim(room) {
            let begun = std::mem::replace(&mut self.read, BytesMut::with_capacity(there + room));
            self.read.extend_from_slice(&begun);
        }
        room
    }
}

/// Nothing that is guarded here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// What hyper is given in its turn; nothing where that is not its turn.
    fn turn(inlet: &Inlet) -> Poll<(bool, Vec<u8>)> {
        let mut room = [0; 4];
        let mut buf = ReadBuf::new(&mut room);
        let turn = inlet.poll_turn(&mut Context::from_waker(Waker::noop()), &mut buf);
        turn.map(|was_given| (was_given, buf.filled().to_vec()))
    }

    /// An origin, and what reads from it.
    async fn connected() -> (TcpStream, Arc<Inlet>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (origin, Inlet::new(&Arc::new(socket), Counter::default()))
    }

    #[tokio::test]
    async fn a_body_is_read_past_hyper_between_two_chunks_and_given_back_at_its_end() {
        let (mut origin, inlet) = connected().await;

        inlet.begin(true);
        assert!(inlet.take(0).is_none(), "whoever asks before he sends has to be told to go on");
        inlet.follow(b"5\r\nhel");
        assert!(inlet.take(3).is_none(), "in the middle of a chunk");
        inlet.follow(b"lo\r\n");
        assert!(inlet.take(3).is_none(), "hyper has more to hand out");
        assert_eq!(turn(&inlet), Poll::Ready((false, vec![])));
        let mut straight = inlet.take(5).unwrap();
        assert_eq!(turn(&inlet), Poll::Pending);
        assert!(inlet.take(5).is_none(), "one at a time");

        origin.write_all(b"2\r\n, \r\n5\r\nworld\r\n0\r\n\r\nGET").await.unwrap();
        let mut relayed = Vec::new();
        while let Some(received) = poll_fn(|cx| straight.poll_next(cx)).await.unwrap() {
            relayed.extend(received.bytes);
        }
        assert_eq!(relayed, b", world");
        assert_eq!(inlet.received.get(), 25);
        let given = [turn(&inlet), turn(&inlet), turn(&inlet)];
        let ready = |bytes: &[u8]| Poll::Ready((!bytes.is_empty(), bytes.to_vec()));
        assert_eq!(given, [ready(b"0\r\n\r"), ready(b"\nGET"), ready(b"")]);
        assert!(inlet.take(12).is_none(), "nothing is known of what comes next");
    }

    #[tokio::test]
    async fn large_chunks_have_their_memory_to_themselves_and_what_came_of_one_waits_for_nothing() {
        let (mut origin, inlet) = connected().await;
        inlet.begin(true);
        inlet.follow(b"1\r\nx\r\n");
        let mut straight = inlet.take(1).unwrap();
        let mut came = async || poll_fn(|cx| straight.poll_next(cx)).await;

        let chunk = vec![7; 60_000];
        let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
        let all = framed.repeat(20);
        let take = async {
            let (mut bytes, mut alone) = (0, 0);
            while bytes < 20 * chunk.len() {
                let received = came().await.unwrap().unwrap();
                bytes += received.bytes.len();
                alone += usize::from(received.is_alone);
            }
            alone
        };
        let (sent, alone) = tokio::join!(origin.write_all(&all), take);
        sent.unwrap();
        assert!(alone > 0);
        // Much more of this chunk is to come, and nobody knows when.
        origin.write_all(b"ea60\r\nfew").await.unwrap();
        assert_eq!(came().await.unwrap().unwrap().bytes, "few");
        drop(origin);
        assert_eq!(came().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_body_that_is_left_before_its_end_stays_out_of_hypers_reach() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let inlet = Inlet::new(&Arc::new(origin), Counter::default());
        inlet.begin(true);
        inlet.follow(b"1\r\nx\r\n");
        drop(inlet.take(1).unwrap());
        assert_eq!(turn(&inlet), Poll::Pending);
    }
}
