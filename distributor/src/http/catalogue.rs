//! `/live/`: all streams, as JSON; whoever comes with a browser is led to the page that shows them.

use freshet_protocol::Catalogue;
use http::{HeaderMap, HeaderValue, header};

use super::{Response, body::Body, fields, reply};

/// Print `catalogue`, or name the page, as the request's `Accept` wants it.
pub(super) fn deliver(asked: &HeaderMap, catalogue: &Catalogue) -> Response {
    let mut response = if fields::accepts(asked, "text/html") {
        reply::found("/")
    } else {
        reply::ok(Body::whole(serde_json::to_string(catalogue).unwrap_or_default()))
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}
