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
    future::pending,
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use freshet_consumer::{
    DoorUrl, Fetch, GroupFilm, GroupHead, GroupMember, GroupNews, StreamUrl, Token, limits,
};
use freshet_protocol::doors::groups::{Event, Phase, State};
use tokio::time::{Instant, interval, sleep_until};
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
    let mut watch = Watch::new(task, member, console);
    let status = watch.run(shutdown).await;
    watch.member.leave();
    status
}

struct Watch {
    task: GroupTask,
    member: GroupMember,
    console: Console,
    movies: BTreeMap<u32, String>,
    others: BTreeMap<u32, Event>,
    state: Option<State>,
    film: Option<(PathBuf, GroupFilm)>,
    /// When the movie begins, or goes on, here.
    begins: Option<Instant>,
    /// Where standard output is in the movie.
    head: GroupHead,
    /// Where the movie ends, once that was told.
    length: Option<u64>,
    script_is_over: bool,
}

impl Watch {
    fn new(task: GroupTask, member: GroupMember, console: Console) -> Self {
        Self {
            task,
            member,
            console,
            movies: BTreeMap::new(),
            others: BTreeMap::new(),
            state: None,
            film: None,
            begins: None,
            head: GroupHead::default(),
            length: None,
            script_is_over: false,
        }
    }

