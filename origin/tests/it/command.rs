//! The `origin` command, as a script sees it: real processes, real pipes, kill -9.

use std::{
    io::{PipeWriter, Write},
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::fake::{Fake, Fault, sample, soon};

pub(crate) fn origin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin"));
    command.args(arguments).env_remove("FRESHET_PUBLISH_TOKEN").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn output(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = soon(command.output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Keep the pipe full of counted words, until told to stop; how many.
#[cfg(target_os = "linux")]
fn count_into(mut pipe: PipeWriter, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut words = 0;
        while !stop.load(Relaxed) {
            let block: Vec<u8> = (words..words + 4096).flat_map(u64::to_le_bytes).collect();
            pipe.write_all(&block).unwrap();
            words += 4096;
        }
        words
    })
}

/// The bytes are in the pipe or in the copy, never in between: a pipe that outlives the origin loses
/// nothing to any number of kills at full speed, without a word from whoever writes into it.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn killed_again_and_again_it_loses_no_byte_of_a_pipe() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let stop = Arc::<AtomicBool>::default();
    let counter = count_into(writer, Arc::clone(&stop));
    let (url, copy) = (fake.url(), text(dir.path()).to_owned());
    let start = |chunk: &str| {
        let mut command = origin(&["stdin", "--to", &url, "--copy", &copy, "--chunk", chunk]);
        command.stdin(reader.try_clone().unwrap()).spawn().unwrap()
    };

    let mut random = SmallRng::seed_from_u64(2);
    for _ in 0..15 {
        let posts = fake.posts().len() + random.random_range(1..6);
        let mut child = start("20000");
        fake.until(|stream| stream.posts.len() >= posts).await;
        child.start_kill().unwrap();
        assert!(!soon(child.wait()).await.unwrap().success(), "it was killed");
    }
    stop.store(true, Relaxed);
    let last = soon(start("1000000").wait_with_output()).await.unwrap();

    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    let words = counter.join().unwrap();
    let copied = std::fs::read(dir.path().join("t.bin")).unwrap();
    assert_eq!(copied.len() as u64, words * 8);
    let lost = copied.chunks(8).zip(0u64..).find(|(word, count)| **word != count.to_le_bytes());
    assert_eq!(lost, None);
    assert!(fake.stream().whole() == Some(&copied[..]), "and all of it is delivered");
}

#[tokio::test]
async fn a_killed_file_goes_on_where_it_was() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (path, bytes) = (dir.path().join("media"), sample(300_000));
    std::fs::write(&path, &bytes).unwrap();
    let (url, path) = (fake.url(), path.to_str().unwrap().to_owned());
    let arguments = ["file", &path, "--to", &url, "--chunk", "10000", "--rate", "400000"];
    for end in [60_000, 120_000, 180_000] {
        let mut child = origin(&arguments).spawn().unwrap();
        fake.until(|stream| stream.held.end() >= end).await;
        child.start_kill().unwrap();
        assert!(!soon(child.wait()).await.unwrap().success(), "it was killed");
    }

    let (code, said) = output(origin(&arguments)).await;

    assert_eq!(code, Some(0), "{said}");
    let stream = fake.stream();
    assert_eq!(stream.whole(), Some(&bytes[..]));
    let ids = stream.posts.iter().map(|post| post.field("origin-id").unwrap().to_owned());
    assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 1, "one lease");
}

#[tokio::test]
async fn the_exit_code_says_whether_to_try_again() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("a.bin");
    std::fs::write(&path, sample(1000)).unwrap();
    let (url, path) = (fake.url(), path.to_str().unwrap().to_owned());
    let run = |more: &[&str]| output(origin(&[&["file", &path, "--to", &url], more].concat()));

    let (code, said) = run(&["--rate", "fast"]).await;
    assert!(code == Some(2) && said.contains("bytes per second"), "{code:?} {said}");
    let (code, said) = run(&["--late", "newest"]).await;
    assert!(code == Some(2) && said.contains("needs a clock"), "{code:?} {said}");
    let (code, said) = run(&["--rate", "real"]).await;
    assert!(code == Some(1) && said.contains("give --rate"), "{code:?} {said}");
    fake.faults([Fault::Say(401, "")]);
    let (code, said) = run(&[]).await;
    assert!(code == Some(1) && said.contains("said 401"), "{code:?} {said}");
    fake.faults(vec![Fault::Say(503, ""); 100]);
    let (code, said) = run(&["--give-up", "1"]).await;
    assert!(code == Some(3) && said.contains("given up"), "{code:?} {said}");
    fake.stream().faults.clear();
    let (code, said) = run(&[]).await;
    assert!(code == Some(0) && said.contains("complete"), "{code:?} {said}");
}

#[tokio::test]
async fn told_to_stop_it_stops_at_once_and_can_go_on() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (url, copy) = (fake.url(), dir.path().to_str().unwrap().to_owned());
    let mut command = origin(&["stdin", "--to", &url, "--copy", &copy]);
    let child = command.stdin(reader).spawn().unwrap();
    writer.write_all(b"hello").unwrap();
    fake.until(|stream| stream.held.end() == 5).await;

    signal(&child, Signal::TERM);
    let output = soon(child.wait_with_output()).await.unwrap();

    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("interrupted"), "{said}");
    let stream = fake.stream();
    assert_eq!((stream.total, stream.bytes.as_slice()), (None, &b"hello"[..]));
    drop(writer);
}

#[tokio::test]
async fn a_folder_is_posted_file_by_file_and_says_what_it_left_out() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let put = |path: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"same").unwrap();
    };
    put("b/two words.mp3");
    put("a.mp3");
    put(".hidden");
    let run = || output(origin(&["folder", text(dir.path()), "--to", &fake.url()]));

    let (code, said) = run().await;
    assert!(code == Some(0) && said.contains("hidden"), "{said}");
    put("c/d/e/f/g.mp3");
    let (code, said) = run().await;
    assert!(code == Some(1) && said.contains("g.mp3") && said.contains("segments"), "{said}");

    let paths: Vec<_> = fake
        .stream()
        .posts
        .iter()
        .map(|post| post.head.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(paths[..2], ["/live/t.bin/a.mp3", "/live/t.bin/b/two-words.mp3"]);
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
