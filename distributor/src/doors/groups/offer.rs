//! What a stranger may cost before it is known that he is where his datagrams say: one answer, no larger
//! than what he sent, and nothing kept.
//!
//! A token is made of his address, of what it is for, and of the time; only who gets what is sent to that
//! address can say it back.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use crate::{
    groups::Micros,
    limits::{GROUP_ADDRESSES, GROUP_BURST, GROUP_RATE, GROUP_TOKEN_TIME},
};

/// Makes tokens, and knows its own.
#[derive(Debug)]
pub(super) struct Tokens {
    secret: [u8; 32],
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { secret: rand::random() }
    }

    /// The token for that address at this time. Never 0, which is no number.
    pub(super) fn make(&self, now: Micros, peer: SocketAddr, port: u16) -> u64 {
        self.at(now / GROUP_TOKEN_TIME, peer, port)
    }

    /// Is it one that was made for it, not long ago?
    pub(super) fn knows(&self, token: u64, now: Micros, peer: SocketAddr, port: u16) -> bool {
        let time = now / GROUP_TOKEN_TIME;
        [time, time.saturating_sub(1)].iter().any(|time| self.at(*time, peer, port) == token)
    }

    fn at(&self, time: u64, peer: SocketAddr, port: u16) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(time.to_be_bytes());
        match peer.ip() {
            IpAddr::V4(address) => hash.update(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
        hash.update(peer.port().to_be_bytes());
        hash.update(port.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        digest.first_chunk().map_or(1, |first| u64::from_be_bytes(*first).max(1))
    }
}

/// How many datagrams of strangers are looked at, by the host that they say they are from. The table has
/// a size; hosts that fall on the same place share.
#[derive(Debug)]
pub(super) struct Rates {
    places: Vec<Bucket>,
    salt: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    filled: Micros,
}

impl Rates {
    pub(super) fn new(now: Micros) -> Self {
        let full = Bucket { left: GROUP_BURST, filled: now };
        Self { places: vec![full; GROUP_ADDRESSES], salt: rand::random() }
    }

    /// May another datagram from there be looked at?
    pub(super) fn admit(&mut self, now: Micros, host: IpAddr) -> bool {
        let count = self.places.len().max(1) as u64;
        let place = usize::try_from(hash(self.salt, host) % count).unwrap_or_default();
        let Some(bucket) = self.places.get_mut(place) else { return false };
        let each = 1_000_000 / u64::from(GROUP_RATE);
        let gained = now.saturating_sub(bucket.filled) / each;
        bucket.filled += gained * each;
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        bucket.left = bucket.left.saturating_add(gained).min(GROUP_BURST);
        let is_admitted = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        is_admitted
    }
}

/// FNV-1a of an address and a salt. A whole /64 is one host: that is what one customer has.
fn hash(salt: u64, host: IpAddr) -> u64 {
    let bytes = match host.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    };
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ salt, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_address_one_port_and_a_while() {
        let (tokens, peer) = (Tokens::new(), "192.0.2.1:7".parse().unwrap());
        let token = tokens.make(0, peer, 9);
        assert!(tokens.knows(token, GROUP_TOKEN_TIME * 2 - 1, peer, 9));
        assert!(!tokens.knows(token, GROUP_TOKEN_TIME * 2, peer, 9), "it is old");
        assert!(!tokens.knows(token, 0, peer, 8));
        for other in ["192.0.2.1:8", "192.0.2.2:7", "[2001:db8::1]:7"] {
            assert!(!tokens.knows(token, 0, other.parse().unwrap(), 9), "{other}");
        }
        assert!(!Tokens::new().knows(token, 0, peer, 9), "another distributor's");
    }

    #[test]
    fn a_host_has_a_burst_and_then_a_rate() {
        let mut rates = Rates::new(0);
        let host = "192.0.2.1".parse().unwrap();
        let admitted = |rates: &mut Rates, now| {
            (0..GROUP_BURST * 2).filter(|_| rates.admit(now, host)).count() as u32
        };
        assert_eq!(admitted(&mut rates, 0), GROUP_BURST);
        assert_eq!(admitted(&mut rates, 1_000_000), GROUP_RATE);
        assert_eq!(admitted(&mut rates, 1_000_000), 0);
        assert_eq!(admitted(&mut rates, 900_000_000), GROUP_BURST);
    }
}
