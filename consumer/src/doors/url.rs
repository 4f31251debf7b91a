//! Where a door is, and which stream of it: `asp://[PSEUDO@]HOST[:PORT][/ID]`, taken apart once.

use std::{fmt, str::FromStr};

use freshet_protocol::doors::{asp, groups, lines, packets};
use http::Uri;

/// The protocol of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DoorScheme {
    /// Text over TCP.
    Asp,
    /// Delimited packets over TCP.
    Packets,
    /// Text commands, data on a second port.
    Lines,
    /// Datagrams over UDP, for a group.
    Group,
}

/// The URL of a door or of a stream at it, known to be one. Made only by parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorUrl {
    scheme: DoorScheme,
    host: Box<str>,
    port: u16,
    pseudo: Option<Box<str>>,
    id: Option<u64>,
}

/// Why a text is not the URL of a door.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorUrlError {
    /// Not a URL at all.
    #[error("not a URL")]
    Form(#[from] http::uri::InvalidUri),
    /// Another scheme, or none.
    #[error("expected asp://, packets:// or lines://HOST[:PORT][/ID], or group://HOST[:PORT]")]
    Scheme,
    /// A password, a query, or a user where the protocol has none.
    #[error("a door's URL has no password and no query, and a user (PSEUDO@) for asp only")]
    Extra,
    /// What stands for the stream is no number.
    #[error("{path:?} is no stream: expected its number, as the list tells it")]
    Id {
        /// The path.
        path: String,
    },
}

impl DoorScheme {
    const ALL: [Self; 4] = [Self::Asp, Self::Packets, Self::Lines, Self::Group];

    /// As it is written in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asp => "asp",
            Self::Packets => "packets",
            Self::Lines => "lines",
            Self::Group => "group",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Asp => asp::PORT,
            Self::Packets => packets::PORT,
            Self::Lines => lines::PORT,
            Self::Group => groups::PORT,
        }
    }
}

impl fmt::Display for DoorScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DoorUrl {
    /// The protocol.
    #[must_use]
    pub const fn scheme(&self) -> DoorScheme {
        self.scheme
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; the protocol's own where the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The distributor over HTTP, where nobody says that it is elsewhere: port 8080 of the host.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}:8080", self.host)
    }

    /// The number of the stream, where the URL names one.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        self.id
    }

    /// The name to go by, where the URL has one.
    pub(super) fn pseudo(&self) -> Option<&str> {
        self.pseudo.as_deref()
    }

    /// Does that text mean a door?
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        DoorScheme::ALL.iter().any(|known| scheme == Some(known.as_str()))
    }
}

impl FromStr for DoorUrl {
    type Err = DoorUrlError;

    fn from_str(text: &str) -> Result<Self, DoorUrlError> {
        let uri: Uri = text.parse()?;
        let is_it = |scheme: &DoorScheme| uri.scheme_str() == Some(scheme.as_str());
        let scheme = DoorScheme::ALL.into_iter().find(is_it).ok_or(DoorUrlError::Scheme)?;
        let authority = uri.authority().ok_or(DoorUrlError::Scheme)?;
        let pseudo = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let has_pseudo = scheme == DoorScheme::Asp;
        if uri.query().is_some() || pseudo.is_some_and(|user| !has_pseudo || user.contains(':')) {
            return Err(DoorUrlError::Extra);
        }
        let number = uri.path().trim_start_matches('/');
        let no_id = || DoorUrlError::Id { path: uri.path().chars().take(80).collect() };
        let id = match number {
            "" => None,
            number => Some(number.parse().map_err(|_| no_id())?),
        };
        let port = authority.port_u16().unwrap_or_else(|| scheme.port());
        Ok(Self { scheme, host: authority.host().into(), port, pseudo: pseudo.map(Into::into), id })
    }
}

impl fmt::Display for DoorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)?;
        self.id.map_or(Ok(()), |id| write!(f, "/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doors_url_is_taken_apart_and_put_together() {
        let url: DoorUrl = "asp://amar@example.org/7".parse().unwrap();
        assert_eq!((url.host(), url.port(), url.id()), ("example.org", 1986, Some(7)));
        assert_eq!(
            (url.pseudo(), url.to_string()),
            (Some("amar"), "asp://example.org:1986/7".into())
        );
        let url: DoorUrl = "lines://[::1]:9".parse().unwrap();
        assert_eq!((url.scheme(), url.host(), url.id()), (DoorScheme::Lines, "::1", None));
        assert_eq!("packets://h/".parse::<DoorUrl>().unwrap().port(), 8081);
        assert!(DoorUrl::is_meant("asp://") && !DoorUrl::is_meant("http://asp"));
    }

    #[test]
    fn whatever_is_no_door_is_refused() {
        for text in [
            "",
            "asp",
            "http://h/1",
            "asp:///1",
            "lines://h/a.mp3",
            "lines://me@h",
            "asp://a:b@h",
            "asp://h/1?x",
        ] {
            assert!(text.parse::<DoorUrl>().is_err(), "{text}");
        }
    }
}
