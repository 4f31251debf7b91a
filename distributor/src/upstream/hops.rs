//! Which distributors a request has come through: `Via` (RFC 9110, section 7.6.3). Pure.
//!
//! Each node has a name of its own, drawn when it starts, and adds it to what it asks upstream. A
//! node that finds itself in a request for something that it would have to ask for is in a loop.
//! What others write into `Via` is not ours and is not passed on.

use std::fmt;

use rand::RngExt;

use crate::limits::HOPS_MAX;

/// What each of our names begins with.
const PREFIX: &str = "freshet-";

/// Hexadecimal digits behind that.
const DIGITS: usize = 16;

/// The name of a node in `Via`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeName(Box<str>);

impl NodeName {
    /// A name that no other node has.
    pub(crate) fn draw() -> Self {
        Self(format!("{PREFIX}{:0DIGITS$x}", rand::rng().random::<u64>()).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let valid = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self(text.into()))
    }
}

/// The nodes that a message has come through, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hops(Vec<NodeName>);

impl Hops {
    /// Those of ours in the value of a `Via` field: `1.1 NAME, 1.1 NAME (comment)`.
    pub(crate) fn parse(via: &str) -> Self {
        let name = |hop: &str| NodeName::parse(hop.split_ascii_whitespace().nth(1)?);
        // One more than are allowed, so that too many are seen to be.
        Self(via.split(',').filter_map(name).take(HOPS_MAX + 1).collect())
    }

    /// Has it come through `node`?
    pub(crate) fn contains(&self, node: &NodeName) -> bool {
        self.0.contains(node)
    }

    /// Has it come through any node that `other` has?
    pub(crate) fn meet(&self, other: &Self) -> bool {
        self.0.iter().any(|node| other.contains(node))
    }

    /// Has it come through more nodes than any sound tree of them has?
    pub(crate) fn are_too_many(&self) -> bool {
        self.0.len() > HOPS_MAX
    }

    /// These, and `node` behind them.
    pub(crate) fn and(&self, node: &NodeName) -> Self {
        Self(self.0.iter().chain([node]).cloned().collect())
    }
}

impl fmt::Display for Hops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, NodeName(name)) in self.0.iter().enumerate() {
            write!(f, "{}1.1 {name}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_parsed_and_strangers_are_left_out() {
        let (a, b) = (NodeName::draw(), NodeName::draw());
        let hops = Hops::default().and(&a).and(&b);
        assert_eq!(Hops::parse(&hops.to_string()), hops);
        let via = format!("1.1 nginx, 1.1 {} (x), HTTP/1.1 freshet-zz,,1.0 freshet-1", a.0);
        assert_eq!(Hops::parse(&via), Hops::default().and(&a));
    }

    #[test]
    fn a_node_knows_itself_and_whom_it_has_in_common() {
        let (a, b, c) = (NodeName::draw(), NodeName::draw(), NodeName::draw());
        let hops = Hops::default().and(&a).and(&b);
        assert!(hops.contains(&a) && !hops.contains(&c));
        assert!(hops.meet(&Hops::default().and(&c).and(&b)));
        assert!(!hops.meet(&Hops::default().and(&c)));
    }

    #[test]
    fn a_long_list_is_seen_to_be_too_long() {
        let long = (0..100).fold(Hops::default(), |hops, _| hops.and(&NodeName::draw()));
        assert!(Hops::parse(&long.to_string()).are_too_many());
        let few = (0..HOPS_MAX).fold(Hops::default(), |hops, _| hops.and(&NodeName::draw()));
        assert!(!Hops::parse(&few.to_string()).are_too_many());
    }
}
