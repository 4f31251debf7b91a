//! What the documents show is what happens.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use super::{
    command::{DEADLINE, Node, folder},
    example::{Block, blocks, fits, play_exchange, script_of},
};

/// The address that the documents write.
const WRITTEN: &str = "127.0.0.1:8080";

pub(crate) fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn the_exchanges_of_the_protocol_happen_as_written() {
    let examples = blocks(&document("docs/protocol.md"), "http-example");
    assert!(examples.len() > 25, "only {} examples were found", examples.len());
    let node = Node::start();
    let played = examples.iter().map(|example| play_exchange(&node.address, example));
    let untrue: Vec<_> = played.filter_map(Result::err).collect();
    assert!(untrue.is_empty(), "{}", untrue.join("\n\n"));
}

#[test]
fn the_tours_of_the_readme_run_as_written() {
    let tour = blocks(&document("README.md"), "console");
    assert!(tour.len() > 5, "only {} steps were found", tour.len());
    let (node, place) = (Node::start(), TempDir::new().unwrap());
    for step in &tour {
        if let Err(why) = run(&node, place.path(), step) {
            panic!("{why}");
        }
    }
}

#[test]
fn a_step_that_prints_something_else_is_noticed() {
    let (node, place) = (Node::start(), TempDir::new().unwrap());
    let step = |text: &str| run(&node, place.path(), &Block { line: 1, text: text.into() });
    assert_eq!(step("$ echo a > b\n$ cat b\na\n"), Ok(()));
    assert!(step("$ cat b\nc\n").is_err());
    assert!(step("$ false\n").is_err());
}

/// Runs a `console` block in bash, in `place`, against `node`, its commands before all others.
fn run(node: &Node, place: &Path, step: &Block) -> Result<(), String> {
    let (script, expected) = script_of(step);
    // What was sent to the background belongs to the step, and must end well too.
    let script = format!("set -eo pipefail\n{script}\nfor job in $(jobs -p); do wait $job; done");
    let mut path = folder().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let output = Command::new("timeout")
        .args([&DEADLINE.as_secs().to_string(), "bash", "-c"])
        .arg(script.replace(WRITTEN, &node.address))
        .env("PATH", path)
        .current_dir(place)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let printed = printed.replace(&node.address, WRITTEN);
    if output.status.success() && fits(&expected, printed.trim_end()) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "step at line {}: {}\n{script}\nprinted:\n{printed}\n{said}",
        step.line, output.status
    ))
}
