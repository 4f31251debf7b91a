//! What pictures are shown on, and what the person in front of it wants.

use std::{sync::Arc, time::SystemTime};

use freshet_protocol::Stamp;
use tokio::sync::mpsc;

use crate::{limits::COMMANDS_MAX, limits::SEEN_MAX, picture::Picture};

/// A picture on its way to the screen.
#[derive(Debug)]
pub struct Frame {
    /// Counts from 0, without a hole.
    pub number: u64,
    /// It.
    pub picture: Picture,
    /// When it was decoded.
    pub decoded: Stamp,
}

/// A picture was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one.
    pub number: u64,
    /// When.
    pub at: Stamp,
}

/// What the person in front of it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop, or go on.
    Pause,
    /// Back into what is kept.
    Back,
    /// Towards the live edge.
    Forward,
    /// To the live edge.
    Live,
    /// Be silent, or be heard again.
    Mute,
    /// No more.
    Quit,
}

/// Shows pictures.
pub trait Screen: Send {
    /// Show this one now. Whoever shows it says so to the [`Stage`]; one that comes too fast may be passed over.
    fn show(&mut self, frame: Arc<Frame>);

    /// Say this about what is shown.
    fn tell(&mut self, line: &str);
}

/// A screen, and what comes back from it.
pub struct Stage {
    pub(super) screen: Box<dyn Screen>,
    pub(super) seen: mpsc::Receiver<Seen>,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// What a screen says back.
#[derive(Clone, Debug)]
pub struct Back {
    /// What was shown.
    pub seen: mpsc::Sender<Seen>,
    /// What is wanted.
    pub commands: mpsc::Sender<Command>,
}

impl Stage {
    /// With the screen that `make` makes.
    pub fn new<S: Screen + 'static>(make: impl FnOnce(Back) -> S) -> Self {
        let (seen, seen_here) = mpsc::channel(SEEN_MAX);
        let (commands, commands_here) = mpsc::channel(COMMANDS_MAX);
        let screen = Box::new(make(Back { seen, commands }));
        Self { screen, seen: seen_here, commands: commands_here }
    }

    /// Without a screen: a picture counts as shown when it is due.
    #[must_use]
    pub fn headless() -> Self {
        Self::new(Headless)
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

struct Headless(Back);

impl Screen for Headless {
    fn show(&mut self, frame: Arc<Frame>) {
        // Whoever takes them is the one who calls this: there is room for one.
        let _ = self.0.seen.try_send(Seen { number: frame.number, at: now() });
    }

    fn tell(&mut self, _: &str) {}
}

/// The present, by our clock.
pub(crate) fn now() -> Stamp {
    SystemTime::now().into()
}
