//! A stream's timeline: which bytes came when, and where among them a player can begin.
//!
//! ```text
//!   ring, or journals ──▶ pieces and their times ──┬──▶ lines of /index/NAME
//!   scanner, or bytes read again ──▶ join points ──┘
//!   time ──▶ the newest piece that is not newer ──▶ the join point at or before it
//! ```
//!
//! Nothing is kept for it beside the bytes, so nothing can disagree with them. Join points that the
//! live scanner remembers cost nothing; older ones are found again, for what a GET of these bytes
//! costs.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use freshet_protocol::{ByteRange, From, RangeSet, Stamp, TimelineEntry};
use tokio::task::spawn_blocking;

use super::{
    follower::{Follower, ReadError},
    holdings::Look,
    joins::Remembered,
    limits::{
        DISK_READ_BYTES_MAX, FIRST_POINT_BYTES_MAX, JOIN_WINDOWS_BYTES, SCAN_MARGIN_BYTES,
        SCAN_SLICE_BYTES, TIME_STEP_BYTES,
    },
    place::DiskReader,
    stream::Stream,
};
use crate::join::{Container, Join, Scanner, limits::HEADER_BYTES_MAX};

/// When some bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When the first of them was captured.
    pub(super) captured: Option<Stamp>,
    /// When the first of them came in.
    pub(super) received: Stamp,
}

impl Times {
    /// The time that they go by: of their capture, where that was told.
    fn time(self) -> Stamp {
        self.captured.unwrap_or(self.received)
    }
}

/// Why a time is no place in a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutOfTime {
    #[error("no byte is held, so none of any time")]
    Empty,
    #[error(
        "{asked} (Unix seconds) is before the oldest byte that is held, which is of {oldest}; \
         the newest is of {newest}"
    )]
    Early { asked: Stamp, oldest: Stamp, newest: Stamp },
    #[error(
        "{asked} (Unix seconds) is after the newest byte that is held, which is of {newest}; \
         the oldest is of {oldest}"
    )]
    Late { asked: Stamp, oldest: Stamp, newest: Stamp },
}

/// The timeline of one stream, and a way along it.
#[derive(Debug)]
pub(crate) struct Timeline {
    follower: Follower,
    /// None while it is with a thread that may wait for the disk.
    walk: Option<Walk>,
}

impl Timeline {
    pub(crate) fn new(stream: &Arc<Stream>) -> Self {
        Self { follower: Follower::peek(stream), walk: None }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        self.follower.stream()
    }

    /// At most `count` lines from `at` on, as they are now; holes are left out.
    ///
    /// # Errors
    ///
    /// The stream was deleted.
    pub(crate) async fn page(
        &mut self,
        at: u64,
        count: usize,
    ) -> Result<Vec<TimelineEntry>, ReadError> {
        self.follower.mark()?;
        Ok(self.blocking(move |walk| walk.page(at, count)).await.unwrap_or_default())
    }

    /// Wait until anything changed since the last [`Self::page`]. Cancel safe.
    ///
    /// # Errors
    ///
    /// Nobody has posted for too long: see [`Follower::check_origin`].
    pub(crate) async fn changed(&mut self) -> Result<(), ReadError> {
        self.follower.check_origin()?;
        self.follower.changed().await;
        Ok(())
    }

    /// The place of a time.
    ///
    /// # Errors
    ///
    /// Nothing that is held is of that time. A time back ends at the oldest byte.
    pub(crate) async fn locate(&mut self, from: From) -> Result<u64, OutOfTime> {
        let now = self.stream().shared.now();
        self.blocking(move |walk| walk.locate(from, now)).await.unwrap_or(Err(OutOfTime::Empty))
    }

    /// Where a player begins that is to see what is at `at`: at the join point there or before.
    pub(crate) async fn join(&mut self, at: u64) -> Join {
        let found = self.blocking(move |walk| walk.join(at)).await;
        found.unwrap_or(Join { header: Bytes::new(), at })
    }

    /// What `work` comes to, on a thread that may wait for the disk. Not cancel safe, but nothing is
    /// lost that cannot be found again.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Walk) -> T + Send + 'static,
    ) -> Option<T> {
        let mut walk = self.walk.take().unwrap_or_else(|| Walk::new(self.stream()));
        let done = spawn_blocking(move || {
            let done = work(&mut walk);
            (walk, done)
        });
        let (walk, done) = done.await.ok()?;
        self.walk = Some(walk);
        Some(done)
    }
}

