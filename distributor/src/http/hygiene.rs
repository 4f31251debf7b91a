//! What hyper leaves to us of a request's head: refused before anything else looks at it.

use freshet_protocol::{Role, RoleError, field::CONNECTION_TYPE};
use http::{HeaderMap, Method, Version, header, request::Parts, uri::Authority};

use super::fields::{self, FieldError};
use crate::limits;

/// Why a request's head is not looked at any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclean {
    #[error("the request has {times} Host fields, where HTTP/1.1 wants exactly one")]
    HostCount { times: usize },
    #[error("Host {given:?} is no host with an optional port")]
    Host { given: String },
    #[error("Transfer-Encoding {given:?} is not taken, only \"chunked\" is")]
    TransferEncoding { given: String },
    #[error(
        "the body's length is given by Transfer-Encoding and by Content-Length: give one of them"
    )]
    TwoFramings,
    #[error("Content-Encoding {given:?} is not taken: send the bytes as they are to be kept")]
    ContentEncoding { given: String },
    #[error("the target has {bytes} bytes, at most {} are taken", limits::TARGET_BYTES_MAX)]
    Target { bytes: usize },
    #[error("a page of {origin:?} may not write here")]
    ForeignPage { origin: String },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Role(#[from] RoleError),
}

/// Check `head`; `two_framings` is what the wire saw of it.
pub(super) fn check(head: &Parts, two_framings: bool) -> Result<(), Unclean> {
    if two_framings {
        return Err(Unclean::TwoFramings);
    }
    let bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if bytes > limits::TARGET_BYTES_MAX {
        return Err(Unclean::Target { bytes });
    }
    check_host(&head.headers, head.version)?;
    check_codings(&head.headers)?;
    let claimed = fields::one(&head.headers, CONNECTION_TYPE)?.map(str::parse).transpose()?;
    Role::of(&head.method, claimed)?;
    check_page(head)
}

/// RFC 9112, section 3.2.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Unclean> {
    let times = headers.get_all(header::HOST).iter().count();
    if times > 1 || (times == 0 && version >= Version::HTTP_11) {
        return Err(Unclean::HostCount { times });
    }
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let valid = |text: &str| !text.contains('@') && text.parse::<Authority>().is_ok_and(has_port);
    if host.to_str().is_ok_and(valid) {
        return Ok(());
    }
    Err(Unclean::Host { given: excerpt(host.as_bytes()) })
}

/// A port that is no number is taken by the parser, but is none.
fn has_port(host: Authority) -> bool {
    let after = host.as_str().get(host.host().len()..).unwrap_or_default();
    !host.host().is_empty() && (after.is_empty() || host.port_u16().is_some() || after == ":")
}

fn check_codings(headers: &HeaderMap) -> Result<(), Unclean> {
    let codings = fields::all(headers, &header::TRANSFER_ENCODING);
    let given = headers.contains_key(header::TRANSFER_ENCODING);
    if given && !codings.trim().eq_ignore_ascii_case("chunked") {
        return Err(Unclean::TransferEncoding { given: excerpt(codings.as_bytes()) });
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if coding.as_bytes() != b"identity" => {
            Err(Unclean::ContentEncoding { given: excerpt(coding.as_bytes()) })
        }
        _ => Ok(()),
    }
}

/// A browser may POST anywhere without asking first: no page but ours may write, or any page that
/// a person visits could publish to their own machine.
fn check_page(head: &Parts) -> Result<(), Unclean> {
    let writes = matches!(head.method, Method::POST | Method::PUT | Method::DELETE);
    let Some(origin) = head.headers.get(header::ORIGIN).filter(|_| writes) else { return Ok(()) };
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (page, host) {
        (Some((_, page)), Some(host)) if page.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Unclean::ForeignPage { origin: excerpt(origin.as_bytes()) }),
    }
}

fn excerpt(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/live/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_host_is_given_once_and_is_a_host() {
        for good in ["example.org", "127.0.0.1:8080", "[::1]:80", "h:"] {
            assert!(check(&head("GET", &[("host", good)]), false).is_ok(), "{good}");
        }
        for bad in ["", "a b", "u@h", "h:x", "h:99999", "a/b", ":80"] {
            let refused = check(&head("GET", &[("host", bad)]), false);
            assert!(matches!(refused, Err(Unclean::Host { .. })), "{bad}: {refused:?}");
        }
        for times in [0, 2] {
            let refused = check(&head("GET", &vec![("host", "h"); times]), false);
            assert!(matches!(refused, Err(Unclean::HostCount { .. })), "{times}");
        }
        let mut old = head("GET", &[]);
        old.version = Version::HTTP_10;
        assert!(check(&old, false).is_ok());
    }

    #[test]
    fn only_our_own_page_may_write() {
        let post = |origin| check(&head("POST", &[("host", "h:1"), ("origin", origin)]), false);
        assert!(post("http://h:1").is_ok());
        for foreign in ["http://evil", "null", "http://h:2"] {
            assert!(matches!(post(foreign), Err(Unclean::ForeignPage { .. })), "{foreign}");
        }
        let get = head("GET", &[("host", "h"), ("origin", "http://evil")]);
        assert!(check(&get, false).is_ok());
    }
}
