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
    breakdown, compare,
    crowd::{joins, stalled},
    demo::{self, News},
    document::Document,
    glass,
    goals::goals,
    memory, model,
    plan::{self, Common, Entry},
    progress::Progress,
    relay::Relay,
    report, run, text, versus,
};

/// `bench versus`.
///
/// # Errors
///
/// It cannot measure, or our distributor delivered wrong bytes.
pub fn versus(options: &versus::Options) -> anyhow::Result<()> {
    let (entries, absent) = options.entries()?;
    for what in absent {
        say(&format!("{what}\n"))?;
    }
    measure(&entries, &options.common)
}

/// `bench run`.
///
/// # Errors
///
/// See [`versus()`].
pub fn run(options: &run::Options) -> anyhow::Result<()> {
    measure(&options.entries()?, &options.through.common)
}

/// `bench sweep`.
///
/// # Errors
///
/// See [`versus()`].
pub fn sweep(options: &run::SweepOptions) -> anyhow::Result<()> {
    measure(&options.entries()?, &options.through.common)
}

/// `bench list`.
///
/// # Errors
///
/// Nobody reads it.
pub fn list() -> anyhow::Result<()> {
    say(&run::list()?)
}

/// Measure, show each scenario as it is done, and write the files.
fn measure(entries: &[Entry], common: &Common) -> anyhow::Result<()> {
    let mut document = measured(entries, true)?;
    document.goals = goals(&document);
    say(&text::goals(&document.goals))?;
    common.write(&document)?;
    if !document.failures.is_empty() {
        bail!("not everything could be measured:\n{}", document.failures.join("\n"));
    }
    let ours = document.runs.iter().filter(|run| run.relay == Relay::Distributor.name());
    let wrong: u64 = ours.map(|run| run.measured.seen.wrong).sum();
    if wrong > 0 {
        bail!("the distributor delivered wrong bytes at {wrong} places");
    }
    Ok(())
}

fn measured(entries: &[Entry], tables: bool) -> anyhow::Result<Document> {
    let progress = Progress::new();
    plan::run(entries, |news| {
        progress.show(news);
        if let plan::News::Scenario(name, document) = news
            && tables
        {
            // Whoever does not want to see it may be gone; the files are written all the same.
            let table = text::scenario(name, document, versus::FLOOR.name());
            let _ = progress.aside(|| say(&table));
        }
    })
}

/// `bench compare`.
///
/// # Errors
///
/// There is nothing to compare.
pub fn compare(options: &compare::Options) -> anyhow::Result<()> {
    let found = {
        let progress = Progress::new();
        compare::run(options, |news| progress.show(news))?
    };
    say(&text::comparison(&found))
}

/// `bench breakdown`.
///
/// # Errors
///
/// See [`breakdown::run`].
pub fn breakdown(options: &breakdown::Options) -> anyhow::Result<()> {
    let document = {
        let progress = Progress::new();
        breakdown::run(options, |news| progress.show(news))?
    };
    document.breakdowns.iter().try_for_each(|it| say(&text::breakdown(it, &document)))?;
    options.common.write(&document)
}

/// `bench glass`.
///
/// # Errors
///
/// See [`glass::run`]; or a player could not be looked at.
pub fn glass(options: &glass::Options) -> anyhow::Result<()> {
    let document = {
        let progress = Progress::new();
        glass::run(options, |news| progress.show(news))?
    };
    say(&text::glass(&document.glass))?;
    options.json.iter().try_for_each(|path| document.write(path))?;
    if !document.failures.is_empty() {
        bail!("not every player could be looked at:\n{}", document.failures.join("\n"));
    }
    Ok(())
}

/// `bench report`.
///
/// # Errors
///
/// See [`report::run`].
pub fn report(options: &report::Options) -> anyhow::Result<()> {
    let document = report::run(options)?;
    for name in document.scenarios() {
        say(&text::scenario(name, &document, versus::FLOOR.name()))?;
    }
    if !document.glass.is_empty() {
        say(&text::glass(&document.glass))?;
    }
    say(&text::goals(&goals(&document)))?;
    say(&format!("\n{} is written\n", options.output.display()))
}

/// `bench model`.
///
/// # Errors
///
/// See [`model::model`].
pub fn model(options: &model::Options) -> anyhow::Result<()> {
    let document = match &options.figures[..] {
        [] => measured(&model::entries()?, false)?,
        paths => Document::read_all(paths)?,
    };
    let measurements = model::Measurements::of(&document)?;
    let served = model::model(options, measurements)?;
    say(&text::model(options, measurements, &served))?;
    write(options.json.as_deref(), &served)
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
    write(options.stage.json.as_deref(), &figures)?;
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
    write(options.stage.json.as_deref(), &figures)?;
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
