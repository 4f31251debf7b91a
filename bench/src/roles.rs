//! What this program does where it was started as one of the bench's own processes; see
//! [`Role`](crate::role::Role) for the other end.

use std::{
    ffi::OsString,
    fs::File,
    net::TcpListener as StdListener,
    path::PathBuf,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use freshet_consumer::{Fetch, Policy, StreamUrl};
use freshet_distributor::{Config, Distributor};
use freshet_player::{Latency, Stage, Watch, Window as PlayerWindow};
use freshet_protocol::From;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    breakdown::marks::{self, Mark, Recorder},
    clock::Moment,
    desk::{self, Orders, Voice},
    fanout, floor,
    limits::ROLE_END,
    load::{Load, Report, Window},
    publish::{Credit, Fed, Feed},
};

/// Which of them. Servers listen on a free port of 127.0.0.1, and say it.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Relays raw TCP and holds nothing
    Floor {
        /// In how many threads
        threads: usize,
        /// Keep what is relayed in this folder
        #[arg(long)]
        copy: Option<PathBuf>,
    },
    /// Relays HTTP and holds nothing
    Fanout,
    /// A distributor with these settings
    Distributor {
        /// At the end, say all marks of the way of what was delivered
        #[arg(long)]
        traced: bool,
        /// As the `distributor` command takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<OsString>,
    },
    /// Publishes: is told a [`Feed`], says `ready`, is told `FROM TO` (nanoseconds), and at the end says
    /// what it saw
    Publish,
    /// Consumes: is told a [`Work`], says `joined`, is told `FROM TO`, and at the end says what it saw
    Load,
    /// Our player in a window, or headless; ends when it has nothing more to show, or is killed
    Player {
        /// Headless, and the file for what it says of its pictures
        #[arg(long)]
        stats: Option<PathBuf>,
        /// The stream
        url: StreamUrl,
    },
    /// Starts another program, says its process, and ends it when it has to end itself
    Guard {
        /// The file for what it says
        log: PathBuf,
        /// The program and its arguments
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

/// What a load does. With a feed it publishes as well, as fast as its consumers take it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The consumers.
    pub load: Load,
    /// The publisher in haste.
    pub feed: Option<Feed>,
}

/// What it saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// By the consumers.
    pub report: Report,
    /// By the publisher.
    pub fed: Option<Fed>,
    /// What native consumers have told of the way, where it is traced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// Be it, as this process, until standard input ends.
///
/// # Errors
///
/// It cannot do its work.
pub fn run(task: Task) -> anyhow::Result<()> {
    if let Task::Player { url, stats } = task {
        return player(url, stats);
    }
    raise_open_files()?;
    let is_traced = matches!(task, Task::Load | Task::Distributor { traced: true, .. });
    let recorder = is_traced.then(Recorder::default);
    marks::log(recorder.clone());
    let (orders, voice) = desk::stdio();
    be(task, orders, &voice, recorder)
}

/// Be it, as a thread of this process, until its orders end.
///
/// # Errors
///
/// See [`run`].
pub fn run_here(task: Task, orders: Orders, voice: &Voice) -> anyhow::Result<()> {
    raise_open_files()?;
    be(task, orders, voice, None)
}

fn be(task: Task, orders: Orders, voice: &Voice, recorder: Option<Recorder>) -> anyhow::Result<()> {
    match task {
        Task::Floor { threads, copy } => {
            let listener = StdListener::bind("127.0.0.1:0")?;
            voice.say(&listener.local_addr()?.to_string())?;
            thread::spawn(move || floor::serve(&listener, threads, copy));
            orders.lines().for_each(drop);
            Ok(())
        }
        Task::Fanout => Runtime::new()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            voice.say(&listener.local_addr()?.to_string())?;
            fanout::serve(listener, &orders.until_the_end()).await;
            Ok(())
        }),
        Task::Distributor { settings, .. } => distributor(settings, orders, voice, recorder),
        Task::Publish => publish(orders, voice),
        Task::Load => load(orders, voice, recorder),
        Task::Player { .. } => bail!("a player needs a process of its own"),
        Task::Guard { log, command } => guard(&log, &command, orders, voice),
    }
}

