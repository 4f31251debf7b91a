//! Where a member's own output is in the movie: it goes on as the group does.

use std::io;

use freshet_protocol::doors::groups::State;
use tokio::time::Instant;

use super::{film::GroupFilm, pace::Pace};

/// The place of what is played here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupHead {
    at: u64,
    looked: Option<Instant>,
}

impl GroupHead {
    /// The next byte that is played.
    #[must_use]
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Has it begun?
    #[must_use]
    pub(super) const fn has_begun(&self) -> bool {
        self.looked.is_some()
    }

    /// Begin, or go on where it is. The group began at `state`, and is at the byte `group`: what is little is caught
    /// up with, so that whoever is there from the beginning has the first byte; who comes later begins with the
    /// group.
    pub(super) fn begin(&mut self, state: &State, group: u64) {
        if !self.has_begun() {
            self.at = match Pace::between(state.position, group, state.rate) {
                Pace::Speed(_) => state.position,
                Pace::Seek(to) => to,
            };
        }
        self.looked = Some(Instant::now());
    }

    /// What is due since the last time, a little faster or slower where that is needed; the group is at the byte
    /// `group`, and plays `rate` bytes a second.
    ///
    /// # Errors
    ///
    /// The movie's file cannot be read.
    pub(super) fn play(&mut self, film: &GroupFilm, group: u64, rate: u32) -> io::Result<Vec<u8>> {
        let now = Instant::now();
        let Some(looked) = self.looked.replace(now) else {
            self.looked = None;
            return Ok(Vec::new());
        };
        let speed = match Pace::between(self.at, group, rate) {
            Pace::Speed(speed) => speed,
            Pace::Seek(to) if to > self.at => {
                self.at = to;
                1.0
            }
            // What was handed out cannot be taken back: the group comes here.
            Pace::Seek(_) => 0.0,
        };
        let due = (now - looked).as_secs_f64() * f64::from(rate) * speed;
        let bytes = film.read(self.at, self.at + due as u64)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}