/// The way along a timeline. Every call may wait for the disk.
#[derive(Debug)]
struct Walk {
    stream: Arc<Stream>,
    disk: DiskReader,
    search: Option<Search>,
}

/// Looks for join points in bytes that have passed.
#[derive(Debug)]
struct Search {
    scanner: Scanner,
    /// Found, and not asked for yet; ascending.
    points: VecDeque<u64>,
}

impl Walk {
    fn new(stream: &Arc<Stream>) -> Self {
        Self { stream: Arc::clone(stream), disk: DiskReader::default(), search: None }
    }

    fn page(&mut self, mut at: u64, count: usize) -> Vec<TimelineEntry> {
        // So that the newest bytes have been looked at when they are listed.
        self.stream.scan(&[]);
        let mut lines = Vec::new();
        while lines.len() < count {
            let Some((range, times)) = self.piece(at) else {
                let next = |readable: &RangeSet| {
                    readable.iter().map(ByteRange::start).find(|&start| start > at)
                };
                match self.stream.with_readable(|readable, _| next(readable)) {
                    Some(start) => at = start,
                    None => break,
                }
                continue;
            };
            at = range.end();
            lines.push(TimelineEntry {
                offset: range.start(),
                length: range.len(),
                origin_time: times.captured,
                receive_time: times.received,
                join: self.first_join(range),
            });
        }
        lines
    }

    /// What came together with the byte at `at`, from that on.
    fn piece(&mut self, at: u64) -> Option<(ByteRange, Times)> {
        let run = self.stream.with_readable(|readable, _| readable.run_at(at))?;
        let (range, times) = match self.stream.with_ring(|ring| ring.piece(at)) {
            Some(piece) => piece,
            None => self.disk.piece(&self.stream.files.as_ref()?.place, at)?,
        };
        Some((range.intersect(run)?, times))
    }

    fn read(&mut self, at: u64) -> Option<Bytes> {
        match self.stream.look(at) {
            Look::Ring(bytes, _) => Some(bytes),
            Look::Disk => {
                let place = &self.stream.files.as_ref()?.place;
                self.disk.read(place, at, DISK_READ_BYTES_MAX).ok()
            }
            Look::Missing | Look::End | Look::Gone(_) | Look::Deleted => None,
        }
    }

    /// The first join point in `range`. The stream's first byte is one always.
    fn first_join(&mut self, range: ByteRange) -> Option<u64> {
        if range.start() == 0 {
            return Some(0);
        }
        match self.stream.remembered(range) {
            Remembered::At(at) => at,
            Remembered::Unknown => self.search_in(range),
        }
    }

    fn search_in(&mut self, range: ByteRange) -> Option<u64> {
        let margin = range.start().saturating_sub(SCAN_MARGIN_BYTES);
        let mut search = match self.search.take() {
            Some(search) if search.goes_on_at(range.start()) => search,
            _ => self.search_from(margin),
        };
        search.scan(self, range.end().saturating_add(SCAN_MARGIN_BYTES));
        let found = match search.scanner.container() {
            Some(Container::Raw) => Some(range.start()),
            _ => search.first_in(range),
        };
        self.search = Some(search);
        found
    }

    /// A search that begins at `at`, with the header of the stream.
    fn search_from(&mut self, at: u64) -> Search {
        let points = VecDeque::new();
        if let Some(scanner) = self.stream.scanner_at(at) {
            return Search { scanner, points };
        }
        let mut search = Search { scanner: Scanner::new(), points };
        search.scan(self, HEADER_BYTES_MAX as u64);
        if search.scanner.next() < at {
            search.scanner.skip_to(at);
        }
        search.points.retain(|&point| at <= point);
        search
    }

    fn locate(&mut self, from: From, now: Stamp) -> Result<u64, OutOfTime> {
        let (starts, end, total) = self.landmarks();
        let first = *starts.first().ok_or(OutOfTime::Empty)?;
        let time = |walk: &mut Self, at| walk.piece(at).map(|(_, times)| times.time());
        let oldest = time(self, first).ok_or(OutOfTime::Empty)?;
        let newest = time(self, end - 1).ok_or(OutOfTime::Empty)?;
        let wanted = match from {
            From::Time(asked) if asked < oldest => {
                return Err(OutOfTime::Early { asked, oldest, newest });
            }
            From::Time(asked) if newest < asked => {
                let is_to_come = total.is_none() && asked <= now;
                return is_to_come.then_some(end).ok_or(OutOfTime::Late { asked, oldest, newest });
            }
            From::Time(asked) => asked,
            From::Ago(back) => before(newest, back),
            From::Live => newest,
            From::Start => oldest,
            From::Offset(offset) => return Ok(offset),
        };
        if wanted <= oldest {
            return Ok(first);
        }
        // Times grow with offsets, as far as an origin sends in order; holes that were filled late have
        // the time of their capture.
        let later = starts.partition_point(|&at| time(self, at).is_some_and(|at| at <= wanted));
        let start = later.checked_sub(1).and_then(|index| starts.get(index).copied());
        let until = starts.get(later).copied().unwrap_or(end);
        Ok(self.last_not_after(wanted, start.unwrap_or(first), until))
    }

