//! curl alone does it all. It has to be installed: without it this fails.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use crate::node::{Node, bytes, soon, until};

struct Curl {
    base: String,
    folder: TempDir,
}

impl Curl {
    fn of(node: &Node) -> Self {
        Self { base: format!("http://{}", node.address), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, path: &str, args: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20"]).args(args).arg(format!("{}{path}", self.base));
        command.kill_on_drop(true);
        command
    }

    /// What it prints: with `-w`, the status after the body.
    async fn run(&self, path: &str, args: &[&str]) -> Vec<u8> {
        let output = soon(self.command(path, args).output()).await.unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    async fn text(&self, path: &str, args: &[&str]) -> String {
        String::from_utf8(self.run(path, args).await).unwrap()
    }

    fn spawn(&self, path: &str, args: &[&str]) -> Child {
        let mut command = self.command(path, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }
}

const STATUS: [&str; 2] = ["-w", "%{http_code}"];

#[tokio::test]
async fn chunks_out_of_order_the_held_set_and_what_is_missing() {
    let node = Node::start().await;
    let curl = Curl::of(&node);
    let whole = bytes(300);
    let post = async |range: &str, bytes: &[u8]| {
        let file = format!("@{}", curl.file("chunk", bytes));
        let field = format!("Content-Range: bytes {range}");
        curl.text("/live/x", &[&STATUS[..], &["--data-binary", &file, "-H", &field]].concat()).await
    };
    assert_eq!(post("0-99/*", &whole[..100]).await, "201");
    assert_eq!(post("200-299/*", &whole[200..]).await, "200");
    let head = curl.text("/live/x", &["-I"]).await;
    assert!(head.contains("content-range: bytes 0-99,200-299/*\r\n"), "{head}");
    assert!(head.contains("content-type: application/octet-stream\r\n"), "no form: {head}");

    let have = "Content-Range: bytes 0-99/*";
    assert_eq!(curl.run("/live/x", &["-H", have]).await, &whole[200..]);
    assert_eq!(post("100-199/300", &whole[100..200]).await, "200");
    assert_eq!(curl.run("/live/x", &[]).await, whole);
    let problem = post("109-100/*", &whole[..10]).await;
    assert!(problem.contains("reversed") && problem.ends_with("400"), "{problem}");
    let handshake = curl.text("/live/x", &["-i", "-X", "OPTIONS"]).await;
    assert!(handshake.contains("content-range: bytes 0-299/300\r\n"), "{handshake}");
    assert_eq!(curl.text("/live/x", &[&STATUS[..], &["-X", "DELETE"]].concat()).await, "204");
    assert!(curl.text("/live/x", &STATUS).await.ends_with("404"));
}

#[tokio::test]
async fn ranges_of_all_kinds() {
    let node = Node::start().await;
    let curl = Curl::of(&node);
    let whole = bytes(1000);
    let file = curl.file("whole", &whole);
    assert_eq!(curl.text("/live/x", &[&STATUS[..], &["-T", &file]].concat()).await, "201");
    for (range, expected) in [
        ("0-9", &whole[..10]),
        ("990-", &whole[990..]),
        ("-10", &whole[990..]),
        ("-5000", &whole[..]),
        ("0-", &whole[..]),
    ] {
        assert_eq!(curl.run("/live/x", &["-r", range]).await, expected, "{range}");
    }
    let several = curl.run("/live/x", &["-i", "-r", "0-9,500-509"]).await;
    let text = String::from_utf8_lossy(&several);
    assert!(text.contains("multipart/byteranges") && text.contains("bytes 500-509/1000"), "{text}");
    let beyond = curl.text("/live/x", &["-i", "-r", "1000-1010"]).await;
    assert!(beyond.starts_with("HTTP/1.1 416") && beyond.contains("content-range: bytes */1000"));
    let other = ["-r", "0-9", "-H", "If-Range: \"other\""];
    assert_eq!(curl.run("/live/x", &other).await, whole);

    // A download that broke off goes on, and so does an upload.
    let part = curl.file("part", &whole[..400]);
    curl.run("/live/x", &["-C", "-", "-o", &part]).await;
    assert_eq!(std::fs::read(&part).unwrap(), whole);
    curl.run("/live/y", &["--data-binary", &format!("@{}", curl.file("first", &whole[..400]))])
        .await;
    assert_eq!(
        curl.text("/live/y", &[&STATUS[..], &["-C", "400", "-T", &file]].concat()).await,
        "200"
    );
    assert_eq!(curl.run("/live/y", &[]).await, whole);
}

#[tokio::test]
async fn a_live_upload_is_read_while_it_runs() {
    let node = Node::start().await;
    let curl = Curl::of(&node);
    let whole = bytes(2_000_000);
    let out = curl.path("out");
    let consumer_args = ["-N", "-H", "Prefer: wait=10", "-o", out.to_str().unwrap()];
    let mut consumer = curl.spawn("/live/x?from=start", &consumer_args);
    let mut origin = curl.spawn("/live/x", &["-T", "-"]);
    let mut pipe = origin.stdin.take().unwrap();
    for chunk in whole[..1_000_000].chunks(50_000) {
        soon(pipe.write_all(chunk)).await.unwrap();
    }
    let written = || std::fs::metadata(&out).map_or(0, |file| file.len());
    until(async || {
        tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await.ok();
        written() == 1_000_000
    })
    .await;
    for chunk in whole[1_000_000..].chunks(50_000) {
        soon(pipe.write_all(chunk)).await.unwrap();
    }
    drop(pipe);
    assert!(soon(origin.wait()).await.unwrap().success());
    assert!(soon(consumer.wait()).await.unwrap().success(), "an end, not a cut");
    assert!(std::fs::read(&out).unwrap() == whole, "byte for byte");
}

#[tokio::test]
async fn a_cut_is_an_error_that_a_script_sees() {
    let node = Node::start().await;
    let curl = Curl::of(&node);
    node.post("x", "bytes 0-4/*", b"hello").await;
    let out = curl.path("out");
    let args = ["-N", "-o", out.to_str().unwrap()];
    let mut consumer = curl.spawn("/live/x?from=start", &args);
    until(async || node.metric("freshet_consumers").await == 1).await;
    node.stop().await;
    let status = soon(consumer.wait()).await.unwrap();
    assert_eq!(status.code(), Some(18), "a partial file");
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_is_read() {
    let node = Node::start().await;
    let curl = Curl::of(&node);
    node.post("x", "bytes 0-4/5", b"hello").await;
    let file = curl.file("large", &bytes(3_000_000));
    let args = ["-i", "-H", "Expect:", "-T", &file];
    let reply = curl.text("/live/x", &args).await;
    assert!(reply.starts_with("HTTP/1.1 409") && reply.contains("\"status\":409"), "{reply}");
}
