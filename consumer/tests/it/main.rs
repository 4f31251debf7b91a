//! Black-box tests: real sockets, public API and the command itself, one binary.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod command;
mod fake;
mod file;
mod in_order;
