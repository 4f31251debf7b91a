//! Figures for people: tables for a terminal, and whether a goal was met.

use std::fmt::{self, Write};

use freshet_consumer::StreamUrl;

use crate::{
    demo, memory,
    speed::{Figures, Half, Options, Pair},
};

/// CPU for the same bytes, by that of the bare fan-out.
const CPU_RATIO_MAX: f64 = 1.5;
/// Resident memory of the distributor under the load of `bench speed`.
const RSS_BYTES_MAX: u64 = 120 << 20;
/// Half of the posts are acknowledged within.
const ACKNOWLEDGED_US_MAX: u64 = 1_000;

const COLUMNS: &str =
    "              CPU-s/GB  cores  RSS MiB  dropped  missing  wrong    p50 ms    p99 ms    max ms";

/// The heading of the table of pairs.
#[must_use]
pub fn heading(options: &Options) -> String {
    format!(
        "{} consumers, {} bit/s in chunks of {} bytes, {} s each\n\n{COLUMNS}\n",
        options.consumers, options.rate, options.chunk, options.seconds
    )
}

/// Two lines of that table.
#[must_use]
pub fn pair(pair: &Pair, consumers: usize) -> String {
    let line = |name: &str, half: &Half| {
        let latency = half.seen.latency;
        format!(
            "{name:<13} {:>8.3} {:>6.2} {:>8.1} {:>8} {:>8} {:>6} {:>9.3} {:>9.3} {:>9.3}{}\n",
            half.cpu_seconds_per_gb,
            half.cores,
            mib(half.rss_peak_bytes),
            half.dropped(consumers),
            half.missing(),
            half.seen.wrong,
            millis(latency.p50_us),
            millis(latency.p99_us),
            millis(latency.max_us),
            half.seen.why.as_ref().map_or_else(String::new, |why| format!("  ({why})")),
        )
    };
    let (distributor, fanout) =
        (line("distributor", &pair.distributor), line("bare fan-out", &pair.fanout));
    let note = if pair.is_disturbed {
        " (disturbed: chunks waited for the machine and were sent many at once)"
    } else {
        ""
    };
    format!("{distributor}{fanout}  CPU ratio {:.2}{note}\n", pair.cpu_ratio)
}

/// What the pairs come to.
#[must_use]
pub fn verdict(figures: &Figures, consumers: usize) -> String {
    let halves = || figures.pairs.iter().map(|pair| &pair.distributor);
    let rss = halves().map(|half| half.rss_peak_bytes).max().unwrap_or(0);
    let dropped: u64 = halves().map(|half| half.dropped(consumers)).sum();
    let sound = figures.pairs.len() - figures.disturbed();
    let ratio = figures.cpu_ratio();
    let shown = ratio.map_or_else(|| "unknown".into(), |ratio| format!("{ratio:.2}"));
    let posts = figures.acknowledged;
    let mut out = String::from("\n");
    let mut line = |what: fmt::Arguments<'_>, goal: fmt::Arguments<'_>, met: Option<bool>| {
        // Writing to a String cannot fail.
        let met = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not known",
        };
        let _ = writeln!(out, "{what}, goal {goal}: {met}");
    };
    line(
        format_args!("CPU ratio, median of {sound} undisturbed pairs: {shown}"),
        format_args!("at most {CPU_RATIO_MAX}"),
        ratio.map(|ratio| ratio <= CPU_RATIO_MAX),
    );
    line(
        format_args!("RSS: {:.1} MiB", mib(rss)),
        format_args!("at most {} MiB", RSS_BYTES_MAX >> 20),
        Some(rss <= RSS_BYTES_MAX),
    );
    line(format_args!("consumers dropped: {dropped}"), format_args!("0"), Some(dropped == 0));
    line(
        format_args!(
            "POST acknowledged (os): p50 {:.3} ms, p99 {:.3} ms",
            millis(posts.p50_us),
            millis(posts.p99_us)
        ),
        format_args!("p50 below {} ms", ACKNOWLEDGED_US_MAX / 1_000),
        Some(posts.p50_us < ACKNOWLEDGED_US_MAX),
    );
    out
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
