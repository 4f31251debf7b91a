//! Names of the header fields that are not in RFC 9110, in one place, so that no role misspells one.

use http::HeaderName;

/// Who sends the request: see [`Role`](crate::Role).
pub const CONNECTION_TYPE: HeaderName = HeaderName::from_static("connection-type");
/// SHA-256 of the body (RFC 9530).
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The held set, for clients that may not send `Content-Range` in a request.
pub const HAVE: HeaderName = HeaderName::from_static("have");
/// Asks intermediaries to forward bytes as they come (draft-ietf-httpbis-incremental).
pub const INCREMENTAL: HeaderName = HeaderName::from_static("incremental");
/// `timeout=S, max=N`: how long an idle connection is kept, and for how many requests.
pub const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// A token that names an origin across its connections.
pub const ORIGIN_ID: HeaderName = HeaderName::from_static("origin-id");
/// When the first byte of a chunk was captured: a [`Stamp`](crate::Stamp).
pub const ORIGIN_TIME: HeaderName = HeaderName::from_static("origin-time");
/// `wait=S` (RFC 7240).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// SHA-256 of a complete stream (RFC 9530).
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// First offset that retention still keeps; absent while that is 0. A peer neither asks for older
/// bytes nor sends them.
pub const RETAINED_FROM: HeaderName = HeaderName::from_static("retained-from");
/// How many bytes of the container's header go before that, where there are any.
pub const STREAM_HEADER: HeaderName = HeaderName::from_static("stream-header");
/// Where a plain live reply begins in the stream.
pub const STREAM_JOIN: HeaderName = HeaderName::from_static("stream-join");
/// The distributor's clock: a [`Stamp`](crate::Stamp).
pub const STREAM_TIME: HeaderName = HeaderName::from_static("stream-time");
/// `max-append-size=N`: the largest chunk that is taken (draft-ietf-httpbis-resumable-upload).
pub const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
/// Asks for a [`REPR_DIGEST`].
pub const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
/// Tells nginx not to buffer.
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
