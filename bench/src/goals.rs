//! What the distributor must reach, and whether it does: read off the figures of `bench versus --all`.

use serde::{Deserialize, Serialize};

use crate::{
    document::{Document, Figure},
    measure::Measured,
    relay::Relay,
    stats::Spread,
    versus::FLOOR,
};

/// CPU for the same bytes, by the floor's.
const CPU_MAX: f64 = 1.3;
/// Likewise, in small chunks.
const CPU_SMALL_MAX: f64 = 1.0;
/// Latency p99, by the floor's.
const P99_MAX: f64 = 1.3;
/// What p50 may be above the floor's in small chunks, for batching: microseconds.
const BATCHING_US_MAX: f64 = 2_000.0;
/// What p50 may be above the floor's for a single consumer: microseconds.
const ADDED_US_MAX: f64 = 60.0;
/// Bytes in the same time, by the floor's.
const PEAK_MIN: f64 = 0.9;
/// Bytes of a complete stream in the same time, by those of nginx.
const RANGE_MIN: f64 = 1.0;
/// Latency p99 of 10,000 consumers: microseconds.
const CROWD_P99_US_MAX: f64 = 250_000.0;
/// Memory with 10,000 consumers: MiB.
const CROWD_MIB_MAX: f64 = 300.0;
/// CPU for the same bytes with 10,000 consumers, by that with 1,000: linear, and a tenth for the noise.
const CROWD_CPU_MAX: f64 = 1.1;
/// What each hop of a cascade may add to p50: microseconds.
const HOP_US_MAX: f64 = 100.0;

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// In which scenario.
    pub scenario: String,
    /// What.
    pub what: String,
    /// As measured, the median over the rounds.
    pub figure: f64,
    /// Over the rounds.
    pub min: f64,
    /// Over the rounds.
    pub max: f64,
    /// What it must be.
    pub goal: String,
    /// Is it?
    pub is_met: bool,
}

/// All goals that `document` has figures for.
#[must_use]
pub fn goals(document: &Document) -> Vec<Goal> {
    let mut goals = Goals { document, found: Vec::new() };
    for scenario in ["thousand", "hundred"] {
        goals.at_most(scenario, "CPU per GB, by the floor's", FLOOR.name(), cpu, CPU_MAX);
        goals.below_peers(scenario, "CPU per GB", &[Relay::Nchan, Relay::Fanout], cpu);
        let peers = [Relay::Fanout, Relay::Nchan, Relay::Icecast, Relay::Varnish];
        goals.below_peers(scenario, "latency p50", &peers, p50);
        goals.below_peers(scenario, "latency p99", &peers, p99);
        goals.at_most(scenario, "latency p99, by the floor's", FLOOR.name(), p99, P99_MAX);
    }
    for scenario in ["thousand", "hundred", "small", "one"] {
        goals.none(scenario, WHOLE, lost);
    }
    goals.at_most("small", "CPU per GB, by the floor's", FLOOR.name(), cpu, CPU_SMALL_MAX);
    goals.added("small", "microseconds of p50 above the floor's", BATCHING_US_MAX);
    goals.added("one", "microseconds of p50 above the floor's", ADDED_US_MAX);
    for scenario in ["peak-1", "peak-10", "peak-100"] {
        goals.peak(scenario);
    }
    for consumers in [1, 10, 100] {
        goals.ranges(&format!("range consumers={consumers}"));
    }
    goals.crowd();
    goals.ingest();
    goals.cascade();
    goals.found
}

struct Goals<'a> {
    document: &'a Document,
    found: Vec<Goal>,
}

const OURS: &str = "freshet";

/// Without it no other figure says anything: what never came is in none of them.
const WHOLE: &str = "consumers dropped, chunks missing or wrong";

