//! `POST` and `PUT`: bytes come in, and are relayed as they do.
//!
//! ```text
//!   head ──▶ may it be written at all? ──▶ frame ─▶ write ─▶ frame ─▶ write ─▶ … ──▶ settle ──▶ 200
//!            (nothing is read before)      └ cut-through: consumers have it now        └ durable
//!
//!   digest, or overlap ──▶ wait for the whole chunk ──▶ compare ──▶ write     (nothing kept on error)
//! ```
//!
//! The body is counted; what Content-Length says is only used to refuse early.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use freshet_protocol::{
    ChunkRange, ETagList, Placed, Sha256Digest, Stamp, StreamName,
    field::{CONTENT_DIGEST, ORIGIN_ID, ORIGIN_TIME},
    limits::ORIGIN_ID_BYTES_MAX,
};
use http::{Method, header, request::Parts};
use sha2::{Digest, Sha256};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Asked, Response, Site,
    fields::{self, FieldError},
    headers,
    intake::{Intake, IntakeError},
    relay::{Relay, next, put},
    reply::{self, Refusal},
};
use crate::{
    hub::{Claim, OriginKey, Publisher, WriteError},
    limits,
};

/// What the head says of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    place: Place,
    digest: Option<Sha256Digest>,
    pub(super) captured: Option<Stamp>,
}

/// Where the bytes belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At a range of their own.
    At(Placed),
    /// Nowhere: there are none, but the stream's length is told.
    Length(u64),
    /// At the end, for as long as they come.
    Append,
    /// They are the whole stream.
    Whole,
}

/// Take a request's bytes in.
pub(super) async fn take(
    asked: &Asked,
    name: &StreamName,
    intake: &mut Intake,
) -> Result<Response, Refusal> {
    let chunk = Chunk::read(&asked.head)?;
    chunk.check(intake.announced(), asked.site.bounds.chunk_bytes_max)?;
    let claim = claim(asked)?;
    let publisher = asked.site.hub.publish(name, claim).await?;
    let (mut publisher, written) = write(asked, publisher, intake, chunk).await;
    let written = match written {
        Ok(Some(total)) => publisher.complete(total).await.map_err(Refusal::from),
        Ok(None) => Ok(()),
        Err(refusal) => Err(refusal),
    };
    // What came before an error stays, and the refusal says so: it waits as an acknowledgement does.
    let settled = publisher.settle().await;
    written?;
    settled?;
    let created = publisher.created().then(|| format!("/live/{name}"));
    let mut response = reply::accepted(created);
    headers::stand(response.headers_mut(), publisher.stream());
    Ok(response)
}

fn claim(asked: &Asked) -> Result<Claim, FieldError> {
    let headers = &asked.head.headers;
    let tags = |name| -> Result<Option<ETagList>, FieldError> { fields::tags(headers, name) };
    Ok(Claim {
        origin: origin(asked)?,
        content_type: content_type(&asked.head)?,
        if_match: tags(header::IF_MATCH)?,
        if_none_match: tags(header::IF_NONE_MATCH)?,
    })
}

/// Who writes: the origin by its name, else this one request.
fn origin(asked: &Asked) -> Result<OriginKey, FieldError> {
    let Some(id) = fields::one(&asked.head.headers, ORIGIN_ID)? else {
        return Ok(OriginKey::Request(asked.site.request_number()));
    };
    let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if id.is_empty() || id.len() > ORIGIN_ID_BYTES_MAX || !visible {
        let why = format!("expected 1 to {ORIGIN_ID_BYTES_MAX} visible characters without spaces");
        return Err(FieldError::Value { name: ORIGIN_ID, why });
    }
    Ok(OriginKey::Named(id.into()))
}

/// The media type, but for the one that curl claims for whatever it posts.
fn content_type(head: &Parts) -> Result<Option<String>, FieldError> {
    let name = header::CONTENT_TYPE;
    let Some(text) = fields::one(&head.headers, name.clone())? else { return Ok(None) };
    if text.len() > limits::CONTENT_TYPE_BYTES_MAX {
        let why = format!("longer than {} bytes", limits::CONTENT_TYPE_BYTES_MAX);
        return Err(FieldError::Value { name, why });
    }
    let form = text.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    Ok((!form && !text.is_empty()).then(|| text.into()))
}

impl Chunk {
    fn read(head: &Parts) -> Result<Self, FieldError> {
        let range = fields::parsed(&head.headers, header::CONTENT_RANGE)?;
        let place = match range {
            Some(ChunkRange::Bytes(placed)) => Place::At(placed),
            Some(ChunkRange::Complete { total }) => Place::Length(total),
            None if head.method == Method::PUT => Place::Whole,
            None => Place::Append,
        };
        Ok(Self {
            place,
            digest: fields::parsed(&head.headers, CONTENT_DIGEST)?,
            captured: fields::parsed(&head.headers, ORIGIN_TIME)?,
        })
    }

    /// Do head and announced length agree, and is it not too much?
    fn check(&self, announced: Option<u64>, chunk_bytes_max: u64) -> Result<(), IntakeError> {
        let expected = self.length();
        match (announced, expected) {
            (Some(1..), Some(0)) => return Err(IntakeError::Unwanted),
            (Some(announced), Some(range)) if announced != range => {
                return Err(IntakeError::Length { announced, range });
            }
            _ => {}
        }
        let checked = self.digest.map(|_| limits::CHECKED_CHUNK_BYTES_MAX);
        let max = checked.map_or(chunk_bytes_max, |max| max.min(chunk_bytes_max));
        match expected.or(announced) {
            Some(bytes) if bytes > max => Err(IntakeError::TooLarge { bytes, max }),
            _ => Ok(()),
        }
    }

