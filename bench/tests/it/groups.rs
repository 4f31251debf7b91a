//! A movie for a group of twenty-one over a network that loses, repeats and reorders.
//!
//! ```text
//!   consumer group:// ──▶ 127.0.0.2, the lossy network ──▶ 127.0.0.1, the door and the group
//!          └────────────── HTTP, for what was lost ──────────▶
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    command::{DEADLINE, command},
    lossy::Lossy,
};

/// Members beside the leader.
const MEMBERS: usize = 20;

const MOVIE_BYTES: usize = 4_000_000;
const RATE: usize = 250_000;

/// Farthest apart that they may begin.
const APART_MAX: Duration = Duration::from_millis(50);

/// Longest until the others know that somebody is gone.
const LOST_MAX: Duration = Duration::from_secs(10);

/// A distributor with the door of groups.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Its address over HTTP.
    pub(crate) http: String,
    pub(crate) door: u16,
    data: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let data = TempDir::new().unwrap();
        let mut distributor = command("distributor");
        distributor.args(["--listen", "127.0.0.1:0", "--door", "groups=127.0.0.1:0"]);
        distributor.args(["--door-group-ports", "0", "--door-group-rate", &RATE.to_string()]);
        distributor.arg("--data").arg(data.path().join("data")).env("RUST_LOG", "info");
        let mut child = distributor.stderr(Stdio::piped()).spawn().unwrap();
        let (mut http, mut door) = (None, None);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while http.is_none() || door.is_none() {
            let line = lines.next().expect("it says where it listens").unwrap();
            let Some((_, rest)) = line.split_once("address=") else { continue };
            let address = rest.split_whitespace().next().unwrap().to_owned();
            if line.contains("door=") { door = Some(address) } else { http = Some(address) }
        }
        // Read to its end, so that the distributor never waits for it.
        thread::spawn(move || lines.for_each(drop));
        let door = door.unwrap().parse::<SocketAddr>().unwrap().port();
        Self { child, http: http.unwrap(), door, data }
    }
}