impl Goals<'_> {
    fn tell(&mut self, scenario: &str, what: &str, spread: Option<Spread>, goal: &str, met: bool) {
        let Some(Spread { median, min, max }) = spread else { return };
        let (scenario, what, goal) = (scenario.into(), what.into(), goal.into());
        self.found.push(Goal { scenario, what, figure: median, min, max, goal, is_met: met });
    }

    fn max(&mut self, scenario: &str, what: &str, spread: Option<Spread>, max: f64) {
        let met = spread.is_some_and(|spread| spread.median <= max);
        self.tell(scenario, what, spread, &format!("at most {max}"), met);
    }

    fn at_most(&mut self, scenario: &str, what: &str, to: &str, figure: Figure, max: f64) {
        let ratio = self.document.ratio(scenario, OURS, to, figure);
        self.max(scenario, what, ratio, max);
    }

    fn below_peers(&mut self, scenario: &str, what: &str, peers: &[Relay], figure: Figure) {
        for peer in peers {
            let ratio = self.document.ratio(scenario, OURS, peer.name(), figure);
            let met = ratio.is_some_and(|ratio| ratio.median < 1.0);
            self.tell(
                scenario,
                &format!("{what}, by that of {}", peer.name()),
                ratio,
                "below 1",
                met,
            );
        }
    }

    fn added(&mut self, scenario: &str, what: &str, max: f64) {
        let (ours, floor) = ((scenario, OURS), (scenario, FLOOR.name()));
        let added = self.document.difference(ours, floor, p50);
        self.max(scenario, what, added, max);
    }

    fn peak(&mut self, scenario: &str) {
        let figure: Figure = Measured::gbit_per_second;
        let ratio = self.document.ratio(scenario, OURS, FLOOR.name(), figure);
        let met = ratio.is_some_and(|ratio| ratio.median >= PEAK_MIN);
        let goal = format!("at least {PEAK_MIN}");
        self.tell(scenario, "bytes in the same time, by the floor's", ratio, &goal, met);
        self.none(scenario, "chunks missing or wrong", holes);
    }

    fn ranges(&mut self, scenario: &str) {
        let figure: Figure = Measured::gbit_per_second;
        let ratio = self.document.ratio(scenario, OURS, Relay::Static.name(), figure);
        let met = ratio.is_some_and(|ratio| ratio.median >= RANGE_MIN);
        let goal = format!("at least {RANGE_MIN}");
        self.tell(scenario, "bytes in the same time, by those of nginx", ratio, &goal, met);
        self.none(scenario, "cut, or wrong", holes);
    }

    fn none(&mut self, scenario: &str, what: &str, figure: Figure) {
        let spread = self.document.spread(scenario, OURS, figure);
        let met = spread.is_some_and(|spread| spread.max <= 0.0);
        self.tell(scenario, what, spread, "0", met);
    }

    fn crowd(&mut self) {
        let name = "ten-thousand";
        let of = |figure| self.document.spread(name, OURS, figure);
        let (p99, memory, few) = (of(p99), of(mib), "ten-thousand consumers=1000");
        let (cpu_few, cpu_all) = (self.document.spread(few, OURS, cpu), of(cpu));
        self.none(name, WHOLE, lost);
        self.max(name, "microseconds of p99", p99, CROWD_P99_US_MAX);
        self.max(name, "MiB of memory", memory, CROWD_MIB_MAX);
        if let (Some(few), Some(all)) = (cpu_few, cpu_all) {
            let ratio = Spread::of([all.median / few.median]);
            self.max(name, "CPU per GB, by that with 1,000 consumers", ratio, CROWD_CPU_MAX);
        }
    }

    fn ingest(&mut self) {
        self.none("ingest", WHOLE, lost);
    }

    fn cascade(&mut self) {
        for hops in 2..=4 {
            let [before, name] = [hops - 1, hops].map(|hops| format!("cascade hops={hops}"));
            let added = self.document.difference((&name, OURS), (&before, OURS), p50);
            self.max(&name, "microseconds of p50 above one hop less", added, HOP_US_MAX);
        }
    }
}

fn cpu(measured: &Measured) -> f64 {
    measured.cpu_seconds_per_gb()
}

fn p50(measured: &Measured) -> f64 {
    age(measured, 0.5)
}

fn p99(measured: &Measured) -> f64 {
    age(measured, 0.99)
}

/// Where nothing came there is no age, and not one of 0.
fn age(measured: &Measured, quantile: f64) -> f64 {
    let ages = &measured.seen.ages;
    if ages.count() > 0 { ages.at(quantile) as f64 } else { f64::NAN }
}

