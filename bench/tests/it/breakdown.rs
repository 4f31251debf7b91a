//! `bench breakdown`: the stages of a chunk's way are those of every delivery, and make up all of it.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::measure::bench;

/// The breakdown of one scenario with these settings, what was printed, and the page of it.
fn taken_apart(settings: &[&str]) -> (Value, String, String) {
    let place = TempDir::new().unwrap();
    let file = |name: &str| place.path().join(name).display().to_string();
    let (figures, page) = (file("figures.json"), file("page.html"));
    let words = ["breakdown", "hundred", "--seconds", "1", "--json", &figures];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let words: Vec<_> = words.into_iter().chain(settings).collect();
    let printed = bench(&words);
    bench(&["report", &figures, "--output", &page]);
    let read = |path: &str| fs::read_to_string(path).unwrap();
    (serde_json::from_str(&read(&figures)).unwrap(), printed, read(&page))
}

/// Every delivery was seen at every stage, and the stages add up to what the load saw by itself.
fn is_complete(figures: &Value, delivered: u64) {
    let of = &figures["breakdowns"][0]["of"];
    assert_eq!((&of["seen"], &of["unseen"]), (&delivered.into(), &0.into()), "{of}");
    let stages = of["stages"].as_array().unwrap();
    let means = stages.iter().map(|stage| stage["mean_us"].as_f64().unwrap());
    assert!(means.clone().all(|mean| mean > 0.0), "{stages:?}");
    let slowest: f64 = {
        let tenths = of["tenths"].as_array().unwrap();
        assert_eq!(tenths.len(), 10);
        let last = tenths.last().unwrap().as_array().unwrap();
        last.iter().map(|mean| mean.as_f64().unwrap()).sum()
    };
    assert!(means.sum::<f64>() < slowest, "{of}");
}

#[test]
fn every_delivery_is_seen_at_every_stage() {
    let (figures, printed, page) = taken_apart(&["consumers=20"]);
    let due = figures["runs"][0]["measured"]["chunks_due"].as_u64().unwrap();
    assert!((30 * 20..=31 * 20).contains(&due), "{printed}");
    is_complete(&figures, due);
    for stage in ["schedule to socket", "ring to send", "receive to play", "the whole way"] {
        assert!(printed.lines().any(|line| line.starts_with(stage)), "{stage}: {printed}");
    }
    // Latency, age over time, and where it goes.
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("Where the time goes") && page.contains("socket to ring"));
}

#[test]
fn a_native_consumer_tells_when_it_had_the_bytes() {
    let (figures, printed, _) = taken_apart(&["consumers=1", "delivery=pushed"]);
    let due = figures["runs"][0]["measured"]["chunks_due"].as_u64().unwrap();
    assert!((30..=31).contains(&due), "{printed}");
    is_complete(&figures, due);
}
