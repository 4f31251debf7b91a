//! A door, by its prompt or by a script: the old clients' commands, and where their songs go.
//!
//! ```text
//!   l, list      what there is                 s, stop   no more of what plays
//!   p N, play N  stream N, into its file       q, quit   that was all
//! ```
//!
//! On a terminal a stream plays beside the prompt; in a script it plays to its end before the next line is
//! read.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context;
use freshet_consumer::{DoorError, DoorUrl};
use freshet_protocol::doors::Entry;
use tokio::{
    fs::OpenOptions,
    io::{AsyncWrite, AsyncWriteExt},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{console::Console, run::Status};

const HELP: &str = "\
l, list            what there is
p N, play N        play stream N into its file (watch N is the same)
s, stop            stop it
d N, delete N      delete stream N, where the door allows it
q, quit            leave";

/// A door, and where what it plays goes.
#[derive(Clone, Debug)]
pub(crate) struct DoorTask {
    pub(crate) url: DoorUrl,
    /// Standard output is `-`; by the stream's name where there is none.
    pub(crate) output: Option<PathBuf>,
    /// May a file be overwritten that is there already, and was not named?
    pub(crate) replaces: bool,
}

/// Play the stream that the URL names, or do as is said.
pub(crate) async fn run(task: DoorTask, shutdown: &CancellationToken) -> anyhow::Result<Status> {
    let Some(id) = task.url.id() else { return converse(task, shutdown).await };
    match save(task, id, shutdown.clone()).await? {
        Some(told) => {
            eprintln!("{told}");
            Ok(Status::Done)
        }
        None => Ok(Status::Interrupted),
    }
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    List,
    Play(u64),
    Stop,
    Delete(u64),
    Help,
    Quit,
    Nothing,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (verb, rest) = (words.next().unwrap_or_default().to_lowercase(), words.next());
        let number = || {
            let number = rest.and_then(|word| word.parse().ok());
            number.ok_or_else(|| format!("{verb} what? Its number is in the list"))
        };
        match verb.as_str() {
            "" => Ok(Self::Nothing),
            "l" | "list" => Ok(Self::List),
            "p" | "play" | "w" | "watch" => Ok(Self::Play(number()?)),
            "s" | "stop" => Ok(Self::Stop),
            "d" | "delete" => Ok(Self::Delete(number()?)),
            "h" | "help" | "?" => Ok(Self::Help),
            "q" | "quit" | "exit" => Ok(Self::Quit),
            _ => Err(format!("{verb} is no command; help lists them")),
        }
    }
}

/// What is being played, and how it ended.
type Playing = JoinSet<anyhow::Result<Option<String>>>;

async fn converse(task: DoorTask, shutdown: &CancellationToken) -> anyhow::Result<Status> {
    let mut console = Console::open(&format!("{}> ", task.url.scheme()))?;
    if console.is_terminal() {
        console.tell(HELP);
    }
    let mut talk =
        Talk { task, playing: JoinSet::new(), stop: shutdown.child_token(), failed: false };
    loop {
        let line = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(Status::Interrupted),
            Some(ended) = talk.playing.join_next() => {
                talk.note(&mut console, ended.context("playing failed").flatten());
                continue;
            }
            line = console.next() => line?,
        };
        let command = line.as_deref().map_or(Ok(Command::Quit), str::parse);
        match command {
            Ok(Command::Quit) => break,
            Ok(command) => {
                if let Err(error) = talk.carry_out(&mut console, command).await {
                    talk.note(&mut console, Err(error));
                }
                if !console.is_terminal() {
                    talk.wait(&mut console, shutdown).await;
                }
            }
            Err(error) => talk.note(&mut console, Err(anyhow::anyhow!(error))),
        }
    }
    talk.end(&mut console).await;
    // Somebody who types has seen it.
    Ok(if talk.failed && !console.is_terminal() { Status::Failed } else { Status::Done })
}

struct Talk {
    task: DoorTask,
    playing: Playing,
    stop: CancellationToken,
    failed: bool,
}

impl Talk {
    async fn carry_out(&mut self, console: &mut Console, command: Command) -> anyhow::Result<()> {
        match command {
            Command::List => show(&self.task, &self.task.url.list().await?)?,
            Command::Play(id) => {
                self.end(console).await;
                self.stop = CancellationToken::new();
                self.playing.spawn(save(self.task.clone(), id, self.stop.clone()));
            }
            Command::Stop => self.end(console).await,
            Command::Delete(id) => {
                self.task.url.delete(id).await?;
                console.tell(&format!("{id} is deleted"));
            }
            Command::Help => console.tell(HELP),
            Command::Quit | Command::Nothing => {}
        }
        Ok(())
    }

