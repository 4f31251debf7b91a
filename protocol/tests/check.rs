//! The gate itself: `./check` counts what it should and fails when it should. It is run with a
//! `cargo` that only says what a real one would say, and with no other commands than it needs.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Steps that count beside the tests.
const STEPS: u32 = 11;

/// Times that tests are run: all of them, and those of what is built in where somebody wants it.
const RUNS: u32 = 2;

/// Commands that the script may use, taken from the machine.
const REAL: [&str; 15] = [
    "awk", "bash", "cat", "cut", "dirname", "env", "id", "mkdir", "mktemp", "rm", "rustc", "sed",
    "tail", "tee", "timeout",
];

const TWO_BINARIES: &str = "test a ... ok\ntest b::c ... FAILED\n\
    test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n\
    test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 2s\n";

const ALL_WELL: &str =
    "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n";

/// A place to run `./check` in, where every command is a fake or one of [`REAL`].
struct Bench {
    bin: TempDir,
    tests_say: &'static str,
}

impl Bench {
    fn new(tests_say: &'static str) -> Self {
        let bin = TempDir::new().unwrap();
        for name in REAL {
            symlink(which(name), bin.path().join(name)).unwrap();
        }
        let bench = Self { bin, tests_say };
        packaged().iter().for_each(|name| bench.fake(name, "exit 0"));
        bench.fake("apt-get", "exit 0");
        bench.fake("cargo", "[ \"$1\" = test ] && cat \"$SAY\"\nexit 0");
        bench
    }

    fn fake(&self, name: &str, script: &str) {
        let path = self.bin.path().join(name);
        // Where it is a link to the real one, writing would go through it.
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether it passed, its last line, all that it said.
    fn check(&self) -> (bool, String, String) {
        let say = self.bin.path().join("say");
        fs::write(&say, self.tests_say).unwrap();
        let bash = self.bin.path().join("bash");
        let output = Command::new(bash)
            .arg(root().join("check"))
            .env("PATH", self.bin.path())
            .env("SAY", say)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text.lines().last().unwrap().to_owned(), text)
    }
}

/// The commands that the script's own list of packages names.
fn packaged() -> Vec<String> {
    let script = fs::read_to_string(root().join("check")).unwrap();
    let (_, list) = script.split_once("packages=\"\\\n").expect("the list begins so");
    let (list, _) = list.split_once('"').unwrap();
    list.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists()).unwrap()
}

#[test]
fn where_all_is_well_every_test_and_every_step_counts() {
    let (passed, last, text) = Bench::new(ALL_WELL).check();

    assert_eq!(last, format!("{} passed, 0 failed", RUNS * 7 + STEPS), "{text}");
    assert!(passed);
}

#[test]
fn failed_tests_are_summed_over_all_binaries_and_named() {
    let bench = Bench::new(TWO_BINARIES);
    bench.fake("cargo", "[ \"$1\" = test ] || exit 0\ncat \"$SAY\"\nexit 101");

    let (passed, last, text) = bench.check();

    assert_eq!(last, format!("{} passed, {} failed", RUNS * 41 + STEPS - RUNS, 2 * RUNS), "{text}");
    assert!(!passed);
    assert!(text.contains("FAILED: b::c\n"), "{text}");
}

#[test]
fn a_failed_step_fails_the_whole_and_keeps_no_other_from_running() {
    for (command, failures) in [("fmt", 2), ("clippy", 3), ("build", 2), ("doc", 1), ("run", 1)] {
        let bench = Bench::new(ALL_WELL);
        let script =
            format!("[ \"$1\" = {command} ] && exit 1\n[ \"$1\" = test ] && cat \"$SAY\"\nexit 0");
        bench.fake("cargo", &script);

        let (passed, last, text) = bench.check();

        assert_eq!(
            last,
            format!("{} passed, {failures} failed", RUNS * 7 + STEPS - failures),
            "{text}"
        );
        assert!(!passed, "{command}");
    }
}

#[test]
fn tests_that_report_nothing_have_not_passed() {
    let (passed, last, text) = Bench::new("error: could not compile\n").check();

    assert_eq!(last, format!("{} passed, {RUNS} failed", STEPS - RUNS), "{text}");
    assert!(!passed);
}

#[test]
fn missing_packages_are_installed_without_asking_and_alone() {
    let bench = Bench::new(ALL_WELL);
    let said = bench.bin.path().join("apt-said");
    for missing in ["kill", "cvlc"] {
        fs::remove_file(bench.bin.path().join(missing)).unwrap();
    }
    bench.fake("id", "echo 1000");
    bench.fake("sudo", "shift\nexec \"$@\"");
    bench.fake("apt-get", &format!("echo \"$DEBIAN_FRONTEND $*\" >> {}", said.display()));

    let (passed, ..) = bench.check();

    assert!(passed);
    let said = fs::read_to_string(said).unwrap();
    let expected = "noninteractive -qq update\n\
        noninteractive -qq install -y --no-install-recommends vlc-bin vlc-plugin-base vlc-plugin-video-output procps\n";
    assert_eq!(said, expected);
}
