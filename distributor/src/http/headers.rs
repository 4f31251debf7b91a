//! Header fields of replies: what a stream is, what is held of it, and who may keep a copy.

use std::{fmt::Display, time::SystemTime};

use freshet_protocol::{
    Stamp,
    field::{INCREMENTAL, RETAINED_FROM, STREAM_TIME, X_ACCEL_BUFFERING},
};
use http::{HeaderMap, HeaderValue, header};

use crate::hub::Stream;

/// Fields that a page of another origin may look at.
const EXPOSED: &str = "Accept-Ranges, Allow, Content-Range, ETag, Have, Location, Origin-Time, \
                       Repr-Digest, Retained-From, Retry-After, Stream-Header, Stream-Join, \
                       Stream-Time, Upload-Limit";

/// Fields that a page of another origin may send, once it has asked.
const ASKED: &str = "Accept, Authorization, Connection-Type, Content-Range, Have, If-Match, \
                     If-None-Match, If-Range, Prefer, Range, Want-Repr-Digest";

/// A field's value of what we print: visible ASCII, always.
pub(super) fn value(text: impl Display) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Which incarnation this is, and what the distributor holds of it.
pub(super) fn stand(headers: &mut HeaderMap, stream: &Stream) {
    headers.insert(header::CONTENT_RANGE, value(stream.held()));
    identify(headers, stream);
}

/// Which incarnation this is, and from where on it is kept.
pub(super) fn identify(headers: &mut HeaderMap, stream: &Stream) {
    headers.insert(header::ETAG, value(stream.etag()));
    clock(headers);
    match stream.retained_from() {
        0 => {}
        from => {
            headers.insert(RETAINED_FROM, value(from));
        }
    }
}

/// What our clock says.
pub(super) fn clock(headers: &mut HeaderMap) {
    headers.insert(STREAM_TIME, value(Stamp::from(SystemTime::now())));
}

/// What a reply with the stream's bytes says beside where they belong.
pub(super) fn describe(headers: &mut HeaderMap, stream: &Stream) {
    identify(headers, stream);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let media_type = stream.content_type().unwrap_or_else(|| "application/octet-stream".into());
    headers.insert(header::CONTENT_TYPE, value(media_type));
    // Whatever an origin sends, and whatever type it claims: it does not run as a page of ours.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

/// Open-ended: nobody keeps it, nobody holds it back.
pub(super) fn live(headers: &mut HeaderMap) {
    let caching = HeaderValue::from_static("no-store, no-transform");
    headers.insert(header::CACHE_CONTROL, caching);
    headers.insert(INCREMENTAL, HeaderValue::from_static("?1"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// These bytes will never be others. Where reading needs a token, only the reader may keep them.
pub(super) fn immutable(headers: &mut HeaderMap, reading_is_free: bool) {
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if reading_is_free {
            "public, max-age=31536000, immutable"
        } else {
            "private, max-age=31536000, immutable"
        }),
    );
}

/// Any page may look at a reply; none is guessed to be something else than it says.
pub(super) fn open_to_pages(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The answer to a page that asks first: it may read, never write.
pub(super) fn preflight(headers: &mut HeaderMap) {
    let methods = HeaderValue::from_static("GET, HEAD");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ASKED));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}
