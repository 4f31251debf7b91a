//! Figures for people: tables for a terminal.

use std::{fmt::Write, time::Duration};

use freshet_consumer::StreamUrl;

use crate::{
    ages::{Ages, Latency},
    breakdown::Breakdown,
    compare::Comparison,
    demo,
    document::{Document, Figure},
    glass::Shown,
    goals::Goal,
    load::Slow,
    measure::Measured,
    memory,
    model::{self, Measurements, Served},
    scenario::Scenario,
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
        out.push_str(&aside(document, name, relay));
    }
    out
}

/// What is told only of some scenarios: acknowledgements, and slow consumers.
fn aside(document: &Document, name: &str, relay: &str) -> String {
    let (mut acknowledged, mut slow) = (Ages::default(), Slow::default());
    for run in document.of(name, relay) {
        acknowledged.add(&run.measured.fed.acknowledged);
        let seen = run.measured.seen.slow;
        slow.consumers += seen.consumers;
        slow.cut += seen.cut;
    }
    let mut out = String::new();
    if acknowledged.count() > 0 {
        let Latency { p50_us, p99_us, .. } = acknowledged.latency();
        let (p50, p99) = (millis(p50_us), millis(p99_us));
        let _ = writeln!(out, "            acknowledged in {p50:.3} ms (p50), {p99:.3} ms (p99)");
    }
    if slow.consumers > 0 {
        let Slow { consumers, cut, .. } = slow;
        let _ =
            writeln!(out, "            {consumers} slow consumers beside them, {cut} of them cut");
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

/// The goals, and whether they are met; nothing where there are none.
#[must_use]
pub fn goals(goals: &[Goal]) -> String {
    if goals.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n");
    for Goal { scenario, what, figure, min, max, goal, is_met } in goals {
        let met = if *is_met { "met" } else { "MISSED" };
        let told = format!("{figure:.2} ({min:.2} to {max:.2})");
        let _ = writeln!(out, "{scenario:<28} {what:<46} {told:<34} goal {goal:<14} {met}");
    }
    let missed = goals.iter().filter(|goal| !goal.is_met).count();
    let _ = writeln!(out, "\n{} of {} goals met", goals.len() - missed, goals.len());
    out
}

/// Where the time of a scenario goes.
#[must_use]
pub fn breakdown(breakdown: &Breakdown, document: &Document) -> String {
    let Breakdown { scenario, of } = breakdown;
    let setting = document.scenarios.get(scenario).map(Scenario::in_short).unwrap_or_default();
    let whole: f64 = of.stages.iter().map(|stage| stage.mean_us).sum();
    let mut out = format!(
        "\n{scenario}: {setting}\n\n{:<20} {:>9} {:>7} {:>9} {:>9}\n",
        "microseconds", "mean", "share", "p50", "p99"
    );
    let mut row = |name: &str, mean: f64, ages: &Ages| {
        let Latency { p50_us, p99_us, .. } = ages.latency();
        let share = mean / whole * 100.0;
        let _ = writeln!(out, "{name:<20} {mean:>9.1} {share:>6.1}% {p50_us:>9} {p99_us:>9}");
    };
    of.stages.iter().for_each(|stage| row(&stage.name, stage.mean_us, &stage.ages));
    row("the whole way", whole, &of.whole);
    let _ = writeln!(out, "{} deliveries, {} more not seen everywhere", of.seen, of.unseen);
    out
}

/// How old pictures are on the screen.
#[must_use]
pub fn glass(shown: &[Shown]) -> String {
    let mut out = format!(
        "\n{:<14} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>10} {:>6}\n",
        "player", "p50 ms", "p95 ms", "p99 ms", "max ms", "pictures", "missed", "first ms", "CPU"
    );
    for Shown { player, ages, missed, first_ms, cpu_share } in shown {
        let Some(first_ms) = first_ms else {
            let _ = writeln!(out, "{player:<14} shows nothing");
            continue;
        };
        let ms = |quantile| ages.at(quantile) as f64 / 1e3;
        let _ = writeln!(
            out,
            "{player:<14} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>9} {missed:>8} {first_ms:>10.0} {:>5.0}%",
            ms(0.5),
            ms(0.95),
            ms(0.99),
            ms(1.0),
            ages.count(),
            cpu_share * 100.0
        );
    }
    out
}

/// What differs between A and B.
#[must_use]
pub fn comparison(found: &[Comparison]) -> String {
    let mut out = String::from("B by A: the median, and where it lies in 95 of 100 cases\n\n");
    for Comparison { scenario, figure, ratio, is_change } in found {
        let said = match is_change {
            false => "no more than noise",
            true if ratio.median > 1.0 => "MORE",
            true => "less",
        };
        let told = format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high);
        let _ = writeln!(out, "{scenario:<30} {figure:<14} {told:<28} {said}");
    }
    out
}

/// How many distributors serve how many viewers.
#[must_use]
pub fn model(options: &model::Options, from: Measurements, served: &[Served]) -> String {
    let mut out = format!(
        "measured: {:.2} CPU seconds per GB; {:.3} ms to a consumer, {:.3} ms more for each further hop, \
         {:.3} ms more for 1,000 consumers\nassumed: {} bit/s, {} cores and {} bit/s of network for each \
         distributor, {:.0} % of both used, at most {} connections\n\n\
         {:>12} {:>8} {:<12} {:>14} {:>12} {:>16} {:>16}  tiers\n",
        from.cpu_seconds_per_gb,
        from.first_hop_ms,
        from.next_hop_ms,
        from.thousand_ms,
        options.rate,
        options.cores,
        options.network,
        options.used * 100.0,
        options.connections,
        "viewers",
        "each",
        "bound by",
        "distributors",
        "p50 ms",
        "Gbit/s out",
        "Gbit/s between",
    );
    for row in served {
        let all: u64 = row.tiers.iter().sum();
        let tiers = row.tiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" > ");
        let _ = writeln!(
            out,
            "{:>12} {:>8} {:<12} {all:>14} {:>12.2} {:>16.1} {:>16.1}  {tiers}",
            row.viewers,
            row.each,
            row.bound,
            row.latency_ms,
            row.egress_gbit_per_second,
            row.between_gbit_per_second,
        );
    }
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
        "Origin with a test card, distributor, consumer and player run in this process.\n\n\
         \x20 in a browser   http://{host}:{port}/watch/demo\n\
         \x20 who is served  http://{host}:{port}/operate\n\
         \x20 with curl      curl -N {url} | od -A d -c\n\n"
    )
}

