//! What was typed, and what is meant by it.

use std::{error::Error, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use freshet_consumer::{DoorUrl, Fetch, Policy, Start, StreamUrl, Token};
use freshet_player::{DoorPlay, Play, Via, limits};
use freshet_protocol::From;

const AFTER: &str = "\
Programs: mpv, vlc and ffplay are started with the flags that make them show a live byte soonest,
or without them where the stream is shown from its start or an offset.
Anything else is a command that reads the stream from its standard input: --via 'mpv --mute=yes -'.
It is split into words as a shell would, but no shell runs it.

Exit status:
    0  the stream has ended and was shown, or the program was closed
    1  an error
    2  the command line is wrong
    3  bytes that come next in order are gone
    5  there is no such stream
  130  interrupted
  143  told to terminate";

/// Show a stream: its bytes, in order and through any cuts, into a player's standard input.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
pub(crate) struct Args {
    /// The stream: http://HOST:PORT/live/NAME; or at a door: asp://HOST/ID, packets://HOST:PORT/ID or lines://HOST:PORT/ID
    #[arg(value_parser = place)]
    url: Place,
    /// The program that shows it: mpv, vlc, ffplay, or a command
    #[arg(long, value_name = "PROGRAM", required_unless_present = "headless")]
    via: Option<Via>,
    /// Show nothing: count the bytes, and say how old the newest one is when it comes
    #[arg(long, conflicts_with_all = ["via", "buffer_bytes"])]
    headless: bool,
    /// Where to begin: live, start, an offset, or a time (-30s, 2026-11-25T10:00:00Z); a stream that is
    /// complete begins at its start
    #[arg(long, value_name = "WHERE", default_value = "live", allow_hyphen_values = true)]
    #[arg(value_parser = start)]
    from: Start,
    /// Bytes kept in memory for a program that is slower than the network
    #[arg(long, value_name = "BYTES", default_value_t = limits::BUFFER_BYTES)]
    buffer_bytes: usize,
    /// Wait so long for a stream, or a distributor, that is not there yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// The read token; others on this machine can see it here, so better use the file or variable
    #[arg(long, value_name = "TOKEN", env = "FRESHET_READ_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the read token
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Play(Play),
    Door(DoorPlay),
    Headless(Fetch, Policy),
}

/// Where the stream is.
#[derive(Clone, Debug)]
enum Place {
    Stream(StreamUrl),
    Door(DoorUrl),
}

fn place(text: &str) -> Result<Place, Box<dyn Error + Send + Sync>> {
    if DoorUrl::is_meant(text) {
        return Ok(Place::Door(text.parse()?));
    }
    Ok(Place::Stream(text.parse()?))
}

fn start(text: &str) -> Result<Start, String> {
    match text.parse() {
        Ok(From::Live) => Ok(Start::Live),
        Ok(From::Start) => Ok(Start::Beginning),
        Ok(From::Offset(offset)) => Ok(Start::Offset(offset)),
        Ok(from) => Ok(Start::Join(from)),
        Err(()) => Err(format!("expected {}", From::EXPECTED)),
    }
}

impl Args {
    /// Put it together, or say what does not go together.
    pub(crate) fn task(self) -> anyhow::Result<Task> {
        let url = match self.url.clone() {
            Place::Stream(url) => url,
            Place::Door(url) => return Ok(Task::Door(self.door(url)?)),
        };
        let mut fetch = Fetch::new(url);
        fetch.wait = Duration::from_secs(self.wait);
        fetch.token = match (self.token_file, self.token) {
            (Some(path), _) => {
                Some(Token::read(&path).with_context(|| path.display().to_string())?)
            }
            (None, Some(token)) => Some(token.parse()?),
            (None, None) => None,
        };
        let Some(via) = self.via else {
            return match self.from {
                Start::Live => Ok(Task::Headless(fetch, Policy::Newest)),
                Start::Beginning => Ok(Task::Headless(fetch, Policy::All)),
                Start::Offset(_) | Start::Join(_) => {
                    anyhow::bail!("--headless begins at live or start")
                }
            };
        };
        ensure_room(self.buffer_bytes)?;
        let (from, buffer_bytes) = (self.from, self.buffer_bytes);
        Ok(Task::Play(Play { fetch, from, via, buffer_bytes }))
    }

    /// What a door plays; it has its own beginning, and waits for nobody.
    fn door(self, url: DoorUrl) -> anyhow::Result<DoorPlay> {
        let via = self.via.context("a stream at a door is shown --via a program")?;
        let id =
            url.id().context("which stream? its number stands behind the host: asp://HOST/ID")?;
        ensure!(self.wait == 0, "a door knows nothing of --wait");
        ensure!(self.from == Start::Live, "a door knows nothing of --from");
        ensure_room(self.buffer_bytes)?;
        Ok(DoorPlay { url, id, via, buffer_bytes: self.buffer_bytes })
    }
}

fn ensure_room(buffer_bytes: usize) -> anyhow::Result<()> {
    let min = limits::BUFFER_BYTES_MIN;
    ensure!(buffer_bytes >= min, "--buffer-bytes is at least {min}");
    Ok(())
}