    /// Where the body goes, if it may be written.
    fn plan(&self, publisher: &mut Publisher) -> Result<Plan, WriteError> {
        let (at, told) = match self.place {
            Place::At(Placed { range, total }) => {
                publisher.admit(range, total)?;
                (range.start(), total)
            }
            Place::Length(total) => (total, Some(total)),
            Place::Append => (publisher.stream().end(), None),
            Place::Whole => (0, None),
        };
        let overlaps =
            |range| publisher.stream().with_readable(|readable, _| readable.overlaps(range));
        let is_checked = match self.place {
            _ if self.digest.is_some() => true,
            Place::At(Placed { range, .. }) => {
                range.len() <= limits::CHECKED_CHUNK_BYTES_MAX && overlaps(range)
            }
            _ => false,
        };
        Ok(Plan { at, told, is_checked })
    }

    /// When bytes were captured that came in so much `later` than the first: as much later. They were
    /// captured no earlier, for the first were before them, and not so much later that they would have
    /// been on their way for a shorter time than these.
    pub(super) fn captured_later(&self, later: Duration) -> Option<Stamp> {
        let nanos = i64::try_from(later.as_nanos()).unwrap_or(i64::MAX);
        self.captured.map(|first| first.shifted(nanos))
    }

    /// How many bytes the body must have, where the head says it.
    fn length(&self) -> Option<u64> {
        match self.place {
            Place::At(placed) => Some(placed.range.len()),
            Place::Length(_) => Some(0),
            Place::Append | Place::Whole => None,
        }
    }
}

/// How the body is to be written.
struct Plan {
    at: u64,
    /// The complete length, where the head tells it.
    told: Option<u64>,
    /// The whole is compared before any of it is kept.
    is_checked: bool,
}

/// Write the body; the complete length, where it is known by now.
async fn write(
    asked: &Asked,
    mut publisher: Publisher,
    intake: &mut Intake,
    chunk: Chunk,
) -> (Publisher, Result<Option<u64>, Refusal>) {
    let Plan { at, told, is_checked } = match chunk.plan(&mut publisher) {
        Ok(plan) => plan,
        Err(error) => return (publisher, Err(error.into())),
    };
    let (publisher, end) = if is_checked {
        let end = write_checked(asked, &mut publisher, intake, &chunk, at).await;
        (publisher, end)
    } else {
        Relay::new(&asked.site, publisher, chunk, at).run(intake).await
    };
    let is_whole = chunk.place == Place::Whole;
    (publisher, end.map(|end| told.or_else(|| is_whole.then_some(end))))
}

/// Wait for the whole chunk, compare it, and only then keep it; where it ended.
async fn write_checked(
    asked: &Asked,
    publisher: &mut Publisher,
    intake: &mut Intake,
    chunk: &Chunk,
    at: u64,
) -> Result<u64, Refusal> {
    let max = limits::CHECKED_CHUNK_BYTES_MAX;
    let length = chunk.length().or_else(|| intake.announced());
    let _room = room(&asked.site, length.unwrap_or(max)).await?;
    let mut whole = BytesMut::new();
    let ended = loop {
        match next(publisher, intake).await {
            Ok(Some(bytes)) => {
                let got = (whole.len() + bytes.len()) as u64;
                refuse_surplus(chunk, got)?;
                if got > max {
                    return Err(IntakeError::TooLarge { bytes: got, max }.into());
                }
                whole.extend_from_slice(&bytes);
            }
            Ok(None) => break refuse_shortage(chunk, whole.len() as u64),
            Err(error) => break Err(error),
        }
    };
    // What came before a cut stays, unless its digest was to be checked first.
    let kept = ended.is_ok() || (intake.is_broken() && chunk.digest.is_none());
    let whole = whole.freeze();
    if kept {
        check_digest(chunk.digest, &whole)?;
        publisher.compare(at, &whole).await?;
        put(publisher, at, &whole.clone().into(), chunk.captured).await?;
    }
    ended?;
    Ok(at + whole.len() as u64)
}

/// Room among the chunks that are being checked.
async fn room(site: &Site, bytes: u64) -> Result<OwnedSemaphorePermit, IntakeError> {
    let permits = site.checked_permits(bytes);
    let room = Arc::clone(&site.checked).acquire_many_owned(permits);
    match timeout(limits::CHECKED_ROOM_WAIT, room).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(IntakeError::NoRoom),
    }
}

pub(super) fn refuse_surplus(chunk: &Chunk, got: u64) -> Result<(), IntakeError> {
    match (chunk.place, chunk.length()) {
        (Place::Length(_), _) if got > 0 => Err(IntakeError::Unwanted),
        (_, Some(expected)) if got > expected => Err(IntakeError::Long { expected }),
        _ => Ok(()),
    }
}

pub(super) fn refuse_shortage(chunk: &Chunk, got: u64) -> Result<(), Refusal> {
    match chunk.length() {
        Some(expected) if got < expected => Err(IntakeError::Short { got, expected }.into()),
        _ => Ok(()),
    }
}

fn check_digest(given: Option<Sha256Digest>, bytes: &[u8]) -> Result<(), IntakeError> {
    let Some(given) = given else { return Ok(()) };
    let found = Sha256Digest(Sha256::digest(bytes).into());
    if found == given { Ok(()) } else { Err(IntakeError::Digest { given, found }) }
}