/// One second of the demo.
#[must_use]
pub fn demo_line(live: &demo::Live) -> String {
    let demo::Shown { pictures, age, travel, .. } = live.shown;
    format!(
        "{:>5} s  {pictures} pictures, from drawn to due {}; bytes from origin to player {}  held {:.2} MiB  \
         consumers {}",
        live.at,
        times(age),
        times(travel),
        mib(live.held_bytes),
        live.consumers,
    )
}

fn times((p50, p99): (Duration, Duration)) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    format!("p50 {:.2} ms p99 {:.2} ms", millis(p50), millis(p99))
}

/// How the demo went.
#[must_use]
pub fn demo_summary(summary: &demo::Summary) -> String {
    let demo::Shown { pictures, lost, age, travel } = summary.shown;
    let (seconds, (bytes, digest)) = (summary.length.as_secs_f64(), summary.taken);
    let relayed = match summary.distributor_agrees {
        Some(true) => "the distributor's copy is equal",
        Some(false) => "the distributor's copy is DIFFERENT",
        None => "the distributor has let the oldest bytes go",
    };
    format!(
        "{bytes} bytes in {seconds:.1} s, {:.3} Mbit/s; the origin has posted {}\n\
         {pictures} pictures shown, {lost} passed over: from before it had caught up, or too late\n\
         latency from the picture drawn to the picture due: {}\n\
         latency of its bytes from origin to player: {}\n\
         consumer {digest}\n\
         {relayed}\n",
        bytes as f64 * 8.0 / 1e6 / seconds,
        summary.made_bytes,
        times(age),
        times(travel),
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
