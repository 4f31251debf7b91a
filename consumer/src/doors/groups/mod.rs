//! The client of `group`: a member of a group over UDP, its movie, and how it keeps up.

mod clock;
mod film;
mod head;
mod member;
mod pace;
mod receipt;
mod show;

pub use film::{FilmError, GroupFilm};
pub use head::GroupHead;
pub use member::{GroupMember, GroupNews};
pub use pace::Pace;
pub use show::{GroupShow, ShowError};
