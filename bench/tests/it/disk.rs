//! Data directories that are full, taken, or not what they should be.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    process::{Child, Command, Output, Stdio},
};

use freshet_protocol::{ByteRange, Held, Problem};
use tempfile::TempDir;

use crate::command::{DEADLINE, address_said, command, folder};

/// A process that ends with its test.
pub(crate) struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Start it, and learn where it listens.
pub(crate) fn started(mut distributor: Command) -> (Guard, String) {
    let mut child = distributor.stderr(Stdio::piped()).spawn().unwrap();
    let address = address_said(child.stderr.take().unwrap());
    (Guard(child), address)
}

fn distributor(data: &std::path::Path) -> Command {
    let mut distributor = command("distributor");
    distributor.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    distributor
}

/// It must not start; what it says.
fn refused(distributor: &mut Command) -> String {
    let Output { status, stderr, .. } = distributor.output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

/// The status, the head and the body of the answer.
fn ask(address: &str, what: &str, fields: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{what} HTTP/1.1\r\nHost: {address}\r\n{length}{fields}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head[9..12].parse().unwrap(), head.to_lowercase(), answer[end..].to_vec())
}

#[test]
fn a_full_disk_is_507_and_what_was_acknowledged_stays() {
    let mount = TempDir::new().unwrap();
    // A mount of its own, in a namespace that ends with the process.
    let script = format!(
        "mount -t tmpfs -o size=256k none {0} && exec {1} --listen 127.0.0.1:0 --min-free-bytes 0 --data {0}",
        mount.path().display(),
        folder().join("distributor").display()
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", &script]);
    let (_guard, address) = started(unshare);
    let piece = vec![7; 40_000];

    let mut acknowledged = 0;
    let refusal = (0..20u64).find_map(|number| {
        let place =
            format!("Content-Range: bytes {}-{}/*\r\n", number * 40_000, number * 40_000 + 39_999);
        match ask(&address, "POST /live/s", &place, &piece) {
            (200 | 201, ..) => {
                acknowledged = (number + 1) * 40_000;
                None
            }
            refusal => Some(refusal),
        }
    });

    let (status, head, body) = refusal.expect("256 KiB are full at some time");
    assert_eq!(status, 507, "{head}");
    assert!(Problem::detail_of(&body).is_some_and(|detail| detail.contains("full")), "{head}");
    assert!(acknowledged > 0);
    let (_, head, _) = ask(&address, "HEAD /live/s", "", b"");
    let said = head.lines().find_map(|line| line.strip_prefix("content-range: "));
    let held: Held = said.expect("the stream exists").parse().unwrap();
    assert!(held.set.covers(ByteRange::new(0, acknowledged).unwrap()), "{held}");
    let range = format!("Range: bytes=0-{}\r\n", acknowledged - 1);
    let (status, _, body) = ask(&address, "GET /live/s", &range, b"");
    assert_eq!((status, body), (206, vec![7; usize::try_from(acknowledged).unwrap()]));
}

#[test]
fn a_second_distributor_on_the_same_data_is_refused() {
    let data = TempDir::new().unwrap();
    let (_guard, _) = started(distributor(data.path()));
    let said = refused(&mut distributor(data.path()));
    assert!(said.contains("in use by another distributor"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_one_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let said = refused(&mut distributor(&file));
    assert!(said.contains("cannot use") && said.contains("file"), "{said}");
}

/// Neither read nor written through: what the link points to stays as it is.
#[test]
fn a_segment_that_is_a_symbolic_link_is_not_followed() {
    let folder = TempDir::new().unwrap();
    let (data, secret) = (folder.path().join("data"), folder.path().join("secret"));
    fs::write(&secret, vec![b's'; 100]).unwrap();
    {
        let (_guard, address) = started(distributor(&data));
        let place = "Content-Range: bytes 0-99/*\r\n";
        assert_eq!(ask(&address, "POST /live/s", place, &[1; 100]).0, 201);
    }
    let segment = data.join("streams/1/00000000000000000000.seg");
    fs::remove_file(&segment).unwrap();
    symlink(&secret, &segment).unwrap();

    let (_guard, address) = started(distributor(&data));
    let (status, _, body) = ask(&address, "GET /live/s", "Range: bytes=0-99\r\n", b"");
    assert_ne!((status, body.as_slice()), (206, [b's'; 100].as_slice()));
    ask(&address, "POST /live/s", "Content-Range: bytes 0-99/*\r\n", &[1; 100]);
    assert_eq!(fs::read(&secret).unwrap(), vec![b's'; 100]);
}
