//! The origin against a distributor that it cannot trust: one made here, over real sockets, that
//! cuts, loses replies, refuses and forgets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod capture;
mod command;
mod fake;
mod push;
