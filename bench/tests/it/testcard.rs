//! `origin testcard` through a distributor, looked at by ffmpeg: a clean stream whose pictures say when they
//! were captured, and whose tone clicks with the seconds.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::SystemTime,
};

use freshet_protocol::{CardCode, Stamp};
use tempfile::TempDir;

use crate::command::{Node, command};

const SIDES: (usize, usize) = (320, 180);

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A card of four seconds, as it is held when it is complete.
fn card(folder: &Path, more: &[&str]) -> std::path::PathBuf {
    let (node, file) = (Node::start(), folder.join("card.mp4"));
    let url = format!("http://{}/live/card", node.address);
    let own = ["testcard", "--to", &url, "--size", "320x180", "--seconds", "4", "--quiet"];
    run(command("origin").args(own).args(more));
    run(command("consumer").args([&url, "--verify", "-o"]).arg(&file));
    file
}

/// What ffmpeg makes of it, without a word of complaint.
fn decoded(file: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "warning", "-i"]).arg(file).args(arguments).arg("-");
    let output = run(&mut ffmpeg);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

#[test]
fn every_picture_says_when_it_was_captured_and_which_one_it_is() {
    let folder = TempDir::new().unwrap();
    let before = Stamp::from(SystemTime::now());
    let file = card(folder.path(), &["--rate", "25", "--gop", "50"]);
    let after = Stamp::from(SystemTime::now());

    let luma = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray"];
    let pictures = decoded(&file, &luma);
    let codes: Vec<_> = pictures
        .chunks_exact(SIDES.0 * SIDES.1)
        .map(|luma| CardCode::read(SIDES.0, SIDES.1, |x, y| luma[y * SIDES.0 + x]).unwrap())
        .collect();

    assert!(codes.len() > 10, "{} pictures", codes.len());
    assert!(codes.windows(2).all(|pair| pair[0].frame() < pair[1].frame()));
    assert!(codes.iter().all(|code| (before..after).contains(&code.captured(after))));
}

#[test]
fn the_tone_clicks_at_the_beginning_of_each_second_of_the_clock() {
    let folder = TempDir::new().unwrap();
    let file = card(folder.path(), &[]);
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "a", "-show_entries", "packet=pts"]);
    let first = run(ffprobe.args(["-of", "csv=p=0", "-read_intervals", "%+#1"]).arg(&file)).stdout;
    let first: u64 = String::from_utf8(first).unwrap().trim().trim_matches(',').parse().unwrap();

    let samples = decoded(&file, &["-map", "0:a", "-f", "s16le", "-ac", "1", "-ar", "48000"]);
    let samples: Vec<_> =
        samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    // What the decoder leaves out at its beginning is told by the header, and by the length.
    let packets = decoded(&file, &["-map", "0:a", "-c", "copy", "-f", "framecrc"]);
    let packets =
        String::from_utf8(packets).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    let left_out = (packets * 960).saturating_sub(samples.len());

    let loud = |at: usize| samples[at..].iter().take(240).any(|sample| sample.abs() > 8000);
    let whole = (0..samples.len() - 240).step_by(240).filter(|at| loud(*at));
    let clicks: Vec<_> = whole.map(|at| (first as usize + left_out + at) % 48_000).collect();
    // Of each second its first 30 ms, give or take what a step is long.
    assert!(!clicks.is_empty(), "no click in {} samples", samples.len());
    let near = |at: &usize| *at < 1440 + 480 || *at > 48_000 - 480;
    assert!(clicks.iter().all(near), "{clicks:?}");
}

#[test]
fn a_card_can_do_without_sound() {
    let folder = TempDir::new().unwrap();
    let file = card(folder.path(), &["--no-sound", "--bitrate", "300000"]);
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "warning", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]);
    assert_eq!(run(ffprobe.arg(file)).stdout, b"h264\n");
}
