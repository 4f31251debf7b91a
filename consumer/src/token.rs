//! The read token: a secret that is sent and never printed.

use std::{fmt, io, path::Path, str::FromStr};

use http::HeaderValue;

use crate::limits;

/// A bearer token (RFC 6750). Made only by parsing; its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing, or a character that may not stand in a header field.
    #[error("a token is one or more visible characters, without blanks")]
    Form,
    /// The file cannot be read.
    #[error("cannot read the token file")]
    Read(#[from] io::Error),
    /// The file is no token's.
    #[error("a token file has at most {} bytes", limits::TOKEN_BYTES_MAX)]
    TooLong,
}

impl Token {
    /// The token in the file at `path`, blanks and line breaks around it left out.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there is no token in it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        if std::fs::metadata(path)?.len() > limits::TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        std::fs::read_to_string(path)?.parse()
    }

    /// The value of the `Authorization` field.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Form);
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| TokenError::Form)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_and_not_printed() {
        let token: Token = " s3cret\n".parse().unwrap();
        assert_eq!(token.authorization(), "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("s3cret"));
        assert!("".parse::<Token>().is_err() && "a b".parse::<Token>().is_err());
    }
}
