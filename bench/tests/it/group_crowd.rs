//! Five hundred members of ten groups, who come, see a movie, and leave or vanish: nothing of them stays.

use std::{fs, net::UdpSocket, path::PathBuf, process::Command, sync::Arc, thread, time::Duration};

use freshet_consumer::{GroupMember, GroupNews};
use tokio::{
    runtime,
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::groups::Server;

const GROUPS: usize = 10;
const MEMBERS: usize = 500;

/// Strangers of one host are let in at some rate: so many try at once.
const AT_ONCE: usize = 25;

/// A group without members is kept for a minute.
const PATIENCE: Duration = Duration::from_secs(120);

const MOVIE: &[u8] = &[7; 50_000];

fn metric(server: &Server, name: &str) -> u64 {
    let output =
        Command::new("curl").args(["-sS", &format!("http://{}/metrics", server.http)]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::park_timeout(Duration::from_millis(200));
    }
}

/// Open files of the distributor, and the KiB that it takes.
fn cost(server: &Server) -> (usize, u64) {
    let process = PathBuf::from(format!("/proc/{}", server.child.id()));
    let status = fs::read_to_string(process.join("status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = resident.split_whitespace().next().unwrap().parse().unwrap();
    (fs::read_dir(process.join("fd")).unwrap().count(), kib)
}

/// Here until told to go: then it leaves, or vanishes. Says when the movie is over.
async fn take_part(
    mut member: GroupMember,
    mut go: watch::Receiver<bool>,
    leaves: bool,
    seen: oneshot::Sender<u64>,
) {
    let mut seen = Some(seen);
    loop {
        tokio::select! {
            _ = go.changed() => break,
            news = member.next() => match news.unwrap() {
                Some(GroupNews::End { length }) => drop(seen.take().map(|seen| seen.send(length))),
                Some(_) => {}
                None => return,
            },
        }
    }
    if leaves {
        member.leave();
    }
}

/// Bytes that mean nothing, at the door and at the groups.
fn babble(server: &Server, ports: &[u16]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 1_u64;
    for round in 0..1_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bytes: Vec<_> = state.to_be_bytes().into_iter().cycle().take(round % 1_400).collect();
        let port = *[&[server.door], ports].concat().get(round % (ports.len() + 1)).unwrap();
        socket.send_to(&bytes, ("127.0.0.1", port)).unwrap();
    }
}

#[test]
fn five_hundred_come_see_a_movie_and_leave_or_vanish_and_nothing_stays() {
    let server = Server::start();
    server.publish("films/a", MOVIE);
    let (files, _) = cost(&server);
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (tell, go) = watch::channel(false);
    let door = |port: u16| format!("group://127.0.0.1:{port}").parse().unwrap();

    let (ports, seen, mut parts) = runtime.block_on(async {
        let (mut ports, mut seen, mut parts) = (Vec::new(), Vec::new(), JoinSet::new());
        for _ in 0..GROUPS {
            let mut leader = GroupMember::lead(&door(server.door), 20).await.unwrap();
            ports.push(leader.group().port());
            leader.choose(1);
            let (over, is_over) = oneshot::channel();
            seen.push(is_over);
            parts.spawn(take_part(leader, go.clone(), true, over));
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        for number in GROUPS..MEMBERS {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (url, go) = (door(ports[number % GROUPS]), go.clone());
            let (over, is_over) = oneshot::channel();
            seen.push(is_over);
            parts.spawn(async move {
                let member = GroupMember::join(&url, 20).await.unwrap();
                drop(place);
                take_part(member, go, number % 2 == 0, over).await;
            });
        }
        (ports, seen, parts)
    });
    wait("all are there", || {
        metric(&server, "freshet_door_sessions{door=\"groups\"}") == MEMBERS as u64
    });
    babble(&server, &ports);
    // The registration time passes, and each group begins by itself.
    runtime.block_on(async {
        for is_over in seen {
            let length =
                timeout(PATIENCE, is_over).await.expect("in time").expect("it saw the end");
            assert_eq!(length, MOVIE.len() as u64);
        }
    });
    let (open, kib) = cost(&server);
    println!("{open} open files, {kib} KiB with {MEMBERS} members");
    assert!(kib < 256 << 10, "{kib} KiB");
    assert!(
        metric(&server, "freshet_door_errors_total{door=\"groups\"}") > 500,
        "babble is counted"
    );

    tell.send(true).unwrap();
    runtime.block_on(async {
        while let Some(ended) = parts.join_next().await {
            ended.unwrap();
        }
    });
    wait("all are gone", || metric(&server, "freshet_door_sessions{door=\"groups\"}") == 0);
    wait("all groups are over", || metric(&server, "freshet_groups") == 0);
    wait("all sockets are back", || cost(&server).0 <= files + 8);
}
