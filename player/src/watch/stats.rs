//! What was shown, how old it was, and what was not: a line of JSON for each, and the figures in short.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use freshet_protocol::Stamp;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::screen::{Frame, Seen};
use crate::{
    limits::{AGE_MICROS_MAX, STALL},
    picture::Arrival,
};

/// The figures so far.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Bytes that came.
    pub bytes: u64,
    /// Pictures that were shown.
    pub shown: u64,
    /// Coded frames that were left out: damaged, or made from others that are missing.
    pub dropped: u64,
    /// Pictures that came too late, when the next one was due already.
    pub late: u64,
    /// Places at which bytes were missing.
    pub gaps: u64,
    /// Times that the picture stood still.
    pub stalls: u64,
    /// Milliseconds that pictures wait at present, for slower ones to be in time.
    pub wait_ms: f64,
    /// `None` only where a histogram of this range cannot be made.
    ages: Option<Histogram<u64>>,
    travels: Option<Histogram<u64>>,
}

impl Figures {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, AGE_MICROS_MAX, 3).ok();
        let (ages, travels) = (histogram(), histogram());
        let (bytes, shown, dropped, late, gaps, stalls, wait_ms) = (0, 0, 0, 0, 0, 0, 0.0);
        Self { bytes, shown, dropped, late, gaps, stalls, wait_ms, ages, travels }
    }

    /// The age below which the given part (0 to 1) of the pictures were when they were shown; `None` where nobody
    /// says when they were captured.
    #[must_use]
    pub fn age(&self, part: f64) -> Option<Duration> {
        quantile(self.ages.as_ref(), part)
    }

    /// The time within which the given part (0 to 1) of the pictures came from the origin's capture of their bytes to
    /// here; `None` where it does not say when that was.
    #[must_use]
    pub fn travel(&self, part: f64) -> Option<Duration> {
        quantile(self.travels.as_ref(), part)
    }
}

fn quantile(of: Option<&Histogram<u64>>, part: f64) -> Option<Duration> {
    let of = of.filter(|of| !of.is_empty())?;
    Some(Duration::from_micros(of.value_at_quantile(part)))
}

fn note(into: Option<&mut Histogram<u64>>, time: Option<Duration>) {
    if let (Some(into), Some(time)) = (into, time) {
        into.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, shown, dropped, late, gaps, stalls, wait_ms, .. } = self;
        write!(f, "{shown} pictures of {bytes} bytes")?;
        if let (Some(p50), Some(p99)) = (self.age(0.5), self.age(0.99)) {
            let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
            write!(f, ", age {p50:.1} ms (p50), {p99:.1} ms (p99)")?;
        }
        write!(f, ", buffer {wait_ms:.1} ms")?;
        write!(f, ", {dropped} dropped, {late} late, {gaps} gaps, {stalls} stalls")
    }
}

/// A line about a picture; times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct Line {
    frame: u64,
    time_ns: u64,
    captured: Option<Stamp>,
    received: Stamp,
    decoded: Stamp,
    shown: Stamp,
    age_ms: Option<f64>,
    /// What a test card says of its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<u32>,
}

/// A line about anything else.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    /// Bytes are missing.
    Gap,
    /// Coded frames were left out.
    Dropped { frames: u64 },
    /// A picture came too late.
    Late { frame: u64 },
    /// The picture stood still.
    Stall { ms: f64 },
}

/// Takes note of it all.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) figures: Figures,
    out: Option<BufWriter<File>>,
    /// Time in the stream, and when it was shown, of the last picture.
    last: Option<(u64, Stamp)>,
}

impl Stats {
    /// With a file for the lines, if there is to be one.
    pub(super) fn new(file: Option<&Path>) -> io::Result<Self> {
        let out = file.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { figures: Figures::new(), out, last: None })
    }

    /// A picture was shown; the age that is told is what it was captured by, a test card's own word first.
    pub(super) fn shown(&mut self, frame: &Frame, seen: Seen) -> io::Result<()> {
        let picture = &frame.picture;
        let card = picture.card();
        let captured = card.map(|card| card.captured(seen.at)).or(picture.arrival.captured);
        let age = captured.map(|captured| seen.at.since(captured));
        let Arrival { captured: posted, received } = picture.arrival;
        note(self.figures.ages.as_mut(), age);
        note(self.figures.travels.as_mut(), posted.map(|posted| received.since(posted)));
        self.figures.shown += 1;
        self.stall(picture.time_ns, seen.at)?;
        self.line(&Line {
            frame: frame.number,
            time_ns: picture.time_ns,
            captured,
            received: picture.arrival.received,
            decoded: frame.decoded,
            shown: seen.at,
            age_ms: age.map(|age| age.as_secs_f64() * 1e3),
            card: card.map(freshet_protocol::CardCode::frame),
        })
    }

    fn stall(&mut self, time_ns: u64, at: Stamp) -> io::Result<()> {
        let Some((last_ns, last_at)) = self.last.replace((time_ns, at)) else { return Ok(()) };
        let meant = Duration::from_nanos(time_ns.saturating_sub(last_ns));
        let over = at.since(last_at).saturating_sub(meant);
        if over < STALL {
            return Ok(());
        }
        self.figures.stalls += 1;
        self.line(&Event::Stall { ms: over.as_secs_f64() * 1e3 })
    }

    /// From here on it is shown from somewhere else.
    pub(super) fn moved(&mut self) {
        self.last = None;
    }

    pub(super) fn gap(&mut self) -> io::Result<()> {
        self.figures.gaps += 1;
        self.line(&Event::Gap)
    }

    pub(super) fn dropped(&mut self, frames: u64) -> io::Result<()> {
        if frames == 0 {
            return Ok(());
        }
        self.figures.dropped += frames;
        self.line(&Event::Dropped { frames })
    }

    pub(super) fn late(&mut self, frame: u64) -> io::Result<()> {
        self.figures.late += 1;
        self.line(&Event::Late { frame })
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")
    }

    /// What was written is in the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}
