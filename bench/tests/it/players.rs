//! Real players on a live stream: the distributor is killed under them and comes back, and they go
//! on by themselves with `resume=1`, without a byte lost or repeated.

use std::{
    fs::{self, File},
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use tokio::time::Instant;

use crate::{
    command::{DEADLINE, command, metrics},
    crash::{Relay, Role},
};

/// How long the film is posted: the kills and restarts take part of it.
const SECONDS: u64 = 8;

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// What a proxy or a load balancer does while nobody is there behind it: it takes connections, and
/// keeps them until there is. VLC asks once after a cut, at once, and never again.
struct Gate {
    address: String,
    is_open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn before(relay: &Relay) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, behind) = (listener.local_addr().unwrap(), relay.address.clone());
        let is_open = Arc::new((Mutex::new(true), Condvar::new()));
        let gate = Self { address: address.to_string(), is_open: Arc::clone(&is_open) };
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, behind, is_open) = (socket.unwrap(), behind.clone(), is_open.clone());
                thread::spawn(move || {
                    let (state, changed) = &*is_open;
                    let open = changed
                        .wait_timeout_while(state.lock().unwrap(), DEADLINE, |open| !*open)
                        .unwrap();
                    drop(open);
                    // Whoever comes too early or too late is cut, as by a proxy.
                    let _ = TcpStream::connect(&behind).and_then(|to| exchange(&socket, &to));
                });
            }
        });
        gate
    }

    fn set(&self, open: bool) {
        let (state, changed) = &*self.is_open;
        *state.lock().unwrap() = open;
        changed.notify_all();
    }
}

/// Copy both ways until one side has ended.
fn exchange(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (one.try_clone()?, other.try_clone()?);
    let asking = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (other, one);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = asking.join();
    Ok(())
}

/// A player on the stream, and where its output goes.
pub(crate) struct Player {
    name: String,
    role: Role,
    output: PathBuf,
    said: PathBuf,
}

impl Player {
    /// `OUT` in the arguments is the file for its output.
    pub(crate) fn start(name: &str, folder: &Path, mut command: Command, args: &[&str]) -> Self {
        let (output, said) = (folder.join(name), folder.join(format!("{name}.said")));
        for arg in args {
            command.arg(arg.replace("OUT", output.to_str().unwrap()));
        }
        let log = File::create(&said).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { name: name.into(), role: Role::start(command), output, said }
    }

    /// What it wrote and what it said, once it has ended.
    pub(crate) fn ended(self) -> (Vec<u8>, String) {
        let Self { name, role, output, said } = self;
        let status = role.ended();
        let said = fs::read_to_string(&said).unwrap();
        assert!(status.success(), "{name}: {status}\n{said}");
        (fs::read(&output).unwrap_or_default(), said)
    }
}

/// VLC refuses to run as root.
pub(crate) fn vlc(folder: &Path) -> Command {
    let home = folder.join("vlc");
    fs::create_dir_all(&home).unwrap();
    let mut vlc = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
        let mut as_nobody = Command::new("setpriv");
        as_nobody.args([user.as_str(), group.as_str(), "--clear-groups", "cvlc"]);
        as_nobody
    } else {
        Command::new("cvlc")
    };
    vlc.env("HOME", home).args(["--intf", "dummy", "--http-reconnect", "--play-and-exit"]);
    vlc
}

fn film(file: &Path) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=12"]);
    ffmpeg.args([
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=12",
        "-g",
        "25",
        "-f",
        "mpegts",
    ]);
    assert!(ffmpeg.arg(file).status().unwrap().success(), "ffmpeg makes a film");
    fs::read(file).unwrap()
}

/// All decoded frames of `input`, each with its time and its digest.
fn frames() -> [&'static str; 6] {
    ["-fps_mode", "passthrough", "-f", "framemd5", "-y", "OUT"]
}

