//! Folders of music and movies at the doors: published with `origin folder`, taken with `consumer` and
//! `player`, and by a crowd of clients that come and go.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    command::{DEADLINE, command},
    crash::sha256,
};

const DOORS: [&str; 3] = ["asp", "packets", "lines"];

/// Clients at one door at once.
const CROWD: usize = 500;

/// A distributor with all doors; gone when dropped.
pub(crate) struct Doors {
    child: Child,
    pub(crate) http: String,
    /// The address of each door.
    at: BTreeMap<String, String>,
    folder: TempDir,
}

impl Doors {
    pub(crate) fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let mut distributor = command("distributor");
        distributor.args(["--listen", "127.0.0.1:0", "--door-data-ports", "0", "--data"]);
        distributor.arg(folder.path().join("data"));
        distributor
            .args(DOORS.iter().flat_map(|door| ["--door".into(), format!("{door}=127.0.0.1:0")]));
        let mut child = distributor.stderr(Stdio::piped()).spawn().unwrap();
        let (said, lines) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Read to its end, so that the distributor never waits for it.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let mut doors = Self { child, http: String::new(), at: BTreeMap::new(), folder };
        while doors.http.is_empty() || doors.at.len() < DOORS.len() {
            let line = lines.recv_timeout(DEADLINE).expect("the distributor says where it listens");
            let Some(address) = word_behind(&line, "address=") else { continue };
            match word_behind(&line, "door=") {
                Some(door) => drop(doors.at.insert(door, address)),
                None => doors.http = address,
            }
        }
        doors
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/live/{name}", self.http)
    }

    fn door(&self, door: &str) -> String {
        format!("{door}://{}", self.at[door])
    }

    /// The stream of that number at a door.
    pub(crate) fn numbered(&self, door: &str, id: u64) -> String {
        format!("{}/{id}", self.door(door))
    }

    /// Wait until a stream is there.
    pub(crate) fn wait_for_stream(&self, name: &str) {
        let (list, name) = (format!("http://{}/live/", self.http), format!("\"{name}\""));
        wait(|| text(curl(&list).stdout).contains(&name));
    }

    /// Open files of the distributor, and the KiB that it takes.
    fn cost(&self) -> (usize, u64) {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| word_behind(line, "VmRSS:")).unwrap();
        (fs::read_dir(process.join("fd")).unwrap().count(), resident.parse().unwrap())
    }

    /// Wait until that many sessions are open at a door.
    fn wait_for(&self, door: &str, sessions: usize) {
        let line = format!("freshet_door_sessions{{door=\"{door}\"}} {sessions}\n");
        wait(|| text(curl(&format!("http://{}/metrics", self.http)).stdout).contains(&line));
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test has said so already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn word_behind(line: &str, mark: &str) -> Option<String> {
    line.split_once(mark)?.1.split_whitespace().next().map(Into::into)
}

fn wait(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "it does not come to that");
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn curl(url: &str) -> Output {
    ran(Command::new("curl").args(["-sS", "--fail", url]))
}

fn ran(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Twenty songs and two movies, each with bytes of its own, in two folders.
fn library(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "sine=frequency=440"]);
    ffmpeg.args(["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10"]);
    let songs = (1..=20).map(|number| (format!("music/song-{number}.mp3"), ["-map", "0"]));
    let movies = (1..=2).map(|number| (format!("films/movie-{number}.mp4"), ["-map", "1"]));
    let files: Vec<_> = songs.chain(movies).collect();
    for folder in ["music", "films"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    for (name, what) in &files {
        ffmpeg.args(what).args(["-t", "2", "-metadata", &format!("title={name}")]);
        ffmpeg.arg(root.join(name));
    }
    ran(&mut ffmpeg);
    files.into_iter().map(|(name, _)| (name.clone(), fs::read(root.join(name)).unwrap())).collect()
}

/// What a client prints that is given these commands in a folder.
fn script(url: &str, folder: &Path, commands: &str) -> String {
    let mut consumer = command("consumer");
    consumer.arg(url).current_dir(folder).stdin(Stdio::piped());
    let mut child = consumer.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    text(output.stdout)
}

#[test]
fn two_folders_are_listed_and_played_through_each_door_byte_for_byte() {
    let doors = Doors::open();
    let files = library(doors.folder.path());
    for folder in ["music", "films"] {
        let mut origin = command("origin");
        origin.arg("folder").arg(doors.folder.path().join(folder));
        ran(origin.args(["--quiet", "--to", &doors.url(folder)]));
    }
    for door in DOORS {
        let (url, taken) = (doors.door(door), TempDir::new().unwrap());
        let list = script(&url, taken.path(), "l\nq\n");
        let ids: BTreeMap<_, _> = list
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let id = words.next().unwrap().to_owned();
                (words.next().unwrap().to_owned(), id)
            })
            .collect();
        assert!(ids.keys().eq(files.keys()), "{door}: {list}");

        let plays: String = ids.values().map(|id| format!("p {id}\n")).collect();
        script(&url, taken.path(), &plays);

        for (name, file) in &files {
            let copy = taken.path().join(Path::new(name).file_name().unwrap());
            assert_eq!(sha256(&fs::read(copy).unwrap()), sha256(file), "{door}: {name}");
        }
        let (name, id) = ids.last_key_value().unwrap();
        let direct = ran(command("consumer").arg(format!("{url}/{id}")).args(["-o", "-"])).stdout;
        assert_eq!(sha256(&direct), sha256(&files[name]), "{door}: straight to standard output");
        let shown = taken.path().join("shown");
        let via = format!("sh -c 'cat > {}'", shown.display());
        ran(command("player").arg(format!("{url}/{id}")).args(["--via", &via]));
        assert_eq!(sha256(&fs::read(shown).unwrap()), sha256(&files[name]), "{door}: in a player");
    }
}

