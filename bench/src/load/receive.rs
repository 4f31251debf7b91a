//! Bytes from a socket, and when the last of them arrived: the kernel says (`SO_TIMESTAMPNS`), so that
//! a load with many sockets does not count its own slowness.

use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::TcpStream,
    os::fd::AsRawFd,
};

use nix::sys::{
    socket::{
        ControlMessageOwned, MsgFlags, recvmsg, setsockopt,
        sockopt::{RcvBuf, ReceiveTimestampns},
    },
    time::TimeSpec,
};
use rustix::time::{ClockId, clock_gettime};

use crate::{clock::Moment, limits::READ_BYTES};

/// Reads any number of sockets, one after another.
#[derive(Debug)]
pub(super) struct Receiver {
    buffer: Vec<u8>,
    control: Vec<u8>,
    /// The kernel's clock and ours, at one moment.
    clocks: (i128, Moment),
}

impl Receiver {
    pub(super) fn new() -> Self {
        let (buffer, control) = (vec![0; READ_BYTES], nix::cmsg_space!(TimeSpec));
        let mut receiver = Self { buffer, control, clocks: (0, Moment::default()) };
        receiver.wake();
        receiver
    }

    /// Have the kernel note when bytes arrive there, and give it so much room only.
    pub(super) fn prepare(socket: &TcpStream, room: Option<usize>) -> io::Result<()> {
        setsockopt(socket, ReceiveTimestampns, &true)?;
        if let Some(room) = room {
            setsockopt(socket, RcvBuf, &room)?;
        }
        Ok(())
    }

    /// Compare the clocks: the kernel's may be set meanwhile.
    pub(super) fn wake(&mut self) {
        let real = clock_gettime(ClockId::Realtime);
        let real = i128::from(real.tv_sec) * 1_000_000_000 + i128::from(real.tv_nsec);
        self.clocks = (real, Moment::now());
    }

    /// What is there, so many bytes at most, and when the last of it arrived; nothing where nothing is.
    pub(super) fn receive(
        &mut self,
        socket: &TcpStream,
        most: usize,
    ) -> io::Result<Option<(&[u8], Moment)>> {
        self.control.resize(self.control.capacity(), 0);
        let most = most.min(self.buffer.len());
        let mut slices = [IoSliceMut::new(self.buffer.get_mut(..most).unwrap_or_default())];
        let control = Some(&mut self.control[..]);
        let flags = MsgFlags::empty();
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, control, flags) {
            Ok(message) => message,
            Err(error) => {
                let error = io::Error::from(error);
                let nothing =
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
                return if nothing { Ok(None) } else { Err(error) };
            }
        };
        let bytes = message.bytes;
        let stamps = message.cmsgs()?.filter_map(|told| match told {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        });
        let arrived = stamps.last().map_or_else(Moment::now, |stamp| self.ours(stamp));
        Ok(Some((self.buffer.get(..bytes).unwrap_or_default(), arrived)))
    }

    /// The kernel's time on our clock.
    fn ours(&self, stamp: TimeSpec) -> Moment {
        let stamp = i128::from(stamp.tv_sec()) * 1_000_000_000 + i128::from(stamp.tv_nsec());
        let (real, moment) = self.clocks;
        let nanos = i128::from(moment.nanos()) + stamp - real;
        Moment::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread, time::Duration};

    use super::*;

    #[test]
    fn bytes_have_arrived_when_they_were_sent_and_not_when_they_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, _) = listener.accept().unwrap();
        Receiver::prepare(&here, None).unwrap();
        here.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut receiver, until) = (Receiver::new(), Moment::now().after(Duration::from_secs(20)));

        // The kernel begins to note times a little after it was asked to; until then the reading counts.
        let mut is_noted = false;
        while !is_noted && !until.left().is_zero() {
            let before = Moment::now();
            there.write_all(b"abc").unwrap();
            // Back once they are there; then they grow old unread.
            here.peek(&mut [0; 3]).unwrap();
            let after = Moment::now();
            while Moment::now().since(after) < Duration::from_millis(30) {
                thread::yield_now();
            }
            receiver.wake();
            let (bytes, arrived) = receiver.receive(&here, 9).unwrap().unwrap();
            assert_eq!(bytes, b"abc");
            let slack = Duration::from_millis(1);
            assert!(arrived.after(slack) >= before, "older than it is");
            is_noted = arrived <= after.after(slack);
        }

        assert!(is_noted, "counted from when they were read");
        here.set_nonblocking(true).unwrap();
        assert!(receiver.receive(&here, 9).unwrap().is_none());
    }
}
