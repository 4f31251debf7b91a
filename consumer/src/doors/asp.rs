//! The client of `asp`: says who it is, and watches.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use freshet_protocol::doors::{
    Entry,
    asp::{self, Command, Refusal, WatchError, WatchReader, Watched},
};

use super::{DoorError, DoorUrl, wire::Talk};

/// What there is.
pub(super) async fn list(url: &DoorUrl) -> Result<Vec<Entry>, DoorError> {
    let mut talk = login(url).await?;
    let answer = ask(&mut talk, Command::List).await?;
    asp::parse_list(&answer).ok_or_else(|| talk.surprise(&answer))
}

/// Delete a video.
pub(super) async fn delete(url: &DoorUrl, id: u64) -> Result<(), DoorError> {
    let mut talk = login(url).await?;
    match ask(&mut talk, Command::Delete(id)).await? {
        answer if answer == asp::DELETED => Ok(()),
        answer if answer == Refusal::NotFound.to_string() => Err(DoorError::NoStream { id }),
        line => Err(DoorError::Refused { line }),
    }
}

/// A video that is being watched.
#[derive(Debug)]
pub(super) struct Video {
    talk: Talk,
    reader: WatchReader,
    is_over: bool,
}

/// Watch a video.
pub(super) async fn play(url: &DoorUrl, id: u64) -> Result<Video, DoorError> {
    let mut talk = login(url).await?;
    let answer = ask(&mut talk, Command::Watch(id)).await?;
    if answer == Refusal::NotFound.to_string() {
        return Err(DoorError::NoStream { id });
    }
    let mut reader = WatchReader::default();
    reader.line(&answer).map_err(|error| refused(&talk, error))?;
    Ok(Video { talk, reader, is_over: false })
}

impl Video {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DoorError> {
        while !self.is_over {
            let line = self.talk.next().await?.ok_or(DoorError::Cut)?;
            match self.reader.line(&line).map_err(|error| refused(&self.talk, error))? {
                Watched::Bytes(bytes) => return Ok(Some(bytes.into())),
                Watched::Completed => self.is_over = true,
                Watched::Started { .. } | Watched::Ending => {}
            }
        }
        Ok(None)
    }
}

async fn ask(talk: &mut Talk, command: Command) -> Result<String, DoorError> {
    talk.say(&command.to_string()).await?;
    talk.answer().await
}

/// A connection that has said who it is: by the name of the URL, or by one that nobody else has.
async fn login(url: &DoorUrl) -> Result<Talk, DoorError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut talk = Talk::connect(url).await?;
    let welcome = talk.answer().await?;
    if welcome != asp::WELCOME {
        return Err(talk.surprise(&welcome));
    }
    let own = || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        format!("freshet-{:x}-{}-{number}", rand_part(), process::id())
    };
    let pseudo = url.pseudo().map_or_else(own, Into::into);
    for (entry, expected) in
        [(pseudo, asp::VALID_PSEUDO), ("consumer@localhost".into(), asp::VALID_EMAIL)]
    {
        talk.say(&entry).await?;
        let line = talk.answer().await?;
        if line != expected {
            return Err(DoorError::Refused { line: format!("{line} ({entry})") });
        }
    }
    Ok(talk)
}

/// Clients on several machines have the same process numbers.
fn rand_part() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    // As many bits as fit beside the numbers.
    (RandomState::new().hash_one(0) & 0xffff) as u16
}

fn refused(talk: &Talk, error: WatchError) -> DoorError {
    match error {
        WatchError::Refused { line } => DoorError::Refused { line },
        WatchError::Unexpected { line } => talk.surprise(&line),
        error => talk.surprise(&error.to_string()),
    }
}
