//! `origin capture` with an ffmpeg that dies, complains, will not end, or does as it should: a script
//! that each test writes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, test_kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    command::{origin, output, signal, text},
    fake::{Fake, Fault, soon},
};

/// A folder with a script that stands for ffmpeg. `$run` in it counts from 0, `packet N` prints a
/// packet of a transport stream.
struct Script(TempDir);

impl Script {
    fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let whole = format!(
            "#!/bin/bash\ncd \"${{0%/*}}\" || exit\nrun=$(ls | grep -c '^arguments')\n\
             printf '%s\\n' \"$@\" > arguments.$run\necho $$ > pid\n\
             packet() {{ printf 'G%0187d' \"$1\"; }}\n{body}\n"
        );
        // Another process writes it: a file that somebody here has open for writing cannot be run, and
        // a child that another test just forks has it open for a moment.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\"", text(&dir.path().join("ffmpeg"))])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(whole.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        Self(dir)
    }

    fn path(&self, leaf: &str) -> PathBuf {
        self.0.path().join(leaf)
    }

    /// `origin capture testcard --as ts`, with this script for ffmpeg.
    fn capture(&self, url: &str, more: &[&str]) -> Command {
        let (ffmpeg, copy) = (self.path("ffmpeg"), self.path("copy"));
        let own = ["capture", "testcard", "--to", url, "--as", "ts", "--ffmpeg", text(&ffmpeg)];
        origin(&[&own[..], &["--copy", text(&copy)], more].concat())
    }

    fn runs(&self) -> usize {
        let names =
            std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| text(Path::new(name)).starts_with("arguments")).count()
    }

    /// What followed `option` in the arguments of a run.
    fn told(&self, run: usize, option: &str) -> String {
        let words = std::fs::read_to_string(self.path(&format!("arguments.{run}"))).unwrap();
        words.lines().skip_while(|word| *word != option).nth(1).unwrap().into()
    }

    fn is_running(&self) -> bool {
        let pid = std::fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap();
        test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
    }
}

fn packet(number: u32) -> String {
    format!("G{number:0187}")
}

#[tokio::test]
async fn a_killed_ffmpeg_is_started_again_and_the_stream_goes_on() {
    let fake = Fake::start().await;
    let script = Script::new(
        "[ $run = 2 ] && { packet 3; exit 0; }\npacket $((run + 1)); printf 'Gtorn'; kill -9 $$",
    );

    let (code, said) = output(script.capture(&fake.url(), &["--content-type", "a/b"])).await;

    assert!(
        code == Some(0) && said.contains("SIGKILL") && said.contains("started again"),
        "{said}"
    );
    let stream = fake.stream();
    let whole = stream.whole().map(String::from_utf8_lossy).unwrap();
    assert_eq!(whole, [packet(1), packet(2), packet(3)].concat(), "no torn packet in between");
    assert_eq!(std::fs::read_to_string(script.path("copy/t.bin")).unwrap(), whole);
    let offset = |run| script.told(run, "-output_ts_offset").parse::<f64>().unwrap();
    assert!(offset(0) == 0.0 && offset(1) > 0.0 && offset(2) > offset(1), "times go on");
    let with_bytes = stream.posts.iter().filter(|post| !post.place.contains("bytes */"));
    assert!(with_bytes.clone().count() > 0);
    for post in with_bytes {
        assert!(post.field("origin-time").is_some(), "{}", post.head);
        assert_eq!(post.field("content-type"), Some("a/b"));
    }
}

#[tokio::test]
async fn a_capture_that_was_killed_goes_on_with_its_copy() {
    let fake = Fake::start().await;
    // The first one ends when nobody reads any more, as ffmpeg does.
    let script =
        Script::new("packet $run; [ $run = 1 ] && exit 0\nwhile sleep 0.1 && printf G; do :; done");
    let mut child = script.capture(&fake.url(), &[]).spawn().unwrap();
    fake.until(|stream| stream.held.end() == 188).await;
    child.start_kill().unwrap();
    soon(child.wait()).await.unwrap();

    let (code, said) = output(script.capture(&fake.url(), &[])).await;

    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fake.stream().whole(), Some([packet(0), packet(1)].concat().as_bytes()));
    assert_ne!(script.told(1, "-output_ts_offset"), "0.000", "times go on as well");
}

