//! Who may publish, who may read: one token for each, compared in constant time.
//!
//! What is compared are SHA-256 digests, so that neither the length nor a common beginning of a
//! guess shows in the time it takes.

use std::{fs, io, net::SocketAddr, path::Path, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{AccessConfig, DoorsConfig, Secret};

/// The tokens that are asked for.
#[derive(Debug)]
pub(crate) struct Guard {
    publish: Option<Token>,
    read: Option<Token>,
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Publish,
    Read,
}

/// Why a request may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("a token is needed: as \"Authorization: Bearer TOKEN\", or as the password of Basic")]
    Missing,
    #[error("this token does not allow it")]
    Wrong,
}

/// Why the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A token's file cannot be read.
    #[error("cannot read the token file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A token without a character: it would be everybody's.
    #[error("the {which} token is empty")]
    Empty {
        /// `publish`, `read` or `upstream`.
        which: &'static str,
    },
    /// Doors, and a read token.
    #[error(
        "the read token keeps nobody from reading at a door, where it cannot be sent: leave --door away, \
         or say --door-without-token if whoever reaches the doors may read everything"
    )]
    Door,
    /// An address that others reach, and no publish token.
    #[error(
        "{address} can be reached by others, and without a publish token any of them could publish: \
         set --publish-token-file FILE (or FRESHET_PUBLISH_TOKEN), or listen on 127.0.0.1"
    )]
    Open {
        /// The address asked for.
        address: SocketAddr,
    },
}

#[derive(Debug)]
struct Token([u8; 32]);

impl Token {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl Guard {
    /// The guard of a distributor that listens on `address`.
    ///
    /// # Errors
    ///
    /// A token cannot be read or is empty, or `address` is not safe without one.
    pub(crate) fn new(config: &AccessConfig, address: SocketAddr) -> Result<Self, AccessError> {
        let publish =
            token("publish", config.publish_token.as_ref(), config.publish_token_file.as_deref())?;
        let read = token("read", config.read_token.as_ref(), config.read_token_file.as_deref())?;
        if publish.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(AccessError::Open { address });
        }
        Ok(Self { publish, read })
    }

    /// May these doors be opened? None of their protocols has a token.
    ///
    /// # Errors
    ///
    /// Reading needs a token, or an address is not safe without one.
    pub(crate) fn admit_doors(&self, doors: &DoorsConfig) -> Result<(), AccessError> {
        if !doors.door.is_empty() && !self.reading_is_free() && !doors.door_without_token {
            return Err(AccessError::Door);
        }
        let exposed = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        match doors.door.iter().map(|door| door.address).find(exposed) {
            Some(address) if self.publish.is_none() => Err(AccessError::Open { address }),
            _ => Ok(()),
        }
    }

    /// May anybody read?
    pub(crate) fn reading_is_free(&self) -> bool {
        self.read.is_none()
    }

    /// May a request with this `Authorization` field do that?
    pub(crate) fn check(&self, access: Access, field: Option<&str>) -> Result<(), Denied> {
        let wanted = match access {
            Access::Publish => &self.publish,
            Access::Read => &self.read,
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let given = Token::of(&field.and_then(credential).ok_or(Denied::Missing)?);
        let publishes =
            self.publish.as_ref().map_or_else(|| Choice::from(0), |it| it.equals(&given));
        // Whoever publishes has to read what is held.
        if (wanted.equals(&given) | publishes).into() { Ok(()) } else { Err(Denied::Wrong) }
    }
}

/// The token of `Bearer TOKEN`, or of `Basic` where it is the password.
fn credential(field: &str) -> Option<String> {
    let (scheme, rest) = field.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.into())
}

fn token(
    which: &'static str,
    given: Option<&Secret>,
    path: Option<&Path>,
) -> Result<Option<Token>, AccessError> {
    Ok(secret(which, given, path)?.map(|text| Token::of(&text)))
}

