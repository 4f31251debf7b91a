//! Which handler a request goes to, and what all of them need first.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use freshet_protocol::{
    Delivery, From, GroupPart, Role, Route, StreamName,
    field::{CONNECTION_TYPE, REPR_DIGEST, UPLOAD_LIMIT, WANT_REPR_DIGEST},
};
use http::{HeaderValue, Method, header};

use super::{
    Asked, Response,
    body::Body,
    catalogue, fields, groups, headers,
    headers::value,
    index, ingest,
    intake::Intake,
    native, plain, range,
    reply::{self, Refusal},
    status,
    web::{self, Page},
};
use crate::{
    auth::{Access, Denied},
    hub::{Asker, Hops, Stream, Unavailable},
    metrics::Holdings,
};

const OF_STREAM: &str = "GET, HEAD, OPTIONS, POST, PUT, DELETE";
const OF_PAGE: &str = "GET, HEAD, OPTIONS";

/// Answer a request whose head is clean.
pub(super) async fn route(asked: &Asked, intake: &mut Intake) -> Response {
    if is_preflight(asked) {
        let mut response = reply::no_content();
        headers::preflight(response.headers_mut());
        return response;
    }
    let path = asked.head.uri.path();
    if asked.head.method == Method::OPTIONS && path == "*" {
        return allowed(OF_STREAM);
    }
    let route = match path.parse::<Route>() {
        Ok(route) => route,
        Err(error) => return Refusal::from(error).into_response(None),
    };
    if let Err(denied) = admit(asked, &route) {
        return denied.into_response(None);
    }
    let (name, answer) = match &route {
        Route::Live(name) => (name, stream(asked, name, intake).await),
        Route::Index(name) => (name, timeline(asked, name).await),
        Route::Groups | Route::Group(..) => {
            let answer = Box::pin(of_groups(asked, intake, &route)).await;
            return answer.unwrap_or_else(|refusal| refusal.into_response(None));
        }
        _ => return page(asked, &route).unwrap_or_else(|refusal| refusal.into_response(None)),
    };
    match answer {
        Ok(response) => response,
        Err(refusal) => {
            if refusal.is_conflict() {
                asked.site.metrics.conflicts.inc();
            }
            let stream = asked.site.hub.find(name).await;
            let mut response = refusal.into_response(stream.as_deref());
            if asked.head.method == Method::OPTIONS && matches!(route, Route::Live(_)) {
                shake(asked, &mut response);
            }
            response
        }
    }
}

