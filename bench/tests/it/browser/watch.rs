//! `/watch/NAME`: a live stream in a browser, through rewinding and a restart of the distributor.

use std::{
    process::{Child, Command, Stdio},
    time::SystemTime,
};

use freshet_protocol::{CardCode, Stamp};
use tempfile::TempDir;

use super::{Browser, look_at, text};
use crate::{
    command::{Node, command},
    crash::{Relay, Role},
};

/// A source without end: ffmpeg's test picture and a tone, encoded as `args` say, posted to `url`.
struct Live {
    ffmpeg: Child,
    _origin: Role,
    _copy: TempDir,
}

impl Live {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=15"]);
        ffmpeg.args(["-re", "-f", "lavfi", "-i", "sine=frequency=440"]).args(args).arg("-");
        ffmpeg.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut ffmpeg = ffmpeg.spawn().unwrap();
        let mut origin = command("origin");
        let copy = TempDir::new().unwrap();
        origin.args(["stdin", "--quiet", "--to", url, "--copy"]).arg(copy.path().join("copy"));
        origin.stdin(ffmpeg.stdout.take().unwrap());
        Self { ffmpeg, _origin: Role::start(origin), _copy: copy }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test has said so already.
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

const H264: [&str; 10] = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "15",
];

/// A fragment for each frame.
const MP4: [&str; 6] =
    ["-c:a", "aac", "-movflags", "frag_every_frame+empty_moov+default_base_moof", "-f", "mp4"];

const WEBM: [&str; 14] = [
    "-c:v",
    "libvpx",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-g",
    "15",
    "-c:a",
    "libopus",
    "-live",
    "1",
    "-f",
    "webm",
];

/// Count the frames that are shown from now on.
fn count_frames(browser: &Browser) {
    browser.run(
        "window.frames_shown = 0; const video = document.getElementById('video');
         const shown = () => { window.frames_shown += 1; video.requestVideoFrameCallback(shown); };
         video.requestVideoFrameCallback(shown)",
    );
}

#[test]
fn a_person_watches_goes_back_and_on_and_through_a_restart() {
    let mut relay = Relay::start();
    let mp4 = [&H264[..], &MP4].concat();
    let _live = Live::start(&relay.url(), &mp4);
    let browser = Browser::start();
    browser.open(&format!("http://{}/watch/crash", relay.address));
    browser.wait_for("document.getElementById('video').currentTime > 0");
    count_frames(&browser);
    browser.wait_for("window.frames_shown >= 20");
    browser.wait_for("document.getElementById('way').innerText === 'newest first'");
    browser.wait_for("/^[0-9].* m?s$/.test(document.getElementById('latency').innerText)");
    browser.wait_for("document.getElementById('video').muted");
    look_at(&browser, "watch");

    // Five seconds back, in what the browser has; and it plays from there.
    browser.wait_for(
        "document.getElementById('video').buffered.length === 1 &&
        document.getElementById('video').currentTime -
        document.getElementById('video').buffered.start(0) > 7",
    );
    browser.press("\u{e012}");
    browser.wait_for("document.getElementById('position').innerText.startsWith('−')");
    browser.wait_for("document.getElementById('live').getAttribute('aria-pressed') === 'false'");
    count_frames(&browser);
    browser.wait_for("window.frames_shown >= 10");
    browser.press("l");
    browser.wait_for("document.getElementById('live').getAttribute('aria-pressed') === 'true'");
    browser.wait_for("document.getElementById('position').innerText === ''");
    browser.press("m");
    browser.wait_for("!document.getElementById('video').muted");
    browser.press(" ");
    browser.wait_for("document.getElementById('video').paused");
    browser.press(" ");
    browser.press("l");

    relay.kill();
    browser.wait_for("!document.getElementById('state').hidden");
    relay.restart();
    browser.wait_for("document.getElementById('state').hidden");
    count_frames(&browser);
    browser.wait_for("window.frames_shown >= 20");
    browser.wait_for("document.getElementById('way').innerText === 'newest first'");
}

