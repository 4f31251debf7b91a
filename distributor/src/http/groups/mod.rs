//! `/groups`: groups that watch a movie together, over HTTP alone; the same groups as those of the door.
//!
//! ```text
//!   POST /groups                   a group, and the token of its leader
//!   POST /groups/ID/members        a member, and its token; with the leader's: who leads
//!   GET  /groups/ID/events         what happens, and a sign of life of whoever listens with a member's token
//!   PUT  /groups/ID/choice, state  by the leader
//! ```
//!
//! A token is in the query: a browser can put it nowhere else when it listens to events.

mod events;
mod view;

use std::sync::Arc;

use freshet_protocol::{GroupPart, Route};
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Asked, Response,
    body::Body,
    fields,
    handle::allowed,
    intake::{Intake, IntakeError},
    reply::{self, Refusal},
    web::{self, Page},
};
use crate::{
    groups::{By, Chosen, Denied, Groups, Key, Shared},
    limits::GROUP_REQUEST_BYTES_MAX,
};

/// A group, or a member, that has just come to be.
#[derive(Serialize)]
struct New {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<u32>,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    movie: u32,
    rate: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Playing,
    Paused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    phase: Wanted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Here {
    #[serde(default)]
    ready: bool,
}

/// `/groups`.
pub(super) async fn all(asked: &Asked) -> Result<Response, Refusal> {
    const METHODS: &str = "GET, HEAD, OPTIONS, POST";
    match asked.head.method {
        Method::OPTIONS => Ok(allowed(METHODS)),
        Method::GET | Method::HEAD if wants_page(&asked.head.headers) => page(asked),
        Method::GET | Method::HEAD => Ok(json(&view::list(&groups(asked)?.all()))),
        Method::POST => {
            let (group, shared) = groups(asked)?.create().await?;
            let token = shared.with(|group, _| group.leader_key());
            let location = Route::Group(group, GroupPart::Whole).to_string();
            Ok(created(&New { group: Some(group), member: None, token }, location))
        }
        _ => Err(Refusal::Method { method: asked.head.method.clone(), allow: METHODS }),
    }
}

/// `/groups/ID` and what is below it.
pub(super) async fn one(
    asked: &Asked,
    intake: &mut Intake,
    (id, part): (u16, GroupPart),
) -> Result<Response, Refusal> {
    let methods = methods(part);
    if asked.head.method == Method::OPTIONS {
        return Ok(allowed(methods));
    }
    let shared = groups(asked)?.find(id).ok_or(Refusal::NoGroup { id })?;
    match (&asked.head.method, part) {
        (&Method::GET | &Method::HEAD, GroupPart::Whole) if wants_page(&asked.head.headers) => {
            page(asked)
        }
        (&Method::GET | &Method::HEAD, GroupPart::Whole | GroupPart::State) => {
            Ok(json(&view::View::of(id, &shared)))
        }
        (&Method::GET, GroupPart::Events) => {
            let member = by(asked, &shared).ok();
            events::deliver(asked, (id, shared), member)
        }
        (&Method::POST, GroupPart::Members) => join(asked, id, &shared),
        (&Method::PUT, GroupPart::Choice) => choose(asked, intake, &shared).await,
        (&Method::PUT, GroupPart::State) => change(asked, intake, &shared).await,
        (&Method::PUT, GroupPart::Member(member)) => {
            let member = own(asked, &shared, member)?;
            let Here { ready } = body(intake).await?;
            shared.with(|group, now| {
                group.heard(now, member);
                if ready { group.ready(member) } else { Ok(()) }
            })?;
            Ok(reply::no_content())
        }
        (&Method::DELETE, GroupPart::Member(member)) => {
            let member = own(asked, &shared, member)?;
            shared.with(|group, now| group.leave(now, member));
            Ok(reply::no_content())
        }
        _ => Err(Refusal::Method { method: asked.head.method.clone(), allow: methods }),
    }
}

const fn methods(part: GroupPart) -> &'static str {
    match part {
        GroupPart::Whole => "GET, HEAD, OPTIONS",
        GroupPart::Events => "GET, OPTIONS",
        GroupPart::Members => "OPTIONS, POST",
        GroupPart::Member(_) => "DELETE, OPTIONS, PUT",
        GroupPart::Choice => "OPTIONS, PUT",
        GroupPart::State => "GET, HEAD, OPTIONS, PUT",
    }
}

