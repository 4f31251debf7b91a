//! Where a relay is, for a publisher or for a consumer: a URL whose scheme says how to speak to it.
//!
//! | scheme | publisher | consumer |
//! | --- | --- | --- |
//! | `http` | one PUT, its body chunk by chunk | one GET |
//! | `https` | | one GET over TLS, whoever answers |
//! | `post+http` | one POST for each chunk, over one connection | |
//! | `each+http` | one POST for each chunk, a connection for each | |
//! | `icecast` | one PUT with a password and without an end | |
//! | `serve` | waits there for one GET, and answers it with the stream | |
//! | `tcp` | a line `PUT /NAME`, then the bytes | a line `GET /NAME`, then the bytes |
//!
//! Whatever a peer needs more than an address is in its URL, so that one publisher and one load serve all.

use std::{fmt, net::SocketAddr, net::ToSocketAddrs, str::FromStr};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// How to speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A request with a body of HTTP chunks; a GET.
    Http,
    /// A GET over TLS.
    Https,
    /// A POST for each chunk.
    Posts,
    /// Likewise, each over a connection of its own.
    Each,
    /// A PUT as Icecast takes it.
    Icecast,
    /// Somebody comes and fetches.
    Serve,
    /// No HTTP at all.
    Tcp,
}

const SCHEMES: [(&str, Scheme); 7] = [
    ("http", Scheme::Http),
    ("https", Scheme::Https),
    ("post+http", Scheme::Posts),
    ("each+http", Scheme::Each),
    ("icecast", Scheme::Icecast),
    ("serve", Scheme::Serve),
    ("tcp", Scheme::Tcp),
];

/// A place to publish to or to consume from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Where it listens.
    pub address: SocketAddr,
    /// `/NAME`, with a query where there is one.
    pub path: String,
    /// `USER:PASSWORD`.
    pub user: Option<String>,
}

impl Target {
    /// A place without a password.
    #[must_use]
    pub fn new(scheme: Scheme, address: SocketAddr, path: &str) -> Self {
        Self { scheme, address, path: path.into(), user: None }
    }

    /// The same place, for the stream of that number where there are several.
    #[must_use]
    pub fn stream(&self, number: usize, of: usize) -> Self {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let mark = if query.is_empty() { "" } else { "?" };
        let path = if of > 1 { format!("{path}-{number}{mark}{query}") } else { self.path.clone() };
        Self { path, ..self.clone() }
    }

    /// The line of a head that says who we are; nothing where nobody asks.
    #[must_use]
    pub fn authorization(&self) -> String {
        let line = |user: &String| format!("Authorization: Basic {}\r\n", STANDARD.encode(user));
        self.user.as_ref().map(line).unwrap_or_default()
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (word, rest) = text
            .split_once("://")
            .with_context(|| format!("{text:?} is no URL: SCHEME://HOST:PORT/NAME is wanted"))?;
        let Some((_, scheme)) = SCHEMES.into_iter().find(|(name, _)| *name == word) else {
            let known = SCHEMES.map(|(name, _)| name).join(", ");
            bail!("{word:?} in {text:?} is no scheme of the bench: it knows {known}");
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let mut found = host
            .to_socket_addrs()
            .with_context(|| format!("{host:?} in {text:?} is no HOST:PORT"))?;
        let address = found.next().with_context(|| format!("{host:?} has no address"))?;
        if path.len() < 2 || path.contains([' ', '\r', '\n']) {
            bail!("{text:?} names no stream: /NAME is missing behind the port");
        }
        Ok(Self { scheme, address, path: path.to_owned(), user })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = SCHEMES.into_iter().find(|(_, scheme)| *scheme == self.scheme);
        let (word, _) = known.unwrap_or(("http", Scheme::Http));
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        write!(f, "{word}://{user}{}{}", self.address, self.path)
    }
}

impl TryFrom<String> for Target {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "http://127.0.0.1:8080/live/x?from=start",
            "icecast://source:secret@127.0.0.1:8000/x",
            "tcp://127.0.0.1:9/x",
            "each+http://[::1]:80/x",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_is_wrong() {
        for (text, why) in [
            ("127.0.0.1:80/x", "is no URL"),
            ("ftp://127.0.0.1:80/x", "no scheme"),
            ("http://127.0.0.1/x", "no HOST:PORT"),
            ("http://127.0.0.1:80", "names no stream"),
            ("http://127.0.0.1:80/a b", "names no stream"),
        ] {
            let told = format!("{:#}", text.parse::<Target>().unwrap_err());
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn several_streams_have_names_of_their_own() {
        let target: Target = "http://127.0.0.1:1/live/x?a=b".parse().unwrap();
        assert_eq!(target.stream(0, 1).path, "/live/x?a=b");
        assert_eq!(target.stream(7, 9).path, "/live/x-7?a=b");
    }

    #[test]
    fn a_password_goes_into_the_head() {
        let target: Target = "icecast://source:hackme@127.0.0.1:1/x".parse().unwrap();
        assert_eq!(target.authorization(), "Authorization: Basic c291cmNlOmhhY2ttZQ==\r\n");
        assert_eq!(Target::new(Scheme::Tcp, target.address, "/x").authorization(), "");
    }
}
