//! A group, by its prompt or by a script: its commands, and where its movie goes.
//!
//! ```text
//!   l, list      what there is                     pause, resume
//!   p N, play N  choose movie N, and begin         ready, who
//!   c N          choose it                         s, start      begin
//! ```
//!
//! The movie goes into its file as it comes, or to standard output at the time that the group plays it. At
//! the end of a script the movie is waited for.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use freshet_consumer::{
    DoorUrl, GroupMember, GroupMoment, GroupMovie, GroupNews, StreamUrl, Token,
};
use freshet_protocol::doors::groups::{Event, Phase, State};
use tokio_util::sync::CancellationToken;

use crate::{
    console::Console,
    orders::{Command, HELP},
    run::Status,
};

/// A group, and where its movie goes.
#[derive(Clone, Debug)]
pub(crate) struct GroupTask {
    pub(crate) url: DoorUrl,
    pub(crate) leads: bool,
    pub(crate) interval: u32,
    /// The distributor over HTTP.
    pub(crate) http: String,
    pub(crate) token: Option<Token>,
    /// Standard output is `-`; by the movie's name where there is none.
    pub(crate) output: Option<PathBuf>,
    /// May a file be overwritten that is there already, and was not named?
    pub(crate) replaces: bool,
}

/// Take part until the movie is here, or the group or the user has had enough.
pub(crate) async fn run(task: GroupTask, shutdown: &CancellationToken) -> anyhow::Result<Status> {
    let joined = async {
        match task.leads {
            true => GroupMember::lead(&task.url, task.interval).await,
            false => GroupMember::join(&task.url, task.interval).await,
        }
    };
    let Some(member) = shutdown.run_until_cancelled(joined).await else {
        return Ok(Status::Interrupted);
    };
    let member = member.with_context(|| format!("cannot join {}", task.url))?;
    let mut console = Console::open("group> ")?;
    if member.leads() {
        console.tell(&format!("you lead group://{}", member.group()));
    }
    if console.is_terminal() {
        console.tell(HELP);
    }
    let files = task.clone();
    let create = move |url: &StreamUrl| files.create(url);
    let movie = GroupMovie::new(member, &task.http, task.token.clone(), create);
    let mut watch = Watch::new(task, movie, console);
    let status = watch.run(shutdown).await;
    watch.movie.member().leave();
    status
}

impl GroupTask {
    /// Does the movie go to standard output, as it is played?
    fn is_live(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// Where the movie goes, and whether somebody has said so.
    fn place(&self, url: &StreamUrl) -> (PathBuf, bool) {
        match &self.output {
            Some(path) => (path.clone(), true),
            None => (PathBuf::from(url.last_segment()), false),
        }
    }

    fn create(&self, url: &StreamUrl) -> io::Result<File> {
        if self.is_live() {
            return tempfile::tempfile();
        }
        let (path, is_named) = self.place(url);
        let mut options = File::options();
        // A name that comes from the network takes nothing away from anybody.
        match is_named || self.replaces {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        options.read(true).write(true).open(&path).map_err(|error| {
            let name = path.display();
            let told = format!("cannot write {name}: {error}; -o names another file");
            io::Error::new(error.kind(), told)
        })
    }
}

struct Watch {
    task: GroupTask,
    movie: GroupMovie,
    console: Console,
    others: BTreeMap<u32, Event>,
    /// What was told of the group.
    told: Option<State>,
    script_is_over: bool,
}

impl Watch {
    fn new(task: GroupTask, movie: GroupMovie, console: Console) -> Self {
        let (others, told, script_is_over) = (BTreeMap::new(), None, false);
        Self { task, movie, console, others, told, script_is_over }
    }

    async fn run(&mut self, shutdown: &CancellationToken) -> anyhow::Result<Status> {
        loop {
            // In any order: a movie that comes fast does not keep us from listening to the user.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(Status::Interrupted),
                moment = self.movie.next() => self.take(moment?)?,
                line = self.console.next(), if !self.script_is_over => match line? {
                    Some(line) => {
                        if self.carry_out(&line) {
                            return Ok(Status::Done);
                        }
                    }
                    None => self.script_is_over = true,
                },
            }
            if let Some(told) = self.finished() {
                self.console.tell(&told);
                return Ok(Status::Done);
            }
        }
    }

    fn take(&mut self, moment: GroupMoment) -> anyhow::Result<()> {
        match moment {
            GroupMoment::Told(GroupNews::Presence { member, event }) => {
                self.others.insert(member, event);
                self.console.tell(&format!("member {member} {}", name_of(event)));
            }
            GroupMoment::Told(GroupNews::State(state)) => self.tell(state),
            GroupMoment::Begins => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let at = self.movie.at();
                self.console.tell(&format!("plays from byte {at} at {} us", now.as_micros()));
            }
            GroupMoment::Passed if self.task.is_live() => {
                let bytes = self.movie.play().context("cannot read the movie")?;
                io::stdout().write_all(&bytes).context("cannot write")?;
            }
            GroupMoment::Gone => bail!("the group is gone"),
            _ => {}
        }
        Ok(())
    }

