//! What was typed, and what is meant by it.

use std::{error::Error, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use freshet_consumer::{DoorScheme, DoorUrl, Fetch, Policy, Start, StreamUrl, Token};
use freshet_player::{DoorPlay, GroupPlay, Latency, Play, Via, Watch, limits};
use freshet_protocol::From;

const AFTER: &str = "\
Decoded here are H.264, AAC-LC, MP3, Opus, Vorbis, FLAC and PCM, in fragmented MP4, MPEG-TS, Matroska, WebM, Ogg,
FLAC, WAV, MP3 and ADTS. Where there is no display they are decoded all the same, and the figures are printed
once a second. Sound needs a PulseAudio or
PipeWire server.

Keys: space pauses and goes on, left and right go 10 s back and forward, l goes to the live edge, m is
silent, f is full screen, i shows the figures, q quits.

Programs: mpv, vlc and ffplay are started with the flags that make them show a live byte soonest,
or without them where the stream is shown from its start or an offset.
Anything else is a command that reads the stream from its standard input: --via 'mpv --mute=yes -'.
It is split into words as a shell would, but no shell runs it.

Exit status:
    0  the stream has ended and was shown, or the window or the program was closed
    1  an error
    2  the command line is wrong
    3  bytes that come next in order are gone
    5  there is no such stream
  130  interrupted
  143  told to terminate";

/// Show a stream, live or from any time that is kept: in a window, headless, or through another player.
#[derive(Debug, Parser)]
#[command(name = "player", version, after_help = AFTER)]
pub(crate) struct Args {
    /// The stream: http://HOST:PORT/live/NAME; or at a door: asp://HOST/ID, packets://HOST:PORT/ID or lines://HOST:PORT/ID; or a group's movie: group://HOST:PORT
    #[arg(value_parser = place)]
    url: Place,
    /// The program that shows it: mpv, vlc, ffplay, or a command [default: it is decoded here]
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["headless", "latency", "policy", "stats"])]
    via: Option<Via>,
    /// Show nothing: decode the pictures, and say how old they are when they are due; of what cannot be
    /// decoded, count the bytes, and say how old the newest one is when it comes
    #[arg(long)]
    headless: bool,
    /// How long pictures wait beyond the fastest of them, so that slower ones are in time: milliseconds, or
    /// auto, which is what the measured jitter makes necessary
    #[arg(long, value_name = "MS", default_value_t = Latency::Auto)]
    latency: Latency,
    /// On a link that is too slow: newest leaves out what would come too late, all shows everything, later and
    /// later
    #[arg(long, value_name = "WHICH", default_value = "newest", value_parser = policy)]
    policy: Policy,
    /// Write a line of JSON for each picture to this file: when it was captured, received, decoded, shown
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// Where to begin: live, start, an offset, or a time (-30s, 2026-11-25T10:00:00Z); a stream that is
    /// complete begins at its start
    #[arg(long, value_name = "WHERE", default_value = "live", allow_hyphen_values = true)]
    #[arg(value_parser = from)]
    from: From,
    /// Bytes kept in memory for a program that is slower than the network
    #[arg(long, value_name = "BYTES", default_value_t = limits::BUFFER_BYTES)]
    #[arg(conflicts_with = "headless")]
    buffer_bytes: usize,
    /// Wait so long for a stream, or a distributor, that is not there yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// group://: the distributor over HTTP, for what is lost on the way [default: port 8080 of the host]
    #[arg(long, value_name = "URL")]
    http: Option<String>,
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
    Group(GroupPlay),
    Watch(Watch, On),
}

/// Where pictures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Window,
    Nothing,
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

fn from(text: &str) -> Result<From, String> {
    text.parse().map_err(|()| format!("expected {}", From::EXPECTED))
}

fn policy(text: &str) -> Result<Policy, String> {
    match text {
        "newest" => Ok(Policy::Newest),
        "all" => Ok(Policy::All),
        _ => Err("expected newest or all".into()),
    }
}

/// Where another program begins: live is what comes from now on.
const fn start(from: From) -> Start {
    match from {
        From::Live => Start::Live,
        From::Start => Start::Beginning,
        From::Offset(offset) => Start::Offset(offset),
        from => Start::Join(from),
    }
}

impl Args {
    /// Put it together, or say what does not go together.
    pub(crate) fn task(self) -> anyhow::Result<Task> {
        let url = match self.url.clone() {
            Place::Stream(url) => url,
            Place::Door(url) if url.scheme() == DoorScheme::Group => {
                return Ok(Task::Group(self.group(url)?));
            }
            Place::Door(url) => return Ok(Task::Door(self.door(url)?)),
        };
        ensure!(self.http.is_none(), "--http is for group://");
        let mut fetch = Fetch::new(url);
        fetch.wait = Duration::from_secs(self.wait);
        fetch.token = self.read_token()?;
        let Some(via) = self.via else {
            let Self { from, policy, latency, stats, .. } = self;
            let on = if self.headless { On::Nothing } else { On::Window };
            let sound = !self.headless;
            return Ok(Task::Watch(Watch { fetch, from, policy, latency, stats, sound }, on));
        };
        ensure_room(self.buffer_bytes)?;
        let (from, buffer_bytes) = (start(self.from), self.buffer_bytes);
        Ok(Task::Play(Play { fetch, from, via, buffer_bytes }))
    }

    fn read_token(&self) -> anyhow::Result<Option<Token>> {
        Ok(match (&self.token_file, &self.token) {
            (Some(path), _) => Some(Token::read(path).with_context(|| path.display().to_string())?),
            (None, Some(token)) => Some(token.parse()?),
            (None, None) => None,
        })
    }

    /// What a group plays: where it is, and how fast it goes, is the group's affair.
    fn group(self, url: DoorUrl) -> anyhow::Result<GroupPlay> {
        ensure!(url.id().is_none(), "a group's movie is chosen by its leader: leave /ID away");
        ensure!(self.wait == 0, "a group knows nothing of --wait");
        ensure!(self.from == From::Live, "a group knows nothing of --from");
        ensure_room(self.buffer_bytes)?;
        let token = self.read_token()?;
        let via = self.via.context("a group's movie is shown --via a program")?;
        let http = self.http.unwrap_or_else(|| url.http());
        Ok(GroupPlay { url, http, token, via, buffer_bytes: self.buffer_bytes })
    }

    /// What a door plays; it has its own beginning, and waits for nobody.
    fn door(self, url: DoorUrl) -> anyhow::Result<DoorPlay> {
        let via = self.via.context("a stream at a door is shown --via a program")?;
        let id =
            url.id().context("which stream? its number stands behind the host: asp://HOST/ID")?;
        ensure!(self.wait == 0, "a door knows nothing of --wait");
        ensure!(self.http.is_none(), "--http is for group://");
        ensure!(self.from == From::Live, "a door knows nothing of --from");
        ensure_room(self.buffer_bytes)?;
        Ok(DoorPlay { url, id, via, buffer_bytes: self.buffer_bytes })
    }
}

fn ensure_room(buffer_bytes: usize) -> anyhow::Result<()> {
    let min = limits::BUFFER_BYTES_MIN;
    ensure!(buffer_bytes >= min, "--buffer-bytes is at least {min}");
    Ok(())
}
