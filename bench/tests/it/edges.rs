//! kill -9 of each distributor of a cascade, again and again: the same bytes everywhere in the end.

use std::{fs, process::Stdio, sync::atomic::Ordering};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    command::command,
    crash::{Relay, Role, consumer, feed, sha256},
};

/// Times that each of them is killed.
const KILLS: usize = 10;

/// Viewers of each edge.
const VIEWERS: usize = 20;

#[test]
fn each_node_of_a_cascade_is_killed_and_all_copies_are_equal() {
    let mut random = StdRng::seed_from_u64(6);
    let root = Relay::start();
    let first = Relay::below(Some(&root));
    let second = Relay::below(Some(&first));
    let copy = root.folder.path().join("copy");
    let mut origin = command("origin");
    origin.args(["stdin", "--quiet", "--to", &root.url(), "--copy"]).arg(&copy);
    origin.stdin(Stdio::piped());
    let mut origin = Role::start(origin);
    let (stop, feeder) = feed(origin.0.as_mut().unwrap().stdin.take().unwrap(), 7);
    let mut viewers = Vec::new();
    for edge in [&first, &second] {
        for number in 0..VIEWERS {
            let file = edge.folder.path().join(format!("taken-{number}"));
            viewers.push((Role::start(consumer(edge, &file)), file));
        }
    }

    let mut nodes = [root, first, second];
    for _ in 0..KILLS {
        for at in 0..nodes.len() {
            let edge = &mut nodes[2];
            let next = edge.held().set.bytes() + random.random_range(1..300_000);
            edge.wait_for(next);
            nodes[at].kill();
            nodes[at].restart();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = feeder.join().unwrap();

    assert!(origin.ended().success());
    for (viewer, _) in &mut viewers {
        assert!(Role(viewer.0.take()).ended().success());
    }
    let original = fs::read(copy.join("crash")).unwrap();
    assert_eq!(original.len() as u64, sent, "the origin's copy has all that was fed");
    for node in &mut nodes {
        node.wait_for(sent);
        assert_eq!(node.held().total, Some(sent));
        assert_eq!(sha256(&node.copy()), sha256(&original), "the segments of {}", node.url());
    }
    for (_, file) in &viewers {
        assert_eq!(sha256(&fs::read(file).unwrap()), sha256(&original), "{}", file.display());
    }
}