    async fn run(&mut self, shutdown: &CancellationToken) -> anyhow::Result<Status> {
        let mut looks = interval(limits::GROUP_LOOK);
        loop {
            // In any order: a movie that comes fast does not keep us from listening to the user.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(Status::Interrupted),
                () = until(self.begins) => self.begin(),
                news = self.member.next() => match news? {
                    Some(news) => self.hear(news)?,
                    None => bail!("the group is gone"),
                },
                line = self.console.next(), if !self.script_is_over => match line? {
                    Some(line) => {
                        if self.carry_out(&line) {
                            return Ok(Status::Done);
                        }
                    }
                    None => self.script_is_over = true,
                },
                repaired = repair(&mut self.film) => repaired?,
                _ = looks.tick() => self.look()?,
            }
            if let Some(told) = self.finished() {
                self.console.tell(&told);
                return Ok(Status::Done);
            }
        }
    }

    /// What there is to say when the movie is here, and was played where that is what is wanted.
    fn finished(&self) -> Option<String> {
        let (path, film) = self.film.as_ref()?;
        let (bytes, fetched) = film.bytes();
        if self.length.is_none() || !film.is_whole() || (self.is_live() && self.head.at() < bytes) {
            return None;
        }
        let name =
            if self.is_live() { "standard output".into() } else { path.display().to_string() };
        Some(format!("complete: {bytes} bytes into {name}, {fetched} of them over HTTP"))
    }

    /// Does the movie go to standard output, as it is played?
    fn is_live(&self) -> bool {
        self.task.output.as_deref() == Some(Path::new("-"))
    }

    fn hear(&mut self, news: GroupNews) -> anyhow::Result<()> {
        match news {
            GroupNews::Movies(movies) => {
                self.movies.extend(movies.into_iter().map(|movie| (movie.id, movie.name)));
            }
            GroupNews::Presence { member, event } => {
                self.others.insert(member, event);
                self.console.tell(&format!("member {member} {}", name_of(event)));
            }
            GroupNews::State(state) => self.follow(state)?,
            GroupNews::Data { seq, offset, bytes } => {
                self.open()?;
                if let Some((_, film)) = &mut self.film {
                    let is_of_use = film.place(offset, &bytes).context("cannot write the movie")?;
                    self.member.note(seq, is_of_use);
                }
            }
            GroupNews::End { length } => {
                self.length = Some(length);
                self.open()?;
                if let Some((_, film)) = &mut self.film {
                    film.end(length)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn follow(&mut self, state: State) -> anyhow::Result<()> {
        let before = self.state.replace(state);
        let was = before.map_or(Phase::Gathering, |state| state.phase);
        if before.map_or(0, |state| state.movie) != state.movie {
            let name = self.movies.get(&state.movie).cloned().unwrap_or_default();
            self.console.tell(&format!("movie {}: {name}", state.movie));
        }
        self.open()?;
        if state.phase == Phase::Paused && was != Phase::Paused {
            self.begins = None;
            self.console.tell(&format!("paused at byte {}", state.position));
        }
        if state.phase == Phase::Playing && !self.head.has_begun() || was == Phase::Paused {
            self.begins = self.member.when(state.since);
        }
        Ok(())
    }

    /// The moment has come.
    fn begin(&mut self) {
        self.begins = None;
        let Some(state) = self.state.filter(|state| state.phase == Phase::Playing) else { return };
        let group = self.member.position(&state).unwrap_or(state.position);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.head.begin(&state, group);
        let at = self.head.at();
        self.console.tell(&format!("plays from byte {at} at {} us", now.as_micros()));
    }

    /// The movie's file, as soon as it is known which movie.
    fn open(&mut self) -> anyhow::Result<()> {
        let Some(state) = self.state.filter(|state| state.movie != 0) else { return Ok(()) };
        let is_on = state.phase != Phase::Gathering;
        let Some(name) = self.movies.get(&state.movie).filter(|_| is_on && self.film.is_none())
        else {
            return Ok(());
        };
        let url: StreamUrl = format!("{}/live/{name}", self.task.http.trim_end_matches('/'))
            .parse()
            .context("that is no movie's address")?;
        let (path, file) = self.create(&url)?;
        let mut fetch = Fetch::new(url);
        fetch.token.clone_from(&self.task.token);
        let mut film = GroupFilm::new(fetch, file);
        if let Some(length) = self.length {
            film.end(length)?;
        }
        self.film = Some((path, film));
        Ok(())
    }

    fn create(&self, url: &StreamUrl) -> anyhow::Result<(PathBuf, File)> {
        if self.is_live() {
            let file = tempfile::tempfile().context("no room for the movie")?;
            return Ok((PathBuf::from("-"), file));
        }
        let (path, is_named) = match &self.task.output {
            Some(path) => (path.clone(), true),
            None => (PathBuf::from(url.last_segment()), false),
        };
        let mut options = File::options();
        // A name that comes from the network takes nothing away from anybody.
        match is_named || self.task.replaces {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let file = options.read(true).write(true).open(&path);
        let name = path.display();
        let file = file.with_context(|| format!("cannot write {name}; -o names another file"))?;
        Ok((path, file))
    }

    /// Now and then: what should be here by now, and what standard output gets.
    fn look(&mut self) -> anyhow::Result<()> {
        let Some(state) = self.state else { return Ok(()) };
        let Some(group) = self.member.position(&state) else { return Ok(()) };
        if let Some((_, film)) = &mut self.film
            && state.phase != Phase::Ended
        {
            film.expect(group);
        }
        if state.phase == Phase::Playing && self.begins.is_none() && !self.head.has_begun() {
            self.begins = self.member.when(state.since);
        }
        if self.is_live() && matches!(state.phase, Phase::Playing | Phase::Ended) {
            self.play(group, state.rate)?;
        }
        Ok(())
    }

    /// Write what is due.
    fn play(&mut self, group: u64, rate: u32) -> anyhow::Result<()> {
        let Some((_, film)) = &self.film else { return Ok(()) };
        let bytes = self.head.play(film, group, rate)?;
        std::io::stdout().write_all(&bytes).context("cannot write")
    }

    /// Do what a line says; true where that is to leave.
    fn carry_out(&mut self, line: &str) -> bool {
        match line.parse() {
            Ok(Command::List) => self.list(),
            Ok(Command::Choose(movie)) => self.member.choose(movie),
            Ok(Command::Start) => self.member.start(),
            Ok(Command::Play(movie)) => {
                self.member.choose(movie);
                self.member.start();
            }
            Ok(Command::Pause) => self.member.pause(),
            Ok(Command::Resume) => self.member.resume(),
            Ok(Command::Ready) => self.member.ready(),
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
            self.movies.iter().map(|(id, name)| format!("{id:>4}  {name}")).collect();
        self.console.tell(&lines.join("\n"));
    }

    fn who(&mut self) {
        let us = self.state.map_or(0, |state| state.member);
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

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

async fn repair(film: &mut Option<(PathBuf, GroupFilm)>) -> anyhow::Result<()> {
    match film {
        Some((_, film)) => Ok(film.repair().await?),
        None => pending().await,
    }
}
