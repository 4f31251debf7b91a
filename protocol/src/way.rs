//! Where a byte is on its way: what roles tell in their traces, so that whoever measures a chain finds the
//! same words in all of them.
//!
//! ```text
//!   origin ──▶ distributor: ring ──▶ distributor: send ──▶ consumer: receive
//! ```
//!
//! Each is one event of the level `trace` with a `step`, and an `end`: all bytes of the stream before it
//! have come so far.

/// The target of these events.
pub const TARGET: &str = "freshet::way";

/// A distributor has it, and everybody can read it.
pub const RING: &str = "ring";

/// A distributor is about to hand it to the socket of a consumer, whose port is `peer`; 0 where that is
/// not known.
pub const SEND: &str = "send";

/// A consumer has taken it from its connection.
pub const RECEIVE: &str = "receive";
