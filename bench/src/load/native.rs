//! Consumers that say what they hold: the consumer's own library, many times, its bytes verified.
//!
//! It takes far more of the processor than plain consumers do, and its ages end where the library hands
//! the bytes out, not where the kernel had them.

use std::time::Duration;

use anyhow::Context;
use freshet_consumer::{Fetch, Follow, Manner, Policy, StreamUrl};
use tokio::{runtime, sync::mpsc, task::JoinSet, time::interval};

use super::{Load, Report, Window};
use crate::{
    breakdown::stages::Arrival,
    chunk::Checker,
    clock::Moment,
    limits::{LOOK_EVERY, ROLE_ANSWER},
    scenario::Delivery,
};

/// Consume as [`Load::run`] does, natively.
pub(super) fn run(load: &Load, window: &Window, joined: impl FnOnce()) -> anyhow::Result<Report> {
    let all = load.streams * load.consumers;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(load.threads)
        .enable_all()
        .build()
        .context("no threads for the load")?;
    runtime.block_on(async {
        let (tell, mut told) = mpsc::channel(all.max(1));
        let mut consuming = JoinSet::new();
        for number in 0..all {
            let place = load.from.stream(number / load.consumers, load.streams);
            let url: StreamUrl = format!("http://{}{}", place.address, place.path).parse()?;
            let manner = match load.delivery {
                Delivery::Polled => Manner::Poll(Policy::Newest),
                Delivery::Pushed | Delivery::Plain | Delivery::Range => {
                    Manner::Continuous(Policy::Newest.backfill())
                }
            };
            let is_traced = load.is_traced;
            consuming.spawn(consume(url, manner, window.clone(), tell.clone(), is_traced));
        }
        drop(tell);
        for _ in 0..all {
            told.recv().await;
        }
        joined();
        let mut sum = Report::default();
        while let Some(report) = consuming.join_next().await {
            sum.add(report.context("a consumer panicked")?);
        }
        Ok(sum)
    })
}

async fn consume(
    url: StreamUrl,
    manner: Manner,
    window: Window,
    tell: mpsc::Sender<()>,
    is_traced: bool,
) -> Report {
    let (mut report, mut checker) = (Report::default(), Checker::default());
    let mut fetch = Fetch::new(url);
    fetch.wait = ROLE_ANSWER;
    let opened = fetch.open(manner, None).await;
    // There is room for every consumer, and whoever waits for them may be gone.
    let _ = tell.try_send(());
    let consumed = match opened {
        Ok(follow) => {
            report.consumers = 1;
            take(follow, &window, &mut checker, &mut report, is_traced).await
        }
        Err(error) => Err(error.into()),
    };
    report.left(checker.tally(), consumed.as_ref().err());
    report
}

async fn take(
    mut follow: Follow,
    window: &Window,
    checker: &mut Checker,
    report: &mut Report,
    is_traced: bool,
) -> anyhow::Result<()> {
    let (mut looks, mut at, mut has_passed) = (interval(LOOK_EVERY), None, false);
    while !has_passed {
        let piece = tokio::select! {
            piece = follow.next() => piece?,
            _ = looks.tick() => {
                if window.is_closed() || window.is_late(Moment::now()) {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(piece) = piece else { return Ok(()) };
        let now = Moment::now();
        if at.is_some_and(|at| at != piece.offset) {
            checker.jump();
        }
        at = Some(piece.end());
        checker.take(&piece.bytes, |chunk| {
            has_passed |= window.is_behind(chunk.due);
            if window.has(chunk.due) {
                let at: Duration = chunk.due.since(window.from());
                report.chunk(chunk.length, at, now.since(chunk.due));
                report.arrivals.extend(is_traced.then(|| Arrival {
                    number: chunk.number,
                    due: chunk.due.nanos(),
                    played: Moment::now().nanos(),
                    ..Arrival::default()
                }));
            }
        });
    }
    Ok(())
}
