//! SIGTERM while bytes flow: consumers see a cut and not an end, what was acknowledged is there
//! after the restart, and the exit is a good one.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use freshet_protocol::Held;
use tempfile::TempDir;

use crate::command::{DEADLINE, address_said, command};

fn connect(address: &str, head: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(head.replace("HOST", address).as_bytes()).unwrap();
    socket
}

fn all(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    // A cut may be a reset.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_distributor_that_is_told_to_stop_cuts_live_consumers_and_keeps_what_it_acknowledged() {
    let data = TempDir::new().unwrap();
    let mut distributor = command("distributor");
    distributor.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let mut child = distributor.stderr(Stdio::piped()).spawn().unwrap();
    let address = address_said(child.stderr.take().unwrap());
    let post = "POST /live/s HTTP/1.1\r\nHost: HOST\r\nContent-Range: bytes 0-4/*\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert!(all(connect(&address, post)).starts_with("HTTP/1.1 201"));
    let mut live = connect(&address, "GET /live/s?from=start HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello\r\n") {
        let mut byte = [0];
        live.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    // An origin in the middle of a body.
    let _posting = connect(
        &address,
        "POST /live/s HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n world\r\n",
    );
    let mut more = [0; 11];
    live.read_exact(&mut more).unwrap();
    assert_eq!(&more, b"6\r\n world\r\n");

    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());

    assert_eq!(all(live), "", "cut: no last chunk");
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(child.wait()));
    assert!(ended.recv_timeout(DEADLINE).unwrap().unwrap().success());

    let mut again = command("distributor");
    again.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let mut child = again.stderr(Stdio::piped()).spawn().unwrap();
    let address = address_said(child.stderr.take().unwrap());
    let head = "HEAD /live/s HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    let answer = all(connect(&address, head)).to_lowercase();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = answer.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap();
    let held: Held = said.parse().unwrap();
    assert_eq!(held.set.bytes(), 11, "what came in before the stop is kept: {held}");
}
