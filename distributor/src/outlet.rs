//! The way out past our memory: bytes of the disk copy that the kernel sends out of its own.
//!
//! ```text
//!   body ──stand-in──▶ hyper ──stand-in──▶ socket: sendfile(2) in its place
//!     └───── file and place ─────▶ Outlet ───▲
//! ```
//!
//! Hyper counts and frames what it is given, and knows no files. So it is given bytes of the same length that
//! mean nothing, and whoever writes to the socket knows them by their address and sends the file's instead, in the
//! order in which they were taken. A socket without an outlet gets no body with stand-ins.

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
#[cfg(target_os = "linux")]
use rustix::io::retry_on_intr;
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use crate::limits::{STORED_FRAME_BYTES_MAX, STORED_UNSENT_BYTES_MAX, UNSENT_BYTES_MAX};

/// What stands in for bytes of a file. Nobody reads it.
static STAND_IN: [u8; STORED_FRAME_BYTES_MAX] = [0; STORED_FRAME_BYTES_MAX];

/// Bytes of a file.
pub(crate) struct Piece {
    pub(crate) file: Arc<dyn AsFd + Send + Sync>,
    pub(crate) at: u64,
    pub(crate) len: usize,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, len) = (self.at, self.len);
        f.debug_struct("Piece").field("at", &at).field("len", &len).finish_non_exhaustive()
    }
}

/// The pieces on their way to one socket.
#[derive(Debug)]
pub(crate) struct Outlet {
    socket: Arc<TcpStream>,
    pieces: Mutex<VecDeque<Piece>>,
    is_wide: AtomicBool,
    sent: Counter,
}

impl Outlet {
    /// An outlet to `socket`; `sent` counts its bytes.
    pub(crate) fn new(socket: &Arc<TcpStream>, sent: Counter) -> Arc<Self> {
        let (socket, pieces, is_wide) =
            (Arc::clone(socket), Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { socket, pieces, is_wide, sent })
    }

    /// Send `piece` where the bytes go that are returned; `None` if it is too long.
    pub(crate) fn stand_in(&self, piece: Piece) -> Option<Bytes> {
        let bytes = STAND_IN.get(..piece.len)?;
        if !self.is_wide.swap(true, Relaxed) {
            self.keep_unsent(STORED_UNSENT_BYTES_MAX);
        }
        self.pieces().push_back(piece);
        Some(Bytes::from_static(bytes))
    }

    /// The reply is over: what the next one sends may be overtaken again.
    pub(crate) fn narrow(&self) {
        if self.is_wide.swap(false, Relaxed) {
            self.keep_unsent(UNSENT_BYTES_MAX);
        }
    }

    /// Send at most `max` bytes of the next piece, where a stand-in would be written.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the socket is full, `UnexpectedEof` where the file is shorter than it was.
    pub(crate) fn send(&self, max: usize) -> io::Result<usize> {
        self.socket.try_io(Interest::WRITABLE, || self.send_next(max))
    }

    fn send_next(&self, max: usize) -> io::Result<usize> {
        let mut pieces = self.pieces();
        let piece = pieces.front_mut().ok_or_else(|| io::Error::other("a stand-in for nothing"))?;
        let sent = sendfile(&self.socket, piece, max.min(piece.len))?;
        self.sent.inc_by(sent as u64);
        piece.len -= sent;
        if piece.len == 0 {
            pieces.pop_front();
        }
        if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
    }

    fn keep_unsent(&self, bytes: u32) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // An error means that the connection is gone.
        let _ = SockRef::from(&*self.socket).set_tcp_notsent_lowat(bytes);
    }

    fn pieces(&self) -> MutexGuard<'_, VecDeque<Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `buf` stand in for bytes of a file?
pub(crate) fn is_stand_in(buf: &[u8]) -> bool {
    !buf.is_empty() && STAND_IN.as_ptr_range().contains(&buf.as_ptr())
}

#[cfg(target_os = "linux")]
fn sendfile(socket: &TcpStream, piece: &mut Piece, max: usize) -> io::Result<usize> {
    let file = piece.file.as_fd();
    Ok(retry_on_intr(|| rustix::fs::sendfile(socket, file, Some(&mut piece.at), max))?)
}

/// No disk gives a file to send from.
#[cfg(not(target_os = "linux"))]
fn sendfile(_: &TcpStream, _: &mut Piece, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use proptest::{collection::vec, prelude::*};
    use tempfile::NamedTempFile;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;
    use crate::stall::Shared;

    const FILE_BYTES: usize = 200_000 + STORED_FRAME_BYTES_MAX;

    fn content() -> Vec<u8> {
        (0..FILE_BYTES).map(|at| (at % 251) as u8).collect()
    }

    fn file() -> Arc<File> {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content()).unwrap();
        Arc::new(file.reopen().unwrap())
    }

    /// A socket with an outlet, what is written to it, and its other end.
    async fn pair() -> (Arc<Outlet>, Shared, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (theirs, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let ours = Arc::new(accepted.unwrap().0);
        let outlet = Outlet::new(&ours, Counter::default());
        let shared = Shared::new(ours, Counter::default(), Counter::default());
        (Arc::clone(&outlet), shared.with_outlet(outlet), theirs.unwrap())
    }

    /// What comes of pieces of a file, each behind some bytes of memory.
    async fn sent(pieces: &[(usize, usize, usize)]) -> Vec<u8> {
        let ((outlet, mut shared, mut theirs), file) = (pair().await, file());
        let write = async {
            for &(memory, at, len) in pieces {
                shared.write_all(&vec![b'm'; memory]).await.unwrap();
                let piece = Piece { file: file.clone(), at: at as u64, len };
                let stand_in = outlet.stand_in(piece).unwrap();
                shared.write_all(&stand_in).await.unwrap();
            }
            drop((outlet, shared));
        };
        let mut came = Vec::new();
        let (_, read) = tokio::join!(write, theirs.read_to_end(&mut came));
        read.unwrap();
        came
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn pieces_of_a_file_come_where_something_stood_in_for_them(
            pieces in vec((0..2_000usize, 0..200_000usize, 1..=STORED_FRAME_BYTES_MAX), 1..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let came = async { timeout(Duration::from_secs(10), sent(&pieces)).await };
            let came = runtime.unwrap().block_on(came);
            let content = content();
            let expected = pieces.iter().flat_map(|&(memory, at, len)| {
                [vec![b'm'; memory], content[at..at + len].to_vec()].concat()
            });
            prop_assert!(came.unwrap() == expected.collect::<Vec<u8>>());
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error_and_not_an_end() {
        let ((outlet, mut shared, _theirs), file) = (pair().await, file());
        let piece = Piece { file, at: FILE_BYTES as u64 - 10, len: 20 };
        let stand_in = outlet.stand_in(piece).unwrap();
        let error = shared.write_all(&stand_in).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_stands_for_nothing_is_never_sent_as_it_is() {
        let (outlet, mut shared, _theirs) = pair().await;
        let piece = Piece { file: file(), at: 0, len: 10 };
        let stand_in = outlet.stand_in(piece).unwrap();
        shared.write_all(&stand_in).await.unwrap();
        assert!(shared.write_all(&stand_in).await.is_err(), "a second time");
        let too_long = Piece { file: file(), at: 0, len: STORED_FRAME_BYTES_MAX + 1 };
        assert!(outlet.stand_in(too_long).is_none());
    }
}
