//! Any slices, any damage, any bytes.

use std::{env, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::join::limits::{HEADER_BYTES_MAX, UNIT_BYTES_MAX};

/// Mutated inputs for each container; `FRESHET_MUTATIONS` asks for more.
const MUTATIONS: usize = 1_000;

/// Small streams of each kind, for what is done many times.
fn small() -> Vec<(&'static str, Vec<u8>)> {
    static SMALL: OnceLock<Vec<(&str, Vec<u8>)>> = OnceLock::new();
    let make = |(name, _, _, recipe): (&'static str, _, _, &str)| {
        let mut bytes = encode(&recipe.replace("-g 10", "-g 2"), "32x32", 1);
        bytes.truncate(6 << 10);
        (name, bytes)
    };
    SMALL.get_or_init(|| RECIPES.into_iter().map(make).collect()).clone()
}

fn scan_sliced(bytes: &[u8], mut slice: impl FnMut() -> usize) -> Seen {
    let (mut scanner, mut at) = (Scanner::new(), 0);
    while at < bytes.len() {
        let end = (at + slice().max(1)).min(bytes.len());
        scanner.push(at as u64, &bytes[at..end]);
        at = end;
    }
    seen(&mut scanner)
}

#[test]
fn one_byte_at_a_time_gives_the_same_as_all_at_once() {
    for sample in samples() {
        let bytes = &sample.bytes[..sample.bytes.len().min(300 << 10)];
        assert_eq!(scan_sliced(bytes, || 1), scan(bytes), "{}", sample.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_slices_give_the_same(seed: u64, longest in 1..3_000_usize) {
        for (name, bytes) in small() {
            let mut random = Random(seed);
            prop_assert_eq!(scan_sliced(&bytes, || random.below(longest)), scan(&bytes), "{}", name);
        }
    }

    #[test]
    fn damaged_media_give_the_same_in_any_slices(seed: u64) {
        for (name, bytes) in small() {
            let mut random = Random(seed);
            let damaged = mutate(&bytes, &mut random);
            prop_assert_eq!(scan_sliced(&damaged, || random.below(500)), scan(&damaged), "{}", name);
        }
    }

    #[test]
    fn no_bytes_at_all_do_harm(bytes in vec(any::<u8>(), 0..2_000), offsets in vec(0..5_000_u64, 0..9)) {
        let mut scanner = Scanner::new();
        for offset in offsets {
            scanner.push(offset, &bytes);
            hold_to_promises(&mut scanner, 10 * bytes.len());
        }
    }
}

/// Change bytes, take some out, put some in, double some.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let end = (at + random.below(200)).min(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes[at..end].fill([0, 0xff][random.below(2)]),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

/// Whatever it was given: points ascend and are behind what was seen, and memory follows from what
/// came, never from what was announced.
fn hold_to_promises(scanner: &mut Scanner, given: usize) {
    let (next, cost) = (scanner.next(), scanner.pending.cost());
    assert!(cost <= 4 * given + (64 << 10), "{cost} for {given} bytes");
    let seen = seen(scanner);
    assert!(seen.points.is_sorted_by(|a, b| a < b));
    assert!(seen.points.last().is_none_or(|&at| at < next));
    assert!(seen.header.len() <= given && seen.header.len() <= 2 * HEADER_BYTES_MAX);
    assert_eq!(scanner.newest(u64::MAX), seen.points.last().copied());
    assert_eq!(scanner.first_from(0), seen.points.first().copied());
}

#[test]
fn mutated_media_do_no_harm() {
    let count = env::var("FRESHET_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    for (index, (_, bytes)) in small().into_iter().enumerate() {
        let mut random = Random(index as u64);
        for _ in 0..count {
            let damaged = mutate(&bytes, &mut random);
            let mut scanner = Scanner::new();
            let cut = random.below(damaged.len());
            // Sometimes there is a hole between the two, sometimes the second comes again.
            let again = (cut as u64).saturating_add(random.below(100) as u64).saturating_sub(50);
            scanner.push(0, &damaged[..cut]);
            scanner.push(again, &damaged[cut..]);
            hold_to_promises(&mut scanner, damaged.len());
        }
    }
}

#[test]
fn after_damage_the_join_points_behind_it_are_found() {
    for sample in samples() {
        let whole = scan(&sample.bytes);
        let (from, to) = (sample.bytes.len() / 2, sample.bytes.len() / 2 + 100);
        let mut damaged = sample.bytes.clone();
        damaged[from..to].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= at as u8 | 1);

        let found = scan(&damaged).points;

        let later = |at: &&u64| **at > (to + (to - from)) as u64;
        let (expected, missed): (Vec<u64>, Vec<u64>) =
            whole.points.iter().filter(later).copied().partition(|at| found.contains(at));
        assert!(missed.len() <= 2, "{}: {missed:?} missed, {expected:?} found", sample.name);
        assert!(!expected.is_empty(), "{}", sample.name);
    }
}

/// Patterns that look like the beginning of something again and again, and never are.
#[test]
fn what_is_made_to_be_slow_is_not() {
    let moof = [&(UNIT_BYTES_MAX as u32).to_be_bytes()[..], b"moof\0\0\0\x10mfhd\0\0\0\0"].concat();
    let candidates: [&[u8]; 9] = [
        &moof,
        b"\x09\x0f\xff\xff\0\0\0\0\0\0\0\x17\x01",
        b"\xff\xf1\x50\x80\x03\xff",
        b"\xff\xfb\x90\x64",
        b"\xff\xf8\xc9\x18\0\xc2",
        b"OggS\0\0",
        b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\0",
        b"\x47\x40\0\x10",
        b"ID3\x04\0\0\0\0\0\0",
    ];
    let started = tokio::time::Instant::now();
    for (name, bytes) in small() {
        for candidate in candidates {
            let mut scanner = Scanner::new();
            scanner.push(0, &bytes);
            let flood = candidate.repeat((128 << 10) / candidate.len());
            for piece in flood.chunks(1_000) {
                scanner.push(scanner.next() + u64::from(piece[0] & 1), piece);
            }
            for piece in flood.chunks(50_000) {
                scanner.push(scanner.next(), piece);
            }
            let cost = scanner.pending.cost();
            assert!(cost <= 4 * UNIT_BYTES_MAX, "{name}: {cost}");
        }
    }
    // 43 MB; quadratic would be hours.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}
