//! `/status`: streams, consumers, memory and disk as they are now, as JSON for those who look after the distributor.

use std::{cmp::Reverse, time::SystemTime};

use freshet_protocol::{CatalogueEntry, Stamp};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{Response, Site, body::Body, reply};
use crate::{
    hub::{Stood, Stream},
    limits::STATUS_CONSUMERS_MAX,
};

#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    /// When it began to serve, and now.
    began: Stamp,
    now: Stamp,
    /// Bytes that came in and went out since then, of everything.
    received_bytes: u64,
    sent_bytes: u64,
    memory: Memory,
    /// `None`: nothing is kept on a disk.
    disk: Option<Disk>,
    streams: Vec<CatalogueEntry>,
    /// Those who were given nothing yet, and then those who are farthest behind, first.
    consumers: Vec<Consumer>,
    /// So many more there are.
    consumers_left_out: usize,
}

#[derive(Debug, Serialize)]
struct Memory {
    /// What all rings cost, and may cost.
    ring_bytes: u64,
    ring_bytes_max: u64,
}

#[derive(Debug, Serialize)]
struct Disk {
    data: String,
    durability: &'static str,
    /// `None` where it is not known.
    free_bytes: Option<u64>,
    /// Below so much nothing is taken in.
    free_bytes_min: u64,
}

#[derive(Debug, Serialize)]
struct Consumer {
    stream: u64,
    peer: Option<String>,
    way: &'static str,
    since: Stamp,
    /// One past the newest byte that it was given; like the others `None` before the first.
    at: Option<u64>,
    behind_bytes: Option<u64>,
    /// How long the next byte for it has been here; `None` where that is not in memory any more.
    behind_ms: Option<f64>,
}

/// All there is to say.
pub(super) fn deliver(site: &Site) -> Response {
    let text = serde_json::to_string(&Status::of(site)).unwrap_or_default();
    let mut response = reply::ok(Body::whole(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Status {
    fn of(site: &Site) -> Self {
        let (store, config) = (site.hub.shared(), &site.hub.shared().config);
        let disk = config.data.as_ref().map(|data| Disk {
            data: data.display().to_string(),
            durability: config.durability.as_str(),
            free_bytes: site.hub.free_bytes(),
            free_bytes_min: config.min_free_bytes,
        });
        let (ring_bytes, ring_bytes_max) = (store.memory_bytes() as u64, config.memory_bytes);
        let mut consumers: Vec<_> =
            site.hub.streams().iter().flat_map(|it| consumers(it)).collect();
        consumers.sort_by_key(|it| Reverse(it.behind_bytes.unwrap_or(u64::MAX)));
        let consumers_left_out = consumers.len().saturating_sub(STATUS_CONSUMERS_MAX);
        consumers.truncate(STATUS_CONSUMERS_MAX);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            began: site.began,
            now: SystemTime::now().into(),
            received_bytes: site.metrics.received.get(),
            sent_bytes: site.metrics.sent.get(),
            memory: Memory { ring_bytes, ring_bytes_max },
            disk,
            streams: site.hub.catalogue().streams,
            consumers,
            consumers_left_out,
        }
    }
}

fn consumers(stream: &Stream) -> Vec<Consumer> {
    let consumer = |stood: Stood| Consumer {
        stream: stream.id(),
        peer: stood.who.peer.map(|peer| peer.to_string()),
        way: stood.who.way,
        since: stood.since,
        at: stood.place.map(|place| place.at),
        behind_bytes: stood.place.map(|place| place.behind_bytes),
        behind_ms: stood.place.and_then(|place| Some(place.behind?.as_secs_f64() * 1e3)),
    };
    stream.audience().into_iter().map(consumer).collect()
}
