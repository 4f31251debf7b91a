//! `/groups/ID/events`: what happens in a group, as server-sent events (the HTML standard, section 9.2).
//!
//! `state` is the group as it is, first of all and whenever it has changed; `presence` says who has come or gone.
//! Whoever listens as a member is here as long as he does.

use std::sync::Arc;

use bytes::Bytes;
use freshet_protocol::doors::groups::Event;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

use super::{
    super::{
        Asked, Response, Site,
        body::{Body, Cut},
        headers,
        reply::{self, Refusal},
    },
    view::View,
};
use crate::{
    groups::{By, Change, Shared},
    limits::GROUP_STILL_HERE,
};

struct Listener {
    site: Arc<Site>,
    group: u16,
    shared: Arc<Shared>,
    member: Option<u32>,
    versions: watch::Receiver<u64>,
    /// The version that it has seen; none yet.
    seen: Option<u64>,
    _place: OwnedSemaphorePermit,
}

/// Tell what happens, until the group is over, the peer leaves or the distributor stops.
pub(super) fn deliver(
    asked: &Asked,
    (group, shared): (u16, Arc<Shared>),
    by: Option<By>,
) -> Result<Response, Refusal> {
    let site = Arc::clone(&asked.site);
    let place = Arc::clone(&site.watchers).try_acquire_owned();
    let place = place.map_err(|_| Refusal::TooManyWatchers)?;
    let member = by.and_then(|by| match by {
        By::Member(member) => Some(member),
        By::Leader => None,
    });
    let versions = shared.versions();
    let listener = Listener { site, group, shared, member, versions, seen: None, _place: place };
    let frames = stream::try_unfold(listener, |mut listener| async move {
        Ok::<_, Cut>(listener.next().await.map(|event| (event, listener)))
    });
    let mut response = reply::ok(Body::open(Box::pin(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers::live(headers);
    Ok(response)
}

impl Listener {
    /// The next events; `None` where the group is over. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        if self.seen.is_some() {
            // Nothing new is as good a reason to look as anything: it is the sign that we are here.
            let _ = timeout(GROUP_STILL_HERE, self.versions.changed()).await;
        }
        let is_there = self.is_there();
        let (version, changes) = self.shared.with(|group, now| {
            if let Some(member) = self.member {
                group.heard(now, member);
            }
            group.changes_since(self.seen.unwrap_or(u64::MAX))
        });
        self.versions.borrow_and_update();
        if self.seen.replace(version) == Some(version) {
            return is_there.then(|| Bytes::from_static(b":\n\n"));
        }
        let mut text = String::new();
        changes.into_iter().filter_map(presence).for_each(|event| text.push_str(&event));
        let state = serde_json::to_string(&View::of(self.group, &self.shared)).unwrap_or_default();
        text.push_str(&format!("event: state\ndata: {state}\n\n"));
        Some(text.into())
    }

    /// Is the group served still, and he who listens in it?
    fn is_there(&self) -> bool {
        let found = self.site.groups.as_ref().and_then(|groups| groups.find(self.group));
        let is_in = |member| self.shared.with(|group, _| group.has(member));
        found.is_some_and(|found| Arc::ptr_eq(&found, &self.shared))
            && self.member.is_none_or(is_in)
    }
}

fn presence(change: Change) -> Option<String> {
    let Change::Presence { member, event } = change else { return None };
    let what = match event {
        Event::Joined => "joined",
        Event::Left => "left",
        Event::Lost => "lost",
    };
    Some(format!("event: presence\ndata: {{\"member\":{member},\"event\":\"{what}\"}}\n\n"))
}
