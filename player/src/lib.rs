//! Shows a stream: buffers its bytes and hands them to a player.
//!
//! ```text
//!   distributor ──▶ consumer::Follow ──▶ Buffer ──pipe──▶ mpv, vlc, ffplay, any command
//!                           └──▶ headless: counts, and says how old the newest byte is
//! ```
//!
//! Bounds live in [`mod@limits`], and nowhere else.

pub mod limits;

mod buffer;
mod headless;
mod play;
mod via;

pub use buffer::Buffer;
pub use headless::{Tally, headless};
pub use play::{DoorPlay, Play, PlayEnd, PlayError, Played};
pub use via::{Pace, StartError, Via, ViaError};
