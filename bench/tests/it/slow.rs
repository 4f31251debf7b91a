//! Links slower than the stream, and consumers that stop reading.
//!
//! ```text
//!   origin ──▶ distributor ──▶ near0 ══ tbf ══ far0 ──▶ native consumer    newest first
//!                        └───▶ near1 ══ tbf ══ far1 ──▶ curl               in order
//! ```
//!
//! Each test runs itself once more, in namespaces of its own where it may lay links: that takes a
//! kernel which lets anybody have user namespaces, or root. Without that right it fails.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use freshet_bench::{clock::Moment, publish::Schedule};
use tempfile::TempDir;

use super::command::{DEADLINE, address_said_on, command};

/// Says to a test that it is in its namespaces.
const INSIDE: &str = "FRESHET_TEST_NAMESPACE";
/// How long ages are taken, in seconds, where it is not as long as the test does.
const SECONDS: &str = "FRESHET_TEST_SECONDS";
/// Bits per second of the stream, likewise. The links have half of it.
const RATE: &str = "FRESHET_TEST_RATE";
/// How often an age is taken.
const SAMPLE: Duration = Duration::from_millis(5);
const CHUNK_BYTES: usize = 4 << 10;
const TOKEN: &str = "token-of-the-slow-tests";

/// Runs this very test in namespaces of its own, unless it is there already. True where it is.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "--fork", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
    eprintln!("{said}");
    assert!(output.status.success(), "in its namespaces the test failed, or may not have any");
    // Who renames a test renames it here too.
    assert!(said.contains("1 passed"), "no test has that name");
    false
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn done(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {said}");
}

/// Killed when dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A link to a network namespace of its own.
struct Link {
    number: usize,
    /// Keeps the namespace alive.
    far: Guard,
    _stdin: ChildStdin,
}

impl Link {
    fn lay(number: usize) -> Self {
        let mut far = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready && cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(far.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "a network namespace of one's own");
        let id = far.id();
        done("ip", &format!("link add near{number} type veth peer name far{number}"));
        done("ip", &format!("link set far{number} netns {id}"));
        done("ip", &format!("addr add 10.77.{number}.1/24 dev near{number}"));
        done("ip", &format!("link set near{number} up"));
        let enter = |rest: &str| done("nsenter", &format!("--net=/proc/{id}/ns/net ip {rest}"));
        enter(&format!("addr add 10.77.{number}.2/24 dev far{number}"));
        enter(&format!("link set far{number} up"));
        let stdin = far.stdin.take().unwrap();
        Self { number, far: Guard(far), _stdin: stdin }
    }

    /// What comes to its far end comes so fast at most.
    fn limit(&self, bits_per_second: u64) {
        let near = format!("near{}", self.number);
        let shape = format!("tbf rate {bits_per_second}bit burst 16kb latency 50ms");
        done("tc", &format!("qdisc replace dev {near} root {shape}"));
    }

    fn lift(&self) {
        done("tc", &format!("qdisc del dev near{} root", self.number));
    }

    /// A command at its far end.
    fn at_far_end(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.far.0.id())).arg(program);
        command
    }

    fn url(&self, port: u16) -> String {
        format!("http://10.77.{}.1:{port}/live/s", self.number)
    }
}

/// A distributor that all links lead to, and the port that it listens on.
fn distributor(data: &Path) -> (Guard, u16) {
    let mut distributor = command("distributor");
    distributor.args(["--listen", "0.0.0.0:0", "--data"]).arg(data);
    distributor.env("FRESHET_PUBLISH_TOKEN", TOKEN).env("RUST_LOG", "info");
    let mut child = distributor.stderr(Stdio::piped()).spawn().unwrap();
    let said = address_said_on(child.stderr.take().unwrap(), "0.0.0.0:");
    let address: SocketAddr = said.parse().unwrap();
    (Guard(child), address.port())
}

/// Publish by the schedule until `stop`; how many chunks that were.
fn publish(port: u16, schedule: Schedule, stop: &AtomicBool) -> u64 {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "PUT /live/s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let chunk = schedule.chunk(number);
        thread::sleep(chunk.due.left());
        let mut frame = format!("{:x}\r\n", chunk.length).into_bytes();
        chunk.write_to(&mut frame);
        frame.extend_from_slice(b"\r\n");
        socket.write_all(&frame).unwrap();
        number += 1;
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
    number
}

