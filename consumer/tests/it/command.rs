//! The command, as a script meets it.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use freshet_consumer::Have;
use freshet_protocol::Sha256Digest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::fake::{Fake, field, noise, soon, until};

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consumer"));
    command.args(arguments).current_dir(folder.path()).env_remove("FRESHET_READ_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    soon(command(folder, arguments).output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_stream_becomes_a_file_named_after_it_and_is_verified() {
    let (stream, folder) = (noise(5000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;

    let output = run(&folder, &[&fake.url().to_string(), "--verify"]).await;

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("verified: sha-256="), "{}", text(&output.stderr));
    assert!(fs::read(folder.path().join("radio")).unwrap() == stream);
}

#[tokio::test]
async fn standard_output_gets_the_bytes_and_nothing_else() {
    let (stream, folder) = (noise(50_000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.cuts = [10_000, 7].into());

    let output = run(&folder, &[&fake.url().to_string(), "-o", "-", "--verify"]).await;

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout == stream);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn each_way_to_end_has_its_status() {
    let (stream, folder) = (noise(3000), TempDir::new().unwrap());
    let fake = Fake::with(&stream).await;
    let url = fake.url().to_string();
    let other = Sha256Digest([7; 32]);

    let wrong = run(&folder, &[&url, "-o", "-", "--poll"]).await;
    fake.change(|model| model.digest = Some(other));
    let differs = run(&folder, &[&url, "-o", "a", "--verify"]).await;
    fake.change(|model| model.etag = "\"two\"".into());
    let replaced = run(&folder, &[&url, "-o", "a"]).await;
    fake.change(|model| model.retained_from = 1000);
    let holes = run(&folder, &[&url, "-o", "b"]).await;
    fake.change(|model| model.exists = false);
    let none = run(&folder, &[&url, "-o", "c"]).await;
    let nobody = run(&folder, &["http://127.0.0.1:1/live/radio", "-o", "d"]).await;

    for (output, status, word) in [
        (wrong, 2, "--poll"),
        (differs, 4, "differs"),
        (replaced, 6, "--replace"),
        (holes, 3, "missing: 1000 bytes in 1 hole: 0-999"),
        (none, 5, "no such stream"),
        (nobody, 1, "cannot connect"),
    ] {
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{told}");
        assert!(told.contains(word), "{told}");
    }
}

#[tokio::test]
async fn a_token_comes_from_a_file_or_the_environment_and_is_sent() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::with(&noise(10)).await;
    let url = fake.url().to_string();
    fs::write(folder.path().join("token"), "from-file\n").unwrap();

    run(&folder, &[&url, "-o", "a", "--token-file", "token"]).await;
    let mut with_variable = command(&folder, &[&url, "-o", "b"]);
    soon(with_variable.env("FRESHET_READ_TOKEN", "from-env").output()).await.unwrap();

    let sent: Vec<_> = fake.asked("get");
    let sent: Vec<_> = sent.iter().map(|head| field(head, "authorization")).collect();
    assert_eq!(sent, [Some("bearer from-file"), Some("bearer from-env")]);
}

#[tokio::test]
async fn an_interrupt_keeps_what_is_there() {
    let (stream, folder) = (noise(4000), TempDir::new().unwrap());
    let fake = Fake::start().await;
    fake.put(0, &stream[..3000]);
    for (round, signal, status) in [(1, Signal::INT, 130), (2, Signal::TERM, 143)] {
        let child = command(&folder, &[&fake.url().to_string()]).spawn().unwrap();
        fake.until_asked(round).await;
        until_claimed(folder.path(), 3000).await;

        kill_process(pid(&child), signal).unwrap();
        let output = soon(child.wait_with_output()).await.unwrap();

        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
        assert_eq!(have(folder.path()).unwrap().held.to_string(), "bytes 0-2999/*");
    }
}

#[tokio::test]
async fn after_any_kill_the_have_file_claims_nothing_that_the_file_lacks() {
    let (stream, folder) = (noise(200_000), TempDir::new().unwrap());
    let fake = Fake::start().await;
    for round in 1..=6 {
        let mut child = command(&folder, &[&fake.url().to_string()]).spawn().unwrap();
        fake.until_asked(round).await;
        // Every other 500 bytes: a claim that is too wide covers a hole.
        let put = |from: usize, to: usize| {
            for at in (from..to).step_by(1000) {
                fake.put(at, &stream[at..at + 500]);
            }
        };
        let (from, middle, to) = (round * 20_000, round * 20_000 + 10_000, (round + 1) * 20_000);
        put(from, middle);
        until(|| have(folder.path()).is_some_and(|have| have.held.set.end() > from as u64)).await;
        put(middle, to);
        // Bytes have come of which nothing is noted yet, or is being noted, or just was.
        until_length(folder.path(), (middle + round * 1000) as u64).await;

        child.kill().await.unwrap();

        let file = fs::read(folder.path().join("radio")).unwrap();
        for run in have(folder.path()).unwrap().held.set.iter() {
            let (start, end) = (run.start() as usize, run.end() as usize);
            assert!(file.get(start..end) == Some(&stream[start..end]), "round {round}: {run}");
        }
    }
    fake.put(0, &stream);
    fake.complete(200_000);

    let output = run(&folder, &[&fake.url().to_string(), "--verify"]).await;

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(fs::read(folder.path().join("radio")).unwrap() == stream);
}

fn pid(child: &Child) -> Pid {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    Pid::from_raw(id).unwrap()
}

fn have(folder: &Path) -> Option<Have> {
    Have::decode(&fs::read_to_string(folder.join("radio.have")).ok()?).ok()
}

/// Until the `.have` file claims so many bytes.
async fn until_claimed(folder: &Path, bytes: u64) {
    until(|| have(folder).is_some_and(|have| have.held.set.bytes() >= bytes)).await;
}

/// Until the file has so many bytes.
async fn until_length(folder: &Path, bytes: u64) {
    until(|| fs::metadata(folder.join("radio")).map_or(0, |file| file.len()) >= bytes).await;
}