    /// Where each run begins, and in it each segment; the live edge; the complete length.
    fn landmarks(&self) -> (Vec<u64>, u64, Option<u64>) {
        let files = self.stream.files.as_ref();
        let step = files.map_or(TIME_STEP_BYTES, |files| files.place.segment_bytes);
        self.stream.with_readable(|readable, total| {
            let mut starts = Vec::new();
            for run in readable.iter() {
                let mut at = run.start();
                while at < run.end() {
                    starts.push(at);
                    at = (at - at % step).saturating_add(step);
                }
            }
            (starts, readable.end(), total)
        })
    }

    /// Where the last piece begins, from `start` on and before `until`, that is not newer than
    /// `wanted`.
    fn last_not_after(&mut self, wanted: Stamp, start: u64, until: u64) -> u64 {
        let (mut at, mut found) = (start, start);
        while at < until {
            let Some((range, times)) = self.piece(at) else { break };
            if times.time() > wanted {
                break;
            }
            (found, at) = (range.start(), range.end());
        }
        found
    }

    fn join(&mut self, at: u64) -> Join {
        self.stream.scan(&[]);
        let last = at.checked_sub(1).filter(|_| at >= self.stream.end());
        let run = self.stream.with_readable(|readable, _| readable.run_at(last.unwrap_or(at)));
        let Some(run) = run.filter(|_| at > 0) else {
            return Join { header: Bytes::new(), at };
        };
        for window in JOIN_WINDOWS_BYTES {
            let start = run.start().max(at.saturating_sub(window));
            let mut search = self.search_from(start.saturating_sub(SCAN_MARGIN_BYTES));
            search.scan(self, at.saturating_add(SCAN_MARGIN_BYTES).min(run.end()));
            if search.scanner.container() == Some(Container::Raw) {
                return Join { header: Bytes::new(), at };
            }
            if let Some(point) = search.last_to(at).filter(|&point| run.contains(point)) {
                return Join { header: search.scanner.header(), at: point };
            }
            if start == run.start() {
                break;
            }
        }
        // As a player at the live edge that waits for the first join point; see `Stream::join`.
        if run.start() == 0 && at <= FIRST_POINT_BYTES_MAX {
            return Join { header: Bytes::new(), at: 0 };
        }
        let mut search = self.search_from(at);
        Join { header: search.scanner.header(), at }
    }
}

impl Search {
    /// Can it go on to what begins at `at`, without having been there, or having to read much for it?
    fn goes_on_at(&self, at: u64) -> bool {
        let next = self.scanner.next();
        let is_ahead = next <= at.saturating_add(2 * SCAN_MARGIN_BYTES);
        is_ahead && at <= next.saturating_add(SCAN_MARGIN_BYTES)
    }

    /// Look at all that can be read up to `end`.
    fn scan(&mut self, walk: &mut Walk, end: u64) {
        while self.scanner.next() < end && self.scanner.container() != Some(Container::Raw) {
            let at = self.scanner.next();
            let Some(bytes) = walk.read(at) else { return };
            for (number, slice) in bytes.chunks(SCAN_SLICE_BYTES).enumerate() {
                self.scanner.push(at + (number * SCAN_SLICE_BYTES) as u64, slice);
                self.points.extend(self.scanner.take_points());
            }
        }
    }

    fn first_in(&mut self, range: ByteRange) -> Option<u64> {
        while self.points.front().is_some_and(|&point| point < range.start()) {
            self.points.pop_front();
        }
        self.points.front().copied().filter(|&point| range.contains(point))
    }

    fn last_to(&self, at: u64) -> Option<u64> {
        self.points.iter().copied().rfind(|&point| point <= at)
    }
}

fn before(time: Stamp, back: Duration) -> Stamp {
    let back = u64::try_from(back.as_nanos()).unwrap_or(u64::MAX);
    Stamp::from_nanos(time.nanos().saturating_sub(back))
}
