//! Every URL that is served, parsed and printed in one place.

use std::{fmt, str::FromStr};

use crate::name::{NameError, StreamName};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/live/NAME`: a stream's bytes.
    Live(StreamName),
    /// `/live/`: the catalogue.
    Catalogue,
    /// `/index/NAME`: a stream's timeline.
    Index(StreamName),
    /// `/metrics`: Prometheus text.
    Metrics,
    /// `/healthz`: liveness.
    Health,
    /// `/`: the way in, for people.
    Home,
}

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Not one of ours.
    #[error("nothing is at {path:?}; streams are at /live/NAME, their list at /live/")]
    Unknown {
        /// The path, cut to 256 characters.
        path: String,
    },
    /// A stream's path whose name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(path: &str) -> Result<Self, RouteError> {
        match path {
            "/" => Ok(Self::Home),
            "/live" | "/live/" => Ok(Self::Catalogue),
            "/metrics" => Ok(Self::Metrics),
            "/healthz" => Ok(Self::Health),
            _ => {
                if let Some(name) = path.strip_prefix("/live/") {
                    Ok(Self::Live(name.parse()?))
                } else if let Some(name) = path.strip_prefix("/index/") {
                    Ok(Self::Index(name.parse()?))
                } else {
                    Err(RouteError::Unknown { path: path.chars().take(256).collect() })
                }
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(name) => write!(f, "/live/{name}"),
            Self::Index(name) => write!(f, "/index/{name}"),
            Self::Catalogue => f.write_str("/live/"),
            Self::Metrics => f.write_str("/metrics"),
            Self::Health => f.write_str("/healthz"),
            Self::Home => f.write_str("/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_parsed_as_it_is_printed() {
        for path in ["/", "/live/", "/metrics", "/healthz", "/live/a/b", "/index/a/b"] {
            assert_eq!(path.parse::<Route>().unwrap().to_string(), path);
        }
    }

    #[test]
    fn a_bad_name_is_told_from_an_unknown_path() {
        assert!(matches!("/live/../etc".parse::<Route>(), Err(RouteError::Name(_))));
        assert!(matches!("/etc".parse::<Route>(), Err(RouteError::Unknown { .. })));
    }
}
