//! Consumers that stop reading: how much of a stream is on its way to each of them, and what they cost.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::{
    command::{Node, heavy},
    players::wait_for_consumers,
};

/// Times that so much is posted before anybody comes.
const WARM: usize = 8;

/// Half of them plain, half of them native.
const STALLED: usize = 200;
/// What may be on its way to one of them, in hyper and in the kernel.
const COMMITTED_BYTES_MAX: usize = 256 << 10;
/// What hyper may have of it: its buffer, and the frame that it was given last.
const HYPER_BYTES: usize = 80 << 10;
/// What one of them may cost the distributor, beyond the ring.
const COST_BYTES_MAX: usize = 64 << 10;
/// More than the ring, twice over.
const POSTED_BYTES: usize = 40 << 20;
/// Of which so many at once.
const APPENDED_BYTES: usize = 1 << 20;

/// Asks, and never reads.
fn stop(node: &Node, number: usize) -> TcpStream {
    let native = "Content-Range: bytes */*\r\nAccept: multipart/byteranges\r\n";
    let fields = if number.is_multiple_of(2) { native } else { "" };
    let mut socket = TcpStream::connect(&node.address).unwrap();
    write!(socket, "GET /live/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n").unwrap();
    socket
}

/// Append that many bytes, a little at a time, each acknowledged before the next: what waits for the disk is
/// memory as well, and is not to be taken for what consumers cost.
fn append(node: &Node, bytes: usize) {
    let url = format!("http://{}/live/x", node.address);
    for _ in 0..bytes / APPENDED_BYTES {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-X", "POST", "-H", "Expect:", "-T", "-", &url]);
        let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        curl.stdin.take().unwrap().write_all(&vec![7; APPENDED_BYTES]).unwrap();
        assert!(curl.wait().unwrap().success());
    }
}

/// Bytes of memory that are resident.
fn resident(node: &Node) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// What waits in the kernel between the distributor and each of its peers: sent and not acknowledged, or
/// not sent yet, at the one end (`SIOCOUTQ`), and not read at the other.
fn on_the_way(node: &Node) -> Vec<(usize, usize)> {
    let (_, port) = node.address.split_once(':').unwrap();
    let filter = format!("( sport = :{port} or dport = :{port} )");
    let mut ss = Command::new("ss");
    let output = ss.args(["-tnH", "state", "established", &filter]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut waiting = HashMap::<String, (usize, usize)>::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if words[2] == node.address {
            waiting.entry(words[3].into()).or_default().0 = words[1].parse().unwrap();
        } else {
            waiting.entry(words[2].into()).or_default().1 = words[0].parse().unwrap();
        }
    }
    waiting.into_values().filter(|(sent, unread)| sent + unread > 0).collect()
}

#[test]
fn consumers_that_stop_have_little_on_the_way_and_cost_little() {
    let _heavy = heavy();
    let node = Node::with(&["--write-deadline", "10m"]);
    // The ring is full then, and whatever else all share is as large as it gets.
    (0..WARM).for_each(|_| append(&node, POSTED_BYTES));
    let before = resident(&node);
    let stopped: Vec<_> = (0..STALLED).map(|number| stop(&node, number)).collect();
    wait_for_consumers(&node.address, STALLED);

    append(&node, POSTED_BYTES);

    let waiting = on_the_way(&node);
    let sent = waiting.iter().map(|(sent, _)| *sent).max().unwrap();
    let unread = waiting.iter().map(|(_, unread)| *unread).max().unwrap();
    let cost = resident(&node).saturating_sub(before) / STALLED;
    eprintln!("at most {sent} bytes sent, {unread} unread; each costs {cost} bytes of memory");
    assert_eq!(waiting.len(), stopped.len(), "none of them reads");
    assert!(sent + HYPER_BYTES <= COMMITTED_BYTES_MAX, "{sent} bytes wait in the kernel");
    assert!(cost <= COST_BYTES_MAX, "each costs {cost} bytes");
    // None was cut, or it would cost nothing.
    wait_for_consumers(&node.address, STALLED);
}
