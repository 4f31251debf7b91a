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
    /// `/status`: streams, consumers, memory and disk, for those who look after the distributor.
    Status,
    /// `/operate`: the same as a page.
    Operate,
    /// `/groups`: the groups that watch a movie together.
    Groups,
    /// `/groups/ID` and what is below it: one of them.
    Group(u16, GroupPart),
}

/// What of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPart {
    /// It.
    Whole,
    /// `members`: who takes part.
    Members,
    /// `members/N`: one of them.
    Member(u32),
    /// `events`: what happens there, by server-sent events.
    Events,
    /// `choice`: the movie.
    Choice,
    /// `state`: whether it plays, and where it is.
    State,
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
            "/groups" => Ok(Self::Groups),
            "/status" => Ok(Self::Status),
            "/operate" => Ok(Self::Operate),
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
    if let Some((id, part)) = path.strip_prefix("/groups/").and_then(group) {
        return Ok(Route::Group(id, part));
    }
    match path.strip_prefix("/assets/") {
        Some(file) if !file.is_empty() => Ok(Route::Asset(file.into())),
        _ => Err(RouteError::unknown(path)),
    }
}

/// A group's number, and what of it.
fn group(path: &str) -> Option<(u16, GroupPart)> {
    let (id, rest) = path.split_once('/').map_or((path, None), |(id, rest)| (id, Some(rest)));
    let part = match rest {
        None => GroupPart::Whole,
        Some("members") => GroupPart::Members,
        Some("events") => GroupPart::Events,
        Some("choice") => GroupPart::Choice,
        Some("state") => GroupPart::State,
        Some(rest) => GroupPart::Member(decimal(rest.strip_prefix("members/")?)?),
    };
    Some((decimal(id)?, part))
}

/// A number as it is printed, and not otherwise: a thing has one address.
fn decimal<N: FromStr + ToString>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
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
            Self::Groups => f.write_str("/groups"),
            Self::Status => f.write_str("/status"),
            Self::Operate => f.write_str("/operate"),
            Self::Group(id, part) => write!(f, "/groups/{id}{part}"),
        }
    }
}

impl fmt::Display for GroupPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Members => f.write_str("/members"),
            Self::Member(member) => write!(f, "/members/{member}"),
            Self::Events => f.write_str("/events"),
            Self::Choice => f.write_str("/choice"),
            Self::State => f.write_str("/state"),
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
            "/status",
            "/operate",
            "/groups",
            "/groups/41007",
            "/groups/41007/members",
            "/groups/41007/members/3",
            "/groups/41007/events",
            "/groups/41007/choice",
            "/groups/41007/state",
        ] {
            assert_eq!(path.parse::<Route>().unwrap().to_string(), path);
        }
    }

    #[test]
    fn a_bad_name_is_told_from_an_unknown_path() {
        for path in ["/live/../etc", "/watch/", "/watch/.."] {
            assert!(matches!(path.parse::<Route>(), Err(RouteError::Name(_))), "{path}");
        }
        for path in [
            "/etc",
            "/watch",
            "/assets/",
            "/assets",
            "/groups/",
            "/groups/0x1",
            "/groups/01",
            "/groups/65536",
            "/groups/1/members/",
            "/groups/1/members/+2",
            "/groups/1/else",
        ] {
            assert!(matches!(path.parse::<Route>(), Err(RouteError::Unknown { .. })), "{path}");
        }
    }
}
