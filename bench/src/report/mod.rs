//! `bench report`: figures as one HTML page that needs nothing else, its plots as SVG in it.
//!
//! ```text
//!   JSON files ──▶ Document ──▶ plots (latency, CPU, age over time) ─┐
//!                      └──────▶ tables, goals, machine, command ─────┴──▶ one page
//! ```

mod glass;
mod plots;
mod stack;

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    document::{Document, Figure},
    goals::goals,
    measure::Measured,
};

/// What is shown.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Files of figures; what several have of the same scenario and relay is added up
    #[arg(value_name = "FILE", required = true)]
    pub figures: Vec<PathBuf>,
    /// Where the page goes
    #[arg(long, short, default_value = "bench.html", value_name = "FILE")]
    pub output: PathBuf,
}

/// Read the figures and write the page; what the files came to.
///
/// # Errors
///
/// A file cannot be read or written, or has no figures.
pub fn run(options: &Options) -> anyhow::Result<Document> {
    let document = Document::read_all(&options.figures)?;
    if document.runs.is_empty() && document.glass.is_empty() {
        bail!("there are no figures in it");
    }
    let page = page(&document)?;
    fs::write(&options.output, page)
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    Ok(document)
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;\
color:#1c2430;background:#fff}h1,h2{line-height:1.2}h2{margin-top:3rem}table{border-collapse:collapse;\
margin:1rem 0;font-variant-numeric:tabular-nums}th,td{padding:.2rem .7rem;text-align:right;\
border-bottom:1px solid #d8dee6}th:first-child,td:first-child{text-align:left}td.no{color:#b3261e;\
font-weight:600}svg{max-width:100%;height:auto}code{font-size:.9em}.plots{display:flex;flex-wrap:wrap;gap:1rem}";

/// The page of these figures.
///
/// # Errors
///
/// A plot cannot be drawn.
pub fn page(document: &Document) -> anyhow::Result<String> {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Figures of bench</title>\n\
         <style>{STYLE}</style>\n<h1>Figures of bench</h1>\n"
    );
    out.push_str(&origin(document));
    out.push_str(&judged(document));
    if let Some(plot) = plots::cost(document)? {
        let _ = writeln!(out, "<h2>CPU per GB against consumers</h2>\n{plot}");
    }
    if let Some(plot) = glass::plot(&document.glass)? {
        let _ = writeln!(out, "<h2>From picture to picture</h2>\n{plot}");
    }
    for name in document.scenarios() {
        let scenario = document.scenarios.get(name).cloned().unwrap_or_default();
        let _ = writeln!(
            out,
            "<h2>{}</h2>\n<p>{}<br>{}</p>\n{}<div class=\"plots\">\n{}\n{}\n{}</div>",
            escape(name),
            escape(&scenario.question),
            escape(&scenario.in_short()),
            table(document, name),
            plots::latency(document, name)?,
            plots::course(document, name)?,
            taken_apart(document, name)?,
        );
    }
    out.push_str("</html>\n");
    Ok(out)
}

/// Where the time of a scenario goes, as often as it was taken apart.
fn taken_apart(document: &Document, name: &str) -> anyhow::Result<String> {
    let of = document.breakdowns.iter().filter(|it| it.scenario == name);
    of.map(|it| Ok(format!("{}\n", stack::stack(&it.of)?))).collect()
}

/// Machine, versions and command.
fn origin(document: &Document) -> String {
    let machine = &document.machine;
    let mut rows = vec![
        ("command", document.command.clone()),
        ("began", format!("{} (Unix seconds)", document.began)),
        ("processor", format!("{} x {}", machine.cores, machine.processor)),
        ("memory", format!("{:.1} GiB", machine.memory_bytes as f64 / f64::from(1 << 30))),
        ("kernel", machine.kernel.clone()),
        ("load average at the beginning", machine.load_average.clone()),
    ];
    let versions = document.versions.iter();
    rows.extend(versions.map(|(relay, version)| (relay.as_str(), version.clone())));
    let rows = rows.iter().map(|(name, value)| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value))
    });
    format!("<table>\n{}</table>\n", rows.collect::<String>())
}

