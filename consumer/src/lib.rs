//! Takes a stream from a distributor: says which bytes it holds, and gets the rest.
//!
//! ```text
//!   Fetch ──open──▶ Follow ──next──▶ Piece, Piece, ...      bytes with their place and age
//!                     │ HEAD, GET, back-off, GET, ...
//!                     ▼
//!                  Assembly: held, offered, missing
//! ```
//!
//! [`Follow`] is all that a program needs which takes a stream by itself; [`to_file`] and
//! [`to_writer`] are what the command does with it: a file with holes that fills, or bytes in order. Bounds live in
//! [`mod@limits`], and nowhere else.

pub mod limits;

mod ages;
mod ask;
mod assemble;
mod backoff;
mod clock;
mod copy;
mod doors;
mod fetch;
mod follow;
mod have_file;
mod head;
mod piece;
mod pipe;
mod progress;
mod request;
mod sink;
mod token;
mod url;
mod verify;

pub use ages::Ages;
pub use assemble::{Assembly, TotalChanged};
pub use clock::ClockOffset;
pub use copy::{CopyError, End, Summary, to_file};
pub use doors::{
    DoorError, DoorScheme, DoorSong, DoorUrl, DoorUrlError, FilmError, GroupMember, GroupMoment,
    GroupMovie, GroupNews, GroupShow, MovieError,
};
pub use fetch::{Deadlines, Fetch, FetchError, Manner, Policy, Resume, Start};
pub use follow::Follow;
pub use have_file::{Have, HaveError};
pub use piece::{Effort, Piece};
pub use pipe::to_writer;
pub use progress::{Aside, Progress};
pub use request::Cut;
pub use sink::{Existing, SinkError};
pub use token::{Token, TokenError};
pub use url::{StreamUrl, UrlError};
pub use verify::{VerifyError, digest_of_file, verify};
