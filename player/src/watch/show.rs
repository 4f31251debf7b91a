//! Pictures on the screen when they are due.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use freshet_consumer::FetchError;
use freshet_protocol::Stamp;
use tokio::{
    sync::mpsc,
    time::{Interval, interval, sleep},
};
use tracing::warn;

use super::{
    WatchError,
    clock::Playout,
    screen::{Command, Frame, Seen, Stage, now},
    speaker::Speaker,
    stats::{Figures, Stats},
};
use crate::{
    limits::{PICTURES_MAX, SEEN_MAX, SOUND_APART_MAX, SOUND_ASKED, SOUND_LOOK},
    media::{Decoded, MediaError},
    sound::Sound,
};

/// What the decoder has done.
#[derive(Debug)]
pub(super) enum Output {
    Decoded { decoded: Decoded, bytes: u64, at: Stamp },
    Gap,
    Failed(MediaError),
    Cut(FetchError),
}

impl Output {
    /// Put before `next` where both are pictures; given back where they are not.
    pub(super) fn with(self, next: &mut Self) -> Option<Self> {
        match (self, next) {
            (
                Self::Decoded { mut decoded, bytes, .. },
                Self::Decoded { decoded: after, bytes: more, .. },
            ) => {
                decoded.pictures.append(&mut after.pictures);
                decoded.sounds.append(&mut after.sounds);
                (after.pictures, after.sounds) = (decoded.pictures, decoded.sounds);
                after.dropped += decoded.dropped;
                *more += bytes;
                None
            }
            (before, _) => Some(before),
        }
    }
}

/// Why it is not shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// There is no more.
    Ended,
    Wanted(Command),
}

pub(super) struct Show<'a, R> {
    pub(super) stage: &'a mut Stage,
    pub(super) stats: &'a mut Stats,
    pub(super) report: &'a mut R,
    pub(super) due: &'a mut Interval,
    pub(super) voice: &'a mut Voice,
    pub(super) playout: Playout,
    pub(super) next: &'a mut u64,
    /// When the last picture that was shown was captured.
    pub(super) captured: &'a mut Option<Stamp>,
    pub(super) queue: VecDeque<(u64, Arc<Frame>)>,
    /// Handed to the screen, which has not said yet that they were seen.
    pub(super) handed: VecDeque<Arc<Frame>>,
}

/// Whether it is heard.
pub(super) enum Voice {
    Off,
    /// As soon as there is sound.
    Wanted,
    On(Speaker),
}

impl Voice {
    /// Somebody who can play this, if that can be had.
    async fn for_sound(&mut self, sound: &Sound) -> Option<&Speaker> {
        if let Self::On(speaker) = self
            && !speaker.fits(sound)
        {
            *self = Self::Wanted;
        }
        if let Self::Wanted = self {
            *self = match Speaker::open(sound.rate, sound.channels).await {
                Ok(speaker) => Self::On(speaker),
                Err(error) => {
                    warn!("no sound: {error}");
                    Self::Off
                }
            };
        }
        self.speaker()
    }

    const fn speaker(&self) -> Option<&Speaker> {
        match self {
            Self::On(speaker) => Some(speaker),
            Self::Off | Self::Wanted => None,
        }
    }

    /// What waits to be heard is not wanted any more.
    pub(super) fn clear(&self) {
        if let Some(speaker) = self.speaker() {
            speaker.clear();
        }
    }
}

