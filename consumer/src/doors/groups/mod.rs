//! The client of `group`: a member of a group over UDP, its movie, and how it keeps up.

mod clock;
mod film;
mod member;
mod pace;
mod receipt;

pub use film::{FilmError, GroupFilm};
pub use member::{GroupMember, GroupNews};
pub use pace::Pace;
