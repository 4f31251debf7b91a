//! The doors: protocols of older streaming systems, which a distributor speaks beside HTTP.
//!
//! ```text
//!   asp       lines of text; the video as lines of base64
//!   packets   TYPE<NEXT;>DATA<NEXT;><END;>, 4,096 bytes at most
//!   lines     commands on one connection, the song's bytes on another
//!   groups    one movie for a group, in datagrams over UDP
//! ```
//!
//! Each of them in both directions, pure and, but for datagrams, incremental: bytes go in as the network
//! slices them, and no message is larger in memory than its bound. The texts are normative in `docs/doors.md`.

pub mod asp;
pub mod groups;
pub mod lines;
pub mod packets;

mod line;

pub use line::{LineError, LineReader};

/// One stream, as a door lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the catalogue.
    pub id: u64,
    /// What it is called.
    pub title: String,
    /// What else there is to say of it, where the protocol has room for that.
    pub description: String,
}

/// A number as these protocols write it: decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The first word of what a peer wrote, short and safe to print.
fn word(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.chars().filter(|c| !c.is_control()).take(crate::limits::DOOR_WORD_CHARS_MAX).collect()
}