#[tokio::test]
async fn what_ffmpeg_complains_of_is_told_and_given_up_in_the_end() {
    let fake = Fake::start().await;
    let script = Script::new("echo '/dev/video0: Device or resource busy' >&2; exit 7");

    let (code, said) = output(script.capture(&fake.url(), &[])).await;

    assert_eq!(code, Some(1), "{said}");
    for part in ["given up after 3 starts", "exit status: 7", "the test card", "another program"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!((script.runs(), fake.stream().exists), (3, false));
}

#[tokio::test]
async fn asked_to_end_ffmpeg_says_its_last_and_the_stream_is_complete() {
    let fake = Fake::start().await;
    let script = Script::new("trap 'packet 2; exit 255' INT\npacket 1\nwhile :; do sleep 1; done");
    let child = script.capture(&fake.url(), &[]).spawn().unwrap();
    fake.until(|stream| stream.held.end() == 188).await;

    signal(&child, Signal::INT);
    let ended = soon(child.wait_with_output()).await.unwrap();

    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fake.stream().whole(), Some([packet(1), packet(2)].concat().as_bytes()));
    assert!(!script.is_running());
}

#[tokio::test]
async fn an_ffmpeg_that_will_not_end_is_killed() {
    let fake = Fake::start().await;
    let script = Script::new("trap '' INT\npacket 1\nwhile :; do sleep 1; done");
    let child = script.capture(&fake.url(), &[]).spawn().unwrap();
    fake.until(|stream| stream.held.end() == 188).await;

    signal(&child, Signal::TERM);
    let ended = soon(child.wait_with_output()).await.unwrap();

    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fake.stream().whole(), Some(packet(1).as_bytes()));
    assert!(!script.is_running());
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_distributor() {
    let fake = Fake::start().await;
    let script =
        Script::new("trap 'touch asked; exit 255' INT\npacket 1\nwhile :; do sleep 1; done");
    fake.faults(vec![Fault::Say(503, ""); 100]);
    let child = script.capture(&fake.url(), &[]).spawn().unwrap();
    fake.until(|stream| !stream.posts.is_empty()).await;

    signal(&child, Signal::INT);
    let copy_ended = async {
        while !std::fs::read_to_string(script.path("copy/.t.bin.json"))
            .is_ok_and(|state| state.contains("\"total\": 188"))
        {
            tokio::task::yield_now().await;
        }
    };
    soon(copy_ended).await;
    signal(&child, Signal::INT);
    let ended = soon(child.wait_with_output()).await.unwrap();

    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(3) && said.contains("interrupted"), "{said}");
    fake.stream().faults.clear();
    let (code, said) = output(script.capture(&fake.url(), &[])).await;
    assert!(code == Some(1) && said.contains("finished"), "{code:?} {said}");
    assert_eq!(fake.stream().whole(), Some(packet(1).as_bytes()), "and delivers what was left");
    assert_eq!(script.runs(), 1, "nothing new is captured");
}

#[tokio::test]
async fn no_input_is_an_option_of_ffmpeg_and_a_missing_ffmpeg_has_a_package() {
    let fake = Fake::start().await;
    let script = Script::new("packet 1");
    let ffmpeg = script.path("ffmpeg");
    let run = |ffmpeg: &Path, input: &str| {
        let url = fake.url();
        let words = ["capture", "--to", &url, "--no-copy", "--ffmpeg", text(ffmpeg), "--", input];
        output(origin(&words))
    };

    for input in ["-y", "-", ""] {
        let (code, said) = run(&ffmpeg, input).await;
        assert_eq!(code, Some(2), "{input:?}: {said}");
    }
    assert_eq!(script.runs(), 0);
    let (code, said) = run(&script.path("none"), "testcard").await;
    assert!(code == Some(1) && said.contains("apt install ffmpeg"), "{code:?} {said}");
    let (code, said) = run(&ffmpeg, "a -y 'b").await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(script.told(0, "-i"), "a -y 'b", "one argument");
}
