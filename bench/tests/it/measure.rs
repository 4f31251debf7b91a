//! The measuring commands, on a small scale: they measure what they say, and bytes come through.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::command::{Node, command, folder};

fn figures(words: &[&str]) -> (Value, String) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("figures.json");
    let output = command("bench").args(words).arg("--json").arg(&path).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}\n{printed}\n{said}");
    (serde_json::from_slice(&fs::read(path).unwrap()).unwrap(), printed)
}

/// What must be in each run, whatever the relay: everything, and nothing else.
fn is_whole(run: &Value, consumers: u64) {
    let (measured, relay) = (&run["measured"], &run["relay"]);
    let seen = &measured["seen"];
    assert_eq!(seen["consumers"], consumers, "{relay}: {seen}");
    for count in ["cut", "gaps", "repeats", "wrong"] {
        assert_eq!(seen[count], 0, "{count} in {relay}: {seen}");
    }
    assert_eq!(seen["chunks"], measured["chunks_due"], "{relay}: {seen}");
    assert!(seen["chunks"].as_u64().unwrap() > 0, "{relay}: {seen}");
    assert!(measured["relay"]["rss_peak_bytes"].as_u64().unwrap() > 1 << 20, "{relay}");
    assert!(measured["relay"]["cpu_seconds"].as_f64().unwrap() > 0.0, "{relay}");
}

#[test]
fn versus_sees_every_chunk_through_every_relay_in_every_round() {
    let words = "versus hundred --set consumers=7 --set rate=4000000 --seconds 1 --rounds 2";
    let (figures, printed) = figures(&words.split(' ').collect::<Vec<_>>());

    let runs = figures["runs"].as_array().unwrap();
    let all = ["floor", "floor-1", "freshet", "hyper", "nchan", "icecast", "varnish"];
    let names: Vec<_> = runs.iter().map(|run| run["relay"].as_str().unwrap()).collect();
    assert_eq!(names, [all, all].concat(), "{printed}");
    for run in runs {
        is_whole(run, 7);
        // A second of 4 Mbit/s in chunks of 4 KiB is 122 of them, for each of 7 consumers.
        let due = run["measured"]["chunks_due"].as_u64().unwrap() / 7;
        assert!((122..=123).contains(&due), "{run}");
    }
    for name in all {
        assert!(printed.lines().any(|line| line.starts_with(name)), "{name}: {printed}");
    }
}

#[test]
fn many_streams_and_haste_and_hops_come_through_whole() {
    for (words, consumers) in [
        ("versus ingest --relay freshet --relay nchan --set streams=9 --seconds 1", 9),
        ("versus peak-10 --relay freshet --relay hyper --set consumers=3 --seconds 1", 3),
        ("versus peak-1 --relay floor-disk --set consumers=2 --seconds 1", 2),
        ("versus cascade --relay freshet --set hops=2 --set consumers=2 --seconds 1", 2),
    ] {
        let words = format!("{words} --rounds 1");
        let (figures, printed) = figures(&words.split(' ').collect::<Vec<_>>());
        let runs = figures["runs"].as_array().unwrap();
        assert!(!runs.is_empty(), "{printed}");
        for run in runs.iter().filter(|run| run["relay"] != "hyper") {
            is_whole(run, consumers);
        }
    }
}

#[test]
fn variants_of_a_scenario_take_turns() {
    let settings = "--rounds 2 --set roles=threads --set consumers=1 --seconds 0.5";
    let (figures, _) = figures(&words(&format!("sweep hundred chunk=1000,2000 {settings}")));
    let runs = figures["runs"].as_array().unwrap();
    let order: Vec<_> = runs.iter().map(|run| json!([run["round"], run["scenario"]])).collect();
    let turns = [0, 1].iter().flat_map(|round| [(round, 1000), (round, 2000)]);
    let turns = turns.map(|(round, chunk)| json!([round, format!("hundred chunk={chunk}")]));
    assert_eq!(order, turns.collect::<Vec<_>>());
}

