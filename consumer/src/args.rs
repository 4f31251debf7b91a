//! What was typed, and what is meant by it.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use freshet_consumer::{
    DoorScheme, DoorUrl, Existing, Fetch, Manner, Policy, Start, StreamUrl, Token,
};
use freshet_protocol::From;

use crate::{group::GroupTask, prompt::DoorTask};

const AFTER: &str = "\
Exit status:
    0  the stream is complete, and so is the copy (and, with --verify, it is the origin's);
       or whoever read the output has had enough
    1  an error
    2  the command line is wrong
    3  the stream is complete, the copy has holes: those bytes cannot be had (any more)
    4  with --verify: the digest differs, or there is none to compare with
    5  there is no such stream
    6  the stream is another one than the one that the file has bytes of
  130  interrupted; start it again to go on
  143  told to terminate; start it again to go on

At a door (asp://, packets://, lines:// or group://) there is a prompt; when standard input is no terminal its lines
are the commands, and each stream is played to its end. With /ID behind the port that stream is played. FILE
is written from its beginning.

FILE fills in place. FILE.have beside it says what it has, and stays there when the copy is complete:
a later start then finds nothing to do. It may be deleted with the file, not without it.";

/// Take a stream from a distributor into a file, or in order to standard output.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
pub(crate) struct Args {
    /// The stream: http://HOST:PORT/live/NAME; or a door: asp://HOST, packets://HOST:PORT or lines://HOST:PORT, and /ID for one stream; or a group: group://HOST:PORT
    #[arg(value_parser = place)]
    url: Place,
    /// Fill this file, or write the bytes in order to standard output (-)
    /// [default: the last segment of the stream's name, in this folder]
    #[arg(short, long, value_name = "FILE|-")]
    output: Option<PathBuf>,
    /// Which bytes: a complete copy, the newest first; or from the live edge on, and never mind gaps
    #[arg(long, value_enum, default_value_t = Want::All)]
    policy: Want,
    /// With -o -: begin as a player does, after the container's header, where there is one, at the join
    /// point of `live`, or at or before a time: -30s before the newest byte, or 2026-11-25T10:00:00Z;
    /// or, without a header, at `start` or an offset
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, value_parser = start)]
    from: Option<Start>,
    /// Ask again and again for one part each, where something on the way holds long replies back
    #[arg(long)]
    poll: bool,
    /// When the stream is complete, compare the copy's SHA-256 with the distributor's
    #[arg(long)]
    verify: bool,
    /// Empty the file if it is something else than a part of this stream, or when the stream becomes another
    /// one, and begin anew
    #[arg(long)]
    replace: bool,
    /// Wait so long for a stream, or a distributor, that is not there yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Once begun, give up after so long without a word from the distributor [default: never]
    #[arg(long, value_name = "SECONDS")]
    give_up: Option<u64>,
    /// The read token; others on this machine can see it here, so better use the file or variable
    #[arg(long, value_name = "TOKEN", env = "FRESHET_READ_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the read token
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// group://: begin a group at the door, and lead it; without it the one at that port is joined
    #[arg(long)]
    lead: bool,
    /// group://: time between two packets of the movie; the largest that a member wants is in force
    /// [default: the distributor's]
    #[arg(long, value_name = "MILLISECONDS")]
    interval: Option<u32>,
    /// group://: the distributor over HTTP, for what is lost on the way [default: port 8080 of the host]
    #[arg(long, value_name = "URL")]
    http: Option<String>,
}

/// Where bytes are to be had.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Want {
    All,
    Newest,
}

fn start(text: &str) -> Result<Start, String> {
    match text.parse() {
        Ok(From::Start) => Ok(Start::Beginning),
        Ok(From::Offset(offset)) => Ok(Start::Offset(offset)),
        Ok(from) => Ok(Start::Join(from)),
        Err(()) => Err(format!("expected {}", From::EXPECTED)),
    }
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Stream(Box<StreamTask>),
    Door(DoorTask),
    Group(Box<GroupTask>),
}

/// A stream, and where it goes.
#[derive(Debug)]
pub(crate) struct StreamTask {
    pub(crate) fetch: Fetch,
    pub(crate) output: Output,
    pub(crate) verify: bool,
}

