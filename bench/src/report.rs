//! Figures for people: tables for a terminal, and whether a goal was met.

use std::fmt::{self, Write};

use crate::{
    memory,
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
    format!("{distributor}{fanout}  CPU ratio {:.2}\n", pair.cpu_ratio)
}

/// What the pairs come to.
#[must_use]
pub fn verdict(figures: &Figures, consumers: usize) -> String {
    let halves = || figures.pairs.iter().map(|pair| &pair.distributor);
    let rss = halves().map(|half| half.rss_peak_bytes).max().unwrap_or(0);
    let dropped: u64 = halves().map(|half| half.dropped(consumers)).sum();
    let ratio = figures.cpu_ratio();
    let posts = figures.acknowledged;
    let mut out = String::from("\n");
    let mut line = |what: fmt::Arguments<'_>, goal: fmt::Arguments<'_>, met: bool| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{what}, goal {goal}: {}", if met { "met" } else { "MISSED" });
    };
    line(
        format_args!("CPU ratio, median of {}: {ratio:.2}", figures.pairs.len()),
        format_args!("at most {CPU_RATIO_MAX}"),
        ratio <= CPU_RATIO_MAX,
    );
    line(
        format_args!("RSS: {:.1} MiB", mib(rss)),
        format_args!("at most {} MiB", RSS_BYTES_MAX >> 20),
        rss <= RSS_BYTES_MAX,
    );
    line(format_args!("consumers dropped: {dropped}"), format_args!("0"), dropped == 0);
    line(
        format_args!(
            "POST acknowledged (os): p50 {:.3} ms, p99 {:.3} ms",
            millis(posts.p50_us),
            millis(posts.p99_us)
        ),
        format_args!("p50 below {} ms", ACKNOWLEDGED_US_MAX / 1_000),
        posts.p50_us < ACKNOWLEDGED_US_MAX,
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

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}
