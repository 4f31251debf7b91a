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
    /// `/`: what there is, for people.
    Home,
    /// `/watch/NAME`: a page that plays a stream.
    Watch(StreamName),
    /// `/events`: the catalogue as it changes, by server-sent events.
    Events,
    /// `/assets/FILE`: what the pages are made of.
    Asset(String),
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
            "/events" => Ok(Self::Events),
            _ => below(path),
        }
    }
}

/// The routes that have something behind them.
fn below(path: &str) -> Result<Route, RouteError> {
    if let Some(name) = path.strip_prefix("/live/") {
        return Ok(Route::Live(name.parse()?));
    }
    if let Some(name) = path.strip_prefix("/index/") {
        return Ok(Route::Index(name.parse()?));
    }
    if let Some(name) = path.strip_prefix("/watch/") {
        return Ok(Route::Watch(name.parse()?));
    }
    match path.strip_prefix("/assets/") {
        Some(file) if !file.is_empty() => Ok(Route::Asset(file.into())),
        _ => Err(RouteError::unknown(path)),
    }
}

impl RouteError {
    /// Nothing is at `path`.
    #[must_use]
    pub fn unknown(path: &str) -> Self {
        Self::Unknown { path: path.chars().take(256).collect() }
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
            Self::Watch(name) => write!(f, "/watch/{name}"),
            Self::Events => f.write_str("/events"),
            Self::Asset(file) => write!(f, "/assets/{file}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_parsed_as_it_is_printed() {
        for path in [
            "/",
            "/live/",
            "/metrics",
            "/healthz",
            "/live/a/b",
            "/index/a/b",
            "/watch/a/b",
            "/events",
            "/assets/style.css",
        ] {
            assert_eq!(path.parse::<Route>().unwrap().to_string(), path);
        }
    }

    #[test]
    fn a_bad_name_is_told_from_an_unknown_path() {
        for path in ["/live/../etc", "/watch/", "/watch/.."] {
            assert!(matches!(path.parse::<Route>(), Err(RouteError::Name(_))), "{path}");
        }
        for path in ["/etc", "/watch", "/assets/", "/assets"] {
            assert!(matches!(path.parse::<Route>(), Err(RouteError::Unknown { .. })), "{path}");
        }
    }
}