/// The goals, where there are figures for them.
fn judged(document: &Document) -> String {
    let goals = goals(document);
    if goals.is_empty() {
        return String::new();
    }
    let rows = goals.iter().map(|goal| {
        let (class, met) = if goal.is_met { ("", "met") } else { (" class=\"no\"", "missed") };
        format!(
            "<tr><td>{}</td><td>{}</td><td>{:.2}</td><td>{:.2} to {:.2}</td><td>{}</td><td{class}>{met}</td></tr>\n",
            escape(&goal.scenario),
            escape(&goal.what),
            goal.figure,
            goal.min,
            goal.max,
            escape(&goal.goal),
        )
    });
    format!(
        "<h2>Goals</h2>\n<table>\n<tr><th>scenario</th><th>what</th><th>median</th><th>range</th>\
         <th>goal</th><th></th></tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

type Column = (&'static str, Figure, usize);

const COLUMNS: [Column; 10] = [
    ("CPU s/GB", Measured::cpu_seconds_per_gb, 3),
    ("p50 ms", |measured| measured.seen.ages.at(0.5) as f64 / 1e3, 3),
    ("p99 ms", |measured| measured.seen.ages.at(0.99) as f64 / 1e3, 3),
    ("p99.9 ms", |measured| measured.seen.ages.at(0.999) as f64 / 1e3, 3),
    ("Gbit/s", Measured::gbit_per_second, 2),
    ("RSS MiB", |measured| measured.relay.rss_peak_bytes as f64 / f64::from(1 << 20), 1),
    ("switches/s", |measured| measured.relay.context_switches as f64 / measured.seconds, 0),
    ("cut", |measured| measured.seen.cut as f64, 0),
    ("missing", |measured| measured.missing() as f64, 0),
    ("wrong", |measured| measured.seen.wrong as f64, 0),
];

fn table(document: &Document, scenario: &str) -> String {
    let heads = COLUMNS.iter().map(|(name, ..)| format!("<th>{name}</th>")).collect::<String>();
    let rows = document.relays(scenario).into_iter().map(|relay| {
        let cells = COLUMNS.iter().map(|(_, figure, digits)| {
            let told = document.spread(scenario, relay, *figure);
            let told = told.map_or_else(String::new, |it| format!("{:.digits$}", it.median));
            format!("<td>{told}</td>")
        });
        format!("<tr><td>{}</td>{}</tr>\n", escape(relay), cells.collect::<String>())
    });
    format!("<table>\n<tr><th>relay</th>{heads}</tr>\n{}</table>\n", rows.collect::<String>())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::document::Run;

    #[test]
    fn a_page_has_every_plot_and_nothing_from_elsewhere() {
        let mut document = Document::new(BTreeMap::from([("freshet".into(), "<1>".into())]));
        for (relay, consumers) in [("freshet", 10), ("floor", 10), ("freshet", 100)] {
            let mut measured = Measured { seconds: 1.0, ..Measured::default() };
            measured.relay.cpu_seconds = 0.1;
            for age in 1..200 {
                let (at, age) = (Duration::from_millis(age * 3), Duration::from_micros(age * age));
                measured.seen.chunk(4_096, at, age);
            }
            let scenario = format!("x consumers={consumers}");
            let setting = crate::scenario::Scenario { consumers, ..Default::default() };
            document.scenarios.insert(scenario.clone(), setting);
            document.runs.push(Run { scenario, relay: relay.into(), round: 0, measured });
        }
        let page = page(&document).unwrap();
        // One for the cost, and two for each scenario.
        assert_eq!(page.matches("<svg").count(), 5);
        assert!(page.contains("&lt;1&gt;") && !page.contains("<1>"));
        assert!(!page.contains("src=") && !page.contains("href="));
    }
}
