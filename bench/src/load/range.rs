//! Consumers of a complete stream: each asks for a range of it, and for the next one once it has that, over
//! one connection, round and round; what comes is verified.
//!
//! What is counted is what arrived in the measured time; an age is that of a whole range, from when it was
//! asked for.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

use anyhow::{Context, bail};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventFlags},
    fd::OwnedFd,
    time::Timespec,
};

use super::{Load, Report, Window, sum};
use crate::{
    chunk::Checker,
    clock::Moment,
    limits::{EVENTS, HEAD_BYTES_MAX, LOOK_EVERY, RANGE_BYTES, READ_BYTES, SILENCE},
    target::Target,
};

/// Consume as [`Load::run`] does, by ranges.
pub(super) fn run(load: &Load, window: &Window, joined: impl FnOnce()) -> anyhow::Result<Report> {
    let open = |number| Reader::open(&load.from, load.stored, number);
    let mut readers = (0..load.consumers).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    joined();
    let each = readers.len().div_ceil(load.threads.max(1)).max(1);
    thread::scope(|scope| {
        let work = |some: Vec<Reader>| scope.spawn(move || Loop::new(some)?.run(window));
        let mut started = Vec::new();
        while !readers.is_empty() {
            let rest = readers.split_off(readers.len().min(each));
            started.push(work(std::mem::replace(&mut readers, rest)));
        }
        sum(started)
    })
}

/// Some of them in one thread.
struct Loop {
    epoll: OwnedFd,
    readers: Vec<Option<Reader>>,
    buffer: Vec<u8>,
    report: Report,
}

impl Loop {
    fn new(readers: Vec<Reader>) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (slot, reader) in readers.iter().enumerate() {
            let data = epoll::EventData::new_u64(slot as u64);
            epoll::add(&epoll, &reader.socket, data, EventFlags::IN)?;
        }
        let report = Report { consumers: readers.len() as u64, ..Report::default() };
        let readers = readers.into_iter().map(Some).collect();
        Ok(Self { epoll, readers, buffer: vec![0; READ_BYTES], report })
    }

    fn run(mut self, window: &Window) -> anyhow::Result<Report> {
        let mut events = Vec::with_capacity(EVENTS);
        let wait = Timespec::try_from(LOOK_EVERY).context("a wait of no length")?;
        while !window.is_closed() && !window.is_behind(Moment::now()) {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            for event in events.drain(..) {
                self.read(usize::try_from(event.data.u64())?, window);
            }
            self.cut_silent();
        }
        for reader in self.readers.iter().flatten() {
            self.report.left(reader.checker.tally(), None);
        }
        Ok(self.report)
    }

    fn read(&mut self, slot: usize, window: &Window) {
        let Some(place) = self.readers.get_mut(slot) else { return };
        let Some(reader) = place else { return };
        if let Err(why) = reader.read(&mut self.buffer, window, &mut self.report) {
            self.report.left(reader.checker.tally(), Some(&why));
            *place = None;
        }
    }

    fn cut_silent(&mut self) {
        for place in &mut self.readers {
            let silent = |reader: &mut Reader| Moment::now().since(reader.heard) > SILENCE;
            if let Some(reader) = place.take_if(silent) {
                let why = anyhow::anyhow!("silence for {} s", SILENCE.as_secs());
                self.report.left(reader.checker.tally(), Some(&why));
            }
        }
    }
}

/// One consumer.
struct Reader {
    from: Target,
    socket: TcpStream,
    /// Bytes of the stream, and where the range at hand begins.
    stored: u64,
    at: u64,
    /// The head of the reply, while that is not whole.
    head: Vec<u8>,
    /// Bytes of the range that are still to come, once it is.
    left: Option<u64>,
    checker: Checker,
    asked: Moment,
    heard: Moment,
}

impl Reader {
    fn open(from: &Target, stored: u64, number: usize) -> anyhow::Result<Self> {
        let socket =
            TcpStream::connect(from.address).with_context(|| format!("cannot reach {from}"))?;
        socket.set_nodelay(true)?;
        let (now, head, left) = (Moment::now(), Vec::new(), None);
        // Each of them begins elsewhere.
        let at = number as u64 * RANGE_BYTES % stored;
        let (from, checker) = (from.clone(), Checker::default());
        let mut reader =
            Self { from, socket, stored, at, head, left, checker, asked: now, heard: now };
        reader.ask()?;
        reader.socket.set_nonblocking(true)?;
        Ok(reader)
    }

