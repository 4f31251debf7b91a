//! `bench glass`: how old the picture is that a person sees, from the test card's clock to the screen.
//!
//! ```text
//!   test card ──POST──▶ distributor (role) ──GET──▶ a player (guarded) ──▶ Xvfb ──▶ its framebuffer
//!      └ draws when it was captured into each picture                                  │
//!                                    Shown: age, gaps, first picture ◀── read off ◀────┘
//! ```
//!
//! One after the other, on one screen of the picture's size, while one stream goes on. Nothing is asked of
//! a player: what it shows is read off the screen, a thousand times a second. Our own has no screen when it is
//! headless, and is asked.

pub mod display;
mod headless;
pub mod place;
mod players;
mod watch;

use std::{fs, io, net::SocketAddr, path::PathBuf, thread, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use freshet_origin::{Options as PushOptions, Push, Size, Source, Target, TestCard};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

use self::{display::Display, players::Player};
use crate::{
    ages::Ages,
    clock::Moment,
    demo::status,
    document::Document,
    limits::{GLASS_FIRST_MAX, ROLE_ANSWER, SAMPLE_EVERY},
    plan::News,
    role::Role,
};

/// What is looked at.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Players, by name [default: all that are installed]
    #[arg(value_name = "PLAYER")]
    pub players: Vec<String>,
    /// How long each of them is looked at, once it shows something
    #[arg(long, default_value_t = 15, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Width and height of the picture, and of the screen
    #[arg(long, default_value = "1280x720", value_name = "WxH")]
    pub size: Size,
    /// Pictures per second
    #[arg(long, default_value_t = 30, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=120))]
    pub rate: u32,
    /// Write all figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What one player has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Which one.
    pub player: String,
    /// How old each picture was when it was first seen on the screen.
    pub ages: Ages,
    /// Pictures of the stream that were never seen between the first and the last one.
    pub missed: u64,
    /// From its start to its first picture; `None` where it never showed one.
    pub first_ms: Option<f64>,
    /// Processor time that it took while it was looked at, of one core.
    pub cpu_share: f64,
}

/// Look at one player after the other.
///
/// # Errors
///
/// There is no screen, no stream, or no such player.
pub fn run(options: &Options, mut tell: impl FnMut(News<'_>)) -> anyhow::Result<Document> {
    let (players, absent) = players::chosen(&options.players)?;
    let mut document = Document::new(players::versions(&players));
    document.failures = absent;
    let folder = TempDir::new().context("no folder for the screen")?;
    let display = Display::open(folder.path(), options.size)?;
    let stage = Stage::open(options)?;
    for (done, player) in players.iter().enumerate() {
        tell(News::Measuring("the test card", player.name, done, players.len()));
        let shown = look(options, &display, &stage, player);
        match shown.with_context(|| player.name.to_owned()) {
            Ok(shown) => document.glass.push(shown),
            Err(error) => document.failures.push(format!("{error:#}")),
        }
    }
    stage.close()?;
    Ok(document)
}

fn look(
    options: &Options,
    display: &Display,
    stage: &Stage,
    player: &Player,
) -> anyhow::Result<Shown> {
    display.clear()?;
    let folder = TempDir::new().context("no folder for a player")?;
    let running = player.start(display.name(), &stage.url, folder.path())?;
    let seconds = Duration::from_secs(options.seconds);
    let shown = match player.is_headless() {
        true => headless::watch(&folder.path().join("stats"), &running, GLASS_FIRST_MAX, seconds),
        false => watch::watch(display, &running, GLASS_FIRST_MAX, seconds),
    };
    let shown = shown.with_context(|| {
        let said = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let last: Vec<_> = said.lines().rev().take(LINES_TOLD).collect();
        format!("it said last: {last:?}")
    });
    // How a player ends that was told to is its own affair; if it does not, it is killed.
    let _ = running.stop();
    Ok(Shown { player: player.name.to_owned(), ..shown? })
}

/// So much of what a player said is told, where it fails.
const LINES_TOLD: usize = 3;

/// The stream that is shown: test card and distributor.
struct Stage {
    url: String,
    distributor: Role,
    card: thread::JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Stage {
    fn open(options: &Options) -> anyhow::Result<Self> {
        let distributor = Role::start(&["distributor", "--durability", "memory"])?;
        let address = distributor.address()?;
        let url = format!("http://{address}/live/glass");
        let card = TestCard {
            size: options.size,
            fps: options.rate,
            gop: options.rate,
            sound: false,
            ..TestCard::default()
        };
        let (target, stop) = (url.parse()?, CancellationToken::new());
        let until = stop.clone();
        let card = thread::spawn(move || show(&target, card, until));
        until_it_shows(address)?;
        Ok(Self { url, distributor, card, stop })
    }

    fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let shown = self.card.join();
        shown.map_err(|_| anyhow::anyhow!("the test card panicked"))??;
        self.distributor.stop()
    }
}

/// Wait for the first bytes: most players give up a stream that is not there.
fn until_it_shows(address: SocketAddr) -> anyhow::Result<()> {
    let (runtime, until) = (runtime()?, Moment::now().after(ROLE_ANSWER));
    while runtime.block_on(status::ask(address)).map_or(true, |(held, _)| held == 0) {
        if until.left().is_zero() {
            bail!("the test card does not come up");
        }
        thread::sleep(SAMPLE_EVERY);
    }
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Draw and post the test card until told to stop.
fn show(target: &Target, card: TestCard, stop: CancellationToken) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let source = Source::test_card(target, card, stop).await?;
        let content_type = TestCard::MEDIA_TYPE.into();
        let options = PushOptions { content_type, ..PushOptions::default() };
        Push::new(target, source, options)?.run(&CancellationToken::new()).await?;
        Ok(())
    })
}
