//! A stream shown: taken, decoded, and each picture on the screen when it is due.
//!
//! ```text
//!   Feed ──bytes──▶ decode (a thread) ──pictures──▶ Show ──when due──▶ Screen: a window, or none
//!     ▲                                              │ seen: Stats
//!     └────────── from elsewhere ◀── commands ───────┘
//! ```

mod clock;
mod feed;
mod overlay;
mod paint;
mod screen;
mod show;
mod speaker;
mod stats;
mod window;

use std::{collections::VecDeque, io, path::PathBuf, time::Duration};

use freshet_consumer::{Fetch, FetchError, Policy};
use freshet_protocol::{From, Stamp};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Interval, interval},
};
use tokio_util::sync::CancellationToken;

use self::{
    clock::Playout,
    feed::{Came, Coming, Feed, Input},
    screen::now,
    show::{Output, Over, Show, Voice},
    stats::Stats,
};
use crate::{
    limits::{DECODED_MAX, PICTURES_MAX, REPORT, STEP},
    media::{Media, MediaError},
};

pub use self::{
    clock::{Latency, LatencyError},
    screen::{Back, Command, Frame, Screen, Seen, Stage},
    stats::Figures,
    window::{Window, WindowError},
};

/// A stream to show, decoded here.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where it is.
    pub fetch: Fetch,
    /// Where to begin.
    pub from: From,
    /// Whether what would come too late is left out.
    pub policy: Policy,
    /// How long pictures wait for slower ones.
    pub latency: Latency,
    /// Where a line of JSON for each picture goes.
    pub stats: Option<PathBuf>,
    /// Is it to be heard?
    pub sound: bool,
}

/// Why a stream is not shown, or not on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It cannot be taken.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It cannot be decoded.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The lines about the pictures cannot be written.
    #[error("cannot write the figures of the pictures")]
    Stats(#[from] io::Error),
}

impl Watch {
    /// Show it until it ends, somebody wants no more of it, or `shutdown`; `report` the figures once a second.
    ///
    /// # Errors
    ///
    /// It cannot be taken or decoded.
    pub async fn run(
        self,
        stage: Stage,
        shutdown: &CancellationToken,
        report: impl FnMut(&Figures),
    ) -> Result<Figures, WatchError> {
        let stats = Stats::new(self.stats.as_deref())?;
        let mut due = interval(REPORT);
        due.reset();
        let voice = if self.sound { Voice::Wanted } else { Voice::Off };
        let mut session =
            Session { watch: self, stage, stats, report, due, voice, next: 0, captured: None };
        let ended = shutdown.run_until_cancelled(session.run()).await;
        session.stats.flush()?;
        ended.transpose()?;
        Ok(session.stats.figures)
    }
}

struct Session<R> {
    watch: Watch,
    stage: Stage,
    stats: Stats,
    report: R,
    due: Interval,
    voice: Voice,
    /// The number of the next picture.
    next: u64,
    /// When the last picture that was shown was captured.
    captured: Option<Stamp>,
}

impl<R: FnMut(&Figures)> Session<R> {
    async fn run(&mut self) -> Result<(), WatchError> {
        let mut from = self.watch.from;
        loop {
            let wanted = match self.show(from).await? {
                Over::Ended | Over::Wanted(Command::Quit) => return Ok(()),
                Over::Wanted(Command::Pause) => match self.pause().await {
                    Some(Command::Quit) | None => return Ok(()),
                    Some(command) => command,
                },
                Over::Wanted(command) => command,
            };
            from = self.place(wanted);
            self.stats.moved();
            self.voice.clear();
        }
    }

    /// Until something is wanted.
    async fn pause(&mut self) -> Option<Command> {
        self.stage.screen.tell("paused");
        self.voice.clear();
        self.stage.commands.recv().await
    }

    /// Where to go on: so far behind the live edge as what was shown last, and a step from there.
    fn place(&self, wanted: Command) -> From {
        let behind = self.captured.map_or(Duration::ZERO, |captured| now().since(captured));
        let behind = match wanted {
            Command::Back => behind + STEP,
            Command::Forward => behind.saturating_sub(STEP),
            Command::Pause => behind,
            Command::Live | Command::Mute | Command::Quit => Duration::ZERO,
        };
        if behind < STEP / 2 { From::Live } else { From::Ago(behind) }
    }

    async fn show(&mut self, from: From) -> Result<Over, WatchError> {
        let Watch { fetch, policy, latency, .. } = &self.watch;
        let feed = Feed::open(fetch.clone(), from, *policy).await?;
        let playout = if feed.is_live { Playout::live(*latency) } else { Playout::recorded() };
        let (coming, came) = Coming::new();
        let (decoded, decoder) = mpsc::channel(DECODED_MAX);
        let mut parts = JoinSet::new();
        let failed = decoded.clone();
        parts.spawn(async move {
            if let Err(error) = feed.run(coming).await {
                let _ = failed.send(Output::Cut(error)).await;
            }
        });
        let media = if self.watch.sound { Media::with_sound() } else { Media::new() };
        parts.spawn_blocking(move || decode(media, came, &decoded));
        let mut show = Show {
            stage: &mut self.stage,
            stats: &mut self.stats,
            report: &mut self.report,
            due: &mut self.due,
            voice: &mut self.voice,
            playout,
            next: &mut self.next,
            captured: &mut self.captured,
            queue: VecDeque::new(),
            handed: VecDeque::new(),
        };
        // Dropped with the receiver, the parts end: the feed at once, the decoder at the next picture.
        show.run(decoder).await
    }
}

/// Decode what comes, until nothing does or nobody wants it.
fn decode(mut media: Media, mut came: Came, out: &mpsc::Sender<Output>) {
    while let Some((input, room)) = came.blocking_recv() {
        let mut output = step(&mut media, input);
        drop(room);
        // What has come meanwhile goes along: of pictures that are due at once the newest alone is shown.
        while let Output::Decoded { decoded, .. } = &output
            && decoded.pictures.len() < PICTURES_MAX
            && let Ok((input, room)) = came.try_recv()
        {
            let next = step(&mut media, input);
            drop(room);
            let before = std::mem::replace(&mut output, next);
            let Some(both) = before.with(&mut output) else { continue };
            if out.blocking_send(both).is_err() {
                return;
            }
        }
        if out.blocking_send(output).is_err() {
            return;
        }
    }
    // Whoever does not want it any more is gone.
    let _ = out.blocking_send(Output::Decoded { decoded: media.finish(), bytes: 0, at: now() });
}

fn step(media: &mut Media, input: Input) -> Output {
    match input {
        Input::Gap => {
            media.lose();
            Output::Gap
        }
        Input::Bytes(bytes, arrival) => match media.push(&bytes, arrival) {
            Ok(decoded) => Output::Decoded { decoded, bytes: bytes.len() as u64, at: now() },
            Err(error) => Output::Failed(error),
        },
    }
}