/// A consumer's file, and the ages of its newest byte.
struct Watched {
    file: PathBuf,
    schedule: Schedule,
    ages: Vec<Duration>,
}

impl Watched {
    fn new(file: PathBuf, schedule: Schedule) -> Self {
        Self { file, schedule, ages: Vec::new() }
    }

    /// One past its newest byte.
    fn end(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// How old its newest byte is; `None` before the first one came.
    fn age(&self) -> Option<Duration> {
        let last = self.end().checked_sub(1)?;
        Some(Moment::now().since(self.schedule.chunk(last / CHUNK_BYTES as u64).due))
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.ages.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }
}

/// Wait until it is so; never longer than the deadline.
fn until(what: &str, is_so: impl Fn() -> bool) {
    within(DEADLINE, what, is_so);
}

fn within(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let begun = Moment::now();
    while !is_so() {
        assert!(Moment::now().since(begun) < limit, "{what} did not come about");
        thread::park_timeout(SAMPLE);
    }
}

/// Newest first keeps the live edge on half the bandwidth, and fills its gaps once it may; in order
/// falls behind for as long as it lasts.
#[test]
fn a_link_of_half_the_rate_keeps_the_live_edge() {
    if !is_inside("slow::a_link_of_half_the_rate_keeps_the_live_edge") {
        return;
    }
    done("ip", "link set lo up");
    let (seconds, rate) = (setting(SECONDS, 20), setting(RATE, 4_000_000));
    let folder = TempDir::new().unwrap();
    let (_distributor, port) = distributor(&folder.path().join("data"));
    let links = [Link::lay(0), Link::lay(1)];
    links.iter().for_each(|link| link.limit(rate / 2));
    let schedule =
        Schedule { start: Moment::now(), chunk_bytes: CHUNK_BYTES, bits_per_second: rate };
    let (native, plain) = (folder.path().join("native"), folder.path().join("plain"));
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        // A failed assertion must not leave the publisher waiting for its end.
        let _stopped = StopOnDrop(&stop);
        let published = scope.spawn(|| publish(port, schedule, &stop));
        let consumer = command("consumer").get_program().to_os_string();
        let mut consumer = links[0].at_far_end(consumer);
        consumer.args([&links[0].url(port), "--wait", "10", "-o"]).arg(&native);
        let mut consumer = Guard(consumer.spawn().unwrap());
        let mut curl = links[1].at_far_end("curl");
        curl.args(["-sSN", "--retry", "10", "--retry-all-errors", "--fail", "-o"]).arg(&plain);
        let _curl = Guard(curl.arg(format!("{}?from=live", links[1].url(port))).spawn().unwrap());

        let mut native = Watched::new(native, schedule);
        let mut plain = Watched::new(plain, schedule);
        until("the first bytes at both", || native.end() > 0 && plain.end() > 0);
        let begun = Moment::now();
        let samples = seconds * 1_000 / SAMPLE.as_millis() as u64;
        for sample in 0..samples as u32 {
            thread::sleep(begun.after(SAMPLE * sample).left());
            native.ages.extend(native.age());
            // In order from the first byte on: its file begins near the stream's beginning.
            plain.ages.extend(plain.age());
        }
        eprintln!(
            "{rate} bit/s over {} bit/s for {seconds} s: age of the newest byte, native p50 {:?} p99 {:?} \
             max {:?}; plain after a quarter {:?}, in the end {:?}",
            rate / 2,
            native.percentile(50),
            native.percentile(99),
            native.percentile(100),
            plain.ages[plain.ages.len() / 4],
            plain.ages[plain.ages.len() - 1],
        );

        links.iter().for_each(Link::lift);
        stop.store(true, Ordering::Relaxed);
        let chunks = published.join().unwrap();
        let mut whole = Vec::new();
        (0..chunks).for_each(|number| schedule.chunk(number).write_to(&mut whole));
        until("the end of the consumer", || native.end() == whole.len() as u64);
        assert!(consumer.0.wait().unwrap().success());
        assert!(fs::read(&native.file).unwrap() == whole, "byte by byte the origin's");

        assert!(native.percentile(99) < Duration::from_millis(500));
        let (early, late) = (plain.ages[plain.ages.len() / 4], plain.ages[plain.ages.len() - 1]);
        // It falls behind by half a second each second.
        assert!(late > early + Duration::from_secs(seconds) / 4, "{early:?} {late:?}");
    });
}

