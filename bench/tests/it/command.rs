//! The commands as they were built, and a distributor of one's own for each test.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Longest wait for anything in these tests: far beyond what a slow machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Keep out the others of those tests that take all of a machine, or need all of one.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the built commands are: beside the folder of this test.
pub(crate) fn folder() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf()
}

/// A built command, not yet started.
pub(crate) fn command(name: &str) -> Command {
    let path = folder().join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --bins", path.display());
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("RUST_LOG", "warn");
    command
}

/// A distributor on a free port, with a folder of its own; gone when dropped.
pub(crate) struct Node {
    child: Child,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    _data: TempDir,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One with these settings besides.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        let mut child = command("distributor")
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(settings)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let address = address_said(child.stderr.take().unwrap());
        Self { child, address, _data: data }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test has said so already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in what the distributor logs first; the rest is read away, so that it never waits.
pub(crate) fn address_said(stderr: impl Read + Send + 'static) -> String {
    address_said_on(stderr, "127.0.0.1:")
}

/// Likewise, of one that listens on `host`.
pub(crate) fn address_said_on(stderr: impl Read + Send + 'static, host: &'static str) -> String {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(at) = line.find(host) {
                let rest = line[at..].split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
                // Nobody listens any more once the first was taken.
                let _ = found.send(rest.take(1).collect::<String>());
            }
        }
    });
    address.recv_timeout(DEADLINE).expect("the distributor says where it listens")
}

/// What the distributor at `address` counts.
pub(crate) fn metrics(address: &str) -> String {
    let url = format!("http://{address}/metrics");
    let output = Command::new("curl").args(["-sS", "--fail", &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