#[test]
fn a_live_stream_is_the_same_through_each_door_from_its_join_point_on() {
    let doors = Doors::open();
    let file = doors.folder.path().join("film.ts");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-t", "6"]);
    ran(ffmpeg.args(["-g", "25", "-f", "mpegts"]).arg(&file));
    let film = fs::read(&file).unwrap();
    let (first, later) = film.split_at(film.len() * 2 / 3);
    let post = |from: usize, bytes: &[u8], total: &str| {
        let part = doors.folder.path().join("part");
        fs::write(&part, bytes).unwrap();
        let range = format!("Content-Range: bytes {from}-{}/{total}", from + bytes.len() - 1);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-X", "POST", "-H", &range, "-H", "Content-Type: video/mp2t"]);
        ran(curl
            .arg("--data-binary")
            .arg(format!("@{}", part.display()))
            .arg(doors.url("film.ts")));
    };
    post(0, first, "*");
    let mut plain = Command::new("curl");
    plain.args(["-sS", "--fail", &doors.url("film.ts")]);
    let at_doors = DOORS.map(|door| {
        let mut consumer = command("consumer");
        consumer.arg(format!("{}/1", doors.door(door))).args(["-o", "-"]);
        consumer
    });
    let takers: Vec<_> = [plain]
        .into_iter()
        .chain(at_doors)
        .map(|mut taker| taker.stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    wait(|| {
        let metrics = text(curl(&format!("http://{}/metrics", doors.http)).stdout);
        metrics.contains("freshet_consumers 4\n")
    });

    post(first.len(), later, &film.len().to_string());

    let taken: Vec<_> = takers.into_iter().map(|taker| taker.wait_with_output().unwrap()).collect();
    assert!(taken.iter().all(|output| output.status.success()));
    let [plain, at_doors @ ..] = &taken[..] else { panic!("four") };
    assert!(plain.stdout.len() < film.len() * 3 / 4, "in the middle, not from its beginning");
    assert!(film.ends_with(&plain.stdout[plain.stdout.len() / 2..]));
    for (door, output) in DOORS.iter().zip(at_doors) {
        assert_eq!(sha256(&output.stdout), sha256(&plain.stdout), "{door}");
    }
}

#[test]
fn a_crowd_at_a_door_costs_what_its_sockets_do_and_nothing_stays() {
    let doors = Doors::open();
    let (files, _) = doors.cost();
    for door in DOORS {
        for round in 0..2 {
            let mut crowd = Vec::new();
            for number in 0..CROWD {
                let mut client = TcpStream::connect(&doors.at[door]).unwrap();
                // Some are in the middle of a word, some say what nobody understands.
                let said: &[u8] =
                    [&b""[..], b"li", b"\x00\xff\n", b"GET / HTTP/1.1\r\n"][number % 4];
                client.write_all(said).unwrap();
                crowd.push(client);
            }
            doors.wait_for(door, CROWD);
            let (open, kib) = doors.cost();
            assert!(open >= files + CROWD, "{door}: {open} open files");
            assert!(kib < 256 << 10, "{door}: {kib} KiB");
            if round == 0 {
                // Without a word: what is unread makes the system reset the connection.
                drop(crowd);
            } else {
                for mut client in crowd {
                    client.shutdown(std::net::Shutdown::Write).unwrap();
                    client.set_read_timeout(Some(DEADLINE)).unwrap();
                    let _ = client.read_to_end(&mut Vec::new());
                }
            }
            doors.wait_for(door, 0);
            wait(|| doors.cost().0 <= files + 8);
        }
    }
}
