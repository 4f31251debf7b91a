//! `/events`: the catalogue, and from then on what changes in it, as server-sent events (the HTML
//! standard, section 9.2).

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use freshet_protocol::Stamp;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use super::super::{
    Asked, Response, Site,
    body::{Body, Cut},
    headers,
    reply::{self, Refusal},
};
use crate::limits::EVENTS_SILENCE_MAX;

/// How soon a browser that was cut comes back, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// What is sent when nothing has changed for long, so that a peer that is gone is noticed: a comment.
const STILL_HERE: &[u8] = b":\n\n";

/// One who watches the catalogue.
struct Watcher {
    site: Arc<Site>,
    /// The version that it has seen.
    seen: u64,
    /// When it is looked whether there is something to tell.
    at: Instant,
    told: Instant,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

/// Tell the catalogue and what changes in it, until the peer leaves or the distributor stops.
pub(in crate::http) fn deliver(asked: &Asked) -> Result<Response, Refusal> {
    let site = Arc::clone(&asked.site);
    let place = Arc::clone(&site.watchers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::TooManyWatchers)?;
    let now = Instant::now();
    let watcher = Watcher { site, seen: 0, at: now, told: now, greeted: false, _place: place };
    let frames = stream::try_unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await;
        Ok::<_, Cut>(Some((event, watcher)))
    });
    let mut response = reply::ok(Body::open(Box::pin(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers::live(headers);
    Ok(response)
}

impl Watcher {
    /// The next event, as soon as there is one. Cancel safe.
    async fn next(&mut self) -> Bytes {
        if !self.greeted {
            self.greeted = true;
            return Bytes::from_static(RETRY);
        }
        loop {
            sleep_until(self.at).await;
            let now = Instant::now();
            self.at = self.site.feed.next_tick(now);
            let clocks = (now, Stamp::from(SystemTime::now()));
            let look = || self.site.hub.catalogue();
            if let Some((version, event)) = self.site.feed.event(self.seen, clocks, look) {
                (self.seen, self.told) = (version, now);
                return event;
            }
            if now.duration_since(self.told) >= EVENTS_SILENCE_MAX {
                self.told = now;
                return Bytes::from_static(STILL_HERE);
            }
        }
    }
}