    /// Say what is another movie, or a pause.
    fn tell(&mut self, state: State) {
        let before = self.told.replace(state);
        if before.map_or(0, |before| before.movie) != state.movie {
            let name = self.movie.movies().get(&state.movie).cloned().unwrap_or_default();
            self.console.tell(&format!("movie {}: {name}", state.movie));
        }
        let was_paused = before.is_some_and(|before| before.phase == Phase::Paused);
        if state.phase == Phase::Paused && !was_paused {
            self.console.tell(&format!("paused at byte {}", state.position));
        }
    }

    /// What there is to say when the movie is here, and was played where that is what is wanted.
    fn finished(&self) -> Option<String> {
        let (url, bytes, fetched) = self.movie.whole()?;
        let name = match self.task.is_live() {
            true if self.movie.at() < bytes => return None,
            true => "standard output".into(),
            false => self.task.place(url).0.display().to_string(),
        };
        Some(format!("complete: {bytes} bytes into {name}, {fetched} of them over HTTP"))
    }

    /// Do what a line says; true where that is to leave.
    fn carry_out(&mut self, line: &str) -> bool {
        match line.parse() {
            Ok(Command::List) => self.list(),
            Ok(Command::Choose(movie)) => self.movie.member().choose(movie),
            Ok(Command::Start) => self.movie.member().start(),
            Ok(Command::Play(movie)) => {
                self.movie.member().choose(movie);
                self.movie.member().start();
            }
            Ok(Command::Pause) => self.movie.member().pause(),
            Ok(Command::Resume) => self.movie.member().resume(),
            Ok(Command::Ready) => self.movie.member().ready(),
            Ok(Command::Who) => self.who(),
            Ok(Command::Help) => self.console.tell(HELP),
            Ok(Command::Quit) => return true,
            Ok(Command::Nothing) => {}
            Err(error) => self.console.tell(&error),
        }
        false
    }

    fn list(&mut self) {
        let lines: Vec<_> =
            self.movie.movies().iter().map(|(id, name)| format!("{id:>4}  {name}")).collect();
        self.console.tell(&lines.join("\n"));
    }

    fn who(&mut self) {
        let us = self.movie.state().map_or(0, |state| state.member);
        let here = self.others.iter().filter(|(_, event)| **event == Event::Joined);
        let others: Vec<_> = here.map(|(member, _)| member.to_string()).collect();
        self.console.tell(&format!("you are member {us}; here are {}", others.join(", ")));
    }
}

fn name_of(event: Event) -> &'static str {
    match event {
        Event::Joined => "joined",
        Event::Left => "left",
        Event::Lost => "lost",
    }
}
