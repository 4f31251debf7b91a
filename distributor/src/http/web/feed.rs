//! What has changed in the catalogue, worked out once a tick for all who watch it.
//!
//! ```text
//!   tick 7 ──▶ change 7 ──▶ who has seen 6
//!         └──▶ whole 7  ──▶ who is new, or too slow to have seen 6
//! ```
//!
//! Whoever comes first in a tick has it worked out; a tick in which nobody asks costs nothing. There is
//! no queue: who is slow is told the newest state, not the way to it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use freshet_protocol::{Catalogue, CatalogueEntry, Stamp};
use serde::Serialize;
use tokio::time::{Duration, Instant};

use crate::limits::{EVENTS_EVERY, RATE_OVER};

/// The catalogue as it was told last, and the way there.
#[derive(Debug)]
pub(in crate::http) struct Feed {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The tick that was looked at last; none before the first.
    tick: Option<u128>,
    /// Counts the changes.
    version: u64,
    /// What our clock said then.
    now: Option<Stamp>,
    streams: BTreeMap<u64, Shown>,
    change: Bytes,
    /// Worked out for the first who needs it.
    whole: Option<Bytes>,
}

/// A stream as it was told.
#[derive(Debug)]
struct Shown {
    told: Told,
    /// Bytes received until then, at the ticks that its rate is over.
    past: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told {
    #[serde(flatten)]
    entry: CatalogueEntry,
    /// Bytes per second; unknown until there are two looks at it.
    rate: Option<u64>,
}

/// What an event says.
#[derive(Serialize)]
struct Event<'a> {
    now: Option<Stamp>,
    streams: Vec<&'a Told>,
    /// Numbers of streams that are no longer there.
    gone: &'a [u64],
}

impl Feed {
    /// Ticks from `now` on.
    pub(in crate::http) fn new(now: Instant) -> Self {
        Self { began: now, state: Mutex::default() }
    }

    /// The beginning of the tick after the one at `now`.
    pub(super) fn next_tick(&self, now: Instant) -> Instant {
        let ticks = u32::try_from(self.tick(now) + 1).unwrap_or(u32::MAX);
        self.began + EVENTS_EVERY * ticks
    }

    fn tick(&self, now: Instant) -> u128 {
        now.duration_since(self.began).as_nanos() / EVENTS_EVERY.as_nanos()
    }

    /// The event for one who has seen version `seen` (0: nothing), and the version that it then has;
    /// `None` where nothing has changed. `look` is called at most once a tick.
    pub(super) fn event(
        &self,
        seen: u64,
        (now, stamp): (Instant, Stamp),
        look: impl FnOnce() -> Catalogue,
    ) -> Option<(u64, Bytes)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = self.tick(now);
        if state.tick != Some(tick) {
            (state.tick, state.now) = (Some(tick), Some(stamp));
            state.advance(look(), now);
        }
        let version = state.version;
        match version - seen {
            0 => None,
            1 if seen > 0 => Some((version, state.change.clone())),
            _ => Some((version, state.whole())),
        }
    }
}

impl State {
    fn advance(&mut self, catalogue: Catalogue, now: Instant) {
        let mut before = std::mem::take(&mut self.streams);
        let mut changed = Vec::new();
        for entry in catalogue.streams {
            let id = entry.id;
            let known = before.remove(&id);
            let (shown, is_new) = Shown::next(known, entry, now);
            if is_new {
                changed.push(id);
            }
            self.streams.insert(id, shown);
        }
        let gone: Vec<_> = before.into_keys().collect();
        self.whole = None;
        if self.version > 0 && changed.is_empty() && gone.is_empty() {
            return;
        }
        let told = changed.iter().filter_map(|id| self.streams.get(id)).map(|shown| &shown.told);
        let change = Event { now: self.now, streams: told.collect(), gone: &gone };
        self.change = event("change", &change);
        self.version += 1;
    }

    fn whole(&mut self) -> Bytes {
        let (streams, now) = (&self.streams, self.now);
        let whole = || {
            let told = streams.values().map(|shown| &shown.told);
            event("catalogue", &Event { now, streams: told.collect(), gone: &[] })
        };
        self.whole.get_or_insert_with(whole).clone()
    }
}

