//! Shows a stream: decodes it and shows its pictures, or hands its bytes to another player.
//!
//! ```text
//!   distributor ──▶ consumer::Follow ──▶ Watch: Media ──▶ pictures ──▶ a window, or none
//!                           ├──▶ Buffer ──pipe──▶ mpv, vlc, ffplay, any command
//!                           └──▶ headless: counts, and says how old the newest byte is
//! ```
//!
//! Bounds live in [`mod@limits`], and nowhere else.

pub mod limits;

mod buffer;
mod demux;
mod headless;
mod media;
mod picture;
mod play;
mod sound;
mod via;
mod watch;

pub use buffer::Buffer;
pub use demux::{DemuxError, Mp4Error};
pub use headless::{Tally, headless};
pub use media::{Decoded, Media, MediaError};
pub use picture::{Arrival, Picture, PictureError};
pub use play::{DoorPlay, GroupPlay, Play, PlayEnd, PlayError, Played};
pub use sound::Sound;
pub use via::{Pace, StartError, Via, ViaError};
pub use watch::{
    Back, Command, Figures, Frame, Latency, LatencyError, Screen, Seen, Stage, Watch, WatchError,
    Window, WindowError,
};
