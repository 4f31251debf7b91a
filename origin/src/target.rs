//! Where a stream goes: `http://HOST[:PORT]/live/NAME`, taken apart once.

use std::{fmt, str::FromStr};

use freshet_protocol::{NameError, Route, RouteError, StreamName};
use http::{Uri, uri::Authority};

/// A distributor, and a stream or a branch of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: Authority,
    name: Option<StreamName>,
}

/// Why a URL cannot be posted to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not a URL.
    #[error("{given:?} is not a URL; expected http://HOST:PORT/live/NAME")]
    Form {
        /// As given.
        given: String,
    },
    /// Another scheme.
    #[error("{scheme:?} URLs are not spoken here, only http")]
    Scheme {
        /// The scheme given.
        scheme: String,
    },
    /// A query or a path that is not a stream's.
    #[error("{path:?} is not a stream's path; expected /live/NAME")]
    Path {
        /// The path given.
        path: String,
    },
    /// `/live/` and nothing more, where one stream is wanted.
    #[error("the URL names no stream; expected http://HOST:PORT/live/NAME")]
    NoName,
    /// The name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Target {
    /// The stream named, where the URL names one.
    #[must_use]
    pub const fn name(&self) -> Option<&StreamName> {
        self.name.as_ref()
    }

    /// Host and port.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The stream called `relative` below this URL's name.
    ///
    /// # Errors
    ///
    /// The whole is not a stream's name: too many segments, say.
    pub fn below(&self, relative: &str) -> Result<Self, TargetError> {
        let name = match &self.name {
            Some(base) => format!("{base}/{relative}").parse()?,
            None => relative.parse()?,
        };
        Ok(Self { authority: self.authority.clone(), name: Some(name) })
    }

    /// The stream's URI, for requests.
    pub(crate) fn uri(&self) -> Result<Uri, TargetError> {
        let name = self.name.as_ref().ok_or(TargetError::NoName)?;
        let built = Uri::builder()
            .scheme("http")
            .authority(self.authority.clone())
            .path_and_query(Route::Live(name.clone()).to_string())
            .build();
        built.map_err(|_| TargetError::Form { given: self.to_string() })
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form { given: text.into() };
        let uri: Uri = text.parse().map_err(|_| form())?;
        let authority = uri.authority().cloned().ok_or_else(form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(scheme) => return Err(TargetError::Scheme { scheme: scheme.into() }),
            None => return Err(form()),
        }
        if authority.as_str().contains('@') {
            return Err(form());
        }
        let path = || TargetError::Path { path: uri.to_string() };
        if uri.query().is_some() {
            return Err(path());
        }
        let name = match uri.path().parse() {
            Ok(Route::Live(name)) => Some(name),
            Ok(Route::Catalogue) => None,
            Err(RouteError::Name(error)) => return Err(error.into()),
            Ok(_) | Err(_) => return Err(path()),
        };
        Ok(Self { authority, name })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.name.clone().map_or(Route::Catalogue, Route::Live);
        write!(f, "http://{}{route}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_name() {
        for url in
            ["http://127.0.0.1:8080/live/radio", "http://[::1]:80/live/a/b", "http://h/live/"]
        {
            assert_eq!(url.parse::<Target>().unwrap().to_string(), url);
        }
        let base: Target = "http://h/live/a".parse().unwrap();
        assert_eq!(base.below("b/c.mp3").unwrap().to_string(), "http://h/live/a/b/c.mp3");
        assert!(base.below("b/c/d/e").is_err());
    }

    #[test]
    fn what_cannot_be_posted_to_says_why() {
        let why = |url: &str| url.parse::<Target>().unwrap_err().to_string();
        assert!(why("https://h/live/a").contains("only http"));
        assert!(why("h/live/a").contains("not a URL"));
        assert!(why("http://h/other").contains("not a stream's path"));
        assert!(why("http://h/live/a?from=live").contains("not a stream's path"));
        assert!(why("http://h/live/a/../b").contains("dot"));
        assert!(why("http://user:secret@h/live/a").contains("not a URL"));
        let bare: Target = "http://h/live/".parse().unwrap();
        assert!(matches!(bare.uri(), Err(TargetError::NoName)));
    }
}
