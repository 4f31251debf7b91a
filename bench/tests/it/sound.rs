//! What is heard: a player's sound on a server that plays into nothing, beside its picture.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    command::{DEADLINE, Node, command},
    glass::{Started, screen},
};

const RATE: usize = 48_000;
/// Louder than the tone, and not as loud as a click.
const LOUD: i16 = 10_000;
/// Seconds that are listened to, once it can be heard.
const SECONDS: usize = 8;
/// Farthest that sound and picture may be apart.
const APART_MAX: f64 = 0.040;

/// A sound server with a sink that plays into nothing.
fn server(folder: &Path) -> (Started, String) {
    let socket = folder.join("native");
    let mut pulse = Command::new("pulseaudio");
    pulse.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]);
    pulse.args(["-L", "module-null-sink sink_name=nothing", "-L"]);
    pulse.arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", socket.display()));
    pulse.env("HOME", folder).env("XDG_RUNTIME_DIR", folder).env("PULSE_RUNTIME_PATH", folder);
    let started = Started::new(pulse);
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < DEADLINE, "the sound server does not begin");
        thread::park_timeout(Duration::from_millis(20));
    }
    (started, format!("unix:{}", socket.display()))
}

/// What the sink plays, and when its first sample was heard, in seconds of the Unix clock.
struct Heard {
    samples: Vec<i16>,
    from: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn listen(server: &str, folder: &Path) -> Heard {
    let mut parec = Command::new("parec");
    parec.args(["--device=nothing.monitor", "--format=s16le", "--channels=1", "--rate=48000"]);
    parec.args(["--latency-msec=10", "--raw"]).env("PULSE_SERVER", server).env("HOME", folder);
    let mut parec: Child = parec.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = parec.stdout.take().unwrap();
    let (mut heard, mut buffer) = (Heard { samples: Vec::new(), from: f64::MAX }, [0; 4_096]);
    let (mut rest, mut loud_at, begun) = (Vec::new(), None, Instant::now());
    while loud_at.is_none_or(|at| heard.samples.len() < at + SECONDS * RATE) {
        assert!(begun.elapsed() < DEADLINE, "nothing is heard");
        let count = out.read(&mut buffer).unwrap();
        assert!(count > 0, "the recording ends");
        rest.extend_from_slice(&buffer[..count]);
        let whole = rest.len() / 2 * 2;
        heard.samples.extend(
            rest.drain(..whole)
                .collect::<Vec<_>>()
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
        );
        // Whatever keeps a sample from us makes it come later, and never earlier.
        heard.from = heard.from.min(now() - heard.samples.len() as f64 / RATE as f64);
        loud_at = loud_at.or_else(|| heard.samples.iter().position(|sample| sample.abs() > LOUD));
    }
    parec.kill().unwrap();
    parec.wait().unwrap();
    heard
}

impl Heard {
    /// How old the clicks were that mark the beginnings of seconds.
    fn ages(&self) -> Vec<f64> {
        let mut ages = Vec::new();
        let mut at = 0;
        while let Some(next) = self.samples.iter().skip(at).position(|sample| sample.abs() > LOUD) {
            at += next;
            let time = self.from + at as f64 / RATE as f64;
            ages.push(time - time.floor());
            at += RATE / 2;
        }
        ages
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn sound_and_picture_are_together_and_sound_is_whole() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let url = format!("http://{}/live/card", node.address);
    let (_server, server) = server(folder.path());
    let mut card = command("origin");
    card.args(["testcard", "--size", "320x180", "--quiet", "--to", &url]);
    let _card = Started::new(card);
    let shown = TempDir::new().unwrap();
    let (_screen, display) = screen(shown.path());
    let stats = folder.path().join("stats");
    let mut player = command("player");
    player.args([&url, "--wait", "30", "--stats"]).arg(&stats);
    player.env("DISPLAY", display.name()).env("PULSE_SERVER", &server).env("HOME", folder.path());
    let _player = Started::new(player);

    let heard = listen(&server, folder.path());

    let clicks = heard.ages();
    let text = fs::read_to_string(&stats).unwrap();
    let ages: Vec<f64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["age_ms"].as_f64())
        .map(|age| age / 1e3)
        .collect();
    let (sound, picture) = (middle(clicks.clone()), middle(ages));
    println!("sound {:.1} ms old, picture {:.1} ms: {clicks:?}", sound * 1e3, picture * 1e3);
    // The tone goes on between the clicks: a gap would be silence.
    let first = heard.samples.iter().position(|sample| sample.abs() > LOUD).unwrap() + RATE;
    let silent =
        heard.samples[first..].chunks(480).filter(|part| part.iter().all(|it| it.abs() < 50));
    let (silent, all) = (silent.count(), (heard.samples.len() - first) / 480);
    println!("{silent} of {all} hundredths of a second are silent");
    assert!(clicks.len() >= SECONDS - 1, "a click each second: {clicks:?}");
    assert!((sound - picture).abs() < APART_MAX, "{sound} s and {picture} s");
    assert!(silent * 50 < all, "{silent} of {all} are silent");
}
