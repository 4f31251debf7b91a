//! SHA-256 digests in header fields (RFC 9530): `sha-256=:BASE64:`.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

/// A SHA-256 digest, as `Content-Digest` and `Repr-Digest` carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256Digest(pub [u8; 32]);

/// Why a digest field cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Other algorithms only.
    #[error("no sha-256 in the digest field {given:?}")]
    NoSha256 {
        /// The value, cut to 120 characters.
        given: String,
    },
    /// Not 32 bytes of base64 between colons.
    #[error("{given:?} is not 32 bytes of base64 between colons")]
    Form {
        /// The value, cut to 120 characters.
        given: String,
    },
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let given = || text.chars().take(120).collect();
        let value = text
            .split(',')
            .filter_map(|item| item.trim().split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("sha-256"))
            .ok_or_else(|| DigestError::NoSha256 { given: given() })?
            .1;
        let inner = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
        inner
            .and_then(|base64| STANDARD.decode(base64).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| DigestError::Form { given: given() })
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha-256=:{}:", STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sha_256_is_found_among_others() {
        let digest = Sha256Digest([7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(format!("sha-512=:AAAA:, {digest}").parse(), Ok(digest));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for bad in ["", "md5=:AAAA:", "sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:***:"] {
            assert!(bad.parse::<Sha256Digest>().is_err(), "{bad}");
        }
    }
}