/// A browser asks on behalf of a page, and has no token to show yet.
fn is_preflight(asked: &Asked) -> bool {
    let headers = &asked.head.headers;
    asked.head.method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn admit(asked: &Asked, route: &Route) -> Result<(), Refusal> {
    let access = match (route, &asked.head.method) {
        (Route::Health, _) => return Ok(()),
        (Route::Live(_), &Method::POST | &Method::PUT | &Method::DELETE) => Access::Publish,
        // Who takes what from where is not for every reader.
        (Route::Status | Route::Operate, _) => Access::Publish,
        _ => Access::Read,
    };
    let field = asked.head.headers.get(header::AUTHORIZATION);
    let checked = asked.site.guard.check(access, field.and_then(|field| field.to_str().ok()));
    // A browser keeps what a person has typed once, and asks again only where that is called for.
    let is_page = matches!(route, Route::Home | Route::Watch(_) | Route::Groups | Route::Operate)
        || matches!(route, Route::Group(_, GroupPart::Whole));
    Ok(checked.map_err(|denied| if is_page { Denied::Missing } else { denied })?)
}

async fn of_groups(asked: &Asked, intake: &mut Intake, route: &Route) -> Result<Response, Refusal> {
    match route {
        Route::Group(id, part) => groups::one(asked, intake, (*id, *part)).await,
        _ => groups::all(asked).await,
    }
}

/// Which bytes of a stream came when.
async fn timeline(asked: &Asked, name: &StreamName) -> Result<Response, Refusal> {
    match read_only(asked)? {
        Some(response) => Ok(response),
        None => index::deliver(asked, name).await,
    }
}

/// The answer to a question about the methods of what can only be read; `None` to a reading one.
fn read_only(asked: &Asked) -> Result<Option<Response>, Refusal> {
    match asked.head.method {
        Method::GET | Method::HEAD => Ok(None),
        Method::OPTIONS => Ok(Some(allowed(OF_PAGE))),
        _ => Err(Refusal::Method { method: asked.head.method.clone(), allow: OF_PAGE }),
    }
}

/// What is no stream.
fn page(asked: &Asked, route: &Route) -> Result<Response, Refusal> {
    if let Some(response) = read_only(asked)? {
        return Ok(response);
    }
    let headers = &asked.head.headers;
    match route {
        Route::Metrics => Ok(metrics(asked)),
        Route::Health => Ok(text("text/plain; charset=utf-8", "ok\n".into())),
        Route::Home => web::page(headers, Page::Home),
        Route::Watch(_) => web::page(headers, Page::Watch),
        Route::Operate => web::page(headers, Page::Operate),
        Route::Status => Ok(status::deliver(&asked.site)),
        Route::Events => web::events(asked),
        Route::Asset(name) => web::asset(headers, name),
        Route::Catalogue | Route::Live(_) | Route::Index(_) | Route::Groups | Route::Group(..) => {
            Ok(catalogue::deliver(headers, &asked.site.hub.catalogue()))
        }
    }
}

pub(super) fn allowed(methods: &'static str) -> Response {
    let mut response = reply::no_content();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

fn metrics(asked: &Asked) -> Response {
    let streams = asked.site.hub.catalogue().streams;
    let store = asked.site.hub.shared();
    let counters = &store.counters;
    let holdings = Holdings {
        streams: streams.len(),
        consumers: streams.iter().map(|stream| stream.consumers).sum(),
        bytes: streams.iter().map(|stream| stream.bytes).sum(),
        memory_bytes: store.memory_bytes() as u64,
        quarantined_bytes: counters.quarantined_bytes.load(Relaxed),
        retained_away_bytes: counters.retained_away_bytes.load(Relaxed),
        disk_errors: counters.disk_errors.load(Relaxed),
        poisoned: counters.poisoned.load(Relaxed),
    };
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text(media_type, asked.site.metrics.text(holdings))
}

fn text(media_type: &'static str, text: String) -> Response {
    let mut response = reply::ok(Body::whole(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn stream(
    asked: &Asked,
    name: &StreamName,
    intake: &mut Intake,
) -> Result<Response, Refusal> {
    match asked.head.method {
        // Boxed: a session that only reads does not carry the room for it.
        Method::POST | Method::PUT => Box::pin(ingest::take(asked, name, intake)).await,
        Method::DELETE => delete(asked, name).await,
        Method::OPTIONS => {
            let absent = || Refusal::NoStream { name: name.clone() };
            let stream = asked.site.hub.find(name).await.ok_or_else(absent)?;
            let mut response = reply::no_content();
            headers::stand(response.headers_mut(), &stream);
            shake(asked, &mut response);
            Ok(response)
        }
        Method::GET | Method::HEAD => {
            let stream = find(asked, name).await?;
            let mut response = match unchanged(asked, &stream)? {
                Some(response) => response,
                None if asked.head.method == Method::HEAD => look(asked, &stream)?,
                None => get(asked, &stream).await?,
            };
            prove(asked, &stream, &mut response).await;
            trace(asked, name, &mut response);
            Ok(response)
        }
        _ => Err(Refusal::Method { method: asked.head.method.clone(), allow: OF_STREAM }),
    }
}

/// The stream, now or as soon as it begins within the time that the request waits.
pub(super) async fn find(asked: &Asked, name: &StreamName) -> Result<Arc<Stream>, Refusal> {
    let headers = &asked.head.headers;
    let asker = Asker {
        hops: Hops::parse(&fields::all(headers, &header::VIA)),
        is_node: is_node(asked),
        wait: asked.wait().unwrap_or_default(),
    };
    let found = tokio::select! {
        () = asked.site.shutdown.cancelled() => return Err(Refusal::Stopping),
        found = asked.site.hub.obtain(name, &asker) => found,
    };
    found.map_err(|error| match error {
        Unavailable::Missing => Refusal::NoStream { name: name.clone() },
        error => error.into(),
    })
}

/// Does another distributor ask, to give the stream on?
fn is_node(asked: &Asked) -> bool {
    let claimed = asked.head.headers.get(CONNECTION_TYPE).map(HeaderValue::to_str);
    matches!(claimed, Some(Ok(text)) if text.parse() == Ok(Role::Distributor))
}

/// Another distributor learns the way of the bytes, so that it does not ask those who ask it.
fn trace(asked: &Asked, name: &StreamName, response: &mut Response) {
    if is_node(asked)
        && let Some(via) = asked.site.hub.via(name)
    {
        response.headers_mut().insert(header::VIA, value(via));
    }
}

/// The explicit handshake.
fn shake(asked: &Asked, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(OF_STREAM));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let limit = format!("max-append-size={}", asked.site.bounds.chunk_bytes_max);
    headers.insert(UPLOAD_LIMIT, value(limit));
    headers::clock(headers);
}

/// `If-Match`, and `If-None-Match` where nothing can have changed: a stream that grows has.
fn unchanged(asked: &Asked, stream: &Stream) -> Result<Option<Response>, Refusal> {
    let headers = &asked.head.headers;
    let etag = stream.etag();
    if fields::tags(headers, header::IF_MATCH)?.is_some_and(|list| !list.matches_strong(etag)) {
        return Err(Refusal::Precondition { etag: etag.clone() });
    }
    let known = fields::tags(headers, header::IF_NONE_MATCH)?;
    if !known.is_some_and(|list| list.matches_weak(etag)) || !stream.is_whole() {
        return Ok(None);
    }
    let mut response = reply::not_modified();
    headers::identify(response.headers_mut(), stream);
    headers::immutable(response.headers_mut(), asked.site.guard.reading_is_free());
    Ok(Some(response))
}

/// `HEAD`: as `GET` would, with what is held in place of the bytes.
fn look(asked: &Asked, stream: &Stream) -> Result<Response, Refusal> {
    native::held(&asked.head.headers)?;
    Delivery::parse(asked.head.uri.query().unwrap_or_default())?;
    let mut response = reply::ok(Body::empty());
    let headers = response.headers_mut();
    headers::describe(headers, stream);
    headers::stand(headers, stream);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(total) = stream.total().filter(|_| stream.is_whole()) {
        headers.insert(header::CONTENT_LENGTH, value(total));
    }
    Ok(response)
}

async fn get(asked: &Asked, stream: &Arc<Stream>) -> Result<Response, Refusal> {
    let headers = &asked.head.headers;
    let delivery = Delivery::parse(asked.head.uri.query().unwrap_or_default())?;
    if let Some(have) = native::held(headers)? {
        return native::deliver(asked, stream, have, &delivery).await;
    }
    let wanted = fields::one(headers, header::RANGE)?
        .filter(|_| fields::if_range_holds(headers, stream.etag()));
    if delivery.resume
        && let Some(response) = range::resume::deliver(asked, stream, &delivery, wanted)?
    {
        return Ok(response);
    }
    if let Some(field) = wanted.filter(|field| !is_from_elsewhere(field, &delivery))
        && let Some(response) = range::deliver(asked, stream, field).await?
    {
        return Ok(response);
    }
    plain::deliver(asked, stream, &delivery).await
}

/// Players begin with `bytes=0-`, wherever the query says that they begin.
fn is_from_elsewhere(field: &str, delivery: &Delivery) -> bool {
    field == "bytes=0-" && !matches!(delivery.from, From::Live | From::Start)
}

/// `Want-Repr-Digest`: proof that a copy equals the origin's, once the stream is complete.
async fn prove(asked: &Asked, stream: &Arc<Stream>, response: &mut Response) {
    let wanted = fields::all(&asked.head.headers, &WANT_REPR_DIGEST);
    let named = |item: &str| match item.split_once('=') {
        Some((name, weight)) => name.trim().eq_ignore_ascii_case("sha-256") && weight.trim() != "0",
        None => false,
    };
    if !wanted.split(',').any(named) {
        return;
    }
    if let Some(digest) = asked.site.hub.digest(stream).await {
        response.headers_mut().insert(REPR_DIGEST, value(digest));
    }
}

async fn delete(asked: &Asked, name: &StreamName) -> Result<Response, Refusal> {
    let hub = &asked.site.hub;
    let absent = || Refusal::NoStream { name: name.clone() };
    let stream = hub.find(name).await.ok_or_else(absent)?;
    let list = fields::tags(&asked.head.headers, header::IF_MATCH)?;
    if list.is_some_and(|list| !list.matches_strong(stream.etag())) {
        return Err(Refusal::Precondition { etag: stream.etag().clone() });
    }
    match hub.delete(name).await {
        Ok(true) => Ok(reply::no_content()),
        Ok(false) => Err(absent()),
        Err(error) => Err(Refusal::Delete(error)),
    }
}