impl Server {
    /// A complete stream of that name.
    pub(crate) fn publish(&self, name: &str, bytes: &[u8]) {
        let source = self.data.path().join("source");
        fs::write(&source, bytes).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-T"]).arg(&source);
        assert!(curl.arg(format!("http://{}/live/{name}", self.http)).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of the group, and what it has said.
struct Member {
    child: Child,
    said: Arc<Mutex<VecDeque<String>>>,
    file: PathBuf,
}

impl Member {
    fn start(server: &Server, port: u16, folder: &Path, name: &str, leads: bool) -> Self {
        let file = folder.join(name);
        let mut consumer = command("consumer");
        consumer.arg(format!("group://127.0.0.2:{port}")).arg("-o").arg(&file);
        consumer.arg("--http").arg(format!("http://{}", server.http));
        consumer.args(leads.then_some("--lead"));
        consumer.stdin(Stdio::piped()).stderr(Stdio::piped());
        Self::of(consumer, file)
    }

    fn of(mut command: Command, file: PathBuf) -> Self {
        let mut child = command.spawn().unwrap();
        let (said, lines) = (Arc::default(), BufReader::new(child.stderr.take().unwrap()).lines());
        let told: Arc<Mutex<VecDeque<String>>> = Arc::clone(&said);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| told.lock().unwrap().push_back(line));
        });
        Self { child, said, file }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The rest of the line with these words, once it is said.
    fn hear(&self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let found = self
                .said
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| line.split_once(words).map(|(_, rest)| rest.to_owned()));
            if let Some(rest) = found {
                return rest;
            }
            let said = || self.said.lock().unwrap().clone();
            assert!(begun.elapsed() < DEADLINE, "{words:?} is not said: {:?}", said());
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn twenty_one_have_the_movie_over_a_network_that_loses_repeats_and_reorders() {
    let (server, folder) = (Server::start(), TempDir::new().unwrap());
    let movie: Vec<_> = (0..MOVIE_BYTES / 4).flat_map(|at| (at as u32).to_le_bytes()).collect();
    server.publish("films/a", &movie);

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (runtime, lossy) = (runtime.unwrap(), Lossy::new());
    runtime.block_on(lossy.front(server.door));
    let mut leader = Member::start(&server, server.door, folder.path(), "leader", true);
    let port = leader.hear("you lead group://127.0.0.2:").parse().unwrap();
    runtime.block_on(lossy.front(port));
    let join = |name: String| Member::start(&server, port, folder.path(), &name, false);
    let mut members: Vec<_> = (2..MEMBERS + 2).map(|number| join(number.to_string())).collect();
    for member in 2..MEMBERS + 2 {
        leader.hear(&format!("member {member} joined"));
    }

    leader.order("p 1");
    let begins = |member: &Member| {
        let said = member.hear("plays from byte ");
        let (_, time) = said.split_once(" at ").unwrap();
        time.trim_end_matches(" us").parse::<u64>().unwrap()
    };
    let mut begun: Vec<_> = members.iter().map(begins).collect();
    begun.push(begins(&leader));
    let apart = begun.iter().max().unwrap() - begun.iter().min().unwrap();
    println!("{} began within {apart} us", begun.len());
    assert!(Duration::from_micros(apart) < APART_MAX, "{apart} us");

    let mut killed = members.swap_remove(0);
    killed.child.kill().unwrap();
    let gone = Instant::now();
    let late = join("late".into());
    let lost =
        |member: &Member| member.said.lock().unwrap().iter().any(|line| line.ends_with(" lost"));
    while !lost(&leader) || !members.iter().all(lost) {
        assert!(gone.elapsed() < LOST_MAX, "not all are told after {:?}", gone.elapsed());
        thread::park_timeout(Duration::from_millis(20));
    }
    println!("all were told of the one that was killed after {:?}", gone.elapsed());

    members.extend([leader, late]);
    for member in &members {
        let told = member.hear("complete: ");
        println!("{}: {told}", member.file.file_name().unwrap().display());
        assert!(fs::read(&member.file).unwrap() == movie, "{}", member.file.display());
    }
    let [lost, repeated, held] = lossy.done();
    println!("the network lost {lost} datagrams, repeated {repeated} and held back {held}");
    assert!(lost.min(repeated).min(held) > 1_000, "it was a bad network");
}

/// Commands one after the other, and then the end of the input.
fn lead(server: &Server, folder: &Path, name: &str, commands: &str) -> Member {
    let file = folder.join(name);
    let mut consumer = command("consumer");
    consumer.arg(format!("group://127.0.0.1:{}", server.door)).arg("--lead").arg("-o").arg(&file);
    consumer.arg("--http").arg(format!("http://{}", server.http));
    consumer.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut member = Member::of(consumer, file);
    commands.lines().for_each(|line| member.order(line));
    member
}

/// A folder of songs and one of films, and what is in them by their names in the catalogue.
fn library(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let songs = (1..=20).map(|song| format!("music/{song:02}.mp3"));
    let films = (1..=2).map(|film| format!("films/{film}.mp4"));
    let named = songs.chain(films).enumerate();
    named
        .map(|(at, name)| (name, vec![at as u8; 100_000 + at]))
        .inspect(|(name, bytes)| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        })
        .collect()
}

#[test]
fn two_folders_are_there_to_choose_from_and_a_player_shows_what_the_group_plays() {
    let (server, folder) = (Server::start(), TempDir::new().unwrap());
    let files = library(folder.path());
    for name in ["music", "films"] {
        let mut origin = command("origin");
        origin.arg("folder").arg(folder.path().join(name)).args(["--quiet", "--to"]);
        let published = origin.arg(format!("http://{}/live/{name}", server.http)).status();
        assert!(published.unwrap().success());
    }
    // As many groups at once as one host may have.
    for some in files.iter().collect::<Vec<_>>().chunks(8) {
        let leaders: Vec<_> = some
            .iter()
            .enumerate()
            .map(|(at, file)| (*file, lead(&server, folder.path(), &format!("led-{at}"), "l")))
            .collect();
        for ((name, bytes), mut leader) in leaders.into_iter().rev() {
            let line = format!("  {name}");
            leader.hear(&line);
            let id = {
                let said = leader.said.lock().unwrap();
                let line = said.iter().find(|said| said.ends_with(&line)).unwrap();
                line.split_whitespace().next().unwrap().to_owned()
            };
            let shown = folder.path().join("shown");
            let mut player = show(&server, &leader, &shown);
            leader.hear("member 2 joined");
            leader.order(&format!("p {id}"));
            leader.hear("complete: ");
            player.hear("the stream has ended");
            assert!(player.child.wait().unwrap().success());
            for file in [&leader.file, &player.file] {
                assert!(fs::read(file).unwrap() == *bytes, "{name}: {}", file.display());
            }
        }
    }
}

/// A player of that leader's group, into a file.
fn show(server: &Server, leader: &Member, into: &Path) -> Member {
    let port: u16 = leader.hear("you lead group://127.0.0.1:").parse().unwrap();
    let mut player = command("player");
    player.arg(format!("group://127.0.0.1:{port}")).arg("--via");
    player.arg(format!("sh -c 'cat > {}'", into.display()));
    player.arg("--http").arg(format!("http://{}", server.http)).stderr(Stdio::piped());
    Member::of(player, into.to_owned())
}

#[test]
fn what_is_live_is_whole_as_well_when_it_has_ended() {
    let (server, folder) = (Server::start(), TempDir::new().unwrap());
    let movie: Vec<_> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let part = folder.path().join("part");
    let post = |from: usize, bytes: &[u8], total: &str| {
        fs::write(&part, bytes).unwrap();
        let range = format!("Content-Range: bytes {from}-{}/{total}", from + bytes.len() - 1);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-X", "POST", "-H", &range, "--data-binary"]);
        curl.arg(format!("@{}", part.display())).arg(format!("http://{}/live/a", server.http));
        assert!(curl.status().unwrap().success());
    };
    let (first, later) = movie.split_at(movie.len() / 3);
    post(0, first, "*");
    let leader = lead(&server, folder.path(), "led", "p 1");
    leader.hear("plays from byte ");
    post(first.len(), later, &movie.len().to_string());

    leader.hear("complete: ");
    assert!(fs::read(&leader.file).unwrap() == movie);
}
