//! Where a player can begin: the container's header, and the places behind it at which a decoder
//! can start. Pure: bytes in, header and join points out.
//!
//! ```text
//!   bytes as they pass ──▶ sniff ──▶ the container's parser ──▶ header, newest join points
//!                            └─ nothing that is known: raw, any byte will do
//! ```
//!
//! One parser takes one step at a time: it uses bytes up, or says how many it must see at once. The
//! driver below keeps what a step waits for, and nothing else, so that any chunking gives the same
//! result. Damage and holes make a parser search for its next unit; no length that a stream declares
//! is believed further than a bound, and none is allocated.

pub(crate) mod limits;

mod flac;
mod flv;
mod found;
mod frames;
mod mp4;
mod mpegts;
mod ogg;
mod pending;
mod read;
mod sniff;
#[cfg(test)]
mod tests;
mod wav;
mod webm;

use bytes::Bytes;

use self::{
    flac::Flac, flv::Flv, found::Found, frames::Frames, mp4::Mp4, mpegts::MpegTs, ogg::Ogg,
    pending::Pending, sniff::Sniffed, wav::Wav, webm::Webm,
};

/// What kind of container a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Mp4,
    MpegTs,
    Webm,
    Ogg,
    /// MPEG audio or ADTS: frames and nothing around them.
    Frames,
    Flac,
    Wav,
    Flv,
    /// None that is known, or one that cannot be joined: any byte is as good as another.
    Raw,
}

/// Where a player begins: the header, and then the stream from `at` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) header: Bytes,
    pub(crate) at: u64,
}

/// Finds a stream's header and join points in its bytes as they pass.
#[derive(Debug)]
pub(crate) struct Scanner {
    parser: Parser,
    pending: Pending,
    found: Found,
    /// The offset of the next byte that is wanted.
    next: u64,
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many are done with; more than there were means that the next ones are of no interest.
    Used(u64),
    /// So many must be seen at once.
    More(usize),
    /// This stream has no header, or none that a player could be given.
    Raw,
}

#[derive(Debug)]
enum Parser {
    Sniff,
    Mp4(Mp4),
    MpegTs(MpegTs),
    Webm(Webm),
    Ogg(Ogg),
    Frames(Frames),
    Flac(Flac),
    Wav(Wav),
    Flv(Flv),
    Raw,
}

impl Scanner {
    /// For a stream of which nothing is known yet.
    pub(crate) fn new() -> Self {
        Self {
            parser: Parser::Sniff,
            pending: Pending::default(),
            found: Found::default(),
            next: 0,
        }
    }

    /// For a stream whose container and header were found in an earlier life.
    pub(crate) fn resume(container: Container, header: &[u8]) -> Self {
        let mut scanner = Self { parser: Parser::new(container), ..Self::new() };
        scanner.push(0, header);
        scanner
    }

    /// Look at bytes of the stream. What was seen already is left out; after a hole the scanner
    /// finds its way in again.
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8]) {
        if offset > self.next {
            self.skip_to(offset);
        }
        let seen = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(seen..) else { return };
        let at = self.next;
        self.next += bytes.len() as u64;
        self.run(at, bytes);
    }

    /// There is a hole up to `offset`, or nobody will ask for what is before it.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.pending.clear();
        self.found.skip_to(offset);
        self.next = offset;
        if !self.parser.lose() {
            self.give_up();
        }
    }

    /// The offset of the next byte that is wanted.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// What kind of container this is; `None` while that cannot be told.
    pub(crate) fn container(&self) -> Option<Container> {
        self.parser.container()
    }

    /// Is the container known, and its header whole?
    pub(crate) fn is_ready(&self) -> bool {
        match self.parser.container() {
            None => false,
            Some(Container::Raw | Container::Frames) => true,
            Some(_) => self.found.version() > 0,
        }
    }

    /// How often the header has changed.
    pub(crate) fn header_version(&self) -> u64 {
        self.found.version()
    }

    /// The container's header; empty where it has none, or none was found yet.
    pub(crate) fn header(&mut self) -> Bytes {
        self.found.header()
    }

    /// The newest join point at or below `end`.
    pub(crate) fn newest(&self, end: u64) -> Option<u64> {
        self.found.newest(end)
    }

    /// The oldest join point at or above `at`.
    pub(crate) fn first_from(&self, at: u64) -> Option<u64> {
        self.found.first_from(at)
    }

    /// Are all join points from `at` on remembered?
    pub(crate) fn is_complete_from(&self, at: u64) -> bool {
        self.found.is_complete_from(at)
    }

    /// Give the join points back, and forget them.
    pub(crate) fn take_points(&mut self) -> Vec<u64> {
        self.found.take_points()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn cost(&self) -> usize {
        self.pending.cost() + self.found.cost()
    }

    /// Take the stream as raw from now on.
    pub(crate) fn give_up(&mut self) {
        (self.parser, self.found) = (Parser::Raw, Found::default());
        self.pending.clear();
    }

    fn run(&mut self, at: u64, bytes: &[u8]) {
        let (parser, found) = (&mut self.parser, &mut self.found);
        if matches!(parser, Parser::Raw) {
            return;
        }
        self.pending.run(at, bytes, |at, bytes| {
            let step = parser.step(at, bytes, found);
            if step == Step::Raw {
                *parser = Parser::Raw;
                return Step::Used(u64::MAX);
            }
            step
        });
        if matches!(self.parser, Parser::Raw) {
            self.give_up();
        }
    }
}

