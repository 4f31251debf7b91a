//! The `distributor` command itself: what it prints, how it stops, what it does without descriptors.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::{Instant, timeout},
};

use crate::{
    node::{soon, until},
    peer::Peer,
};

struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distributor"));
    command.args(args).stderr(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

impl Process {
    async fn start(data: &TempDir, args: &[&str]) -> Self {
        let data = data.path().to_str().unwrap();
        let own = ["--listen", "127.0.0.1:0", "--data", data, "--drain", "2s"];
        let mut child = command(&[&own, args].concat()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = find(&mut log, "listening").await;
        let address = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
        Self { child, log, address }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap()
    }
}

/// The next line with `word`.
async fn find(log: &mut Lines<BufReader<ChildStderr>>, word: &str) -> String {
    loop {
        let line = soon(log.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("no {word} in the log"));
        if line.contains(word) {
            return line;
        }
    }
}

async fn status(address: SocketAddr) -> u16 {
    let mut peer = Peer::connect(address).await;
    peer.request("GET", "/healthz", &[("Connection", "close")], b"").await;
    peer.reply("GET").await.status
}

#[tokio::test]
async fn sigterm_cuts_who_follows_keeps_what_was_acknowledged_and_exits_with_0() {
    let data = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start(&data, &[]).await;
        let mut origin = Peer::connect(process.address).await;
        let fields = [("Content-Range", "bytes 0-4/*")];
        origin.request("POST", "/live/x", &fields, b"hello").await;
        assert!(matches!(origin.reply("POST").await.status, 200 | 201));
        let mut consumer = Peer::connect(process.address).await;
        consumer.request("GET", "/live/x?from=start", &[], b"").await;
        let mut reply = consumer.head().await;
        assert_eq!(consumer.take(5).await, b"hello");

        kill_process(process.pid(), signal).unwrap();

        consumer.drain(&mut reply).await;
        assert!(!reply.ended, "cut, not ended");
        assert_eq!(soon(process.child.wait()).await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn without_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(&data, &[]).await;
    assert_eq!(status(process.address).await, 200);
    let none = Rlimit { current: Some(5), maximum: Some(4096) };
    let before = prlimit(Some(process.pid()), Resource::Nofile, none).unwrap();

    // Accepted by the kernel, and not by the process.
    let mut waiting = Peer::connect(process.address).await;
    waiting.request("GET", "/healthz", &[], b"").await;
    let begun = Instant::now();
    find(&mut process.log, "accept failed").await;
    let served = timeout(Duration::from_millis(500), waiting.socket.readable()).await;
    assert!(served.is_err(), "it cannot have been accepted");

    let enough =
        Rlimit { current: before.current.map(|files| files.min(4096)), maximum: Some(4096) };
    prlimit(Some(process.pid()), Resource::Nofile, enough).unwrap();
    assert_eq!(waiting.reply("GET").await.status, 200);
    let again = find(&mut process.log, "accepting again").await;
    let failures: u128 = again.split("failures=").nth(1).unwrap().trim().parse().unwrap();
    let pauses = begun.elapsed().as_millis() / 50;
    assert!((3..=pauses + 2).contains(&failures), "{failures} attempts in {pauses} pauses");
    assert_eq!(status(process.address).await, 200);
    assert!(process.child.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(&data, &["--connections", "2"]).await;
    let mut first = Peer::connect(process.address).await;
    let mut second = Peer::connect(process.address).await;
    for peer in [&mut first, &mut second] {
        peer.request("GET", "/healthz", &[], b"").await;
        assert_eq!(peer.reply("GET").await.status, 200);
    }
    let mut third = Peer::connect(process.address).await;
    third.request("GET", "/healthz", &[], b"").await;
    first.request("GET", "/metrics", &[("Connection", "close")], b"").await;
    let text = first.reply("GET").await.text();
    assert!(text.contains("freshet_connections 2\n"), "{text}");
    assert_eq!(third.reply("GET").await.status, 200);
}

#[tokio::test]
async fn a_mistake_is_told_on_standard_error() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    for (args, told) in [
        (&["--listen", "0.0.0.0:0", "--data", path][..], "--publish-token-file"),
        (&["--lisen", "x"], "--lisen"),
        (&["--config", "/nonexistent/freshet.toml"], "cannot read"),
        (&["--listen", "127.0.0.1:0"], "--data"),
        (&["--ring-bytes", "many"], "no size"),
        (&["--data", path, "--read-token", " "], "read token is empty"),
    ] {
        let output = soon(command(args).output()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(told), "{args:?}: {text}");
    }
    let help = soon(command(&["--help"]).output()).await.unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("FRESHET_PUBLISH_TOKEN"));
}

#[tokio::test]
async fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    std::fs::write(&file, "read-token = \"look\"\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let file = file.to_str().unwrap();
    let own = ["--config", file, "--data", data.path().to_str().unwrap()];
    // An empty token is refused, which shows where it came from.
    let mut environment = command(&own);
    environment.env("FRESHET_READ_TOKEN", " ");
    let output = soon(environment.output()).await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("read token is empty"));

    let mut child = command(&[&own[..], &["--read-token", "other"]].concat());
    let mut child = child.env("FRESHET_READ_TOKEN", " ").spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = find(&mut log, "listening").await;
    let address: SocketAddr = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
    for (token, status) in [("other", 200), ("look", 403)] {
        let mut peer = Peer::connect(address).await;
        let field = format!("Bearer {token}");
        peer.request("GET", "/live/", &[("Authorization", &field)], b"").await;
        assert_eq!(peer.reply("GET").await.status, status, "{token}");
    }
}

#[tokio::test]
async fn two_processes_do_not_share_a_folder() {
    let data = tempfile::tempdir().unwrap();
    let first = Process::start(&data, &[]).await;
    let args = ["--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
    let second = soon(command(&args).output()).await.unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("in use"), "{text}");
    until(async || status(first.address).await == 200).await;
}

#[tokio::test]
async fn connections_leave_the_disk_its_descriptors() {
    let data = tempfile::tempdir().unwrap();
    let limited = format!(
        "ulimit -n 64; exec {} --listen 127.0.0.1:0 --data {} --connections 5000",
        env!("CARGO_BIN_EXE_distributor"),
        data.path().to_str().unwrap()
    );
    let mut child = Command::new("sh");
    child.args(["-c", &limited]).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = child.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = find(&mut log, "listening").await;
    let address: SocketAddr = line.split("address=").nth(1).unwrap().trim().parse().unwrap();

    let mut served = Vec::new();
    for at in 0..32 {
        let mut peer = Peer::connect(address).await;
        let fields = [("Content-Range", "bytes 0-4/*")];
        peer.request("POST", &format!("/live/x{}", at % 4), &fields, b"hello").await;
        let reply = peer.reply("POST").await;
        assert!(matches!(reply.status, 200 | 201), "{at}: {reply:?}");
        served.push(peer);
    }
    // All slots are taken: the next one waits, and the disk works on.
    let mut waiting = Peer::connect(address).await;
    waiting.request("GET", "/healthz", &[], b"").await;
    let last = served.last_mut().unwrap();
    last.request("POST", "/live/another", &[("Content-Range", "bytes 0-4/*")], b"hello").await;
    assert_eq!(last.reply("POST").await.status, 201);
    last.request("GET", "/live/x0", &[("Range", "bytes=0-4")], b"").await;
    assert_eq!(last.reply("GET").await.text(), "hello");
    served.pop();
    assert_eq!(waiting.reply("GET").await.status, 200);
}
