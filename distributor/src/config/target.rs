//! Where another distributor is: `http://HOST[:PORT]`, taken apart once.

use std::{fmt, str::FromStr};

use http::Uri;

/// The base of another distributor's URLs. Made only by parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    host: Box<str>,
    port: u16,
}

/// Why a text is not the base of a distributor's URLs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamUrlError {
    /// Not a URL at all.
    #[error("not a URL: {0}")]
    Form(#[from] http::uri::InvalidUri),
    /// Another scheme, none, or more than the base.
    #[error(
        "expected http://HOST[:PORT] and nothing behind it (other schemes are not spoken; a token \
         goes into --upstream-token-file)"
    )]
    NotABase,
}

impl UpstreamUrl {
    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 80 where the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What the `Host` field says.
    pub(crate) fn authority(&self) -> String {
        match self.port {
            80 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let uri: Uri = text.trim().parse()?;
        let authority = uri.authority().ok_or(UpstreamUrlError::NotABase)?;
        let is_base = uri.scheme_str() == Some("http")
            && matches!(uri.path_and_query().map(|it| it.as_str()), None | Some("/"))
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        let rest = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        match (is_base, authority.port_u16(), rest) {
            (true, Some(port), _) => Ok(Self { host: authority.host().into(), port }),
            (true, None, "") => Ok(Self { host: authority.host().into(), port: 80 }),
            _ => Err(UpstreamUrlError::NotABase),
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_taken_apart_and_put_together() {
        for (text, host, port, printed) in [
            ("http://[::1]:8080/", "::1", 8080, "http://[::1]:8080"),
            ("http://relay.example", "relay.example", 80, "http://relay.example"),
            (" http://10.0.0.1:80", "10.0.0.1", 80, "http://10.0.0.1"),
        ] {
            let url: UpstreamUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), &*url.to_string()), (host, port, printed));
        }
    }

    #[test]
    fn whatever_is_more_or_less_than_a_base_is_refused() {
        for text in [
            "",
            "relay.example:8080",
            "https://relay.example",
            "http://relay.example/live/radio",
            "http://relay.example?x=1",
            "http://user:secret@relay.example",
            "http://relay.example:99999",
            "http://relay.example:x",
            "http://:8080",
        ] {
            assert!(text.parse::<UpstreamUrl>().is_err(), "{text}");
        }
    }
}
