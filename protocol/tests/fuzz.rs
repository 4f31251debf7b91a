//! The fuzz targets of `fuzz/`, run for a while on seeded random input. Not a replacement for
//! `cargo fuzz`, which learns from coverage; this keeps the targets true and finds what is near.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

#[allow(unreachable_pub, reason = "written as a part of another crate")]
#[path = "../../fuzz/src/wire.rs"]
mod wire;

/// Inputs for each target: some seconds in a debug build.
const ROUNDS: u64 = 20_000;

/// What inputs are made of, beside arbitrary bytes, which alone would never get past the first word.
const WORDS: [&[u8]; 22] = [
    b"*",
    b"0-0",
    b"5-",
    b"9-3",
    b",",
    b"-",
    b"/",
    b"-1",
    b"9223372036854775806",
    b"9223372036854775807",
    b"18446744073709551616",
    b"0",
    b"&",
    b"..",
    b".",
    b"%2e",
    b"\r\n",
    b"\r",
    b"--B",
    b"--",
    b"\"",
    b"W/",
];

/// Inputs that `target` accepts; the rest are these with some edits. `fuzz/run` begins with them too.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(fuzz_folder().join("seeds").join(target)).unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// SplitMix64: good enough to choose with, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).unwrap()
    }

    /// One of the seeds with up to five edits: a byte changed, a run left out or doubled, a word or
    /// a number put in.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            let run = at..input.len().min(at + self.below(12));
            let with = match self.below(5) {
                0 => self.roll().to_le_bytes()[..1].to_vec(),
                1 => Vec::new(),
                2 => input[run.clone()].repeat(2),
                3 => WORDS[self.below(WORDS.len())].to_vec(),
                _ => self.below(5_000).to_string().into_bytes(),
            };
            input.splice(run, with);
        }
        input
    }
}

/// Runs `target` on inputs made from the seeds of `name`; the first that makes it panic.
fn first_failure(name: &str, target: wire::Target, seed: u64) -> Option<Vec<u8>> {
    let (mut dice, seeds) = (Dice(seed), seeds(name));
    let fails = |input: &Vec<u8>| catch_unwind(AssertUnwindSafe(|| target(input))).is_err();
    (0..ROUNDS).map(|_| dice.input(&seeds)).find(fails)
}

#[test]
fn no_input_breaks_a_promise() {
    for (seed, (name, target)) in (1..).zip(wire::TARGETS) {
        let failure = first_failure(name, target, seed);
        assert_eq!(failure.map(|input| input.escape_ascii().to_string()), None, "{name}");
    }
}

/// The first line that a door is given.
fn command_in(input: &[u8]) -> Option<String> {
    let mut reader = freshet_protocol::doors::LineReader::new(1024);
    reader.push(input.get(1..)?);
    reader.next_line()?.ok()
}

#[test]
fn the_inputs_reach_what_is_accepted() {
    fn accepted(target: &str, input: &[u8]) -> bool {
        let text = String::from_utf8_lossy(input);
        match target {
            "stream_name" => text.parse::<freshet_protocol::StreamName>().is_ok(),
            "content_range" => text.parse::<freshet_protocol::Held>().is_ok(),
            "delivery_query" => {
                let delivery = freshet_protocol::Delivery::parse(&text);
                delivery.is_ok_and(|delivery| delivery != freshet_protocol::Delivery::default())
            }
            "part_reader" => {
                let mut reader = freshet_protocol::PartReader::new("B");
                reader.push(input.get(1..).unwrap_or_default().to_vec().into());
                matches!(reader.step(), Ok(freshet_protocol::PartStep::Head(_)))
            }
            "header_values" => {
                text.parse::<freshet_protocol::ETag>().is_ok()
                    || text.parse::<freshet_protocol::Stamp>().is_ok()
            }
            "door_asp" => command_in(input)
                .is_some_and(|line| line.parse::<freshet_protocol::doors::asp::Command>().is_ok()),
            "door_lines" => command_in(input).is_some_and(|line| {
                line.parse::<freshet_protocol::doors::lines::Command>().is_ok()
            }),
            "door_packets" => {
                let mut reader = freshet_protocol::doors::packets::RequestReader::default();
                reader.push(input.get(1..).unwrap_or_default());
                matches!(reader.next_request(), Some(Ok(_)))
            }
            "door_groups" => {
                freshet_protocol::doors::groups::Handshake::decode(input).is_ok()
                    || freshet_protocol::doors::groups::Message::decode(input).is_ok()
            }
            other => panic!("say when {other} accepts an input"),
        }
    }
    for (seed, (name, _)) in (1..).zip(wire::TARGETS) {
        let (mut dice, seeds) = (Dice(seed), seeds(name));
        let accepted = |input: &Vec<u8>| accepted(name, input);
        let count = (0..ROUNDS).map(|_| dice.input(&seeds)).filter(accepted).count() as u64;
        assert!(count > ROUNDS / 20, "{name}: only {count} inputs are accepted");
        assert!(count < ROUNDS - ROUNDS / 20, "{name}: as many as {count} are accepted");
    }
}

#[test]
fn a_target_that_panics_is_noticed() {
    let picky: wire::Target = |input| assert!(!input.ends_with(b"/*"));
    let failure = first_failure("content_range", picky, 1).unwrap();
    assert!(failure.ends_with(b"/*"));
}

#[test]
fn every_target_has_its_file_its_entry_and_its_seeds() {
    let folder = fuzz_folder();
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in wire::TARGETS {
        let file = folder.join("fuzz_targets").join(name).with_extension("rs");
        assert!(
            fs::read_to_string(file).unwrap().contains(&format!("wire::{name}(data)")),
            "{name}"
        );
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
    for entry in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
        assert!(!seeds(&name).is_empty(), "{name} begins with nothing");
    }
}
