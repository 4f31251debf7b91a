//! `bench demo`: the whole chain in one process, with its figures.
//!
//! ```text
//!   test card ──▶ origin ──POST──▶ distributor ──GET──▶ consumer: SHA-256
//!                                    │   └─────GET──▶ player: decodes, and reads off the picture how old it is
//!                                    └── anybody: a browser, curl
//! ```
//!
//! All of it are the libraries that the commands are made of, with their defaults, over real sockets.
//! Nothing is spawned here: when the chain is done, or a part of it fails, all of it is over.

pub(crate) mod status;

use std::{
    future,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use freshet_consumer::{End, Fetch, Policy, Progress, Start, StreamUrl, to_writer, verify};
use freshet_distributor::{BindError, Config, Distributor};
use freshet_origin::{Options as PushOptions, Push, Size, Source, Target, TestCard};
use freshet_player::{Figures, Latency as Buffer, Stage, Watch};
use freshet_protocol::{From, Sha256Digest};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Moment,
    limits::{DEMO_RETAIN_BYTES, ROLE_ANSWER, ROLE_END},
};

/// What is shown.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// End after so long [default: at Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// Width and height of the picture
    #[arg(long, default_value = "1280x720", value_name = "WxH")]
    pub size: Size,
    /// Pictures per second
    #[arg(long, default_value_t = 30, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=120))]
    pub rate: u32,
    /// The port of 127.0.0.1 that the distributor listens on; where it is taken, a free one
    #[arg(long, default_value_t = 8_080, value_name = "PORT")]
    pub port: u16,
}

/// What there is to see while it runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It runs, here.
    Open(&'a StreamUrl),
    /// A second has passed.
    Second(&'a Live),
}

/// How it is, a second later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Seconds since it began.
    pub at: u64,
    /// What the player has shown so far.
    pub shown: Shown,
    /// Bytes that the distributor holds, acknowledged.
    pub held_bytes: u64,
    /// Who follows the stream there.
    pub consumers: u64,
}

/// What a player has shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Pictures.
    pub pictures: u64,
    /// Of them, those that were left out.
    pub lost: u64,
    /// How old they were when they were due, p50 and p99: from when they were drawn.
    pub age: (Duration, Duration),
    /// From the capture of their bytes at the origin to the player, p50 and p99.
    pub travel: (Duration, Duration),
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Bytes that the origin has posted.
    pub made_bytes: u64,
    /// Bytes that the consumer got, and the digest of them.
    pub taken: (u64, Sha256Digest),
    /// What the player has shown.
    pub shown: Shown,
    /// Did the distributor compute the same digest? `None`: it does not keep so much.
    pub distributor_agrees: Option<bool>,
    /// How long the stream was.
    pub length: Duration,
}

impl Summary {
    /// Did every byte come through?
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.made_bytes == self.taken.0 && self.distributor_agrees != Some(false)
    }
}

/// What the player has shown, written by it and read once a second.
type Board = Mutex<Shown>;

