//! Where players can begin in a stream: a scanner follows its live run, and what it has found of the
//! container outlives the process.
//!
//! ```text
//!   accepted, relayed, queued for the disk ──▶ scan ──▶ header, newest join points ──▶ plain GET
//!                                                │
//!                                                └──▶ DATA/streams/7/header, when it changes
//! ```
//!
//! The scanner reads the ring after the followers were woken and the bytes are on their way to the
//! disk: it delays neither, and its lock is not the stream's. Order: the scanner's lock may be held
//! when the stream's is taken, never the other way round.
//!
//! The header is kept in a file of its own since retention may drop the segment that it came in. Join
//! points are not kept: after a restart the newest bytes on the disk are scanned again.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use freshet_protocol::{ByteRange, RangeSet};

use super::{
    disk::{read_all, replace},
    disk_thread::Op,
    holdings::Look,
    limits::{
        DISK_READ_BYTES_MAX, FIRST_POINT_BYTES_MAX, HEADER_SAVE_BYTES_MIN, JOIN_RECOVERY_BYTES_MAX,
        SCANNER_COST_MIN, SKIP_BYTES_MAX,
    },
    lock,
    place::{DiskReader, Place},
    stream::Stream,
};
use crate::join::{Container, Join, Scanner, limits::HEADER_BYTES_MAX};

/// What is known of a stream's container.
#[derive(Debug)]
pub(super) struct Joins {
    known: Mutex<Known>,
    /// There is nothing to look for.
    is_raw: AtomicBool,
    /// What all rings and all of this cost, in bytes.
    memory: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Known {
    scanner: Scanner,
    /// What the disk was told last, and where the stream was then.
    saved: Option<(Container, u64)>,
    saved_at: u64,
    /// What of the scanner's memory is counted.
    counted: usize,
}

/// Where a consumer that is behind goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// To here it goes on in order: a player must not be left in the middle of a unit.
    pub(crate) leave: u64,
    /// From there on it goes on.
    pub(crate) to: u64,
}

/// Where skipped bytes may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// Anywhere: the stream is raw.
    Anywhere,
    /// At this join point, or nowhere yet.
    At(Option<u64>),
}

/// What is remembered of the join points in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    /// All: this is the first.
    At(Option<u64>),
    /// Not all: they have to be looked for.
    Unknown,
}

const FILE: &str = "header";
const MAGIC: &str = "freshet-header-1";

impl Joins {
    /// For a stream of which nothing is known; its cost is counted into `memory`.
    pub(super) fn new(memory: Arc<AtomicUsize>) -> Self {
        let known = Known { scanner: Scanner::new(), saved: None, saved_at: 0, counted: 0 };
        Self { known: Mutex::new(known), is_raw: AtomicBool::new(false), memory }
    }

    /// Is there something to look for?
    pub(super) fn is_sought(&self) -> bool {
        !self.is_raw.load(Relaxed)
    }

    fn count(&self, known: &mut Known, cost: usize) {
        self.memory.fetch_add(cost, Relaxed);
        self.memory.fetch_sub(std::mem::replace(&mut known.counted, cost), Relaxed);
    }
}

impl Drop for Joins {
    fn drop(&mut self) {
        let counted = lock(&self.known).counted;
        self.memory.fetch_sub(counted, Relaxed);
    }
}

impl Stream {
    /// Where a player that joins now begins: at the newest join point, after the header. While
    /// none is known the stream's beginning is one, as long as it is near.
    pub(crate) fn join(&self) -> Join {
        let (first, end) = self.with_readable(|readable, _| {
            let first = readable.iter().next();
            (first.filter(|run| run.end() == readable.end()), readable.end())
        });
        let mut known = lock(&self.joins.known);
        if known.scanner.container() == Some(Container::Raw) {
            return Join { header: Bytes::new(), at: end };
        }
        let newest = known.scanner.newest(end);
        if let Some(at) = newest.filter(|&at| self.with_readable(|held, _| held.contains(at))) {
            return Join { header: known.scanner.header(), at };
        }
        match first {
            Some(run) if run.start() == 0 && end <= FIRST_POINT_BYTES_MAX => {
                Join { header: Bytes::new(), at: 0 }
            }
            _ => Join { header: known.scanner.header(), at: end },
        }
    }