#[test]
fn one_can_go_back_to_what_is_held_though_this_browser_never_had_it() {
    let (node, browser) = (Node::start(), Browser::start());
    let url = format!("http://{}/live/card", node.address);
    let mut card = command("origin");
    card.args(["testcard", "--size", "320x180", "--quiet", "--to", &url]);
    let _card = Role::start(card);
    browser.open(&format!("http://{}/", node.address));
    // Some seconds of it before anybody looks.
    browser.wait_for(
        "Number(document.querySelector('#live [data-stream=card]')?.innerText.match(/(\\d+) s/)?.[1] ?? 0) >= 8",
    );
    browser.open(&format!("http://{}/watch/card", node.address));
    browser.wait_for("document.getElementById('video').currentTime > 0");
    browser.wait_for("Number(document.getElementById('bar').min) <= -8");
    browser.run(
        "const bar = document.getElementById('bar'); bar.value = bar.min / 2 - 2;
         bar.dispatchEvent(new Event('input')); bar.dispatchEvent(new Event('change')); return null",
    );
    browser.wait_for("document.getElementById('what').innerText === 'from the past'");
    count_frames(&browser);
    browser.wait_for("window.frames_shown >= 20");
    // What the card says of itself is as old as the page says.
    let behind = "Number(document.getElementById('bar').getAttribute('aria-valuetext').match(/^\\d+/)?.[0] ?? 0)";
    browser.wait_for(&format!("{behind} >= 5"));
    let told = browser.run(&format!("return {behind}")).as_f64().unwrap();
    let pixels = browser.run(
        "const video = document.getElementById('video'), canvas = document.createElement('canvas');
         [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
         const context = canvas.getContext('2d'); context.drawImage(video, 0, 0);
         const { data } = context.getImageData(0, 0, canvas.width, 40);
         return Array.from({ length: data.length / 4 }, (_, at) => data[at * 4 + 1])",
    );
    let green: Vec<_> =
        pixels.as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as u8).collect();
    let code = CardCode::read(320, 180, |x, y| green.get(y * 320 + x).copied().unwrap_or_default());
    let now = Stamp::from(SystemTime::now());
    let age = now.since(code.expect("the card's blocks").captured(now)).as_secs_f64();
    assert!((age - told).abs() < 2.0, "the picture is {age} s old, the page says {told} s");
    browser.press("l");
    browser.wait_for("document.getElementById('live').getAttribute('aria-pressed') === 'true'");
    browser.wait_for("document.getElementById('way').innerText === 'newest first'");
}

/// A browser that is busy hands out what has come meanwhile in one piece, which may be longer than any header.
#[test]
fn a_stream_is_known_by_its_beginning_however_much_comes_with_it() {
    let (node, browser) = (Node::start(), Browser::start());
    browser.open(&format!("http://{}/", node.address));
    for (beginning, kind) in [("OggS", "sound"), ("FLV", "flv"), ("nothing", "unknown")] {
        let found = browser.run_async(&format!(
            "import('/assets/player/container.js').then(({{ opened }}) => {{
               const bytes = new Uint8Array(2 << 20);
               bytes.set(new TextEncoder().encode('{beginning}'));
               done(opened(bytes).kind);
             }}, (error) => done(String(error)))"
        ));
        assert_eq!(text(&found), kind, "{beginning}");
    }
}

#[test]
fn every_container_that_a_browser_can_play_is_played() {
    let (node, browser) = (Node::start(), Browser::start());
    let ts = [&H264[..], &["-c:a", "aac", "-f", "mpegts"]].concat();
    for (name, args) in [("film.webm", &WEBM[..]), ("film.ts", &ts)] {
        let _live = Live::start(&format!("http://{}/live/{name}", node.address), args);
        browser.open(&format!("http://{}/watch/{name}", node.address));
        browser.wait_for("document.getElementById('video').currentTime > 0");
        count_frames(&browser);
        browser.wait_for("window.frames_shown >= 20");
    }
    for (name, args) in [
        ("song.mp3", &["-map", "1", "-c:a", "libmp3lame", "-f", "mp3"][..]),
        ("song.ogg", &["-map", "1", "-c:a", "libopus", "-page_duration", "200000", "-f", "ogg"]),
    ] {
        let _live = Live::start(&format!("http://{}/live/{name}", node.address), args);
        browser.open(&format!("http://{}/watch/{name}", node.address));
        browser.wait_for("document.getElementById('stage').classList.contains('sound')");
        // Sound waits for a person to ask for it.
        browser.wait_for("!document.getElementById('unblock').hidden");
        browser.press(" ");
        browser.wait_for("document.getElementById('audio').currentTime > 2");
    }
    let words = [&b"no media at all"[..]; 40].concat();
    let url = format!("http://{}/live/words", node.address);
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "-T", "-", &url]).stdin(Stdio::piped());
    let mut curl = curl.spawn().unwrap();
    std::io::Write::write_all(&mut curl.stdin.take().unwrap(), &words).unwrap();
    assert!(curl.wait().unwrap().success());
    browser.open(&format!("http://{}/watch/words", node.address));
    browser.wait_for(
        "document.getElementById('state').innerText.includes('not a stream that a browser plays')",
    );
    browser.wait_for("document.getElementById('elsewhere').open");
}
