//! The one place where what happened becomes an HTTP status.

use bytes::Bytes;
use freshet_protocol::{
    ETag, NameError, Problem, QueryError, RouteError, StreamName,
    field::{KEEP_ALIVE, UPLOAD_LIMIT},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{io, time::Duration};

use super::{
    Response,
    body::Body,
    fields::FieldError,
    headers::{self, value},
    hygiene::Unclean,
    intake::IntakeError,
    range::RangeRefused,
};
use crate::{
    auth::Denied,
    groups,
    hub::{PublishError, Stream, Unavailable, WriteError},
    limits,
};

/// Why a request is not done as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Unclean(#[from] Unclean),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("{method} means nothing here, only {allow} do")]
    Method { method: Method, allow: &'static str },
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("there is no stream {name}; with \"Prefer: wait=S\" the reply waits for it to begin")]
    NoStream { name: StreamName },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("If-Match does not name this incarnation, which is {etag}")]
    Precondition { etag: ETag },
    #[error(transparent)]
    Range(#[from] RangeRefused),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("the stream's files could not be removed: {0}")]
    Delete(#[source] io::Error),
    #[error(
        "{} peers listen to the events already; ask for /live/ now and then instead",
        limits::WATCHERS_MAX
    )]
    TooManyWatchers,
    #[error("there are no groups here; the distributor has them with --door groups=ADDRESS")]
    NoGroups,
    #[error("there is no group {id}, or it is over")]
    NoGroup { id: u16 },
    #[error("that is for those to do who have the token: give it as ?token=")]
    NotOfGroup,
    #[error(transparent)]
    GroupDenied(#[from] groups::Denied),
    #[error(transparent)]
    GroupsFull(#[from] groups::NoGroup),
    #[error("the body is not what is expected here: {what}")]
    Json { what: String },
    #[error("the distributor is stopping")]
    Stopping,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unclean(unclean) => status_of_unclean(unclean),
            Self::Route(RouteError::Unknown { .. })
            | Self::NoStream { .. }
            | Self::NoGroups
            | Self::NoGroup { .. } => StatusCode::NOT_FOUND,
            Self::Route(_) | Self::Field(_) | Self::Query(_) | Self::Json { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::NotOfGroup => StatusCode::FORBIDDEN,
            Self::GroupDenied(denied) => status_of_group(*denied),
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Denied(Denied::Missing) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denied::Wrong) => StatusCode::FORBIDDEN,
            Self::Precondition { .. } => StatusCode::PRECONDITION_FAILED,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unavailable(Unavailable::Missing) => StatusCode::NOT_FOUND,
            Self::Unavailable(Unavailable::Loop) => StatusCode::LOOP_DETECTED,
            Self::Unavailable(Unavailable::Away | Unavailable::TooMany { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Publish(error) => status_of_publish(error),
            Self::Write(error) => status_of_write(error),
            Self::Intake(error) => status_of_intake(error),
            Self::Delete(error) => status_of_disk(error),
            Self::TooManyWatchers | Self::GroupsFull(_) | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Do the bytes differ from those that are held?
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write(WriteError::Conflict { .. }))
    }

    /// The reply, with what is held of `stream` where there is one that the peer may know of.
    pub(super) fn into_response(self, stream: Option<&Stream>) -> Response {
        let status = self.status();
        let mut response = problem(status, &self.to_string());
        let headers = response.headers_mut();
        if let Some(stream) = stream {
            headers::stand(headers, stream);
        }
        self.explain(headers);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.entry(header::RETRY_AFTER).or_insert_with(|| seconds(limits::RETRY_AFTER));
        }
        response
    }

    /// The fields that belong to one refusal alone.
    fn explain(&self, headers: &mut HeaderMap) {
        match self {
            Self::Method { allow, .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Denied(Denied::Missing) => {
                for scheme in ["Bearer realm=\"freshet\"", "Basic realm=\"freshet\""] {
                    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
                }
            }
            Self::Unclean(Unclean::ContentEncoding { .. }) => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::Range(refused) => {
                headers.insert(header::CONTENT_RANGE, value(format!("bytes */{}", refused.length)));
            }
            Self::Write(WriteError::Leased { left })
            | Self::Publish(PublishError::Write(WriteError::Leased { left })) => {
                headers.insert(header::RETRY_AFTER, seconds(*left));
            }
            Self::Intake(IntakeError::TooLarge { max, .. }) => {
                headers.insert(UPLOAD_LIMIT, value(format!("max-append-size={max}")));
            }
            _ => {}
        }
    }
}

/// A name is a path: the same mistakes are told in the same way.
impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Route(error.into())
    }
}