/// Where the bytes go.
#[derive(Debug)]
pub(crate) enum Output {
    File { path: PathBuf, manner: Manner, existing: Existing },
    Stdout { start: Start },
}

impl Args {
    /// Put it together, or say what does not go together.
    pub(crate) fn task(self) -> anyhow::Result<Task> {
        let url = match self.url.clone() {
            Place::Stream(url) => url,
            Place::Door(url) if url.scheme() == DoorScheme::Group => {
                return Ok(Task::Group(Box::new(self.group_task(url)?)));
            }
            Place::Door(url) => return Ok(Task::Door(self.door_task(url)?)),
        };
        let output = self.output(&url);
        match &output {
            Output::File { .. } if self.from.is_some() => {
                bail!("--from is about bytes in order (-o -); a file has all of them")
            }
            Output::Stdout { .. } if self.from.is_some() && self.policy == Want::Newest => {
                bail!("--policy newest says where to begin, and so does --from")
            }
            Output::Stdout { start } if self.verify && *start != Start::Beginning => {
                bail!("--verify compares a complete copy, and this one begins later")
            }
            Output::Stdout { .. } if self.poll => {
                bail!("--poll brings the newest bytes first; -o - needs them in order")
            }
            Output::Stdout { .. } if self.replace => {
                bail!("--replace is about a file, -o - has none")
            }
            _ if self.verify && self.policy == Want::Newest => {
                bail!("--verify compares a complete copy, --policy newest makes none")
            }
            _ => {}
        }
        let mut fetch = Fetch::new(url);
        fetch.wait = Duration::from_secs(self.wait);
        fetch.give_up = self.give_up.map(Duration::from_secs);
        fetch.token = read_token(self.token_file.as_deref(), self.token.as_deref())?;
        Ok(Task::Stream(Box::new(StreamTask { fetch, output, verify: self.verify })))
    }

    fn group_task(self, url: DoorUrl) -> anyhow::Result<GroupTask> {
        if self.policy == Want::Newest || self.poll || self.verify || self.from.is_some() {
            bail!("a group knows nothing of --policy, --from, --poll and --verify")
        }
        if url.id().is_some() {
            bail!("a group chooses its movie when it is there: play N")
        }
        let token = read_token(self.token_file.as_deref(), self.token.as_deref())?;
        let http = self.http.unwrap_or_else(|| url.http());
        let (leads, interval) = (self.lead, self.interval.unwrap_or(0));
        let (output, replaces) = (self.output, self.replace);
        Ok(GroupTask { url, leads, interval, http, token, output, replaces })
    }

    fn door_task(self, url: DoorUrl) -> anyhow::Result<DoorTask> {
        let is_patient = self.wait > 0 || self.give_up.is_some();
        let begins = self.from.is_some();
        if self.policy == Want::Newest || self.poll || self.verify || is_patient || begins {
            bail!(
                "a door knows nothing of --policy, --from, --poll, --verify, --wait and --give-up"
            )
        }
        Ok(DoorTask { url, output: self.output, replaces: self.replace })
    }

    fn output(&self, url: &StreamUrl) -> Output {
        let policy = match self.policy {
            Want::All => Policy::All,
            Want::Newest => Policy::Newest,
        };
        let path = self.output.clone().unwrap_or_else(|| url.last_segment().into());
        if path.as_os_str() == "-" {
            let default = if policy == Policy::All { Start::Beginning } else { Start::Live };
            return Output::Stdout { start: self.from.unwrap_or(default) };
        }
        let manner =
            if self.poll { Manner::Poll(policy) } else { Manner::Continuous(policy.backfill()) };
        let existing = if self.replace { Existing::Replace } else { Existing::Keep };
        Output::File { path, manner, existing }
    }
}

fn read_token(file: Option<&Path>, given: Option<&str>) -> anyhow::Result<Option<Token>> {
    match (file, given) {
        (Some(path), _) => Ok(Some(Token::read(path).with_context(|| path.display().to_string())?)),
        (None, Some(token)) => Ok(Some(token.parse()?)),
        (None, None) => Ok(None),
    }
}
