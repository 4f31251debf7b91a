//! nginx and Varnish in front of a distributor, configured as docs/nginx.conf and docs/varnish.vcl say:
//! what is live passes as it comes, what will never change is asked for once.
//!
//! ```text
//!   origin, curl, consumer, ffmpeg ──▶ nginx or Varnish ──▶ distributor, which counts its requests
//! ```

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    command::{DEADLINE, command, metrics},
    crash::{Relay, Role, field},
    docs::document,
    players::{Player, wait_for_consumers},
};

/// How often it is looked whether a proxy listens.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A distributor, and a proxy that everybody goes through.
struct Front {
    relay: Relay,
    /// `127.0.0.1:PORT` of the proxy.
    address: String,
    folder: TempDir,
    _proxy: Role,
}

impl Front {
    /// `proxy` makes the command, from a folder, the address to listen on and the distributor's port.
    fn start(proxy: impl FnOnce(&Path, &str, &str) -> Command) -> Self {
        let (relay, folder) = (Relay::start(), TempDir::new().unwrap());
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let (_, port) = relay.address.split_once(':').unwrap();
        let proxy = Role::start(proxy(folder.path(), &address, port));
        let started = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(started.elapsed() < DEADLINE, "nobody listens on {address}");
            thread::park_timeout(LOOK_EVERY);
        }
        Self { relay, address, folder, _proxy: proxy }
    }

    /// One process, whoever starts it: nothing is left when it is killed.
    fn nginx() -> Self {
        Self::start(|folder, address, port| {
            let place = folder.display();
            let site = document("docs/nginx.conf")
                .replace("8080", port)
                .replace("listen 8000", &format!("listen {address}"))
                .replace("/var/cache/nginx", &place.to_string());
            fs::write(folder.join("freshet.conf"), site).unwrap();
            let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
                .join(" ");
            let main = format!(
                "daemon off; master_process off; pid {place}/pid; error_log stderr error;\n\
                 events {{}}\n\
                 http {{ access_log off; {temp} include {place}/freshet.conf; }}\n"
            );
            fs::write(folder.join("nginx.conf"), main).unwrap();
            let mut nginx = Command::new("nginx");
            nginx.args(["-e", "stderr", "-c"]).arg(folder.join("nginx.conf"));
            nginx
        })
    }

    fn varnish() -> Self {
        Self::start(|folder, address, port| {
            let file = folder.join("varnish.vcl");
            fs::write(&file, document("docs/varnish.vcl").replace("8080", port)).unwrap();
            let mut varnish = Command::new("varnishd");
            varnish.args(["-F", "-j", "none", "-s", "malloc,64m", "-a", address, "-f"]).arg(file);
            varnish.arg("-n").arg(folder.join("work")).stdout(Stdio::null()).stderr(Stdio::null());
            varnish
        })
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/live/{name}", self.address)
    }

    /// What a request through the proxy is answered: the head and the body.
    fn curl(&self, name: &str, arguments: &[&str]) -> (String, Vec<u8>) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--max-time", "60", "-H", "Expect:"]).args(arguments);
        let output = curl.arg(self.url(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {said}");
        let end = output.stdout.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let (head, body) = output.stdout.split_at(end);
        (String::from_utf8(head.to_vec()).unwrap(), body.to_vec())
    }

    fn get(&self, name: &str, fields: &[&str], status: u16) -> (String, Vec<u8>) {
        let arguments: Vec<_> = fields.iter().flat_map(|field| ["-H", field]).collect();
        let (head, body) = self.curl(name, &arguments);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name} {fields:?}: {head}");
        (head, body)
    }

    /// Post, through the proxy.
    fn post(&self, name: &str, range: &str, bytes: &[u8]) {
        let file = self.folder.path().join("posted");
        fs::write(&file, bytes).unwrap();
        let (range, body) = (format!("Content-Range: {range}"), format!("@{}", file.display()));
        let (head, _) = self.curl(name, &["-H", &range, "--data-binary", &body]);
        assert!(head.starts_with("HTTP/1.1 20"), "{head}");
    }

    /// How many requests the distributor has had for `these`.
    fn requests(&self, these: impl FnOnce()) -> usize {
        let count = || -> usize {
            let text = metrics(&self.relay.address);
            let counters = text.lines().filter(|line| line.starts_with("freshet_requests_total{"));
            counters.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
        };
        let before = count();
        these();
        // The first look is one of them.
        count() - before - 1
    }
}