    /// Is the header known, or is it known that there is none to be found?
    pub(crate) fn can_be_joined(&self) -> bool {
        lock(&self.joins.known).scanner.is_ready()
    }

    /// Go on with what a scanner of another copy knew, where this one has no beginning.
    pub(crate) fn adopt(&self, scanner: Scanner) {
        let mut known = lock(&self.joins.known);
        if !known.scanner.is_ready() {
            known.scanner = scanner;
            known.follow(self);
        }
    }

    /// Where skipped bytes may end.
    pub(crate) fn landing(&self) -> Landing {
        let end = self.end();
        let known = lock(&self.joins.known);
        match known.scanner.container() {
            Some(Container::Raw) => Landing::Anywhere,
            _ => Landing::At(known.scanner.newest(end)),
        }
    }

    /// How a plain consumer at `at` gets to the newest join point; `None` where none is newer.
    pub(crate) fn skip(&self, at: u64) -> Option<Skip> {
        let end = self.end();
        let known = lock(&self.joins.known);
        if known.scanner.container() == Some(Container::Raw) {
            return Some(Skip { leave: at, to: end });
        }
        let to = known.scanner.newest(end).filter(|&to| to > at)?;
        let leave = known.scanner.first_from(at).filter(|leave| leave - at <= SKIP_BYTES_MAX);
        Some(Skip { leave: leave.unwrap_or(at), to })
    }

    /// Where a plain consumer goes on behind a hole that ends at `start`; `None`: not yet.
    pub(crate) fn after_hole(&self, start: u64) -> Option<u64> {
        let known = lock(&self.joins.known);
        match known.scanner.container() {
            Some(Container::Raw) => Some(start),
            _ => known.scanner.first_from(start),
        }
    }

    /// The first join point in `range`, if the scanner remembers all that are there.
    pub(super) fn remembered(&self, range: ByteRange) -> Remembered {
        let known = lock(&self.joins.known);
        let scanner = &known.scanner;
        if scanner.container() == Some(Container::Raw) {
            return Remembered::At(Some(range.start()));
        }
        if !scanner.is_ready() || scanner.next() < range.end() {
            return Remembered::Unknown;
        }
        if !scanner.is_complete_from(range.start()) {
            return Remembered::Unknown;
        }
        Remembered::At(scanner.first_from(range.start()).filter(|&at| range.contains(at)))
    }

    /// A scanner of one's own, which knows the stream's header and begins to look at `at`; `None`
    /// where the header is known to nobody. Waits for the disk.
    pub(super) fn scanner_at(&self, at: u64) -> Option<Scanner> {
        let known = {
            let mut known = lock(&self.joins.known);
            let container = known.scanner.container().filter(|_| known.scanner.is_ready());
            container.map(|container| (container, known.scanner.header().to_vec()))
        };
        let saved = || load(&self.files.as_ref()?.place);
        let (container, header) = known.or_else(saved)?;
        let mut scanner = Scanner::resume(container, &header);
        scanner.skip_to(at);
        Some(scanner)
    }

    /// Look at what has come: `pieces`, and what the scanner has missed.
    pub(super) fn scan(self: &Arc<Self>, pieces: &[(u64, Bytes)]) {
        if !self.joins.is_sought() {
            return;
        }
        let mut known = lock(&self.joins.known);
        // Older bytes that come late may have left the ring already.
        for (at, bytes) in pieces {
            if *at == known.scanner.next() {
                known.scanner.push(*at, bytes);
            }
        }
        known.follow(self);
        if known.scanner.cost() > SCANNER_COST_MIN && self.shared.memory_is_full() {
            known.scanner.give_up();
        }
        let cost = known.scanner.cost();
        self.joins.count(&mut known, cost);
        let is_raw = known.scanner.container() == Some(Container::Raw);
        self.joins.is_raw.store(is_raw, Relaxed);
        if known.is_to_be_saved() && self.files.is_some() {
            let stream = Arc::clone(self);
            // A full queue: with the bytes that come next.
            if self.shared.queue.try_send(Op::Header { stream }).is_ok() {
                known.remember();
            }
        }
    }