fn status_of_unclean(unclean: &Unclean) -> StatusCode {
    match unclean {
        Unclean::ContentEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Unclean::Target { .. } => StatusCode::URI_TOO_LONG,
        Unclean::ForeignPage { .. } => StatusCode::FORBIDDEN,
        Unclean::HostCount { .. }
        | Unclean::Host { .. }
        | Unclean::TransferEncoding { .. }
        | Unclean::TwoFramings
        | Unclean::Field(_)
        | Unclean::Role(_) => StatusCode::BAD_REQUEST,
    }
}

const fn status_of_group(denied: groups::Denied) -> StatusCode {
    match denied {
        groups::Denied::NotLeader => StatusCode::FORBIDDEN,
        groups::Denied::NoMember => StatusCode::NOT_FOUND,
        groups::Denied::NoSense => StatusCode::BAD_REQUEST,
        groups::Denied::Full | groups::Denied::Phase(_) | groups::Denied::NoMovie => {
            StatusCode::CONFLICT
        }
    }
}

fn status_of_publish(error: &PublishError) -> StatusCode {
    match error {
        PublishError::Precondition => StatusCode::PRECONDITION_FAILED,
        PublishError::Pulled => StatusCode::CONFLICT,
        PublishError::TooManyStreams { .. } => StatusCode::SERVICE_UNAVAILABLE,
        PublishError::Write(error) => status_of_write(error),
        PublishError::Store(error) => status_of_disk(error),
    }
}

fn status_of_write(error: &WriteError) -> StatusCode {
    match error {
        WriteError::Conflict { .. }
        | WriteError::PastEnd { .. }
        | WriteError::Length { .. }
        | WriteError::BelowHeld { .. }
        | WriteError::Superseded
        | WriteError::Leased { .. }
        | WriteError::Deleted => StatusCode::CONFLICT,
        WriteError::Gap { .. } | WriteError::Fragmented { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        WriteError::Full => StatusCode::INSUFFICIENT_STORAGE,
        WriteError::Disk { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn status_of_intake(error: &IntakeError) -> StatusCode {
    match error {
        IntakeError::Length { .. }
        | IntakeError::Short { .. }
        | IntakeError::Long { .. }
        | IntakeError::Unwanted
        | IntakeError::Digest { .. }
        | IntakeError::Broken { .. } => StatusCode::BAD_REQUEST,
        IntakeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IntakeError::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
        IntakeError::NoRoom | IntakeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn status_of_disk(error: &io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whole seconds, never too few.
fn seconds(duration: Duration) -> HeaderValue {
    value(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// 200.
pub(super) fn ok(body: Body) -> Response {
    Response::new(body)
}

/// 206.
pub(super) fn partial(body: Body) -> Response {
    with(StatusCode::PARTIAL_CONTENT, body)
}

/// 204.
pub(super) fn no_content() -> Response {
    with(StatusCode::NO_CONTENT, Body::empty())
}

/// 304.
pub(super) fn not_modified() -> Response {
    with(StatusCode::NOT_MODIFIED, Body::empty())
}

/// 201 at `location`, or 200 where it was there before.
pub(super) fn accepted(created: Option<String>) -> Response {
    created.map_or_else(|| ok(Body::empty()), |location| self::created(location, Body::empty()))
}

/// 201 at `location`.
pub(super) fn created(location: String, body: Body) -> Response {
    let mut response = with(StatusCode::CREATED, body);
    response.headers_mut().insert(header::LOCATION, value(location));
    response
}

/// 302 to `location`.
pub(super) fn found(location: &str) -> Response {
    let mut response = with(StatusCode::FOUND, Body::empty());
    response.headers_mut().insert(header::LOCATION, value(location));
    response
}

fn with(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let mut response = with(status, Body::whole(Problem::new(status, detail).to_json()));
    let media_type = HeaderValue::from_static(Problem::MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What every reply says: how long its connection is kept, that any page may read it, and that nobody
/// keeps it, if nothing else was said.
pub(super) fn finish(response: &mut Response, idle: Duration, left: u64, unread: bool) {
    let headers = response.headers_mut();
    headers::open_to_pages(headers);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if left == 0 || unread {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !headers.contains_key(header::CONNECTION) {
        headers.insert(KEEP_ALIVE, value(format!("timeout={}, max={left}", idle.as_secs())));
    }
}

/// The whole reply, as bytes, to a head that hyper could not make a request of.
pub(super) fn unparsed(status: u16) -> Bytes {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let detail = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => format!(
            "a request's head has at most {} fields and {} bytes",
            limits::HEADER_FIELDS_MAX,
            limits::HEAD_BYTES_MAX
        ),
        _ => "this is no HTTP/1.1 request".into(),
    };
    let body = Problem::new(status, detail).to_json();
    let mut headers = HeaderMap::new();
    headers::open_to_pages(&mut headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in &headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let (kind, length) = (Problem::MEDIA_TYPE, body.len());
    head += &format!("content-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n");
    format!("{head}\r\n{body}").into()
}
