//! The client of `lines`: commands on one connection, the song's bytes on another.

use std::io;

use bytes::Bytes;
use freshet_protocol::doors::{
    Entry,
    lines::{self, Command, Refusal},
};
use tokio::net::TcpStream;

use super::{
    DoorError, DoorUrl,
    wire::{Talk, connect_to, read},
};

/// What there is.
pub(super) async fn list(url: &DoorUrl) -> Result<Vec<Entry>, DoorError> {
    let mut talk = Talk::connect(url).await?;
    talk.say(&Command::List.to_string()).await?;
    let answer = talk.answer().await?;
    lines::parse_list(&answer).ok_or_else(|| talk.surprise(&answer))
}

/// A song that is being played. The control connection is kept, for the song ends with it.
#[derive(Debug)]
pub(super) struct Song {
    _control: Talk,
    data: TcpStream,
}

/// Play a song.
pub(super) async fn play(url: &DoorUrl, id: u64) -> Result<Song, DoorError> {
    let mut control = Talk::connect(url).await?;
    control.say(&Command::Play(id).to_string()).await?;
    let answer = control.answer().await?;
    let unknown = Refusal::NoSong { given: id.to_string() };
    match lines::parse_port(&answer) {
        Some(port) => Ok(Song { data: connect_to(url, port).await?, _control: control }),
        None if answer == unknown.to_string() => Err(DoorError::NoStream { id }),
        None if answer.starts_with("error ") => Err(DoorError::Refused { line: answer }),
        None => Err(control.surprise(&answer)),
    }
}

impl Song {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DoorError> {
        match read(&mut self.data).await {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => Ok(Some(bytes.freeze())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(DoorError::Cut),
            Err(error) => Err(error.into()),
        }
    }
}
