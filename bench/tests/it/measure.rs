//! The measuring commands, on a small scale: they measure what they say, and bytes come through.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::command::command;

fn figures(words: &[&str]) -> (Value, String) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("figures.json");
    let output = command("bench").args(words).arg("--json").arg(&path).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}\n{printed}\n{said}");
    (serde_json::from_slice(&fs::read(path).unwrap()).unwrap(), printed)
}

#[test]
fn speed_sees_every_chunk_of_both_servers() {
    let words = "speed --consumers 7 --seconds 1 --pairs 2 --posts 20 --rate 4000000";
    let (figures, printed) = figures(&words.split(' ').collect::<Vec<_>>());

    let pairs = figures["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    for half in pairs.iter().flat_map(|pair| [&pair["distributor"], &pair["fanout"]]) {
        let seen = &half["seen"];
        for (count, expected) in [("consumers", 7), ("cut", 0), ("gaps", 0), ("wrong", 0)] {
            assert_eq!(seen[count], expected, "{count} in {half}");
        }
        // A second of 4 Mbit/s in chunks of 4 KiB is 122 of them, for each of 7 consumers.
        let due = half["chunks_due"].as_u64().unwrap() / 7;
        assert!((122..=123).contains(&due), "{half}");
        assert_eq!(seen["chunks"], half["chunks_due"], "{half}");
        assert!(half["rss_peak_bytes"].as_u64().unwrap() > 1 << 20, "{half}");
        assert!(seen["latency"]["p50_us"].as_u64().unwrap() > 0, "{half}");
    }
    assert!(figures["acknowledged"]["p50_us"].as_u64().unwrap() > 0);
    assert!(printed.contains("consumers dropped: 0, goal 0: met"), "{printed}");
}

#[test]
fn memory_is_looked_at_over_the_whole_stream() {
    let words = "memory --gib 0.05 --ring 4 --retain 16";
    let (figures, printed) = figures(&words.split(' ').collect::<Vec<_>>());

    let samples = figures["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 400);
    let bytes = figures["bytes"].as_u64().unwrap();
    assert!(samples.last().unwrap()["bytes"].as_u64().unwrap() >= bytes);
    assert!(figures["rss_late_bytes"].as_u64().unwrap() > 1 << 20, "{printed}");
}

#[test]
fn five_hundred_that_join_within_a_second_all_have_their_first_bytes() {
    let (figures, printed) = figures(&["joins", "--consumers", "500"]);

    for (count, expected) in [("joined", 500), ("failed", 0), ("wrong", 0)] {
        assert_eq!(figures[count], expected, "{count}\n{printed}");
    }
    assert!(figures["floor_us"].as_u64().unwrap() > 0, "{printed}");
    assert!(figures["p50_us"].as_u64() <= figures["p99_us"].as_u64(), "{printed}");
}

#[test]
fn those_beside_stopped_ones_get_every_chunk() {
    let words = "stalled --consumers 5 --stalled 5 --pairs 1 --seconds 1";
    let (figures, printed) = figures(&words.split(' ').collect::<Vec<_>>());

    for half in ["alone", "beside"] {
        let half = &figures["pairs"][0][half];
        // A second of 1 Mbit/s in chunks of 4 KiB is 30 of them, for each of 5.
        let chunks = half["chunks"].as_u64().unwrap();
        assert!((30 * 5..=31 * 5).contains(&chunks), "{printed}");
        assert_eq!(half["wrong"], 0, "{printed}");
        assert!(half["p99_us"].as_u64().unwrap() > 0, "{printed}");
    }
}
