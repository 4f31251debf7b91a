//! Black-box tests: real sockets, real programs, one binary.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

// The consumer's: a player meets the same distributors.
#[allow(dead_code, reason = "the consumer's tests use all of it")]
#[path = "../../../consumer/tests/it/fake/mod.rs"]
mod fake;
#[cfg(any(feature = "av1", feature = "openh264", feature = "vp9"))]
mod features;
mod pictures;
mod play;
mod sounds;
