//! What proves over HTTP who somebody is in a group: a secret that he was given, and nobody else.

use std::{fmt, str::FromStr};

use subtle::ConstantTimeEq;

/// 128 random bits, printed as 32 hexadecimal digits.
#[derive(Clone)]
pub(crate) struct Key([u8; 16]);

impl Key {
    pub(crate) fn new() -> Self {
        Self(rand::random())
    }

    /// Are they the same? Takes as long where they are not.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Without the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(|number| Self(number.to_be_bytes())).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_printed_and_nothing_else_is_one() {
        let key = Key::new();
        assert!(key.to_string().parse::<Key>().unwrap().is(&key));
        assert!(!Key::new().is(&key));
        for text in ["", "0", &"0".repeat(31), &"g".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
        assert_eq!(format!("{key:?}"), "Key");
    }
}
