//! Figures for people: tables for a terminal.

use std::fmt::Write;

use freshet_consumer::StreamUrl;

use crate::{
    demo,
    document::{Document, Figure},
    measure::Measured,
    memory,
};

/// What is told of each relay beside what it is compared by.
const HEADING: &str = "             CPU-s/GB  to floor (range)       p50 ms  to floor (range)       \
    p99 ms  to floor (range)       Gbit/s   RSS MiB  switches/s  dropped  missing  wrong";

/// One scenario: what each relay needed, and how that is to the floor.
#[must_use]
pub fn scenario(name: &str, document: &Document, floor: &str) -> String {
    let Some(scenario) = document.scenarios.get(name) else { return String::new() };
    let mut out =
        format!("\n{name}: {}\n{}\n\n{HEADING}\n", scenario.question, scenario.in_short());
    for relay in document.relays(name) {
        let median =
            |figure: Figure| document.spread(name, relay, figure).map_or(f64::NAN, |it| it.median);
        let sum = |figure: fn(&Measured) -> u64| {
            document.of(name, relay).map(|run| figure(&run.measured)).sum::<u64>()
        };
        let runs = document.of(name, relay);
        let dropped: u64 = runs.map(|run| run.measured.dropped(scenario)).sum();
        let _ = write!(out, "{relay:<11}");
        let compared: [(Figure, usize); 3] = [(cpu, 3), (p50, 3), (p99, 3)];
        for (figure, digits) in compared {
            let ratio = document.ratio(name, relay, floor, figure).map_or_else(String::new, |it| {
                format!("{:.2} ({:.2}-{:.2})", it.median, it.min, it.max)
            });
            let _ = write!(out, " {:>9.digits$}  {ratio:<20}", median(figure));
        }
        let _ = writeln!(
            out,
            " {:>7.2} {:>9.1} {:>11.0} {dropped:>8} {:>8} {:>6}{}",
            median(Measured::gbit_per_second),
            median(|measured| mib(measured.relay.rss_peak_bytes)),
            median(|measured| measured.relay.context_switches as f64 / measured.seconds),
            sum(Measured::missing),
            sum(|measured| measured.seen.wrong),
            why(document, name, relay),
        );
    }
    out
}

/// Why the first consumer was cut, if one was.
fn why(document: &Document, name: &str, relay: &str) -> String {
    let mut whys = document.of(name, relay).filter_map(|run| run.measured.seen.why.as_ref());
    whys.next().map_or_else(String::new, |why| format!("  ({why})"))
}

fn cpu(measured: &Measured) -> f64 {
    measured.cpu_seconds_per_gb()
}

fn p50(measured: &Measured) -> f64 {
    millis(measured.seen.ages.latency().p50_us)
}

fn p99(measured: &Measured) -> f64 {
    millis(measured.seen.ages.latency().p99_us)
}

/// What the memory did.
#[must_use]
pub fn memory(figures: &memory::Figures) -> String {
    let mut out = String::from("   GiB in    RSS MiB\n");
    for sample in figures.samples.iter().step_by(20) {
        let _ = writeln!(out, "{:>9.2} {:>10.1}", gib(sample.bytes), mib(sample.rss_bytes));
    }
    let _ = writeln!(
        out,
        "\n{:.2} GiB at {:.0} MiB/s, each byte verified at one consumer\n\
         highest RSS in the second quarter {:.1} MiB, in the last {:.1} MiB: {}",
        gib(figures.bytes),
        mib(figures.bytes) / figures.seconds,
        mib(figures.rss_early_bytes),
        mib(figures.rss_late_bytes),
        if figures.is_flat() { "flat" } else { "GROWING" },
    );
    out
}

/// Where the demo is to be seen.
#[must_use]
pub fn demo_heading(url: &StreamUrl) -> String {
    let (host, port) = (url.host(), url.port());
    format!(
        "Origin, distributor, consumer and player run in this process.\n\n\
         \x20 in a browser   http://{host}:{port}/live/\n\
         \x20 with curl      curl -N {url} | od -A d -c\n\n"
    )
}

/// One second of the demo.
#[must_use]
pub fn demo_line(live: &demo::Live) -> String {
    let latency = live.second.latency;
    format!(
        "{:>5} s  {:>8.3} Mbit/s  latency p50 {:.2} ms p99 {:.2} ms  held {:.2} MiB  consumers {}",
        live.at,
        live.second.bytes as f64 * 8.0 / 1e6,
        millis(latency.p50_us),
        millis(latency.p99_us),
        mib(live.held_bytes),
        live.consumers,
    )
}

/// How the demo went.
#[must_use]
pub fn demo_summary(summary: &demo::Summary) -> String {
    let latency = summary.latency;
    let seconds = summary.length.as_secs_f64();
    let relayed = match summary.distributor_agrees {
        Some(true) => "the distributor's copy too",
        Some(false) => "NOT so the distributor's copy",
        None => "the distributor has let the oldest bytes go",
    };
    format!(
        "{} bytes in {seconds:.1} s, {:.3} Mbit/s; {} bytes played\n\
         latency from capture to consumer: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms\n\
         {} gaps, {} wrong places\n\
         origin   {}\n\
         consumer {}\n\
         {}, {relayed}\n",
        summary.taken.0,
        summary.taken.0 as f64 * 8.0 / 1e6 / seconds,
        summary.played_bytes,
        millis(latency.p50_us),
        millis(latency.p99_us),
        millis(latency.max_us),
        summary.tally.gaps,
        summary.tally.wrong,
        summary.made.1,
        summary.taken.1,
        if summary.made == summary.taken { "equal" } else { "DIFFERENT" },
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}
