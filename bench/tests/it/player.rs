//! `player` decodes a live stream by itself: headless, in a window, and back and forth in time.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use freshet_bench::glass::display::Display;
use freshet_protocol::{CardCode, Stamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    command::{DEADLINE, Node, command},
    glass::{Started, codes, screen},
};

const SIZE: &str = "640x360";

/// A live test card, of so many seconds.
fn card(url: &str, more: &[&str]) -> Started {
    let mut card = command("origin");
    card.args(["testcard", "--size", SIZE, "--no-sound", "--quiet", "--to", url]).args(more);
    Started::new(card)
}

fn lines(file: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn headless_decodes_a_live_stream_and_says_of_each_picture_how_old_it_is() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let url = format!("http://{}/live/card", node.address);
    let stats = folder.path().join("stats.jsonl");
    let _card = card(&url, &["--seconds", "4"]);

    let mut player = command("player");
    player.args([&url, "--headless", "--wait", "30", "--stats"]).arg(&stats);
    let output = player.stdin(Stdio::null()).output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let lines = lines(&stats);
    let frames: Vec<_> = lines.iter().filter(|line| line.get("shown").is_some()).collect();
    assert!(frames.len() > 60, "{} pictures: {told}", frames.len());
    let number = |line: &Value, name: &str| {
        line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"))
    };
    for frame in &frames {
        let at = ["captured", "received", "decoded", "shown"].map(|name| number(frame, name));
        assert!(at.is_sorted(), "{frame}");
    }
    let is_in_order =
        |name: &str| frames.windows(2).all(|pair| number(pair[0], name) < number(pair[1], name));
    assert!(is_in_order("frame") && is_in_order("card") && is_in_order("time_ns"));
    assert!(told.contains(&format!("{} pictures", frames.len())) && told.contains("age"), "{told}");
}

#[test]
fn without_a_display_it_plays_on_and_what_it_cannot_decode_it_counts() {
    let node = Node::start();
    let url = format!("http://{}/live/noise", node.address);
    let posted = Command::new("curl")
        .args(["-sS", "--fail", "-T", "/proc/self/exe", &url])
        .stdout(Stdio::null())
        .status();
    assert!(posted.unwrap().success());

    let mut player = command("player");
    player.arg(&url).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").stdin(Stdio::null());
    let output = player.output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("no display"), "{told}");
    assert!(told.contains("container") && told.contains("--via mpv"), "{told}");
    assert!(told.contains("bytes/s"), "{told}");
}

/// A player in a window.
struct Watched {
    child: Child,
    display: Display,
    _screen: Started,
    _folder: TempDir,
}

impl Watched {
    fn open(url: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (screen, display) = screen(folder.path());
        let mut player = command("player");
        player.arg(url).env("DISPLAY", display.name()).stdin(Stdio::null());
        let child = player.spawn().unwrap();
        Self { child, display, _screen: screen, _folder: folder }
    }

    fn press(&self, key: &str) {
        let mut xdotool = Command::new("xdotool");
        xdotool.args([
            "search",
            "--sync",
            "--onlyvisible",
            "--name",
            "live",
            "windowfocus",
            "key",
            key,
        ]);
        // A window that closes at once takes the key's second half away: what came of it, the test sees.
        xdotool.env("DISPLAY", self.display.name()).stdout(Stdio::null()).status().unwrap();
    }

    /// How old the pictures are that come up next.
    fn ages(&self) -> Vec<Duration> {
        let age = |code: &CardCode| {
            let now = Stamp::from(SystemTime::now());
            now.since(code.captured(now))
        };
        codes(&self.display, 3).iter().map(age).collect()
    }

    /// Wait until they are as they should be.
    fn until_ages(&self, what: &str, are: impl Fn(Duration) -> bool) {
        let begun = Instant::now();
        let mut ages = self.ages();
        while !ages.iter().all(|&age| are(age)) {
            assert!(begun.elapsed() < DEADLINE, "{what}: they are {ages:?}");
            ages = self.ages();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test has said so already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_window_shows_the_live_edge_goes_back_in_time_and_returns() {
    const LATE: Duration = Duration::from_secs(3);
    let node = Node::start();
    let url = format!("http://{}/live/card", node.address);
    let _card = card(&url, &[]);
    let list = format!("http://{}/live/", node.address);
    let begun = Instant::now();
    let is_there = || {
        let output = Command::new("curl").args(["-sS", &list]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"card\"")
    };
    while !is_there() {
        assert!(begun.elapsed() < DEADLINE, "the test card does not come up");
        thread::park_timeout(Duration::from_millis(50));
    }

    let mut watched = Watched::open(&url);

    watched.until_ages("at the live edge", |age| age < LATE);
    while begun.elapsed() < 2 * LATE {
        watched.ages();
    }
    watched.press("Left");
    watched.until_ages("back in time", |age| age > LATE);
    watched.press("l");
    watched.until_ages("live again", |age| age < LATE);
    watched.press("space");
    watched.press("space");
    watched.until_ages("after a pause", |age| age < LATE);
    watched.press("q");
    let begun = Instant::now();
    while watched.child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < DEADLINE, "q does not end it");
        thread::park_timeout(Duration::from_millis(20));
    }
    assert!(watched.child.wait().unwrap().success());
}