fn groups(asked: &Asked) -> Result<&Arc<Groups>, Refusal> {
    asked.site.groups.as_ref().ok_or(Refusal::NoGroups)
}

fn wants_page(headers: &HeaderMap) -> bool {
    fields::accepts(headers, "text/html")
}

fn page(asked: &Asked) -> Result<Response, Refusal> {
    let mut response = web::page(&asked.head.headers, Page::Group)?;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// Who asks, by the token in the query.
fn by(asked: &Asked, shared: &Shared) -> Result<By, Refusal> {
    let query = asked.head.uri.query().unwrap_or_default();
    let token = query.split('&').find_map(|part| part.strip_prefix("token="));
    let key = token.and_then(|token| token.parse::<Key>().ok());
    let by = key.and_then(|key| shared.with(|group, _| group.by(&key)));
    by.ok_or(Refusal::NotOfGroup)
}

/// That member, if it is the one who asks.
fn own(asked: &Asked, shared: &Shared, member: u32) -> Result<u32, Refusal> {
    match by(asked, shared)? {
        By::Member(own) if own == member => Ok(member),
        _ => Err(Refusal::NotOfGroup),
    }
}

fn join(asked: &Asked, id: u16, shared: &Shared) -> Result<Response, Refusal> {
    let leads = asked.head.uri.query().is_some() && by(asked, shared)? == By::Leader;
    let (member, token) = shared.with(|group, now| group.join_with_key(now, leads))?;
    let location = Route::Group(id, GroupPart::Member(member)).to_string();
    Ok(created(&New { group: None, member: Some(member), token }, location))
}

async fn choose(asked: &Asked, intake: &mut Intake, shared: &Shared) -> Result<Response, Refusal> {
    let by = by(asked, shared)?;
    let Choice { movie: id, rate } = body(intake).await?;
    let found = asked.site.hub.numbered(id.into()).await;
    let name = found.ok_or(Denied::NoMovie)?.name().clone();
    shared.with(|group, _| group.choose(by, Chosen { id, name, rate }))?;
    Ok(reply::no_content())
}

async fn change(asked: &Asked, intake: &mut Intake, shared: &Shared) -> Result<Response, Refusal> {
    let by = by(asked, shared)?;
    let State { phase } = body(intake).await?;
    shared.with(|group, now| match phase {
        Wanted::Playing => group.play(now, by),
        Wanted::Paused => group.pause(now, by),
    })?;
    Ok(reply::no_content())
}

/// What a request says in JSON; nothing is as much as `{}`.
async fn body<T: DeserializeOwned>(intake: &mut Intake) -> Result<T, Refusal> {
    let mut text = Vec::new();
    while let Some(bytes) = intake.next().await? {
        text.extend_from_slice(&bytes);
        if text.len() > GROUP_REQUEST_BYTES_MAX {
            let (bytes, max) = (text.len() as u64, GROUP_REQUEST_BYTES_MAX as u64);
            Err(IntakeError::TooLarge { bytes, max })?;
        }
    }
    let text = if text.is_empty() { b"{}" } else { &text[..] };
    serde_json::from_slice(text).map_err(|error| Refusal::Json { what: error.to_string() })
}

fn json(of: &impl Serialize) -> Response {
    let mut response = reply::ok(Body::whole(serde_json::to_string(of).unwrap_or_default()));
    about_json(response.headers_mut());
    response
}

fn created(new: &New, location: String) -> Response {
    let body = Body::whole(serde_json::to_string(new).unwrap_or_default());
    let mut response = reply::created(location, body);
    about_json(response.headers_mut());
    response
}

fn about_json(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}
