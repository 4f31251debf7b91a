//! Black-box tests: real sockets, public API only, one binary.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test that looks in the wrong place fails")]
#![allow(clippy::disallowed_methods, reason = "a test may spawn without a JoinSet")]

mod access;
mod bad_input;
mod curl;
mod direct;
mod doors;
mod edge;
mod faults;
mod groups;
mod headers;
mod hygiene;
mod joining;
mod lease;
mod linger;
mod native;
mod node;
mod numbers;
mod pages;
mod peer;
mod plain;
mod process;
mod publish;
mod range;
mod resume;
mod slow;
mod stored;
mod timeline;
mod upstream;
