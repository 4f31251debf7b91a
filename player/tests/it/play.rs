//! A stream in a program's standard input.

use std::{fs, process::Stdio};

use freshet_consumer::{Policy, Start};
use freshet_player::{Play, PlayEnd, PlayError, Played, StartError, headless, limits};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, noise, soon, until};

async fn play(fake: &Fake, from: Start, via: &str) -> Result<Played, PlayError> {
    let (via, buffer_bytes) = (via.parse().unwrap(), limits::BUFFER_BYTES_MIN);
    let play = Play { fetch: fake.fetch(), from, via, buffer_bytes };
    soon(play.run(&CancellationToken::new())).await
}

/// A command that writes its input to a file, and the file.
fn catcher(folder: &TempDir) -> (String, std::path::PathBuf) {
    let file = folder.path().join("shown");
    (format!("sh -c 'cat > {}'", file.display()), file)
}

#[tokio::test]
async fn a_program_gets_the_stream_and_never_learns_of_cuts() {
    let (stream, folder) = (noise(300_000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.cuts = [50_000, 1, 70_000].into());
    let (via, file) = catcher(&folder);

    let played = play(&fake, Start::Beginning, &via).await.unwrap();

    assert_eq!((played.end, played.bytes), (PlayEnd::Stream, 300_000));
    assert!(fs::read(file).unwrap() == stream);
}

#[tokio::test]
async fn a_live_stream_begins_at_its_edge() {
    let (stream, folder) = (noise(5000), TempDir::new().unwrap());
    let fake = Fake::start().await;
    fake.put(0, &stream[..3000]);
    let (via, file) = catcher(&folder);
    let source = async {
        fake.until_asked(1).await;
        fake.put(3000, &stream[3000..]);
        fake.complete(5000);
    };

    let (played, ()) = tokio::join!(play(&fake, Start::Live, &via), source);

    assert_eq!(played.unwrap().end, PlayEnd::Stream);
    assert!(fs::read(file).unwrap() == stream[3000..]);
}

#[tokio::test]
async fn a_complete_stream_is_shown_from_its_beginning() {
    let (stream, folder) = (noise(5000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;
    let (via, file) = catcher(&folder);

    play(&fake, Start::Live, &via).await.unwrap();

    assert!(fs::read(file).unwrap() == stream);
}

#[tokio::test]
async fn a_slow_program_makes_the_network_wait() {
    let (stream, folder) = (noise(3_000_000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;
    let (gate, file) = (folder.path().join("gate"), folder.path().join("shown"));
    let made = Command::new("mkfifo").arg(&gate).status().await.unwrap();
    assert!(made.success());
    let via = format!("sh -c 'read line < {}; cat > {}'", gate.display(), file.display());
    let open = async {
        fake.until_asked(1).await;
        soon(tokio::fs::write(&gate, "go\n")).await.unwrap();
    };

    let (played, ()) = tokio::join!(play(&fake, Start::Beginning, &via), open);

    let peak = played.unwrap().buffered_bytes_peak;
    assert!(peak <= 2 * limits::BUFFER_BYTES_MIN + (512 << 10), "{peak} bytes waited");
    assert!(fs::read(file).unwrap() == stream);
}

#[tokio::test]
async fn a_program_that_ends_ends_the_player() {
    let fake = Fake::start().await;
    fake.put(0, &noise(200_000));

    let played = play(&fake, Start::Beginning, "sh -c 'head -c 100 > /dev/null'").await.unwrap();

    assert_eq!(played.end, PlayEnd::Program);
}

#[tokio::test]
async fn a_program_that_fails_or_is_not_there_is_an_error_with_its_name() {
    let fake = Fake::with(&noise(1000)).await;

    let failed = play(&fake, Start::Beginning, "sh -c 'cat > /dev/null; exit 3'").await;
    let missing = play(&fake, Start::Beginning, "no-such-player").await;

    assert!(failed.unwrap_err().to_string().contains("sh ended with exit status: 3"));
    let missing = missing.unwrap_err();
    assert!(matches!(missing, PlayError::Start(StartError::NotFound { .. })), "{missing}");
}

#[tokio::test]
async fn headless_counts_and_says_how_old_the_newest_byte_is() {
    let stream = noise(5000);
    let fake = Fake::start().await;
    fake.put(0, &stream[..2000]);
    let source = async {
        fake.until_asked(1).await;
        fake.put(2000, &stream[2000..]);
        fake.complete(5000);
    };
    let shutdown = CancellationToken::new();

    let taken = headless(fake.fetch(), Policy::Newest, &shutdown, |_| {});
    let (tally, ()) = tokio::join!(soon(taken), source);

    let tally = tally.unwrap();
    assert_eq!(tally.bytes, 3000);
    assert!(tally.newest.is_some() && tally.age(0.5).is_some(), "{tally}");
}

#[tokio::test]
async fn the_command_says_what_is_wrong_and_stops_when_told_to() {
    let fake = Fake::start().await;
    fake.put(0, b"tick");
    let url = fake.url().to_string();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_player"));
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let other = url.replace("radio", "a/b/c/d/e");

    for (arguments, status, word) in [
        (&[url.as_str(), "--policy", "some"][..], 2, "newest or all"),
        (&[url.as_str(), "--latency", "soon"], 2, "milliseconds"),
        (&[url.as_str(), "--headless", "--via", "cat"], 2, "cannot be used with"),
        (&[other.as_str(), "--via", "cat"], 2, "5 segments"),
        (&[url.as_str(), "--via", "cat", "--buffer-bytes", "10"], 2, "--buffer-bytes"),
        (&["http://127.0.0.1:1/live/a", "--via", "cat"], 1, "cannot connect"),
    ] {
        let output = soon(command(arguments).output()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{told}");
        assert!(told.contains(word), "{told}");
    }

    let asked = fake.asked("get").len();
    let child = command(&[&url, "--via", "cat", "--from", "start"]).spawn().unwrap();
    until(|| fake.asked("get").len() > asked).await;
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(130));
}