/// The token `which`, as it is given or as its file has it.
///
/// # Errors
///
/// It is empty, or its file cannot be read.
pub(crate) fn secret(
    which: &'static str,
    given: Option<&Secret>,
    path: Option<&Path>,
) -> Result<Option<String>, AccessError> {
    let text = match (given, path) {
        (Some(secret), _) => secret.expose().to_owned(),
        (None, Some(path)) => {
            let read = |source| AccessError::Read { path: path.into(), source };
            fs::read_to_string(path).map_err(read)?.lines().next().unwrap_or_default().into()
        }
        (None, None) => return Ok(None),
    };
    match text.trim() {
        "" => Err(AccessError::Empty { which }),
        text => Ok(Some(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LOOPBACK: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn guard(args: &[&str]) -> Guard {
        let config = Config::load([&["distributor"], args].concat()).unwrap();
        Guard::new(&config.access, LOOPBACK).unwrap()
    }

    #[test]
    fn a_token_is_taken_as_bearer_and_as_the_password_of_basic() {
        let guard = guard(&["--publish-token", "hush"]);
        let basic = format!("basic {}", STANDARD.encode("anybody:hush"));
        for field in ["Bearer hush", "bearer  hush", &basic] {
            assert_eq!(guard.check(Access::Publish, Some(field)), Ok(()), "{field}");
        }
        assert_eq!(guard.check(Access::Publish, None), Err(Denied::Missing));
        for field in ["hush", "Digest hush", "Basic ???", "Basic aHVzaA=="] {
            assert_eq!(guard.check(Access::Publish, Some(field)), Err(Denied::Missing), "{field}");
        }
        for field in ["Bearer hus", "Bearer hushh", "Bearer "] {
            assert!(guard.check(Access::Publish, Some(field)).is_err(), "{field}");
        }
        assert_eq!(guard.check(Access::Read, None), Ok(()));
    }

    #[test]
    fn who_publishes_may_read_and_not_the_other_way_round() {
        let guard = guard(&["--publish-token", "write", "--read-token", "look"]);
        assert_eq!(guard.check(Access::Read, Some("Bearer look")), Ok(()));
        assert_eq!(guard.check(Access::Read, Some("Bearer write")), Ok(()));
        assert_eq!(guard.check(Access::Publish, Some("Bearer look")), Err(Denied::Wrong));
        assert_eq!(guard.check(Access::Read, None), Err(Denied::Missing));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_publish_token() {
        let access =
            |args: &[&str]| Config::load([&["distributor"], args].concat()).unwrap().access;
        let open: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let error = Guard::new(&access(&[]), open).unwrap_err();
        assert!(error.to_string().contains("--publish-token-file"), "{error}");
        assert!(Guard::new(&access(&["--read-token", "x"]), open).is_err());
        assert!(Guard::new(&access(&["--publish-token", "x"]), open).is_ok());
        assert!(Guard::new(&access(&[]), "[::ffff:127.0.0.1]:80".parse().unwrap()).is_ok());
        assert!(matches!(
            Guard::new(&access(&["--publish-token", " "]), LOOPBACK),
            Err(AccessError::Empty { which: "publish" })
        ));
    }

    #[test]
    fn doors_have_no_tokens_and_so_need_leave() {
        let admitted = |args: &[&str]| {
            let config = Config::load([&["distributor"], args].concat()).unwrap();
            Guard::new(&config.access, LOOPBACK).unwrap().admit_doors(&config.doors)
        };
        let (here, everywhere) = ("--door=asp=127.0.0.1:0", "--door=lines=0.0.0.0:0");
        assert!(admitted(&[here]).is_ok());
        let error = admitted(&[here, "--read-token=x"]).unwrap_err();
        assert!(error.to_string().contains("--door-without-token"), "{error}");
        assert!(admitted(&[here, "--read-token=x", "--door-without-token"]).is_ok());
        assert!(admitted(&["--read-token=x"]).is_ok(), "no door, no leave");
        assert!(matches!(admitted(&[here, everywhere]), Err(AccessError::Open { .. })));
        assert!(admitted(&[everywhere, "--publish-token=x"]).is_ok());
    }

    #[test]
    fn a_token_file_is_read_to_the_end_of_its_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hush\n# the token\n").unwrap();
        let guard = guard(&["--publish-token-file", file.path().to_str().unwrap()]);
        assert_eq!(guard.check(Access::Publish, Some("Bearer hush")), Ok(()));
    }
}