fn distributor(
    settings: Vec<OsString>,
    orders: Orders,
    voice: &Voice,
    recorder: Option<Recorder>,
) -> anyhow::Result<()> {
    Runtime::new()?.block_on(async {
        let given = ["distributor", "--listen", "127.0.0.1:0"].map(OsString::from);
        let config = Config::load(given.into_iter().chain(settings))?;
        let distributor = Distributor::bind(config).await?;
        voice.say(&distributor.address().to_string())?;
        distributor.run(orders.until_the_end()).await;
        anyhow::Ok(())
    })?;
    recorder.map_or(Ok(()), |recorder| voice.say(&serde_json::to_string(&recorder.take())?))
}

fn player(url: StreamUrl, stats: Option<PathBuf>) -> anyhow::Result<()> {
    let (runtime, never, title) = (Runtime::new()?, CancellationToken::new(), url.to_string());
    let (fetch, from, policy, latency) =
        (Fetch::new(url), From::Live, Policy::Newest, Latency::Auto);
    let is_headless = stats.is_some();
    let watch = Watch { fetch, from, policy, latency, stats, sound: false };
    if is_headless {
        runtime.block_on(watch.run(Stage::headless(), &never, |_| ()))?;
        return Ok(());
    }
    let (window, stage) = PlayerWindow::new(&title)?;
    let (closed, shown) = window.run(|| runtime.block_on(watch.run(stage, &never, |_| ())));
    shown?;
    Ok(closed?)
}

fn publish(orders: Orders, voice: &Voice) -> anyhow::Result<()> {
    let feed: Feed = serde_json::from_str(&orders.next()?).context("no feed")?;
    let (window, _) = told_window(orders);
    // Whoever started us may be gone; then the report has no reader either.
    let fed = feed.run(&window, None, || voice.say("ready").unwrap_or_default())?;
    voice.say(&serde_json::to_string(&fed)?)
}

fn load(orders: Orders, voice: &Voice, recorder: Option<Recorder>) -> anyhow::Result<()> {
    let Work { load, feed } = serde_json::from_str(&orders.next()?).context("no load")?;
    let (window, told) = told_window(orders);
    let joined = || voice.say("joined").unwrap_or_default();
    let Some(feed) = feed else {
        let report = load.run(&window, None, joined)?;
        let recorder = recorder.filter(|_| load.is_traced);
        let marks = recorder.map(|recorder| recorder.take()).unwrap_or_default();
        return say_and_stay(voice, &Seen { report, fed: None, marks }, told);
    };
    let (credit, (tell, ready)) = (Credit::new(load.threads), std::sync::mpsc::channel());
    let seen = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let told = || tell.send(()).unwrap_or_default();
            feed.run(&window, Some(&credit), told)
        });
        // Where it fails before that, its error says more than ours would.
        let _ = ready.recv_timeout(ROLE_END);
        let report = load.run(&window, Some(&credit), joined);
        window.close();
        credit.release();
        match publishing.join() {
            Ok(fed) => Ok(Seen { fed: Some(fed?), report: report?, marks: Vec::new() }),
            Err(_) => bail!("the publisher panicked"),
        }
    })?;
    say_and_stay(voice, &seen, told)
}

/// What a process has cost is asked while it lives: it goes when it is told to.
fn say_and_stay(voice: &Voice, seen: &Seen, told: JoinHandle<()>) -> anyhow::Result<()> {
    voice.say(&serde_json::to_string(seen)?)?;
    told.join().ok().context("the thread that listens panicked")
}

/// A window that is opened when we are told its times, and closed when they end; so is the thread
/// that listens.
fn told_window(orders: Orders) -> (Window, JoinHandle<()>) {
    let window = Window::default();
    let told = window.clone();
    let listening = thread::spawn(move || {
        for line in orders.lines() {
            if let Some((from, to)) = times(&line) {
                told.open(from, to);
            }
        }
        told.close();
    });
    (window, listening)
}

fn times(line: &str) -> Option<(Moment, Moment)> {
    let (from, to) = line.split_once(' ')?;
    Some((Moment::from_nanos(from.parse().ok()?), Moment::from_nanos(to.parse().ok()?)))
}

fn guard(log: &PathBuf, command: &[OsString], orders: Orders, voice: &Voice) -> anyhow::Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("nothing to guard") };
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    voice.say(&child.id().to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    thread::spawn(move || {
        orders.lines().for_each(drop);
        // It may be gone already.
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = pid.map(|pid| kill_process(pid, signal));
            thread::sleep(ROLE_END / 2);
        }
    });
    // Told to end, each of them does so in its own way.
    child.wait().context("the guarded program is lost")?;
    Ok(())
}

/// Thousands of sockets are more than most shells allow at first.
fn raise_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}