/// Run it until its time is over, or `stop`.
///
/// # Errors
///
/// A part of the chain does not start, or breaks.
pub async fn run(
    options: &Options,
    stop: &CancellationToken,
    mut tell: impl FnMut(News<'_>),
) -> anyhow::Result<Summary> {
    let data = TempDir::new().context("no folder for the disk copy")?;
    let distributor = bind(options, &data).await?;
    let address = distributor.address();
    let url: StreamUrl = format!("http://{address}/live/demo").parse()?;
    tell(News::Open(&url));
    let shutdown = CancellationToken::new();
    let chain = async {
        let board = Board::default();
        let summary = tokio::select! {
            summary = chain(options, &url, &board, stop) => summary,
            never = watch(address, &board, tell) => match never {},
        };
        shutdown.cancel();
        summary
    };
    let (summary, ()) = tokio::join!(chain, distributor.run(shutdown.clone()));
    summary
}

/// A distributor by its defaults, for whoever is on this machine.
async fn bind(options: &Options, data: &TempDir) -> anyhow::Result<Distributor> {
    let mut config = Config::default();
    config.store.data = Some(data.path().to_owned());
    config.store.retain_bytes = Some(DEMO_RETAIN_BYTES);
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    match Distributor::bind(config.clone()).await {
        Err(BindError::Listen { .. }) if options.port != 0 => {
            config.listen.set_port(0);
            Ok(Distributor::bind(config).await?)
        }
        bound => Ok(bound?),
    }
}

/// Origin, consumer and player, from the first byte to the last.
async fn chain(
    options: &Options,
    url: &StreamUrl,
    board: &Board,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let begun = Moment::now();
    let (over, never) = (CancellationToken::new(), CancellationToken::new());
    let push = origin(options, url, over.clone()).await?;
    let mut fetch = Fetch::new(url.clone());
    fetch.wait = ROLE_ANSWER;
    let (mut hash, mut progress, mut nowhere) =
        (Sha256::new(), Progress::hidden(), tokio::io::sink());
    let consume =
        to_writer(fetch.clone(), Start::Beginning, &mut nowhere, &mut hash, &mut progress, &never);
    let (from, policy, latency, stats) = (From::Live, Policy::Newest, Buffer::Auto, None);
    let player = Watch { fetch: fetch.clone(), from, policy, latency, stats, sound: false };
    let note = |figures: &Figures| *lock(board) = Shown::of(figures);
    let everything = async {
        tokio::try_join!(
            async { push.run(&never).await.context("origin") },
            async { consume.await.context("consumer") },
            async { player.run(Stage::headless(), &never, note).await.context("player") },
        )
    };
    let end = async {
        until(options.seconds, stop).await;
        over.cancel();
        sleep(ROLE_END).await;
    };
    let (pushed, consumed, figures) = tokio::select! {
        done = everything => done?,
        () = end => bail!("the chain does not end, though its source did"),
    };
    let digest = Sha256Digest(hash.finalize().into());
    if consumed.end != End::Complete {
        bail!("the consumer's copy ended as {:?}", consumed.end);
    }
    let distributor_agrees = if pushed.total <= DEMO_RETAIN_BYTES {
        let verified = verify(&fetch, consumed.etag.as_ref(), digest);
        Some(timeout(ROLE_END, verified).await.context("no digest in time")?.is_ok())
    } else {
        None
    };
    Ok(Summary {
        made_bytes: pushed.total,
        taken: (consumed.assembly.held_bytes(), digest),
        shown: Shown::of(&figures),
        distributor_agrees,
        length: Moment::now().since(begun),
    })
}

/// The test card, drawn and posted until `over`.
async fn origin(
    options: &Options,
    url: &StreamUrl,
    over: CancellationToken,
) -> anyhow::Result<Push> {
    let target: Target = url.to_string().parse()?;
    let (size, fps) = (options.size, options.rate);
    let card = TestCard { size, fps, gop: fps, ..TestCard::default() };
    let source = Source::test_card(&target, card, over).await?;
    let content_type = TestCard::MEDIA_TYPE.into();
    Ok(Push::new(&target, source, PushOptions { content_type, ..PushOptions::default() })?)
}

impl Shown {
    fn of(figures: &Figures) -> Self {
        let both = |of: fn(&Figures, f64) -> Option<Duration>| {
            (of(figures, 0.5).unwrap_or_default(), of(figures, 0.99).unwrap_or_default())
        };
        Self {
            pictures: figures.shown,
            lost: figures.dropped + figures.late,
            age: both(Figures::age),
            travel: both(Figures::travel),
        }
    }
}

fn lock(board: &Board) -> std::sync::MutexGuard<'_, Shown> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn until(seconds: Option<u64>, stop: &CancellationToken) {
    let time = async {
        match seconds {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = time => {}
    }
}

/// Tell every second how it goes; never returns.
async fn watch(
    address: SocketAddr,
    board: &Board,
    mut tell: impl FnMut(News<'_>),
) -> std::convert::Infallible {
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(Instant::now() + second, second);
    let mut at = 0;
    loop {
        ticks.tick().await;
        at += 1;
        let (held_bytes, consumers) = status::ask(address).await.unwrap_or_default();
        tell(News::Second(&Live { at, shown: *lock(board), held_bytes, consumers }));
    }
}
