//! Who speaks: `Connection-Type`.

use std::{fmt, str::FromStr};

use http::Method;

/// The role that the sender of a request plays. A request's own, never its connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Produces a stream.
    Origin,
    /// Takes a stream.
    Consumer,
    /// Takes a stream from another distributor, to give it on.
    Distributor,
}

/// Why a `Connection-Type` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// Not a role.
    #[error("Connection-Type {given:?} is none of origin, consumer, distributor")]
    Unknown {
        /// The value, cut to 40 characters.
        given: String,
    },
    /// The method belongs to another role.
    #[error("Connection-Type {role} contradicts the method {method}")]
    Contradicts {
        /// The role claimed.
        role: Role,
        /// The method used.
        method: Method,
    },
}

impl Role {
    /// The role of a request with `method` that claims `claimed`; without a claim the method tells.
    ///
    /// # Errors
    ///
    /// The claim contradicts the method. `HEAD` and `OPTIONS` are every role's.
    pub fn of(method: &Method, claimed: Option<Self>) -> Result<Self, RoleError> {
        let writes = matches!(*method, Method::POST | Method::PUT | Method::DELETE);
        let Some(role) = claimed else {
            return Ok(if writes { Self::Origin } else { Self::Consumer });
        };
        let asks = matches!(*method, Method::HEAD | Method::OPTIONS);
        if asks || writes == (role == Self::Origin) {
            return Ok(role);
        }
        Err(RoleError::Contradicts { role, method: method.clone() })
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        match text.trim() {
            "origin" => Ok(Self::Origin),
            "consumer" => Ok(Self::Consumer),
            "distributor" => Ok(Self::Distributor),
            other => Err(RoleError::Unknown { given: other.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "origin",
            Self::Consumer => "consumer",
            Self::Distributor => "distributor",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_tells_where_nothing_is_claimed() {
        assert_eq!(Role::of(&Method::PUT, None), Ok(Role::Origin));
        assert_eq!(Role::of(&Method::GET, None), Ok(Role::Consumer));
    }

    #[test]
    fn a_claim_that_contradicts_the_method_is_refused() {
        let claim = |method: Method, role: &str| Role::of(&method, Some(role.parse().unwrap()));
        assert_eq!(claim(Method::OPTIONS, "origin"), Ok(Role::Origin));
        assert_eq!(claim(Method::GET, "distributor"), Ok(Role::Distributor));
        assert!(claim(Method::POST, "consumer").is_err());
        assert!(claim(Method::GET, "origin").is_err());
        assert!("Origin!".parse::<Role>().is_err());
    }
}