    /// The range at hand.
    fn length(&self) -> u64 {
        RANGE_BYTES.min(self.stored - self.at)
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        let Target { address, path, .. } = &self.from;
        let (first, last) = (self.at, self.at + self.length() - 1);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nRange: bytes={first}-{last}\r\n\r\n"
        );
        self.asked = Moment::now();
        // So short that it fits where nothing else waits.
        self.socket.write_all(request.as_bytes()).context("cannot ask")
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        window: &Window,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let bytes = match self.socket.read(buffer) {
            Ok(0) => bail!("the connection ended inside a range"),
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.heard = Moment::now();
        let body = if self.left.is_none() { self.take_head(bytes)? } else { bytes };
        let Some(left) = &mut self.left else { return Ok(()) };
        let Some(rest) = left.checked_sub(body.len() as u64) else {
            bail!("more came than was asked for");
        };
        *left = rest;
        let (counts, mut whole) = (window.has(self.heard), 0);
        self.checker.take(body, |_| whole += 1);
        if counts {
            report.bytes += body.len() as u64;
            report.chunks += whole;
        }
        if rest == 0 { self.next(counts, report) } else { Ok(()) }
    }

    /// The range is here: ask for the next one.
    fn next(&mut self, counts: bool, report: &mut Report) -> anyhow::Result<()> {
        if counts {
            report.ages.record(self.heard.since(self.asked));
        }
        report.left(self.checker.tally(), None);
        let tally = self.checker.tally();
        let chunks = tally.bytes;
        if chunks != self.length() {
            bail!("of {} bytes {chunks} were whole chunks", self.length());
        }
        self.at = (self.at + self.length()) % self.stored;
        (self.left, self.checker) = (None, Checker::default());
        self.ask()
    }

    /// Take what belongs to the head; what comes behind it.
    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            if self.head.len() > HEAD_BYTES_MAX {
                bail!("a head of more than {HEAD_BYTES_MAX} bytes");
            }
            return Ok(&[]);
        };
        let head = String::from_utf8_lossy(self.head.get(..end).unwrap_or_default()).into_owned();
        self.head.clear();
        self.left = Some(self.length_told(&head)?);
        Ok(bytes.get(end + 4 - before..).unwrap_or_default())
    }

    /// It must be what was asked for.
    fn length_told(&self, head: &str) -> anyhow::Result<u64> {
        let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let length = fields.lines().filter_map(|line| line.split_once(':'));
        let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let told = length.next().and_then(|(_, told)| told.trim().parse::<u64>().ok());
        if first.split(' ').nth(1) != Some("206") || told != Some(self.length()) {
            bail!("a range of {} bytes is answered by {first:?} and {told:?}", self.length());
        }
        Ok(self.length())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{
        chunk::Chunk,
        target::{Scheme, Target},
    };

    /// What one consumer of two chunks saw, of which each request is answered by `reply`, once.
    fn seen(reply: &(impl Fn(&[u8]) -> Vec<u8> + Sync)) -> Report {
        let mut stored = Vec::new();
        for number in 0..2 {
            Chunk { number, due: Moment::now(), length: 100 }.write_to(&mut stored);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = Target::new(Scheme::Http, listener.local_addr().unwrap(), "/x");
        let window = Window::default();
        window.open(Moment::from_nanos(0), Moment::from_nanos(u64::MAX));
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let readers = vec![Reader::open(&from, 200, 0).unwrap()];
                Loop::new(readers).unwrap().run(&window).unwrap()
            });
            let (mut there, _) = listener.accept().unwrap();
            let mut asked = vec![0; HEAD_BYTES_MAX];
            for _ in 0..2 {
                let length = there.read(&mut asked).unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]);
                assert!(asked.contains("Range: bytes=0-199\r\n") || asked.is_empty(), "{asked}");
                // It may be gone already.
                let _ = there.write_all(&reply(&stored));
            }
            let _ = there.read(&mut asked);
            window.close();
            load.join().unwrap()
        })
    }

    fn partial(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 206 x\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn range_after_range_is_asked_for_and_verified() {
        let report = seen(&partial);
        assert_eq!((report.bytes, report.chunks, report.ages.count()), (400, 4, 2));
        assert_eq!((report.consumers, report.cut, report.wrong, report.gaps), (1, 0, 0, 0));
    }

    #[test]
    fn what_is_something_else_is_a_cut_and_what_is_damaged_is_wrong() {
        let whole =
            |body: &[u8]| [&b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n"[..], body].concat();
        assert_eq!(seen(&whole).cut, 1);
        assert_eq!(seen(&|body: &[u8]| partial(&body[..100])).cut, 1);
        let damaged = |body: &[u8]| {
            let mut body = body.to_vec();
            body[150] ^= 1;
            partial(&body)
        };
        let report = seen(&damaged);
        assert_eq!((report.cut, report.wrong > 0), (1, true));
    }
}