impl<R: FnMut(&Figures)> Show<'_, R> {
    /// Show what is decoded, until there is no more or something else is wanted.
    pub(super) async fn run(
        &mut self,
        mut decoder: mpsc::Receiver<Output>,
    ) -> Result<Over, WatchError> {
        let mut has_ended = false;
        let mut looks = interval(SOUND_LOOK);
        loop {
            self.show_due()?;
            if has_ended && self.queue.is_empty() {
                // What the screen has shown last it may have said already.
                while let Ok(seen) = self.stage.seen.try_recv() {
                    self.seen(seen)?;
                }
                return Ok(Over::Ended);
            }
            let wait = self.queue.front().map(|(due, _)| due.saturating_sub(now().nanos()));
            tokio::select! {
                biased;
                Some(command) = self.stage.commands.recv() => match (command, self.voice.speaker()) {
                    (Command::Mute, Some(speaker)) => speaker.toggle_mute(),
                    (Command::Mute, None) => {}
                    (command, _) => return Ok(Over::Wanted(command)),
                },
                Some(seen) = self.stage.seen.recv() => self.seen(seen)?,
                () = sleep(Duration::from_nanos(wait.unwrap_or_default())), if wait.is_some() => {}
                output = decoder.recv(), if !has_ended && self.queue.len() < PICTURES_MAX => match output {
                    Some(output) => self.take(output).await?,
                    None => has_ended = true,
                },
                _ = self.due.tick() => self.tell()?,
                _ = looks.tick() => if let Some(speaker) = self.voice.speaker() {
                    speaker.look().await;
                },
            }
        }
    }

    async fn take(&mut self, output: Output) -> Result<(), WatchError> {
        match output {
            Output::Decoded { decoded, bytes, at } => {
                self.stats.figures.bytes += bytes;
                self.stats.dropped(decoded.dropped)?;
                for sound in &decoded.sounds {
                    self.sound(sound).await;
                }
                for picture in decoded.pictures {
                    let arrived = match self.playout {
                        Playout::Live(_) => picture.arrival.received,
                        Playout::Recorded(_) => now(),
                    };
                    let due = self.playout.due(picture.time_ns, arrived.nanos());
                    let frame = Frame { number: *self.next, picture, decoded: at };
                    *self.next += 1;
                    self.queue.push_back((due, Arc::new(frame)));
                }
            }
            Output::Gap => {
                self.playout.gap();
                self.stats.gap()?;
            }
            Output::Failed(error) => return Err(error.into()),
            Output::Cut(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What is heard is late by the time that the server takes; some of that nobody notices.
    async fn sound(&mut self, sound: &Sound) {
        let Some(speaker) = self.voice.for_sound(sound).await else { return };
        let asked = speaker.latency() + SOUND_ASKED.as_nanos() as u64;
        let late = asked.saturating_sub(SOUND_APART_MAX.as_nanos() as u64);
        let arrived = match self.playout {
            Playout::Live(_) => sound.arrival.received,
            Playout::Recorded(_) => now(),
        };
        let due = self.playout.due(sound.time_ns, arrived.nanos() + late);
        speaker.play(sound, due);
    }

    /// Show the last of those that are due; there is no time for those before it.
    fn show_due(&mut self) -> io::Result<()> {
        let time = now().nanos();
        let due = self.queue.iter().take_while(|(due, _)| *due <= time).count();
        for left in (0..due).rev() {
            let Some((_, frame)) = self.queue.pop_front() else { return Ok(()) };
            if left > 0 {
                self.stats.late(frame.number)?;
                continue;
            }
            if self.handed.len() == SEEN_MAX {
                self.handed.pop_front();
            }
            self.handed.push_back(Arc::clone(&frame));
            self.stage.screen.show(frame);
        }
        Ok(())
    }

    /// The screen shows it; what was handed to it before was passed over.
    fn seen(&mut self, seen: Seen) -> io::Result<()> {
        while self.handed.front().is_some_and(|frame| frame.number <= seen.number) {
            let Some(frame) = self.handed.pop_front() else { break };
            if frame.number < seen.number {
                self.stats.late(frame.number)?;
                continue;
            }
            *self.captured = frame.picture.arrival.captured;
            self.stats.shown(&frame, seen)?;
        }
        Ok(())
    }

    fn tell(&mut self) -> io::Result<()> {
        self.stats.figures.wait_ms = self.playout.wait() as f64 / 1e6;
        self.stage.screen.tell(&self.stats.figures.to_string());
        (self.report)(&self.stats.figures);
        self.stats.flush()
    }
}