fn consumers(address: &str) -> usize {
    let text = metrics(address);
    let count = text.lines().find_map(|line| line.strip_prefix("freshet_consumers "));
    count.unwrap_or_else(|| panic!("no count of consumers in\n{text}")).parse().unwrap()
}

/// Wait until so many follow the stream.
pub(crate) fn wait_for_consumers(address: &str, count: usize) {
    let started = Instant::now();
    while consumers(address) < count {
        assert!(started.elapsed() < DEADLINE, "only {} of {count} follow", consumers(address));
    }
}

#[test]
fn players_go_on_after_a_kill_at_the_very_byte_that_they_lack() {
    let mut relay = Relay::start();
    let folder = relay.folder.path().join("players");
    fs::create_dir(&folder).unwrap();
    let file = relay.folder.path().join("film.ts");
    let film = film(&file);
    let third = film.len() as u64 / 3;
    let mut origin = command("origin");
    let rate = (film.len() as u64 / SECONDS).to_string();
    origin.arg("file").arg(&file).args(["--quiet", "--to", &relay.url(), "--rate", &rate]);
    let origin = Role::start(origin);
    relay.wait_for(100_000);

    let gate = Gate::before(&relay);
    let url = format!("{}?resume=1", relay.url());
    let gated = url.replace(&relay.address, &gate.address);
    let ffmpeg = ["-v", "error", "-nostdin", "-reconnect", "1"];
    let raw = ["-f", "data", "-i", &url, "-map", "0", "-c", "copy", "-f", "data", "OUT"];
    let decoded = [&["-i", url.as_str()][..], &frames()].concat();
    // Sound and picture drift apart while the stream stands still: that is no fault of the bytes.
    let mpv = ["--no-config", "--msg-level=all=warn,cplayer=error"];
    // Where its look for a duration at the end is refused, libavformat 59 goes on with the reply that
    // it had, and takes the sizes of the chunks for bytes of the stream.
    let no_look = "--demuxer-lavf-o=skip_estimate_duration_from_pts=1";
    let silent = [no_look, "--vo=null", "--ao=null", "--ao-null-untimed", "--untimed", &url];
    let start = |name, program, args: &[&[&str]]| {
        Player::start(name, &folder, Command::new(program), &args.concat())
    };
    let exact = [
        start("ffmpeg", "ffmpeg", &[&ffmpeg, &raw]),
        start("mpv", "mpv", &[&mpv, &["--stream-dump=OUT", &url]]),
        Player::start(
            "cvlc",
            &folder,
            vlc(&folder),
            &["--demux=dump", "--demuxdump-file=OUT", &gated],
        ),
    ];
    let decoding = start("decoding", "ffmpeg", &[&ffmpeg, &decoded]);
    let playing = start("playing", "mpv", &[&mpv, &silent]);

    for bytes in [third, 2 * third] {
        relay.wait_for(bytes);
        wait_for_consumers(&relay.address, 5);
        gate.set(false);
        relay.kill();
        relay.restart();
        gate.set(true);
    }
    assert!(origin.ended().success());

    for player in exact {
        let name = player.name.clone();
        let (taken, said) = player.ended();
        assert!(taken == film, "{name}: {} bytes of {}\n{said}", taken.len(), film.len());
    }
    let (taken, said) = decoding.ended();
    let local = [&["-v", "error", "-i", file.to_str().unwrap()][..], &frames()].concat();
    let (expected, _) = Player::start("local", &folder, Command::new("ffmpeg"), &local).ended();
    assert!(expected.len() > 10_000, "a frame has a line");
    assert!(taken == expected, "other frames than from the file\n{said}");
    let (_, said) = playing.ended();
    let of_the_network = |line: &&str| line.contains(" http: ") || line.contains(" tcp: ");
    let errors: Vec<_> = said.lines().filter(|line| !of_the_network(line)).collect();
    assert!(errors.iter().all(|line| line.is_empty() || line.starts_with("Exiting")), "{said}");
}