/// The lines about pictures.
fn lines_in(stats: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(stats).unwrap_or_default();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    text.lines().filter_map(line).filter(|line| line["age_ms"].is_number()).collect()
}

/// Ages of pictures in milliseconds.
fn ages_in(stats: &Path) -> Vec<f64> {
    lines_in(stats).iter().filter_map(|line| line["age_ms"].as_f64()).collect()
}

/// When the last picture was shown.
fn last_in(stats: &Path) -> Duration {
    let last = lines_in(stats).last().and_then(|line| line["shown"].as_u64());
    Duration::from_nanos(last.unwrap_or_default())
}

/// A player that leaves out what would come too late shows pictures that are not old, if not all of them.
#[test]
fn pictures_over_a_link_of_half_the_rate_are_not_old() {
    if !is_inside("slow::pictures_over_a_link_of_half_the_rate_are_not_old") {
        return;
    }
    done("ip", "link set lo up");
    let (seconds, folder) = (setting(SECONDS, 20), TempDir::new().unwrap());
    let (_distributor, port) = distributor(&folder.path().join("data"));
    let links = [Link::lay(0), Link::lay(1)];
    let mut card = command("origin");
    card.args([
        "testcard",
        "--no-sound",
        "--quiet",
        "--bitrate",
        "2000000",
        "--size",
        "640x360",
        "--to",
    ]);
    card.arg(format!("http://127.0.0.1:{port}/live/s")).env("FRESHET_PUBLISH_TOKEN", TOKEN);
    let _card = Guard(card.spawn().unwrap());
    let stats = ["newest", "all"].map(|policy| (policy, folder.path().join(policy)));
    let _players = [0, 1].map(|at| {
        let (policy, stats) = &stats[at];
        let mut player = links[at].at_far_end(command("player").get_program());
        player.args([&links[at].url(port), "--headless", "--wait", "10", "--policy", policy]);
        Guard(player.arg("--stats").arg(stats).spawn().unwrap())
    });
    let ages = |at: usize| ages_in(&stats[at].1);
    until("the first pictures", || (0..2).all(|at| ages(at).len() > 30));
    links.iter().for_each(|link| link.limit(1_000_000));
    // What it takes to find out how slow the link is now, is in neither figure.
    let limited = ages(0).len();
    until("pictures over the slow link", || ages(0).len() > limited + 60);
    let before = ages(0).len();
    let (first, time) = (last_in(&stats[0].1), Duration::from_secs(seconds));
    within(DEADLINE + time, "pictures for so long", || last_in(&stats[0].1) - first >= time);
    let (mut slow, all) = (ages(0).split_off(before), ages(1));
    links.iter().for_each(Link::lift);
    let lifted = ages(0).len();
    until("more pictures", || ages(0).len() > lifted + 90);
    let after = ages(0).split_off(lifted);

    slow.sort_by(f64::total_cmp);
    let worst = slow[slow.len() - 1];
    let (p50, p99) = (slow[slow.len() / 2], slow[slow.len() * 99 / 100]);
    eprintln!(
        "{} pictures in {seconds} s, age p50 {p50:.0} ms, p99 {p99:.0} ms, at most {worst:.0} ms; all of \
         them: {:.0} ms in the end",
        slow.len(),
        all[all.len() - 1]
    );
    assert!(slow.len() as u64 > 5 * seconds, "{} pictures", slow.len());
    assert!(p99 < 1_000.0, "{p99}");
    assert!(all[all.len() - 1] > 2.0 * p99, "who shows all falls behind: {}", all[all.len() - 1]);
    assert!(after[60..].iter().all(|&age| age < 100.0), "two seconds later: {:?}", &after[60..]);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
