//! `resume=1`: a live stream in the shape of a file, so that players that resume files resume it.
//!
//! ```text
//!   none, bytes=0-       206  bytes 0-9007199254740990/9007199254740991, chunked, as it comes
//!   bytes=N-             206  the same from N on, which may be a little beyond the live edge
//!   bytes=9007...-, -N   416  at once: players look for the end of a file there
//! ```
//!
//! Stock players ask for the next byte after a cut only where they were told a complete length, so
//! they are told one that no stream reaches. Once the true one is known this is no more needed, and
//! ordinary ranges say it.

use std::sync::Arc;

use freshet_protocol::{ByteRange, Delivery, From};
use http::{Version, header};

use super::{RangeRefused, Wanted, length};
use crate::{
    http::{
        Asked, Response,
        body::Body,
        headers::{self, value},
        plain,
        reply::{self, Refusal},
    },
    hub::Stream,
    limits::{RESUME_AHEAD_BYTES_MAX, VIRTUAL_LENGTH},
};

/// Answer a GET with `resume=1` and this `Range`; `None` where it means what it means without.
pub(in crate::http) fn deliver(
    asked: &Asked,
    stream: &Arc<Stream>,
    delivery: &Delivery,
    field: Option<&str>,
) -> Result<Option<Response>, Refusal> {
    // HTTP/1.0 has no chunks: a cut could not be told from the end.
    if stream.total().is_some() || asked.head.version < Version::HTTP_11 {
        return Ok(None);
    }
    let length = length(stream);
    let wanted = match field {
        None => None,
        Some(field) => {
            let refused = |why| RangeRefused { length, why };
            let wanted = Wanted::parse(field).map_err(refused)?;
            let Some(first) = wanted.and_then(|wanted| wanted.open_end()) else { return Ok(None) };
            Some(first)
        }
    };
    let from = begin(stream, wanted, delivery.from);
    if from > length.saturating_add(RESUME_AHEAD_BYTES_MAX) || from < stream.retained_from() {
        return Err(RangeRefused::beyond(length).into());
    }
    let body = Body::open(plain::in_order(asked, stream, from));
    let mut response = reply::partial(body);
    let headers = response.headers_mut();
    headers::describe(headers, stream);
    headers::live(headers);
    let last = VIRTUAL_LENGTH - 1;
    let place = format!("bytes {from}-{last}/{VIRTUAL_LENGTH}");
    headers.insert(header::CONTENT_RANGE, value(place));
    Ok(Some(response))
}

/// The offset of the first byte. A file begins at its first byte, so there is no live edge here;
/// only who asks for the very beginning gets the first byte that is kept in its place.
fn begin(stream: &Stream, wanted: Option<u64>, from: From) -> u64 {
    match (wanted, from) {
        (Some(first), _) if first > 0 => first,
        (None, From::Offset(offset)) => offset.max(stream.retained_from()),
        _ => {
            let first =
                stream.with_readable(|readable, _| readable.iter().next().map(ByteRange::start));
            first.unwrap_or_else(|| stream.retained_from())
        }
    }
}