    /// Wait for the end of what plays.
    async fn wait(&mut self, console: &mut Console, shutdown: &CancellationToken) {
        while let Some(Some(ended)) = shutdown.run_until_cancelled(self.playing.join_next()).await {
            self.note(console, ended.context("playing failed").flatten());
        }
    }

    /// End what plays.
    async fn end(&mut self, console: &mut Console) {
        self.stop.cancel();
        while let Some(ended) = self.playing.join_next().await {
            self.note(console, ended.context("playing failed").flatten());
        }
    }

    fn note(&mut self, console: &mut Console, ended: anyhow::Result<Option<String>>) {
        match ended {
            Ok(Some(told)) => console.tell(&told),
            Ok(None) => console.tell("stopped"),
            Err(error) => {
                self.failed = true;
                console.tell(&format!("{error:#}"));
            }
        }
    }
}

/// Print the list: on standard output, unless the streams themselves go there.
fn show(task: &DoorTask, entries: &[Entry]) -> io::Result<()> {
    let line = |entry: &Entry| {
        let line = format!("{:>4}  {}  {}", entry.id, entry.title, entry.description);
        format!("{}\n", line.trim_end())
    };
    let text: String = entries.iter().map(line).collect();
    match &task.output {
        Some(output) if output == Path::new("-") => io::stderr().write_all(text.as_bytes()),
        _ => io::stdout().write_all(text.as_bytes()),
    }
}

/// Play a stream into where it goes; what there is to say of it, or nothing where it was stopped.
async fn save(task: DoorTask, id: u64, stop: CancellationToken) -> anyhow::Result<Option<String>> {
    let saved = stop.run_until_cancelled(async {
        let (name, mut out) = output(&task, id).await?;
        let bytes = pour(&task.url, id, out.as_mut()).await;
        let bytes = bytes.with_context(|| format!("cannot play stream {id} to its end"))?;
        Ok(format!("complete: {bytes} bytes into {name}"))
    });
    saved.await.transpose()
}

/// Where the stream goes, and what that is called.
async fn output(
    task: &DoorTask,
    id: u64,
) -> anyhow::Result<(String, Box<dyn AsyncWrite + Send + Unpin>)> {
    let (path, is_named) = match &task.output {
        Some(path) if path == Path::new("-") => {
            return Ok(("standard output".into(), Box::new(tokio::io::stdout())));
        }
        Some(path) => (path.clone(), true),
        None => {
            let entries = task.url.list().await?;
            let entry = entries.iter().find(|entry| entry.id == id);
            (file_name(entry.ok_or(DoorError::NoStream { id })?).into(), false)
        }
    };
    let mut options = OpenOptions::new();
    // A name that comes from the network takes nothing away from anybody.
    match is_named || task.replaces {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let name = path.display().to_string();
    let file = options.open(&path).await;
    let file = file.with_context(|| format!("cannot write {name}; -o names another file"))?;
    Ok((name, Box::new(file)))
}

/// The last part of the title, if a file may be called so in the folder that we are in.
fn file_name(entry: &Entry) -> String {
    let last = entry.title.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = !last.is_empty() && !last.starts_with('.') && !last.contains(char::is_control);
    if is_plain { last.into() } else { format!("stream-{}", entry.id) }
}

async fn pour(
    url: &DoorUrl,
    id: u64,
    out: &mut (dyn AsyncWrite + Send + Unpin),
) -> anyhow::Result<u64> {
    let (mut song, mut count) = (url.play(id).await?, 0);
    while let Some(bytes) = song.next().await? {
        out.write_all(&bytes).await?;
        count += bytes.len() as u64;
    }
    out.flush().await?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_commands_and_their_short_forms_are_known() {
        for (line, command) in [
            ("l", Command::List),
            ("LIST", Command::List),
            (" p 7 ", Command::Play(7)),
            ("watch 7", Command::Play(7)),
            ("s", Command::Stop),
            ("q", Command::Quit),
            ("", Command::Nothing),
        ] {
            assert_eq!(line.parse(), Ok(command), "{line}");
        }
        for line in ["p", "play it", "dance"] {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_title_becomes_no_path() {
        for (title, name) in [
            ("music/a.mp3", "a.mp3"),
            ("../../etc/passwd", "passwd"),
            ("..", "stream-3"),
            (".bashrc", "stream-3"),
            ("a\\..\\b", "b"),
            ("", "stream-3"),
            ("x/", "stream-3"),
        ] {
            let entry = Entry { id: 3, title: title.into(), description: String::new() };
            assert_eq!(file_name(&entry), name, "{title}");
        }
    }
}
