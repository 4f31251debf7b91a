//! Clients of the doors: `asp://`, `packets://`, `lines://` and `group://`, as `docs/doors.md` has them.
//!
//! ```text
//!   DoorUrl ──list──▶ entries
//!           ──play──▶ Song ──next──▶ bytes, bytes, ..., the end or a cut
//! ```
//!
//! Each question and each song has a connection of its own: a list never waits for a song, and dropping a
//! song is all that it takes to stop it.

mod asp;
mod groups;
mod lines;
mod packets;
mod url;
mod wire;

use std::io;

use bytes::Bytes;
use freshet_protocol::doors::Entry;

pub use groups::{
    FilmError, GroupMember, GroupMoment, GroupMovie, GroupNews, GroupShow, MovieError,
};
pub use url::{DoorScheme, DoorUrl, DoorUrlError};

/// Why a door does not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// Nobody is there.
    #[error("cannot connect to {url}")]
    Connect {
        /// Where.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// No answer within the deadline, or the connection ended in place of one.
    #[error("no answer")]
    NoAnswer,
    /// There is no stream of that number.
    #[error("there is no stream {id}")]
    NoStream {
        /// The number.
        id: u64,
    },
    /// The door says no.
    #[error("the door says: {line}")]
    Refused {
        /// In its own words.
        line: String,
    },
    /// What it says is not of the protocol: perhaps another one is spoken there.
    #[error("that is not {scheme}: {what}")]
    Protocol {
        /// The protocol.
        scheme: DoorScheme,
        /// What came.
        what: String,
    },
    /// The stream broke off before its end.
    #[error("the stream broke off before its end")]
    Cut,
    /// The connection is lost.
    #[error("the connection is lost")]
    Lost(#[from] io::Error),
}

/// A stream that is being played: its bytes in order.
#[derive(Debug)]
pub struct DoorSong(Song);

#[derive(Debug)]
enum Song {
    Asp(Box<asp::Video>),
    Packets(Box<packets::Song>),
    Lines(lines::Song),
}

impl DoorUrl {
    /// What there is.
    ///
    /// # Errors
    ///
    /// The door is not there, or does not speak the protocol.
    pub async fn list(&self) -> Result<Vec<Entry>, DoorError> {
        match self.scheme() {
            DoorScheme::Asp => asp::list(self).await,
            DoorScheme::Packets => packets::list(self).await,
            DoorScheme::Lines => lines::list(self).await,
            DoorScheme::Group => Err(of_group()),
        }
    }

    /// Play the stream of that number. Dropping the song stops it.
    ///
    /// # Errors
    ///
    /// Likewise; or there is no such stream.
    pub async fn play(&self, id: u64) -> Result<DoorSong, DoorError> {
        Ok(DoorSong(match self.scheme() {
            DoorScheme::Asp => Song::Asp(Box::new(asp::play(self, id).await?)),
            DoorScheme::Packets => Song::Packets(Box::new(packets::play(self, id).await?)),
            DoorScheme::Lines => Song::Lines(lines::play(self, id).await?),
            DoorScheme::Group => return Err(of_group()),
        }))
    }

    /// Delete the stream of that number, where the protocol can and the door allows it.
    ///
    /// # Errors
    ///
    /// It cannot, or does not.
    pub async fn delete(&self, id: u64) -> Result<(), DoorError> {
        match self.scheme() {
            DoorScheme::Asp => asp::delete(self, id).await,
            scheme => Err(DoorError::Refused { line: format!("{scheme} cannot delete") }),
        }
    }
}

/// A group has no stream for one alone.
fn of_group() -> DoorError {
    DoorError::Refused {
        line: "a movie of a group is played by its members, see GroupMember".into(),
    }
}

impl DoorSong {
    /// The next bytes; `None` at the stream's end. Cancel safe.
    ///
    /// # Errors
    ///
    /// The stream breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DoorError> {
        match &mut self.0 {
            Song::Asp(video) => video.next().await,
            Song::Packets(song) => song.next().await,
            Song::Lines(song) => song.next().await,
        }
    }
}
