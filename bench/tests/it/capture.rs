//! `origin capture` with the real ffmpeg, through a distributor to `consumer` as it comes, and decoded.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use tempfile::TempDir;

use crate::command::{DEADLINE, Node, command};

/// Enough of a stream to have more than its header.
const SOME_BYTES: usize = 100_000;

fn capture(input: &str, url: &str, copy: &Path) -> Command {
    let mut origin = command("origin");
    origin.args(["capture", input, "--to", url, "--copy"]).arg(copy).stdin(Stdio::null());
    origin
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// All of it is decoded, by a program that has nothing to complain of; how many pictures and sounds.
/// ffprobe, since ffmpeg would put the pictures on a grid of its own, and complain of that.
fn decoded(file: &Path) -> (u64, u64) {
    let frames = |stream| {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "warning", "-of", "csv=p=0", "-select_streams", stream]);
        ffprobe.args(["-count_frames", "-show_entries", "stream=nb_read_frames"]).arg(file);
        let output = run(&mut ffprobe);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", file.display());
        let told = String::from_utf8(output.stdout).unwrap();
        // Without such a stream it prints nothing, or an empty line.
        let count = told.lines().map(|line| line.trim_matches(',')).find(|line| !line.is_empty());
        count.map_or(0, |count| count.parse().unwrap())
    };
    (frames("v"), frames("a"))
}

/// The first line that ffprobe prints.
fn probe(file: &Path, arguments: &[&str]) -> String {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-of", "csv=p=0"]).args(arguments).arg(file);
    let text = String::from_utf8(run(&mut ffprobe).stdout).unwrap();
    text.lines().next().unwrap_or_default().into()
}

fn kill(signal: &str, process: u32) {
    run(Command::new("kill").args([signal, &process.to_string()]));
}

/// The only child of a process.
fn child_of(process: u32) -> u32 {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap();
    children.split_whitespace().next().expect("ffmpeg runs").parse().unwrap()
}

/// Waits for the next line that has `words`; the lines are read away for ever, so that nobody waits.
fn lines_with(child: &mut Child, words: &'static str) -> mpsc::Receiver<String> {
    let (found, lines) = mpsc::channel();
    let stderr = child.stderr.take().unwrap();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(words) {
                // Nobody listens any more once the test has what it wants.
                let _ = found.send(line);
            }
        }
    });
    lines
}

/// A live capture, its ffmpeg killed in the middle, ended by Ctrl-C: what a consumer took while it ran
/// is what the origin's copy has, and decodes from end to end.
fn a_capture_survives(name: &str) {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let url = format!("http://{}/live/{name}", node.address);
    let mut consumer = command("consumer");
    consumer.args([&url, "-o", "-", "--wait", "60"]).stdout(Stdio::piped());
    let mut consumer = consumer.spawn().unwrap();
    let mut origin = capture("testcard", &url, folder.path());
    // Should the test fail half-way, it ends all the same.
    origin.args(["--size", "640x360", "--fps", "25", "--seconds", "50"]).stderr(Stdio::piped());
    let mut origin = origin.spawn().unwrap();
    let restarted = lines_with(&mut origin, "started again");
    let mut stdout = consumer.stdout.take().unwrap();
    let mut taken = vec![0; SOME_BYTES];
    stdout.read_exact(&mut taken).unwrap();

    let first = child_of(origin.id());
    kill("-KILL", first);
    let said = restarted.recv_timeout(DEADLINE).expect("it is started again");
    assert!(said.contains("SIGKILL"), "{said}");
    let mut more = vec![0; 2 * SOME_BYTES];
    stdout.read_exact(&mut more).unwrap();
    assert_ne!(child_of(origin.id()), first);
    kill("-INT", origin.id());
    taken.extend(more);
    stdout.read_to_end(&mut taken).unwrap();

    assert!(origin.wait().unwrap().success());
    assert!(consumer.wait().unwrap().success(), "the stream is complete");
    let copy = folder.path().join(name);
    assert!(fs::read(&copy).unwrap() == taken, "the copies differ");
    let (pictures, sounds) = decoded(&copy);
    assert!(pictures > 25 && sounds > 25, "{pictures} pictures, {sounds} sounds");
    // One stream: its header stands there once, and its time never goes back.
    let headers = taken.windows(4).filter(|window| window == b"moov").count();
    assert_eq!(headers, usize::from(name.ends_with("mp4")));
    let times: Vec<f64> = probe_all(&copy, "packet=pts_time")
        .iter()
        .filter_map(|line| line.split(',').next()?.parse().ok())
        .collect();
    assert!(times.len() > 25 && times.is_sorted(), "{times:?}");
}

#[test]
fn a_fragmented_mp4_goes_on_after_its_encoder_was_killed() {
    a_capture_survives("card.mp4");
}

#[test]
fn a_transport_stream_goes_on_after_its_encoder_was_killed() {
    a_capture_survives("card.ts");
}

#[test]
fn each_frame_is_a_fragment_and_each_second_can_be_joined() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let url = format!("http://{}/live/card", node.address);

    let mut origin = capture("testcard", &url, folder.path());
    run(origin.args(["--seconds", "3", "--fps", "20", "--size", "320x180"]));

    let copy = folder.path().join("card");
    let (pictures, sounds) = decoded(&copy);
    assert!((59..=61).contains(&pictures), "3 s of 20 pictures: {pictures}");
    let bytes = fs::read(&copy).unwrap();
    let fragments = bytes.windows(4).filter(|window| window == b"moof").count() as u64;
    assert!(fragments + 2 >= pictures + sounds, "{fragments} fragments");
    let flags = probe_all(&copy, "packet=flags");
    let keys = flags.iter().filter(|flags| flags.contains('K')).count();
    assert_eq!(keys, 3, "{flags:?}");
}

/// What ffprobe prints of each picture.
fn probe_all(file: &Path, entries: &str) -> Vec<String> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-of", "csv=p=0", "-select_streams", "v"]);
    ffprobe.args(["-show_entries", entries]).arg(file);
    let text = String::from_utf8(run(&mut ffprobe).stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(Into::into).collect()
}

/// Size, pictures per second and bit rate are what is asked for; a file is not read faster than it plays.
#[test]
fn a_file_is_captured_as_it_is_asked() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let movie = folder.path().join("a movie; -y.mkv");
    let noise = "testsrc2=size=641x361:rate=30:duration=3,noise=alls=40:allf=t";
    let make = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", noise, "-c:v", "ffv1"];
    run(Command::new("ffmpeg").args(make).arg(&movie));
    let take = |name: &str, more: &[&str]| {
        let url = format!("http://{}/live/{name}", node.address);
        run(capture(movie.to_str().unwrap(), &url, folder.path()).args(more));
        let copy = folder.path().join(name);
        assert_eq!(decoded(&copy).1, 0, "it has no sound");
        let told = probe(&copy, &["-show_entries", "stream=width,height,avg_frame_rate"]);
        (told, fs::metadata(&copy).unwrap().len())
    };

    let asked = ["--size", "320x180", "--fps", "10", "--video-bitrate", "200000"];
    let (told, bytes) = take("small.ts", &asked);
    let (plain, most) = take("plain.mp4", &["--seconds", "2"]);

    assert_eq!(told, "320,180,10/1");
    assert!(bytes < 3 * 200_000 / 8 * 2, "{bytes} bytes at 200 kbit/s");
    assert!(plain.starts_with("640,360,"), "odd sides lose a line: {plain}");
    assert!(most > bytes, "{most} bytes");
}