fn mib(measured: &Measured) -> f64 {
    measured.relay.rss_peak_bytes as f64 / f64::from(1 << 20)
}

/// In haste what is still under way at the end is not missing: only a gap is.
fn holes(measured: &Measured) -> f64 {
    (measured.seen.gaps + measured.seen.wrong + measured.seen.cut) as f64
}

fn lost(measured: &Measured) -> f64 {
    (measured.seen.cut + measured.missing() + measured.seen.wrong + measured.seen.gaps) as f64
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{document::Run, measure::Cost};

    fn run(scenario: &str, relay: &str, cpu_seconds: f64, age_us: u64) -> Run {
        let mut measured = Measured { seconds: 1.0, chunks_due: 1, ..Measured::default() };
        measured.relay = Cost { cpu_seconds, ..Cost::default() };
        measured.seen.chunk(1_000, Duration::ZERO, Duration::from_micros(age_us));
        Run { scenario: scenario.into(), relay: relay.into(), round: 0, measured }
    }

    fn met(runs: Vec<Run>) -> Vec<(String, bool)> {
        let mut document = Document::new(BTreeMap::new());
        document.runs = runs;
        let told = goals(&document).into_iter().filter(|goal| goal.what != WHOLE);
        told.map(|goal| (goal.what, goal.is_met)).collect()
    }

    #[test]
    fn a_stream_that_never_came_meets_no_goal() {
        let mut ours = run("hundred", "freshet", 1.0, 1);
        ours.measured = Measured { chunks_due: 5, ..Measured::default() };
        let mut document = Document::new(BTreeMap::new());
        document.runs = vec![run("hundred", "floor", 1.0, 100), ours];
        let found = goals(&document);
        assert!(!found.is_empty() && found.iter().all(|goal| !goal.is_met), "{found:?}");
    }

    #[test]
    fn only_what_was_measured_is_judged() {
        assert_eq!(met(Vec::new()), []);
        assert_eq!(met(vec![run("one", "freshet", 1.0, 5)]), []);
    }

    #[test]
    fn a_single_consumer_may_wait_sixty_microseconds_longer_than_at_the_floor() {
        for (age, is_met) in [(150, true), (160, true), (161, false)] {
            let runs = vec![run("one", "floor", 1.0, 100), run("one", "freshet", 9.0, age)];
            assert_eq!(met(runs), [("microseconds of p50 above the floor's".into(), is_met)]);
        }
    }

    #[test]
    fn a_peer_that_is_cheaper_is_a_goal_missed() {
        let runs = |ours| {
            vec![
                run("hundred", "floor", 1.0, 100),
                run("hundred", "freshet", ours, 100),
                run("hundred", "nchan", 1.2, 200),
            ]
        };
        let is_met = |ours| {
            let found = met(runs(ours)).into_iter();
            found
                .filter(|(what, _)| what.starts_with("CPU"))
                .map(|(_, met)| met)
                .collect::<Vec<_>>()
        };
        assert_eq!(is_met(1.1), [true, true]);
        assert_eq!(is_met(1.25), [true, false]);
        assert_eq!(is_met(1.35), [false, false]);
    }

    #[test]
    fn each_hop_is_held_against_the_one_before() {
        let cascade = |hops, age| run(&format!("cascade hops={hops}"), "freshet", 1.0, age);
        let runs = vec![cascade(1, 200), cascade(2, 290), cascade(3, 400), cascade(4, 450)];
        let found: Vec<_> = met(runs).into_iter().map(|(_, met)| met).collect();
        assert_eq!(found, [true, false, true]);
    }

    #[test]
    fn hops_are_compared_round_by_round() {
        let ages = [[200, 290], [500, 580], [900, 970]];
        let rounds = ages.iter().enumerate().flat_map(|(round, ages)| {
            [1, 2].into_iter().zip(ages).map(move |(hops, age)| {
                let name = format!("cascade hops={hops}");
                Run { round, ..run(&name, "freshet", 1.0, *age) }
            })
        });
        let mut document = Document::new(BTreeMap::new());
        document.runs = rounds.collect();
        let found = goals(&document);
        let added: Vec<_> = found.iter().map(|goal| goal.figure.round()).collect();
        assert_eq!(added, [80.0]);
    }
}
