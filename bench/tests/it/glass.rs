//! What is on the screen: real players in real windows, and how old their pictures are.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::chown,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use freshet_bench::{
    document::Document,
    glass::{display::Display, place::Place},
};
use freshet_protocol::{CardCode, Stamp};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    command::{DEADLINE, command, folder, heavy},
    doors::Doors,
};

/// Pictures that are waited for.
const PICTURES: usize = 20;
const NOBODY: u32 = 65534;

#[test]
fn every_player_that_people_have_is_looked_at() {
    let _heavy = heavy();
    let folder = TempDir::new().unwrap();
    let (figures, page) = (folder.path().join("glass.json"), folder.path().join("glass.html"));
    let players = ["player-headless", "player", "page", "mpv-quick", "ffplay-quick", "vlc-quick"];
    let mut glass = command("bench");
    glass.arg("glass").args(players).args(["--seconds", "6", "--json"]).arg(&figures);
    let done = glass.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));

    let shown = Document::read(&figures).unwrap().glass;
    assert_eq!(shown.iter().map(|it| &it.player[..]).collect::<Vec<_>>(), players);
    for it in &shown {
        assert!(it.first_ms.is_some() && it.ages.count() >= PICTURES as u64, "{said}");
        // Older than light, and younger than the stream.
        assert!((500..60_000_000).contains(&it.ages.at(0.5)), "{said}");
        assert!(said.contains(&it.player), "{said}");
    }
    let report = command("bench").arg("report").arg(&figures).arg("-o").arg(&page).status();
    assert!(report.unwrap().success());
    assert!(fs::read_to_string(&page).unwrap().contains("From picture to picture"));
}

/// A program that is killed with the test.
pub(crate) struct Started(Child);

impl Started {
    pub(crate) fn new(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A screen as large as the picture.
pub(crate) fn screen(folder: &Path) -> (Started, Display) {
    let mut xvfb = Command::new("Xvfb");
    xvfb.args(["-displayfd", "1", "-screen", "0", "640x360x24", "-ac", "-nolisten", "tcp"]);
    xvfb.arg("-nocursor").arg("-fbdir").arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut xvfb = Started(xvfb.spawn().unwrap());
    // It says its number when it is ready.
    let mut number = String::new();
    BufReader::new(xvfb.0.stdout.take().unwrap()).read_line(&mut number).unwrap();
    let display = Display::of(number.trim().parse().unwrap(), folder).unwrap();
    (xvfb, display)
}

/// `player URL --via vlc` on a display. VLC refuses to run as root, and so it is somebody else who plays.
fn via_vlc(url: &str, display: &str, home: &Path) -> Started {
    let settings = home.join(".config/vlc");
    fs::create_dir_all(&settings).unwrap();
    // Its picture alone, without its window of knobs.
    fs::write(settings.join("vlcrc"), "intf=dummy\nvideo-title-show=0\nosd=0\naudio=0\n").unwrap();
    for path in [home, &home.join(".config"), &settings, &settings.join("vlcrc")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let player = folder().join("player");
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args([&user, &group, "--clear-groups", "--"]).arg(player);
    as_nobody.args([url, "--via", "vlc"]).env("DISPLAY", display).env("HOME", home);
    Started::new(as_nobody)
}

/// Codes of different pictures, as they come up on the screen.
pub(crate) fn codes(display: &Display, count: usize) -> Vec<CardCode> {
    let (begun, mut codes, mut place) = (Instant::now(), Vec::new(), None);
    while codes.len() < count {
        assert!(begun.elapsed() < DEADLINE, "only {} pictures", codes.len());
        let look = display.look();
        let luma = |x, y| look.luma(x, y);
        place = place.or_else(|| {
            let still = display.still();
            Place::find(display.size(), |x, y| still.luma(x, y))
        });
        let code = place.and_then(|place| place.read(luma));
        codes.extend(code.filter(|code| codes.last() != Some(code)));
        thread::park_timeout(Duration::from_millis(5));
    }
    codes
}

#[test]
fn vlc_shows_a_live_stream_that_comes_as_text_through_the_oldest_door() {
    let (doors, home) = (Doors::open(), TempDir::new().unwrap());
    let (_screen, display) = screen(home.path());
    let mut card = command("origin");
    card.args(["testcard", "--size", "640x360", "--no-sound", "--quiet", "--to"]);
    card.arg(format!("http://{}/live/card", doors.http));
    let before = Stamp::from(SystemTime::now());
    let _card = Started::new(card);
    doors.wait_for_stream("card");

    let _vlc = via_vlc(&doors.numbered("asp", 1), display.name(), &home.path().join("home"));

    let (codes, now) = (codes(&display, PICTURES), Stamp::from(SystemTime::now()));
    assert!(codes.windows(2).all(|pair| pair[0].frame() < pair[1].frame()), "{codes:?}");
    assert!(codes.iter().all(|code| (before..now).contains(&code.captured(now))), "{codes:?}");
}