/// Bytes that differ from place to place.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// curl that goes on for as long as the stream does, within the deadline.
fn streaming(arguments: &[&str], url: &str) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["-sSN", "--fail", "--max-time", "60", "-H", "Expect:"]).args(arguments).arg(url);
    curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Each piece is with the consumer before the next is sent: whoever holds one back, holds the test.
fn what_is_live_passes_as_it_comes(front: &Front) {
    let url = front.url("talk");
    let from_start = format!("{url}?from=start");
    let mut sending = streaming(&["-T", "-"], &url);
    let mut sink = sending.stdin.take().unwrap();
    let mut reading = None;
    for piece in bytes(50_000).chunks(1_000) {
        sink.write_all(piece).unwrap();
        let reader =
            reading.get_or_insert_with(|| streaming(&["-H", "Prefer: wait=60"], &from_start));
        let mut taken = vec![0; piece.len()];
        reader.stdout.as_mut().unwrap().read_exact(&mut taken).unwrap();
        assert_eq!(taken, piece);
    }
    drop(sink);
    assert!(sending.wait().unwrap().success());
    // The end of the stream is one for the consumer, too.
    assert!(reading.unwrap().wait().unwrap().success());
}

fn what_is_complete_is_asked_for_once(front: &Front) {
    let all = bytes(300_000);
    front.post("song", "bytes 0-299999/300000", &all);
    for range in [None, Some("Range: bytes=100-199"), Some("Range: bytes=200-299")] {
        let fields: Vec<_> = range.into_iter().collect();
        let (status, expected) = match range {
            None => (200, &all[..]),
            Some("Range: bytes=100-199") => (206, &all[100..200]),
            Some(_) => (206, &all[200..300]),
        };
        let asked = front.requests(|| {
            for cache in ["X-Cache: MISS", "X-Cache: HIT"] {
                let (head, body) = front.get("song", &fields, status);
                assert_eq!(body, expected, "{range:?}");
                assert!(head.contains(cache), "{range:?}, not {cache}: {head}");
                let place = field(&head, "content-range").map(str::to_owned);
                assert_eq!(place.is_some(), range.is_some(), "{head}");
            }
        });
        assert_eq!(asked, 1, "{range:?}");
    }
    let etag = field(&front.get("song", &[], 200).0, "etag").unwrap().to_owned();
    front.get("song", &[&format!("If-None-Match: {etag}")], 304);
}

fn of_a_live_stream_only_what_is_there_for_ever_is_kept(front: &Front) {
    let all = bytes(300_000);
    front.post("game", "bytes 0-99999/*", &all[..100_000]);
    let closed = || assert_eq!(front.get("game", &["Range: bytes=5-9"], 206).1, &all[5..10]);
    assert_eq!(front.requests(|| (0..3).for_each(|_| closed())), 1);

    // All these have another answer once there is more.
    let open = ["Range: bytes=99990-"];
    let beyond = ["Range: bytes=100000-100009"];
    assert_eq!(front.get("game", &open, 206).1, &all[99_990..100_000]);
    front.get("game", &beyond, 416);
    front.get("next", &[], 404);
    let (head, _) = front.curl("game", &["-I"]);
    assert_eq!(field(&head, "content-range"), Some("bytes 0-99999/*"), "{head}");
    front.post("game", "bytes 100000-199999/*", &all[100_000..200_000]);
    front.post("next", "bytes 0-4/5", b"hello");
    assert_eq!(front.get("game", &open, 206).1, &all[99_990..200_000]);
    assert_eq!(front.get("game", &beyond, 206).1, &all[100_000..100_010]);
    assert_eq!(front.get("next", &[], 200).1, b"hello");
    let (head, _) = front.curl("game", &["-I"]);
    assert_eq!(field(&head, "content-range"), Some("bytes 0-199999/*"), "{head}");

    // Each follower has a request of its own, and none is kept of what they got.
    let url = format!("{}?from=start", front.url("game"));
    let mut followers = [(); 2].map(|()| streaming(&[], &url));
    wait_for_consumers(&front.relay.address, 2);
    front.post("game", "bytes 200000-299999/300000", &all[200_000..]);
    for follower in &mut followers {
        let mut taken = Vec::new();
        follower.stdout.as_mut().unwrap().read_to_end(&mut taken).unwrap();
        assert!(taken == all && follower.wait().unwrap().success());
    }
    let (head, body) = front.get("game?from=start", &[], 200);
    assert!(body == all && head.contains("X-Cache: MISS"), "{head}");
}

