//! Our player without a screen: what it says itself of each picture, which is when that was due.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use freshet_protocol::Stamp;
use serde_json::Value;

use super::{Shown, watch::Pictures};
use crate::{clock::Moment, limits::SAMPLE_EVERY, role::Role};

/// Wait until it has shown something, at most for `first`, and then let it go on for `seconds`.
pub(super) fn watch(
    stats: &Path,
    player: &Role,
    first: Duration,
    seconds: Duration,
) -> anyhow::Result<Shown> {
    let (begun, until) = (Stamp::from(SystemTime::now()), Moment::now().after(first));
    while lines(stats).is_empty() {
        player.usage().context("it has ended, and has shown nothing")?;
        if until.left().is_zero() {
            return Ok(Shown::default());
        }
        thread::sleep(SAMPLE_EVERY);
    }
    let (before, from, at) = (player.usage(), Moment::now(), lines(stats).len());
    thread::sleep(seconds);
    let spent = player.usage().context("it has ended by itself")?.cpu.saturating_sub(before?.cpu);
    let lines = lines(stats);
    let shown_at = |line: &Value| line.get("shown").and_then(Value::as_u64).map(Stamp::from_nanos);
    let first_ms = lines.first().and_then(shown_at).map(|at| at.since(begun).as_secs_f64() * 1e3);
    let mut pictures = Pictures::default();
    for line in lines.iter().skip(at) {
        let age = line.get("age_ms").and_then(Value::as_f64);
        let card = line.get("card").and_then(Value::as_u64).and_then(|card| card.try_into().ok());
        if let (Some(age), Some(card)) = (age, card) {
            pictures.seen(card, Duration::from_secs_f64(age / 1e3));
        }
    }
    let cpu_share = spent.as_secs_f64() / Moment::now().since(from).as_secs_f64();
    Ok(Shown { first_ms, cpu_share, ..pictures.shown })
}

/// What it has said of pictures so far, as far as that is in the file.
fn lines(stats: &Path) -> Vec<Value> {
    let text = fs::read_to_string(stats).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("shown").is_some()).collect()
}
