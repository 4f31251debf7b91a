//! Where a stream is: `http://HOST[:PORT]/live/NAME`, taken apart once.

use std::{fmt, str::FromStr};

use freshet_protocol::{Route, RouteError, StreamName};
use http::Uri;

/// The URL of a stream, known to be one. Made only by parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamUrl {
    host: Box<str>,
    port: u16,
    name: StreamName,
}

/// Why a text is not the URL of a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL at all.
    #[error("not a URL")]
    Form(#[from] http::uri::InvalidUri),
    /// Another scheme, or none.
    #[error("expected http://HOST[:PORT]/live/NAME (other schemes are not spoken)")]
    Scheme,
    /// A user, a password or a query.
    #[error("a stream's URL has no user, no password and no query; give a token with --token-file")]
    Extra,
    /// The path is not a stream's.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A path of the distributor that has no stream behind it.
    #[error("{path:?} is not a stream; streams are at /live/NAME")]
    NotAStream {
        /// The path.
        path: String,
    },
}

impl StreamUrl {
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

    /// The stream's name.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        &self.name
    }

    /// The last segment of the stream's name: what a copy is called by default.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        let name = self.name.as_str();
        name.rsplit_once('/').map_or(name, |(_, last)| last)
    }

    /// What the `Host` field says.
    pub(crate) fn authority(&self) -> String {
        match self.port {
            80 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// What the request line asks for.
    pub(crate) fn path(&self) -> String {
        Route::Live(self.name.clone()).to_string()
    }
}

impl FromStr for StreamUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse()?;
        if uri.scheme_str() != Some("http") {
            return Err(UrlError::Scheme);
        }
        let authority = uri.authority().ok_or(UrlError::Scheme)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(UrlError::Extra);
        }
        match uri.path().parse()? {
            Route::Live(name) => {
                let port = authority.port_u16().unwrap_or(80);
                Ok(Self { host: authority.host().into(), port, name })
            }
            _ => Err(UrlError::NotAStream { path: uri.path().chars().take(256).collect() }),
        }
    }
}

impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_url_is_taken_apart_and_put_together() {
        let url: StreamUrl = "http://[::1]:8080/live/radio/one.mp3".parse().unwrap();
        assert_eq!((url.host(), url.port(), url.last_segment()), ("::1", 8080, "one.mp3"));
        assert_eq!(url.to_string(), "http://[::1]:8080/live/radio/one.mp3");

        let url: StreamUrl = "http://example.org/live/a".parse().unwrap();
        assert_eq!((url.authority(), url.port()), ("example.org".into(), 80));
    }

    #[test]
    fn whatever_is_no_stream_is_refused() {
        for text in [
            "",
            "radio",
            "/live/radio",
            "https://example.org/live/radio",
            "http://example.org/",
            "http://example.org/live/",
            "http://example.org/live/..",
            "http://example.org/live/a%2fb",
            "http://example.org/live/a?from=start",
            "http://user:secret@example.org/live/a",
        ] {
            assert!(text.parse::<StreamUrl>().is_err(), "{text}");
        }
    }
}
