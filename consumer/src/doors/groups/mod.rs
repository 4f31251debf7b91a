//! The client of `group`: a member of a group over UDP, its movie, and how it keeps up.

mod clock;
mod film;
mod head;
mod member;
mod movie;
mod pace;
mod receipt;
mod show;

pub use film::FilmError;
pub use member::{GroupMember, GroupNews};
pub use movie::{GroupMoment, GroupMovie, MovieError};
pub use show::GroupShow;
