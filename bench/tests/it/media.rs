//! The main job on real media that ffmpeg makes: from `origin` through the distributor to `consumer`
//! and curl, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::command::{Node, command};

/// Two seconds of a test picture and a tone, in the format that the file's name says.
fn media(file: &Path) -> PathBuf {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=2"]);
    if file.extension().unwrap() == "mp4" {
        ffmpeg.args(["-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2", "-shortest"]);
    }
    assert!(ffmpeg.arg(file).status().unwrap().success(), "ffmpeg makes {}", file.display());
    file.into()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the URL gives to curl.
fn curl(url: &str) -> Vec<u8> {
    let output = Command::new("curl").args(["-sS", "--fail", url]).output().unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_song_and_a_movie_arrive_as_they_were_sent() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    for name in ["song.mp3", "movie.mp4"] {
        let (sent, taken) =
            (media(&folder.path().join(name)), folder.path().join(format!("{name}.taken")));
        let url = format!("http://{}/live/{name}", node.address);

        run(command("origin").arg("file").arg(&sent).args(["--to", &url]));
        run(command("consumer").arg(&url).arg("-o").arg(&taken).arg("--verify"));

        let original = fs::read(&sent).unwrap();
        assert_eq!(fs::read(&taken).unwrap(), original, "{name}");
        assert_eq!(curl(&url), original, "{name}");
    }
}

#[test]
fn a_folder_becomes_a_stream_for_each_file() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let root = folder.path().join("music");
    let files = ["one.mp3", "album/two.mp3", "album/deep/three.wav"];
    for file in files {
        media(&root.join(file));
    }
    let url = format!("http://{}/live/library", node.address);

    run(command("origin").arg("folder").arg(&root).args(["--to", &url]));

    for file in files {
        assert_eq!(curl(&format!("{url}/{file}")), fs::read(root.join(file)).unwrap(), "{file}");
    }
    let catalogue = String::from_utf8(curl(&format!("http://{}/live/", node.address))).unwrap();
    assert!(catalogue.contains("library/album/deep/three.wav"), "{catalogue}");
}

/// Started when the stream is not there yet, and fed by a pipe.
#[test]
fn a_pipe_reaches_a_consumer_that_was_there_first() {
    let (node, folder) = (Node::start(), TempDir::new().unwrap());
    let song = media(&folder.path().join("song.mp3"));
    let url = format!("http://{}/live/radio", node.address);
    let mut consumer = command("consumer");
    consumer.args([&url, "-o", "-", "--wait", "60"]).stdout(Stdio::piped());
    let consumer = consumer.spawn().unwrap();

    let mut origin = command("origin");
    origin.args(["stdin", "--to", &url, "--copy"]).arg(folder.path().join("copy"));
    let output = origin.stdin(fs::File::open(&song).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let taken = consumer.wait_with_output().unwrap();
    assert!(taken.status.success());
    assert_eq!(taken.stdout, fs::read(&song).unwrap());
}