    /// Find the container and the newest join points of what the disk holds.
    pub(super) fn recover_joins(&self, place: &Place, held: &RangeSet) {
        let Some(newest) = held.iter().next_back().filter(|_| self.total().is_none()) else {
            return;
        };
        let first = held.iter().next().filter(|first| first.start() == 0);
        let mut known = lock(&self.joins.known);
        known.recover(place, first, newest);
        let cost = known.scanner.cost();
        self.joins.count(&mut known, cost);
    }

    /// Write what is known of the container beside the stream's bytes.
    pub(super) fn save_header(&self, place: &Place, durable: bool) -> io::Result<()> {
        let (container, header) = {
            let mut known = lock(&self.joins.known);
            let Some(container) = known.scanner.container() else { return Ok(()) };
            (container, known.scanner.header())
        };
        let name = container.name();
        let crc = crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), &header);
        let mut file = format!("{MAGIC} {name} {crc:08x}\n").into_bytes();
        file.extend_from_slice(&header);
        replace(place.disk.as_ref(), &place.folder.join(FILE), &file, durable)
    }
}

impl Known {
    /// Scan what the ring has from where the scanner is.
    fn follow(&mut self, stream: &Stream) {
        loop {
            let next = self.scanner.next();
            match stream.look(next) {
                Look::Ring(bytes, _) => self.scanner.push(next, &bytes),
                Look::Deleted | Look::End => return,
                // Looking for the ring's start takes a while, and at the live edge there is no need.
                _ if stream.end() <= next => return,
                Look::Disk | Look::Missing | Look::Gone(_) => {
                    let start = stream.ring_start();
                    // The header comes first; what is missing of it may still come.
                    if start <= next || !self.scanner.is_ready() {
                        return;
                    }
                    self.scanner.skip_to(start);
                }
            }
        }
    }

    /// The header from its file or from the stream's beginning, the points from its newest bytes.
    fn recover(&mut self, place: &Place, first: Option<ByteRange>, newest: ByteRange) {
        let mut disk = DiskReader::default();
        if let Some((container, header)) = load(place) {
            self.scanner = Scanner::resume(container, &header);
            self.remember();
        } else if let Some(first) = first {
            let head = first.oldest(HEADER_BYTES_MAX as u64);
            self.read(place, &mut disk, head);
            if head == newest {
                return;
            }
        }
        if self.scanner.is_ready() {
            let tail = newest.newest(JOIN_RECOVERY_BYTES_MAX);
            self.scanner.skip_to(tail.start());
            self.read(place, &mut disk, tail);
        }
    }

    fn read(&mut self, place: &Place, disk: &mut DiskReader, range: ByteRange) {
        let mut at = range.start();
        while at < range.end() {
            let max = usize::try_from(range.end() - at).unwrap_or(usize::MAX);
            // What is damaged is found out, and set aside, by whoever asks for it.
            let Ok(bytes) = disk.read(place, at, max.min(DISK_READ_BYTES_MAX)) else { return };
            self.scanner.push(at, &bytes);
            at += bytes.len() as u64;
        }
    }

    fn state(&self) -> Option<(Container, u64)> {
        let container = self.scanner.container().filter(|_| self.scanner.is_ready())?;
        Some((container, self.scanner.header_version()))
    }

    /// Is there something that the disk does not know? Not more often than once in so many bytes:
    /// a stream could bring a new header with each of its own.
    fn is_to_be_saved(&self) -> bool {
        let (Some(state), saved) = (self.state(), self.saved) else { return false };
        match saved {
            None => state.0 != Container::Raw,
            Some(saved) => {
                saved != state && self.scanner.next() >= self.saved_at + HEADER_SAVE_BYTES_MIN
            }
        }
    }

    fn remember(&mut self) {
        (self.saved, self.saved_at) = (self.state(), self.scanner.next());
    }
}

fn load(place: &Place) -> Option<(Container, Vec<u8>)> {
    let file = place.disk.open(&place.folder.join(FILE), false).ok()?;
    let bytes = read_all(file.as_ref(), 4 * HEADER_BYTES_MAX as u64).ok()?;
    let line_end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, header) = (bytes.get(..line_end)?, bytes.get(line_end + 1..)?);
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|&magic| magic == MAGIC)?;
    let name = words.next()?;
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    let is_sound = crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), header) == crc;
    let container = Container::named(name).filter(|_| is_sound)?;
    Some((container, header.to_vec()))
}