impl Shown {
    /// The stream as it is now, and whether that is anything new.
    fn next(known: Option<Self>, entry: CatalogueEntry, now: Instant) -> (Self, bool) {
        let (before, mut past) = match known {
            Some(Self { told, past }) => (Some(told), past),
            None => (None, VecDeque::new()),
        };
        // Nobody has asked for a while: an average over that tells nothing of now.
        past.retain(|(at, _)| now.duration_since(*at) <= RATE_OVER);
        let rate = past.front().map(|(at, bytes)| {
            per_second(entry.received.saturating_sub(*bytes), now.duration_since(*at))
        });
        past.push_back((now, entry.received));
        let told = Told { entry, rate };
        let is_new = before.as_ref() != Some(&told);
        (Self { told, past }, is_new)
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// One event, as it is sent.
fn event(name: &str, event: &Event<'_>) -> Bytes {
    // Its keys are texts and its numbers are whole: there is nothing that JSON cannot say.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use freshet_protocol::ETag;

    use super::*;

    fn catalogue(streams: &[(u64, u64)]) -> Catalogue {
        let entry = |&(id, received): &(u64, u64)| CatalogueEntry {
            id,
            name: format!("s{id}").parse().unwrap(),
            etag: ETag::new("x").unwrap(),
            content_type: Some("text/x\n\ndata: {}".into()),
            live: true,
            length: None,
            held: "bytes */*".into(),
            bytes: received,
            received,
            consumers: 0,
            created: Stamp::from_nanos(1),
            updated: None,
        };
        Catalogue { streams: streams.iter().map(entry).collect() }
    }

    fn text(event: Option<(u64, Bytes)>) -> String {
        String::from_utf8(event.unwrap().1.to_vec()).unwrap()
    }

    #[test]
    fn who_is_new_is_told_everything_and_who_is_up_to_date_the_change() {
        let start = Instant::now();
        let (feed, at) =
            (Feed::new(start), |ticks: u32| (start + EVENTS_EVERY * ticks, Stamp::from_nanos(7)));
        let two = || catalogue(&[(1, 10), (2, 10)]);
        let first = text(feed.event(0, at(0), two));
        assert!(
            first.starts_with("event: catalogue\ndata: {\"now\":7,\"streams\":[{\"id\":1,"),
            "{first}"
        );
        assert!(feed.event(1, at(0), || panic!("a second look in one tick")).is_none());

        let three = || catalogue(&[(2, 10), (3, 10)]);
        let change = text(feed.event(1, at(1), three));
        assert!(change.starts_with("event: change\n"), "{change}");
        assert!(change.contains("\"gone\":[1]") && change.contains("\"id\":3"), "{change}");
        // Its rate was unknown before.
        assert!(change.contains("\"id\":2") && change.contains("\"rate\":0"), "{change}");

        feed.event(2, at(2), three).unwrap();
        let late = text(feed.event(1, at(2), three));
        assert!(late.starts_with("event: catalogue\n"), "{late}");
        assert!(feed.event(3, at(3), three).is_none(), "nothing has changed");
    }

    #[test]
    fn nothing_at_all_is_told_once() {
        let feed = Feed::new(Instant::now());
        let empty = text(feed.event(0, (feed.began, Stamp::from_nanos(7)), Catalogue::default));
        assert_eq!(empty, "event: catalogue\ndata: {\"now\":7,\"streams\":[],\"gone\":[]}\n\n");
    }

    #[test]
    fn a_rate_is_over_a_few_seconds_and_never_over_a_pause() {
        let start = Instant::now();
        let feed = Feed::new(start);
        let rate = |seconds: u64, received| {
            let now = (start + Duration::from_secs(seconds), Stamp::from_nanos(7));
            let told = text(feed.event(0, now, || catalogue(&[(1, received)])));
            told.split("\"rate\":").nth(1).unwrap().split('}').next().unwrap().to_owned()
        };
        assert_eq!(rate(0, 1000), "null");
        assert_eq!(rate(1, 2000), "1000");
        assert_eq!(rate(2, 5000), "2000");
        assert_eq!(rate(60, 9000), "null");
    }

    #[test]
    fn what_an_origin_says_does_not_become_an_event() {
        let feed = Feed::new(Instant::now());
        let told = text(feed.event(0, (feed.began, Stamp::from_nanos(7)), || catalogue(&[(1, 1)])));
        assert_eq!(told.matches('\n').count(), 3, "{told}");
    }
}
