//! What the commands print, and how: figures on standard output, as JSON into a file.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{
    crowd::{joins, stalled},
    demo::{self, News},
    memory,
    relay::Relay,
    text, versus,
};

/// `bench versus`.
///
/// # Errors
///
/// It cannot measure, or our distributor delivered wrong bytes.
pub fn versus(options: &versus::Options) -> anyhow::Result<()> {
    let document = versus::run(options, |news| match news {
        versus::News::Absent(what) => {
            let _ = writeln!(io::stderr(), "{what}");
        }
        versus::News::Measuring(scenario, relay, number, of) => {
            // Whoever does not want to see it may be gone.
            let _ = writeln!(io::stderr(), "{number} of {of}: {scenario} through {relay}");
        }
        versus::News::Scenario(name, document) => {
            let _ = say(&text::scenario(name, document, versus::FLOOR.name()));
        }
    })?;
    if let Some(path) = &options.json {
        document.write(path)?;
    }
    let ours = document.runs.iter().filter(|run| run.relay == Relay::Distributor.name());
    let wrong: u64 = ours.map(|run| run.measured.seen.wrong).sum();
    if wrong > 0 {
        bail!("the distributor delivered wrong bytes at {wrong} places");
    }
    Ok(())
}

/// `bench memory`.
///
/// # Errors
///
/// It cannot measure, or bytes were wrong.
pub fn memory(options: &memory::Options) -> anyhow::Result<()> {
    let figures = memory::run(options)?;
    say(&text::memory(&figures))?;
    write(options.json.as_deref(), &figures)
}

/// `bench joins`.
///
/// # Errors
///
/// It cannot measure, or bytes were wrong.
pub fn joins(options: &joins::Options) -> anyhow::Result<()> {
    let figures = joins::run(options)?;
    say(&figures.to_string())?;
    write(options.json.as_deref(), &figures)?;
    if figures.wrong > 0 {
        bail!("the distributor delivered wrong bytes at {} places", figures.wrong);
    }
    Ok(())
}

/// `bench stalled`.
///
/// # Errors
///
/// It cannot measure, or bytes were wrong.
pub fn stalled(options: &stalled::Options) -> anyhow::Result<()> {
    let figures = stalled::run(options, |pair| say(&pair.to_string()))?;
    say(&figures.to_string())?;
    write(options.json.as_deref(), &figures)?;
    let wrong: u64 = figures.pairs.iter().map(|pair| pair.alone.wrong + pair.beside.wrong).sum();
    if wrong > 0 {
        bail!("the distributor delivered wrong bytes at {wrong} places");
    }
    Ok(())
}

/// `bench demo`: one line that changes on a terminal, else a line each second.
///
/// # Errors
///
/// The chain breaks, or its ends differ.
pub fn demo(options: &demo::Options) -> anyhow::Result<()> {
    let (stop, changing) = (CancellationToken::new(), io::stdout().is_terminal());
    let tell = |news: News<'_>| {
        let text = match news {
            News::Open(url) => text::demo_heading(url),
            News::Second(live) if changing => format!("\r{}\x1b[K", text::demo_line(live)),
            News::Second(live) => format!("{}\n", text::demo_line(live)),
        };
        if say(&text).is_err() {
            stop.cancel();
        }
    };
    let summary = Runtime::new()?.block_on(async {
        let run = demo::run(options, &stop, tell);
        tokio::pin!(run);
        tokio::select! {
            ended = &mut run => return ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot catch Ctrl-C")?,
        }
        stop.cancel();
        run.await
    })?;
    let line_end = if changing { "\r\x1b[K" } else { "" };
    say(&format!("{line_end}{}", text::demo_summary(&summary)))?;
    if !summary.is_equal() {
        bail!("what arrived is not what was sent");
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("nobody reads the figures")
}

fn write(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
