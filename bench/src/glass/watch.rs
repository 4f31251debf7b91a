//! Watching the screen while a player shows the stream.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use freshet_protocol::Stamp;

use super::{Shown, display::Display, place::Place};
use crate::{
    clock::Moment,
    limits::{GLASS_LOOK_EVERY, GLASS_SEARCH_EVERY},
    role::Role,
};

/// Look until it shows something, at most for `first`, and then for `seconds`.
pub(super) fn watch(
    display: &Display,
    player: &Role,
    first: Duration,
    seconds: Duration,
) -> anyhow::Result<Shown> {
    let begun = Moment::now();
    let Some(place) = find(display, player, begun.after(first))? else {
        return Ok(Shown::default());
    };
    let first_ms = Moment::now().since(begun).as_secs_f64() * 1e3;
    let mut pictures = Pictures::default();
    let (before, from) = (player.usage(), Moment::now());
    let until = from.after(seconds);
    while !until.left().is_zero() {
        let now = Stamp::from(SystemTime::now());
        let look = display.look();
        if let Some(code) = place.read(|x, y| look.luma(x, y)) {
            pictures.seen(code.frame(), now.since(code.captured(now)));
        }
        thread::sleep(GLASS_LOOK_EVERY);
    }
    let spent = player.usage().context("it has ended by itself")?.cpu.saturating_sub(before?.cpu);
    let Pictures { mut shown, .. } = pictures;
    shown.first_ms = Some(first_ms);
    shown.cpu_share = spent.as_secs_f64() / Moment::now().since(from).as_secs_f64();
    Ok(shown)
}

/// Wait until the picture is there: on all of the screen, or after a while somewhere on it.
fn find(display: &Display, player: &Role, until: Moment) -> anyhow::Result<Option<Place>> {
    let (width, height) = display.size();
    let whole = Place { x: 0, y: 0, width, height };
    let mut search = Moment::now().after(GLASS_SEARCH_EVERY);
    while !until.left().is_zero() {
        let look = display.look();
        if whole.read(|x, y| look.luma(x, y)).is_some() {
            return Ok(Some(whole));
        }
        if search.left().is_zero() {
            let still = display.still();
            let found = Place::find((width, height), |x, y| still.luma(x, y));
            if found.is_some() {
                return Ok(found);
            }
            player.usage().context("it has ended, and has shown nothing")?;
            search = Moment::now().after(GLASS_SEARCH_EVERY);
        }
        thread::sleep(GLASS_LOOK_EVERY);
    }
    Ok(None)
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    pub(super) shown: Shown,
    last: Option<u32>,
}

/// Frame numbers are told modulo 2^24.
const FRAME_MASK: u32 = (1 << 24) - 1;

impl Pictures {
    /// A picture is on the screen, so old: it counts when it is seen for the first time.
    pub(super) fn seen(&mut self, frame: u32, age: Duration) {
        let ahead = self.last.map_or(1, |last| frame.wrapping_sub(last) & FRAME_MASK);
        // One that was shown before, or the last one still: a player may go back.
        if ahead == 0 || ahead > FRAME_MASK / 2 {
            return;
        }
        self.shown.missed += u64::from(ahead - 1);
        self.shown.ages.record(age);
        self.last = Some(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_counts_once_and_those_between_are_missed() {
        let mut pictures = Pictures::default();
        let age = Duration::from_millis(5);
        for frame in [FRAME_MASK - 1, FRAME_MASK - 1, FRAME_MASK, 0, 3, 2, 4] {
            pictures.seen(frame, age);
        }
        assert_eq!((pictures.shown.ages.count(), pictures.shown.missed), (5, 2));
    }
}