/// Newest first in many parts, positions in a GET, and an origin that sends chunks with a place.
fn the_native_protocol_passes(front: &Front) {
    let (file, taken) = (front.folder.path().join("film"), front.folder.path().join("taken"));
    let all = bytes(1 << 20);
    fs::write(&file, &all).unwrap();
    let url = front.url("film");
    let mut consumer = command("consumer");
    consumer.args([&url, "--wait", "60", "--verify", "-o"]).arg(&taken);
    let consumer = Role::start(consumer);
    let mut origin = command("origin");
    origin.arg("file").arg(&file).args(["--quiet", "--to", &url, "--rate", "1000000"]);
    assert!(Role::start(origin).ended().success());
    assert!(consumer.ended().success());
    assert!(fs::read(&taken).unwrap() == all);

    let native = ["Content-Range: bytes 0-9,20-1048575/*", "Accept: multipart/byteranges"];
    let (head, body) = front.get("film?backfill=all", &native, 206);
    assert!(head.contains("multipart/byteranges"), "{head}");
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.contains("Content-Range: bytes 10-19/1048576"), "{body}");
    // What is kept of the whole is no answer to somebody who says what he holds.
    front.get("film", &[], 200);
    front.get("film", &["Have: bytes 0-1048575/*"], 204);
}

/// The distributor is killed: who asked with `resume=1` goes on at the very byte, through the proxy.
fn players_go_on_after_a_kill(front: &mut Front) {
    let all = bytes(2 << 20);
    let half = all.len() / 2;
    front.post("crash", &format!("bytes 0-{}/*", half - 1), &all[..half]);
    let url = format!("{}?resume=1", front.url("crash"));
    let again = ["-reconnect", "1", "-reconnect_on_http_error", "5xx"];
    let input = ["-v", "error", "-nostdin", "-f", "data", "-i", &url];
    let output = ["-map", "0", "-c", "copy", "-f", "data", "OUT"];
    let arguments = [&again[..], &input, &output].concat();
    let ffmpeg = Player::start("ffmpeg", front.folder.path(), Command::new("ffmpeg"), &arguments);
    wait_for_consumers(&front.relay.address, 1);
    front.relay.kill();
    front.relay.restart();
    wait_for_consumers(&front.relay.address, 1);
    let range = format!("bytes {half}-{}/{}", all.len() - 1, all.len());
    front.post("crash", &range, &all[half..]);
    let (taken, said) = ffmpeg.ended();
    assert!(taken == all, "{} bytes of {}\n{said}", taken.len(), all.len());
}

/// A cut is one behind the proxy as well: no consumer takes it for the end.
fn a_cut_stays_one(front: &mut Front) {
    front.post("cut", "bytes 0-4/*", b"hello");
    let mut reading = streaming(&[], &format!("{}?from=start", front.url("cut")));
    let mut taken = [0; 5];
    reading.stdout.as_mut().unwrap().read_exact(&mut taken).unwrap();
    front.relay.kill();
    assert!(!reading.wait().unwrap().success());
    front.relay.restart();
}

fn everything_passes(mut front: Front) {
    what_is_live_passes_as_it_comes(&front);
    what_is_complete_is_asked_for_once(&front);
    of_a_live_stream_only_what_is_there_for_ever_is_kept(&front);
    the_native_protocol_passes(&front);
    players_go_on_after_a_kill(&mut front);
    a_cut_stays_one(&mut front);
}

#[test]
fn nginx_passes_what_is_live_and_keeps_what_is_not() {
    everything_passes(Front::nginx());
}

#[test]
fn varnish_passes_what_is_live_and_keeps_what_is_not() {
    everything_passes(Front::varnish());
}
