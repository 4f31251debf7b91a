//! `bench demo`: the whole chain in one process, with its figures.
//!
//! ```text
//!   pattern ──▶ origin ──POST──▶ distributor ──GET──▶ consumer ──▶ Meter: age, rate, SHA-256
//!      └─ SHA-256                    │   └─────GET──▶ player without a picture
//!                                    └── anybody: curl, a browser
//! ```
//!
//! All of it are the libraries that the commands are made of, with their defaults, over real sockets.
//! Nothing is spawned here: when the chain is done, or a part of it fails, all of it is over.

mod meter;
mod pattern;
pub(crate) mod status;

use std::{
    future,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use freshet_consumer::{End, Fetch, Policy, Progress, Start, StreamUrl, to_writer, verify};
use freshet_distributor::{BindError, Config, Distributor};
use freshet_origin::{Keep, Options as PushOptions, Push, Source, Target};
use freshet_player::headless;
use freshet_protocol::Sha256Digest;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::meter::Meter;
use crate::{
    chunk::Tally,
    clock::Moment,
    limits::{DEMO_PIPE_BYTES, DEMO_RETAIN_BYTES, ROLE_ANSWER, ROLE_END},
    load::Latency,
    publish::Schedule,
};

pub use self::meter::Second;

/// What is shown.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// End after so long [default: at Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// The stream's rate
    #[arg(long, default_value_t = 1_000_000, value_name = "BITS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// The stream's chunks
    #[arg(long, default_value_t = 4_096, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(32..=1_048_576))]
    pub chunk: u64,
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

/// One second of it.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Seconds since it began.
    pub at: u64,
    /// What the consumer got.
    pub second: Second,
    /// Bytes that the distributor holds, acknowledged.
    pub held_bytes: u64,
    /// Who follows the stream there.
    pub consumers: u64,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Bytes that were made, and the digest of them.
    pub made: (u64, Sha256Digest),
    /// Bytes that the consumer got, and the digest of them.
    pub taken: (u64, Sha256Digest),
    /// What the test pattern showed at the consumer.
    pub tally: Tally,
    /// From the capture of a chunk to its last byte at the consumer.
    pub latency: Latency,
    /// Bytes that the player got.
    pub played_bytes: u64,
    /// Did the distributor compute the same digest? `None`: it does not keep so much.
    pub distributor_agrees: Option<bool>,
    /// How long the stream was.
    pub length: Duration,
}

impl Summary {
    /// Did every byte come through?
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.made == self.taken && self.distributor_agrees != Some(false) && self.tally.wrong == 0
    }
}

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
        let meter = Meter::new();
        let summary = tokio::select! {
            summary = chain(options, &url, &meter, stop) => summary,
            never = watch(address, &meter, tell) => match never {},
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
    meter: &Meter,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let schedule = Schedule {
        start: Moment::now(),
        chunk_bytes: usize::try_from(options.chunk)?,
        bits_per_second: options.rate,
    };
    let (pipe, capture) = tokio::io::duplex(DEMO_PIPE_BYTES);
    let target: Target = url.to_string().parse()?;
    let source = Source::reader(&target, Keep::Memory, capture).await?;
    let push = Push::new(&target, source, PushOptions::default())?;
    let mut fetch = Fetch::new(url.clone());
    fetch.wait = ROLE_ANSWER;

    let over = CancellationToken::new();
    let never = CancellationToken::new();
    let (mut hash, mut progress) = (Sha256::new(), Progress::hidden());
    let mut out = meter;
    let consume =
        to_writer(fetch.clone(), Start::Beginning, &mut out, &mut hash, &mut progress, &never);
    let everything = async {
        tokio::try_join!(
            async { pattern::write(pipe, schedule, &over).await.context("pattern") },
            async { push.run(&never).await.context("origin") },
            async { consume.await.context("consumer") },
            async { headless(fetch.clone(), Policy::All, &never, |_| ()).await.context("player") },
        )
    };
    let end = async {
        until(options.seconds, stop).await;
        over.cancel();
        sleep(ROLE_END).await;
    };
    let (made, _, consumed, played) = tokio::select! {
        done = everything => done?,
        () = end => bail!("the chain does not end, though its source did"),
    };
    let digest = Sha256Digest(hash.finalize().into());
    if consumed.end != End::Complete {
        bail!("the consumer's copy ended as {:?}", consumed.end);
    }
    let distributor_agrees = if made.0 <= DEMO_RETAIN_BYTES {
        let verified = verify(&fetch, consumed.etag.as_ref(), digest);
        Some(timeout(ROLE_END, verified).await.context("no digest in time")?.is_ok())
    } else {
        None
    };
    Ok(Summary {
        made,
        taken: (consumed.assembly.held_bytes(), digest),
        tally: meter.tally(),
        latency: meter.latency(),
        played_bytes: played.bytes,
        distributor_agrees,
        length: Moment::now().since(schedule.start),
    })
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
    meter: &Meter,
    mut tell: impl FnMut(News<'_>),
) -> std::convert::Infallible {
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(Instant::now() + second, second);
    let mut at = 0;
    loop {
        ticks.tick().await;
        at += 1;
        let (held_bytes, consumers) = status::ask(address).await.unwrap_or_default();
        tell(News::Second(&Live { at, second: meter.second(), held_bytes, consumers }));
    }
}