impl Parser {
    fn new(container: Container) -> Self {
        match container {
            Container::Mp4 => Self::Mp4(Mp4::default()),
            Container::MpegTs => Self::MpegTs(MpegTs::default()),
            Container::Webm => Self::Webm(Webm::default()),
            Container::Ogg => Self::Ogg(Ogg::default()),
            Container::Frames => Self::Frames(Frames::default()),
            Container::Flac => Self::Flac(Flac::default()),
            Container::Wav => Self::Wav(Wav::default()),
            Container::Flv => Self::Flv(Flv::default()),
            Container::Raw => Self::Raw,
        }
    }

    fn container(&self) -> Option<Container> {
        Some(match self {
            Self::Sniff => return None,
            Self::Mp4(_) => Container::Mp4,
            Self::MpegTs(_) => Container::MpegTs,
            Self::Webm(_) => Container::Webm,
            Self::Ogg(_) => Container::Ogg,
            Self::Frames(_) => Container::Frames,
            Self::Flac(_) => Container::Flac,
            Self::Wav(_) => Container::Wav,
            Self::Flv(_) => Container::Flv,
            Self::Raw => Container::Raw,
        })
    }

    fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        match self {
            Self::Sniff => match sniff::sniff(bytes) {
                Sniffed::More(len) => Step::More(len),
                Sniffed::Is(container) => {
                    *self = Self::new(container);
                    Step::Used(0)
                }
            },
            Self::Mp4(parser) => parser.step(at, bytes, found),
            Self::MpegTs(parser) => parser.step(at, bytes, found),
            Self::Webm(parser) => parser.step(at, bytes, found),
            Self::Ogg(parser) => parser.step(at, bytes, found),
            Self::Frames(parser) => parser.step(at, bytes, found),
            Self::Flac(parser) => parser.step(at, bytes, found),
            Self::Wav(parser) => parser.step(at, bytes, found),
            Self::Flv(parser) => parser.step(at, bytes, found),
            Self::Raw => Step::Raw,
        }
    }

    /// What comes next does not follow on what was. False where there is no header to go on with.
    fn lose(&mut self) -> bool {
        match self {
            Self::Sniff | Self::Raw => false,
            Self::Mp4(parser) => parser.lose(),
            Self::MpegTs(parser) => parser.lose(),
            Self::Webm(parser) => parser.lose(),
            Self::Ogg(parser) => parser.lose(),
            Self::Frames(parser) => parser.lose(),
            Self::Flac(parser) => parser.lose(),
            Self::Wav(parser) => parser.lose(),
            Self::Flv(parser) => parser.lose(),
        }
    }
}

impl Container {
    const ALL: [Self; 9] = [
        Self::Mp4,
        Self::MpegTs,
        Self::Webm,
        Self::Ogg,
        Self::Frames,
        Self::Flac,
        Self::Wav,
        Self::Flv,
        Self::Raw,
    ];

    /// Its name, as it is written to the disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::MpegTs => "mpegts",
            Self::Webm => "webm",
            Self::Ogg => "ogg",
            Self::Frames => "frames",
            Self::Flac => "flac",
            Self::Wav => "wav",
            Self::Flv => "flv",
            Self::Raw => "raw",
        }
    }

    /// The container of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.name() == name)
    }
}