#[test]
fn consumers_behind_a_proxy_and_over_tls_see_every_chunk_too() {
    let settings = "--set consumers=5 --seconds 1";
    let (figures, _) = figures(&words(&format!("sweep tls front=none,proxy,tls {settings}")));
    let runs = figures["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    runs.iter().for_each(|run| is_whole(run, 5));
    // What stands before the distributor is part of what is paid.
    let threads = |run: &Value| run["measured"]["relay"]["threads"].as_u64().unwrap();
    assert!(runs[1..].iter().all(|run| threads(run) > threads(&runs[0])), "{runs:?}");
}

#[test]
fn all_roles_in_one_process_see_every_chunk_too() {
    let settings = "--set roles=threads --set consumers=3 --seconds 1";
    let (figures, _) = figures(&words(&format!("sweep cascade hops=1,2 {settings}")));
    let runs = figures["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        is_whole(run, 3);
        assert_eq!(run["measured"]["load"]["cpu_seconds"], 0.0, "it is part of the relay's");
    }
}

#[test]
fn a_complete_stream_is_read_by_ranges_from_us_and_from_nginx() {
    let words =
        words("versus range --set consumers=3 --set stored=33554432 --seconds 1 --rounds 1");
    let (figures, printed) = figures(&words);
    let runs = figures["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| run["relay"].as_str().unwrap()).collect();
    assert_eq!(names, ["freshet", "nginx"], "{printed}");
    for seen in runs.iter().map(|run| &run["measured"]["seen"]) {
        for (count, expected) in [("consumers", 3), ("cut", 0), ("gaps", 0), ("wrong", 0)] {
            assert_eq!(seen[count], expected, "{count}: {seen}");
        }
        assert!(seen["bytes"].as_u64().unwrap() > 1 << 20, "{seen}");
    }
}

#[test]
fn a_peer_at_urls_is_measured_beside_the_others() {
    let node = Node::start();
    let url = format!("http://{}/live/mine", node.address);
    let peer = format!("mine={url},{url}");
    let words = ["versus", "one", "--relay", "floor", "--peer", &peer];
    let (figures, _) = figures(&[&words[..], &["--seconds", "1", "--rounds", "1"]].concat());
    let runs = figures["runs"].as_array().unwrap();
    assert_eq!(runs[1]["relay"], "mine");
    assert_eq!(runs[1]["measured"]["seen"]["chunks"], runs[1]["measured"]["chunks_due"]);
    assert_eq!(runs[1]["measured"]["relay"]["cpu_seconds"], 0.0, "it runs elsewhere");
}

#[test]
fn what_is_no_relay_or_no_scenario_is_refused_with_what_there_is() {
    for (words, why) in [
        ("versus one --relay nothing", "floor, floor-1, floor-disk, freshet"),
        ("versus no-such", "bench list"),
        ("versus one --set colour=red", "colour"),
    ] {
        let output = command("bench").args(words.split(' ')).output().unwrap();
        assert!(!output.status.success(), "{words}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{words}: {said}");
    }
}

#[test]
fn run_answers_the_question_of_its_scenario() {
    let (posts, printed) = figures(&words("run posts --seconds 1"));
    is_whole(&posts["runs"][0], 1);
    assert!(printed.contains("acknowledged in "), "{printed}");

    let (slow, printed) = figures(&words("run slow --seconds 1 --set consumers=3 --set slow=2"));
    is_whole(&slow["runs"][0], 3);
    assert_eq!(slow["runs"][0]["measured"]["seen"]["slow"]["consumers"], 2);
    assert!(printed.contains("2 slow consumers"), "{printed}");
}

#[test]
fn sweep_goes_through_every_way_of_delivery() {
    let vary = "delivery=plain,pushed,polled publish=body,each";
    let (figures, _) =
        figures(&words(&format!("sweep hundred {vary} --set consumers=3 --seconds 1")));
    let runs = figures["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 6);
    for run in runs {
        // Native consumers want the newest: on a busy machine they pass over what has become old.
        let seen = &run["measured"]["seen"];
        assert_eq!((&seen["wrong"], &seen["cut"]), (&0.into(), &0.into()), "{run}");
        assert_eq!(seen["consumers"], 3, "{run}");
        assert!(seen["chunks"].as_u64().unwrap() > 0, "{run}");
    }
    assert_eq!(runs[2]["scenario"], "hundred delivery=pushed publish=body");
}

#[test]
fn list_has_what_run_knows() {
    let output = command("bench").arg("list").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.lines().any(|line| line.starts_with("thousand ")), "{printed}");
}

#[test]
fn a_program_does_not_differ_from_itself_and_its_figures_become_a_page_and_a_model() {
    let place = TempDir::new().unwrap();
    let file = |name: &str| place.path().join(name).display().to_string();
    let (same, twice) = (file("same.json"), folder().join("distributor").display().to_string());
    let measure = "--rounds 2 --seconds 1 --set consumers=2 --json";
    bench(&[&["compare", &twice, &twice], &words(measure)[..], &[&same]].concat());
    let printed = bench(&["compare", &same, &same]);
    assert_eq!(printed.matches("no more than noise").count(), 8, "{printed}");

    let (hops, thousand) = (file("hops.json"), file("thousand.json"));
    bench(&[&words("sweep cascade hops=1,4 --seconds 1 --json")[..], &[&hops]].concat());
    let log = file("latency.hlog");
    let run = words("run thousand --set consumers=9 --seconds 1");
    bench(&[&run[..], &["--json", &thousand, "--log", &log]].concat());
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Tag=thousand/freshet,"), "{log}");

    let page = file("page.html");
    bench(&["report", &same, &hops, &thousand, "--output", &page]);
    let page = fs::read_to_string(page).unwrap();
    // Two plots for each of four scenarios.
    assert!(page.matches("<svg").count() >= 8);
    let printed = bench(&["model", "--figures", &hops, "--figures", &thousand]);
    assert!(printed.lines().any(|line| line.trim_start().starts_with("100000000 ")), "{printed}");
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

/// Run it, and it must end well.
pub(crate) fn bench(words: &[&str]) -> String {
    let output = command("bench").args(words).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}\n{printed}\n{said}");
    printed
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
