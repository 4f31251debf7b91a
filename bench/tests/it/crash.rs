//! kill -9 of any of the three at any moment: the same bytes at all three in the end, and no
//! acknowledged byte is ever missing.
//!
//! A source of 20 Mbit/s feeds `origin stdin` (or a file is posted at that rate) with writes of
//! random sizes; the moments are random amounts of acknowledged bytes apart.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use freshet_protocol::{Held, RangeSet};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::command::{DEADLINE, address_said, command};

const KILLS: usize = 50;
const BYTES_PER_S: u64 = 20_000_000 / 8;

/// A distributor that is killed and started again at the same address, over the same data.
pub(crate) struct Relay {
    pub(crate) folder: TempDir,
    pub(crate) address: String,
    upstream: Option<String>,
    child: Option<Child>,
    /// All that was ever acknowledged.
    acknowledged: RangeSet,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::below(None)
    }

    /// One that pulls from another.
    pub(crate) fn below(upstream: Option<&Self>) -> Self {
        // A port that was free a moment ago: the same one is needed after each kill.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let folder = TempDir::new().unwrap();
        let upstream = upstream.map(|relay| format!("http://{}", relay.address));
        let acknowledged = RangeSet::new();
        let mut relay = Self { folder, address, upstream, child: None, acknowledged };
        relay.restart();
        relay
    }

    pub(crate) fn restart(&mut self) {
        let mut child = command("distributor");
        child.args(["--listen", &self.address, "--data"]);
        child.arg(self.folder.path().join("data")).stderr(Stdio::piped());
        child.args(self.upstream.iter().flat_map(|url| ["--upstream", url]));
        let mut child = child.spawn().unwrap();
        assert_eq!(address_said(child.stderr.take().unwrap()), self.address);
        self.child = Some(child);
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/live/crash", self.address)
    }

    /// What a HEAD says is held. Whatever was acknowledged before has to be in it.
    pub(crate) fn held(&mut self) -> Held {
        let Some(head) = ask(&self.address, "HEAD /live/crash", "") else {
            return Held::default();
        };
        let held: Held =
            field(&head, "content-range").map_or_else(Held::default, |said| said.parse().unwrap());
        let missing = self.acknowledged.difference(&held.set);
        assert!(missing.is_empty(), "acknowledged and missing: {missing}");
        self.acknowledged.extend(&held.set);
        held
    }

    /// Wait until `bytes` are acknowledged.
    pub(crate) fn wait_for(&mut self, bytes: u64) {
        let started = Instant::now();
        loop {
            let held = self.held();
            if held.set.bytes() >= bytes || held.total.is_some() {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "still at {held}, waiting for {bytes} bytes");
            // Answered when there is a byte more than that.
            let fields = format!("Content-Range: {held}\r\nPrefer: wait=1\r\n");
            ask(&self.address, "GET /live/crash?limit=1", &fields);
        }
    }

    /// The disk copy, as `cat *.seg` gives it.
    pub(crate) fn copy(&self) -> Vec<u8> {
        let mut segments: Vec<PathBuf> = fs::read_dir(self.folder.path().join("data/streams/1"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        segments.sort();
        segments.iter().flat_map(|path| fs::read(path).unwrap()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program that is ours to kill.
pub(crate) struct Role(pub(crate) Option<Child>);

impl Role {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn kill(&mut self) {
        let child = self.0.as_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Wait until it ends by itself.
    pub(crate) fn ended(self) -> ExitStatus {
        let (done, ended) = mpsc::channel();
        let id = self.0.as_ref().unwrap().id();
        thread::spawn(move || {
            let mut this = self;
            // Nobody listens any more if the deadline is over.
            let _ = done.send(this.0.take().unwrap().wait());
        });
        ended
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("process {id} does not end"))
            .unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn consumer(relay: &Relay, file: &Path) -> Command {
    let mut consumer = command("consumer");
    consumer.arg(relay.url()).arg("-o").arg(file).args(["--wait", "60", "--verify"]);
    consumer
}

/// Ask, and give the head of the answer; `None` if nobody answers.
fn ask(address: &str, what: &str, fields: &str) -> Option<String> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(DEADLINE)).ok()?;
    let head = format!("{what} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer);
    text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned())
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Writes bytes that differ from place to place, in pieces of random sizes, at 20 Mbit/s, until told
/// to stop.
pub(crate) fn feed(
    mut sink: impl Write + Send + 'static,
    seed: u64,
) -> (Arc<AtomicBool>, JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let feeder = thread::spawn(move || {
        let (mut random, started, mut sent) = (StdRng::seed_from_u64(seed), Instant::now(), 0u64);
        while !told.load(Ordering::Relaxed) {
            let mut piece = vec![0; random.random_range(1..64 << 10)];
            random.fill(&mut piece[..]);
            sink.write_all(&piece).unwrap();
            sent += piece.len() as u64;
            let due = started + Duration::from_micros(sent * 1_000_000 / BYTES_PER_S);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sent
    });
    (stop, feeder)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Both must have ended well; then all copies are the same.
fn all_equal(relay: &mut Relay, original: &[u8], taken: &Path) {
    let held = relay.held();
    assert_eq!(held.total, Some(original.len() as u64));
    assert_eq!(held.set.bytes(), original.len() as u64);
    assert_eq!(sha256(&relay.copy()), sha256(original), "the distributor's segments");
    assert_eq!(sha256(&fs::read(taken).unwrap()), sha256(original), "the consumer's file");
}

#[test]
fn the_distributor_and_the_consumer_are_killed_and_no_byte_is_lost() {
    let mut random = StdRng::seed_from_u64(1);
    let mut relay = Relay::start();
    let (copy, taken) = (relay.folder.path().join("copy"), relay.folder.path().join("taken"));
    let mut origin = command("origin");
    origin.args(["stdin", "--quiet", "--to", &relay.url(), "--copy"]).arg(&copy);
    let mut origin = Role::start({
        origin.stdin(Stdio::piped());
        origin
    });
    let (stop, feeder) = feed(origin.0.as_mut().unwrap().stdin.take().unwrap(), 2);
    let mut follower = Role::start(consumer(&relay, &taken));

    for _ in 0..KILLS {
        let next = relay.held().set.bytes() + random.random_range(1..500_000);
        relay.wait_for(next);
        relay.kill();
        relay.restart();
        let next = relay.held().set.bytes() + random.random_range(1..500_000);
        relay.wait_for(next);
        follower.kill();
        follower = Role::start(consumer(&relay, &taken));
    }
    stop.store(true, Ordering::Relaxed);
    let sent = feeder.join().unwrap();

    assert!(origin.ended().success());
    assert!(follower.ended().success());
    let original = fs::read(copy.join("crash")).unwrap();
    assert_eq!(original.len() as u64, sent, "origin's copy has all that was fed");
    all_equal(&mut relay, &original, &taken);
}

#[test]
fn the_origin_of_a_file_is_killed_and_no_byte_is_lost_or_doubled() {
    let mut random = StdRng::seed_from_u64(3);
    let mut relay = Relay::start();
    let (file, taken) = (relay.folder.path().join("file.bin"), relay.folder.path().join("taken"));
    let mut original = vec![0; 24_000_000];
    random.fill(&mut original[..]);
    fs::write(&file, &original).unwrap();
    let url = relay.url();
    let start = || {
        let mut origin = command("origin");
        origin.arg("file").arg(&file).args(["--quiet", "--to", &url, "--rate", "2500000"]);
        Role::start(origin)
    };
    let follower = Role::start(consumer(&relay, &taken));
    let mut origin = start();

    for _ in 0..KILLS {
        let next = relay.held().set.bytes() + random.random_range(1..800_000);
        relay.wait_for(next);
        origin.kill();
        origin = start();
    }

    assert!(origin.ended().success());
    assert!(follower.ended().success());
    all_equal(&mut relay, &original, &taken);
}

/// The pipe outlives the origin: what it has not taken yet waits for the next one.
#[test]
fn the_origin_of_a_pipe_is_killed_and_goes_on_from_its_copy() {
    let mut random = StdRng::seed_from_u64(4);
    let mut relay = Relay::start();
    let (copy, taken) = (relay.folder.path().join("copy"), relay.folder.path().join("taken"));
    let fifo = relay.folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Opened for both, so that it neither waits for a reader nor loses what is in it.
    let sink = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let (stop, feeder) = feed(sink, 5);
    let url = relay.url();
    let start = || {
        let mut origin = command("origin");
        origin.args(["stdin", "--quiet", "--to", &url, "--copy"]).arg(&copy);
        origin.stdin(File::open(&fifo).unwrap());
        Role::start(origin)
    };
    let follower = Role::start(consumer(&relay, &taken));
    let mut origin = start();

    for _ in 0..KILLS {
        let next = relay.held().set.bytes() + random.random_range(1..500_000);
        relay.wait_for(next);
        origin.kill();
        origin = start();
    }
    stop.store(true, Ordering::Relaxed);
    let sent = feeder.join().unwrap();

    assert!(origin.ended().success());
    assert!(follower.ended().success());
    let original = fs::read(copy.join("crash")).unwrap();
    assert_eq!(original.len() as u64, sent, "origin's copy has all that went through the pipe");
    all_equal(&mut relay, &original, &taken);
}
