//! Pictures against those of ffmpeg's own decoder, over what ffmpeg makes; and what damage does to them.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

use freshet_player::{Arrival, Media, Picture};
use freshet_protocol::Stamp;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

pub(crate) const ARRIVAL: Arrival = Arrival { captured: None, received: Stamp::from_nanos(0) };

/// What the test films are made of: name, size, and what the encoder is told.
const FILMS: [(&str, &str, &str); 9] = [
    ("baseline", "320x240", "-profile:v baseline -g 30"),
    ("main", "320x240", "-profile:v main -bf 0 -g 30"),
    ("high with B-frames", "320x240", "-profile:v high -bf 3 -g 30"),
    (
        "pyramid of B-frames",
        "320x240",
        "-profile:v high -bf 7 -x264-params b-pyramid=normal:b-adapt=0 -g 60",
    ),
    ("several slices", "640x360", "-profile:v high -slices 4 -g 30"),
    (
        "weighted prediction",
        "320x240",
        "-profile:v main -x264-params weightp=2:weightb=1 -bf 2 -g 30",
    ),
    ("no multiple of 16", "638x358", "-profile:v high -g 30"),
    ("without CABAC", "320x240", "-profile:v high -coder 0 -g 30"),
    ("1080 lines", "1920x1080", "-profile:v high -bf 2 -g 15"),
];

/// The containers: MP4 with a fragment for each key frame, or for each frame; MPEG-TS; Matroska.
const CONTAINERS: [&str; 4] = [
    "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4",
    "-movflags frag_every_frame+empty_moov+default_base_moof -f mp4",
    "-f mpegts",
    "-live 1 -f matroska",
];

pub(crate) fn ffmpeg(arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let fed = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    fed.join().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments}");
    output.stdout
}

fn film(size: &str, options: &str, container: &str, seconds: u32) -> Vec<u8> {
    encoded(size, &format!("-c:v libx264 -preset veryfast {options} {container}"), seconds)
}

/// So many seconds of a moving picture, as ffmpeg encodes it.
pub(crate) fn encoded(size: &str, options: &str, seconds: u32) -> Vec<u8> {
    let arguments = format!(
        "-f lavfi -i testsrc2=size={size}:rate=30:duration={seconds} -pix_fmt yuv420p {options} pipe:1"
    );
    ffmpeg(&arguments, &[])
}

fn hash(parts: [&[u8]; 3]) -> Hash {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

/// The pictures as ffmpeg decodes them, in the order in which they are shown: Y, U and V, row by row.
pub(crate) fn raw(film: &[u8]) -> Vec<u8> {
    ffmpeg("-i pipe:0 -fps_mode passthrough -f rawvideo -pix_fmt yuv420p pipe:1", film)
}

fn expected(film: &[u8], size: &str) -> Vec<Hash> {
    let (width, height) = size.split_once('x').unwrap();
    let luma = width.parse::<usize>().unwrap() * height.parse::<usize>().unwrap();
    let planes = |frame: &[u8]| {
        let (y, rest) = frame.split_at(luma);
        let (u, v) = rest.split_at(luma / 4);
        hash([y, u, v])
    };
    raw(film).chunks_exact(luma * 3 / 2).map(planes).collect()
}

fn hash_of(picture: &Picture) -> Hash {
    hash([&picture.y, &picture.u, &picture.v])
}

/// The pictures as we decode them, out of pieces of so many bytes, and how many were left out.
pub(crate) fn shown(film: &[u8], piece: usize) -> (Vec<Picture>, u64) {
    let mut media = Media::new();
    let (mut pictures, mut dropped) = (Vec::new(), 0);
    for bytes in film.chunks(piece) {
        let out = media.push(bytes, ARRIVAL).unwrap();
        dropped += out.dropped;
        pictures.extend(out.pictures);
    }
    pictures.extend(media.finish().pictures);
    assert!(pictures.is_sorted_by(|one, next| one.time_ns < next.time_ns), "{pictures:?}");
    (pictures, dropped)
}

fn decoded(film: &[u8], piece: usize) -> (Vec<Hash>, u64) {
    let (pictures, dropped) = shown(film, piece);
    (pictures.iter().map(hash_of).collect(), dropped)
}

#[test]
fn pictures_are_those_of_ffmpeg_to_the_bit() {
    for (name, size, options) in FILMS {
        for container in CONTAINERS {
            let film = film(size, options, container, 2);
            let expected = expected(&film, size);
            assert_eq!(expected.len(), 60, "{name}");
            for piece in [1_316, 100_000] {
                let (pictures, dropped) = decoded(&film, piece);
                assert_eq!(dropped, 0, "{name}, {container}");
                assert_eq!(pictures.len(), expected.len(), "{name}, {container}");
                assert!(pictures == expected, "{name}, {container}: pictures differ");
            }
        }
    }
}

#[cfg(not(feature = "vp9"))]
#[test]
fn who_lacks_a_decoder_is_told_what_builds_it_in() {
    let film = encoded("320x240", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -f webm", 1);
    let told = Media::new().push(&film, ARRIVAL).unwrap_err().to_string();
    assert!(told.contains("VP9") && told.contains("--features vp9"), "{told}");
}

/// Where fragments begin, and the bytes before the first of them.
fn fragments(film: &[u8]) -> Vec<usize> {
    let mut begins = Vec::new();
    let mut at = 0;
    while let Some(head) = film.get(at..at + 8) {
        if &head[4..] == b"moof" {
            begins.push(at);
        }
        at += u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
    }
    begins
}

#[test]
fn who_joins_at_any_fragment_sees_what_ffmpeg_does_from_the_next_key_frame_on() {
    for (options, every) in
        [("-profile:v high -bf 3 -g 15", CONTAINERS[0]), ("-bf 0 -g 15", CONTAINERS[1])]
    {
        let film = film("320x240", options, every, 5);
        let all = expected(&film, "320x240");
        let begins = fragments(&film);
        for join in 0..10 {
            let begin = begins[begins.len() * join / 10];
            let joined = [&film[..begins[0]], &film[begin..]].concat();
            let (pictures, _) = decoded(&joined, 1_316);
            assert!(all.ends_with(&pictures), "{every}, joined at {begin}");
            let missed = all.len() - pictures.len();
            let before = begins.iter().filter(|&&it| it < begin).count() * all.len() / begins.len();
            assert!(missed <= before + 15, "one group of pictures at most is waited for");
        }
    }
}

/// A film cut into groups of pictures: where each begins, and its pictures.
struct Groups {
    film: Vec<u8>,
    begins: Vec<usize>,
    pictures: Vec<Vec<Hash>>,
}

const GROUP: usize = 10;

/// Bytes of a packet of a transport stream.
const PACKET: usize = 188;

impl Groups {
    fn make() -> Self {
        let film = film("320x240", "-profile:v high -bf 2 -g 10", CONTAINERS[0], 20);
        let (begins, all) = (fragments(&film), expected(&film, "320x240"));
        let pictures: Vec<_> = all.chunks(GROUP).map(<[_]>::to_vec).collect();
        assert_eq!(begins.len(), pictures.len(), "a fragment for each group");
        Self { film, begins, pictures }
    }
}

/// Of each hundred packets one is lost, or has a bit that is wrong.
fn damaged(groups: &Groups, random: &mut impl FnMut() -> u64) {
    let mut media = Media::new();
    media.push(&groups.film[..groups.begins[0]], ARRIVAL).unwrap();
    let mut pictures: Vec<Hash> = Vec::new();
    let mut whole = vec![true; groups.begins.len()];
    let mut at = groups.begins[0];
    for packet in groups.film[at..].chunks(1_316) {
        let mut packet = packet.to_vec();
        let chance = random() % 200;
        if chance < 2 {
            let first = groups.begins.partition_point(|&begin| begin <= at) - 1;
            let last = groups.begins.partition_point(|&begin| begin < at + packet.len()) - 1;
            whole[first..=last].fill(false);
            let bit = usize::try_from(random()).unwrap() % (packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        at += packet.len();
        if chance == 0 {
            media.lose();
            continue;
        }
        pictures.extend(media.push(&packet, ARRIVAL).unwrap().pictures.iter().map(hash_of));
    }
    pictures.extend(media.finish().pictures.iter().map(hash_of));
    assert!(whole.contains(&false), "something was damaged");
    for (group, _) in whole.iter().enumerate().filter(|(_, is_whole)| **is_whole) {
        let there = groups.pictures[group].iter().all(|picture| pictures.contains(picture));
        assert!(there, "group {group} is whole, and is not shown");
    }
}

/// SplitMix64: the same numbers for each seed.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[test]
fn after_damage_the_picture_is_back_at_the_next_key_frame() {
    let groups = Groups::make();
    let seconds = std::env::var("FRESHET_TEST_SECONDS").map_or(60, |text| text.parse().unwrap());
    (0..seconds / 20).for_each(|seed| damaged(&groups, &mut random(seed)));
}

#[test]
fn a_transport_stream_may_be_joined_and_damaged_anywhere() {
    let film = film("320x240", "-profile:v high -bf 2 -g 10", CONTAINERS[2], 10);
    let all = expected(&film, "320x240");
    let tables = film.len() / PACKET / 100 * PACKET;
    for join in 1..10 {
        let begin = film.len() * join / 10;
        let (pictures, _) =
            decoded(&[&film[..2 * PACKET + PACKET], &film[begin..]].concat(), 1_316);
        assert!(all.ends_with(&pictures), "joined at {begin}");
        assert!(
            pictures.len() + 2 * GROUP > all.len() * (10 - join) / 10 - GROUP,
            "{}",
            pictures.len()
        );
    }
    for seed in 0..5 {
        let (mut random, mut media) = (random(seed), Media::new());
        let mut pictures = Vec::new();
        for (at, packet) in film.chunks(PACKET).enumerate() {
            let (mut packet, chance) = (packet.to_vec(), random() % 200);
            let is_damaged = (tables..film.len() / 2).contains(&(at * PACKET)) && chance < 2;
            if is_damaged {
                packet[usize::try_from(random()).unwrap() % PACKET] ^= 0x10;
            }
            if !is_damaged || chance == 0 {
                pictures.extend(media.push(&packet, ARRIVAL).unwrap().pictures.iter().map(hash_of));
            }
        }
        pictures.extend(media.finish().pictures.iter().map(hash_of));
        let whole = &all[all.len() / 2 + 3 * GROUP..];
        assert!(pictures.ends_with(whole), "seed {seed}: the second half is whole");
    }
}

#[test]
fn what_cannot_be_decoded_is_named() {
    let error = Media::new().push(b"neither fish nor fowl", ARRIVAL).unwrap_err().to_string();
    assert!(error.contains("container"), "{error}");
    let sound =
        "-f lavfi -i sine=duration=1 -c:a aac -movflags frag_keyframe+empty_moov -f mp4 pipe:1";
    let sound = ffmpeg(sound, &[]);
    let mut media = Media::new();
    let error = media.push(&sound, ARRIVAL).unwrap_err().to_string();
    assert!(error.contains("no video"), "{error}");
    let deep = film("320x240", "-pix_fmt yuv420p10le -profile:v high10", CONTAINERS[0], 1);
    let error = Media::new().push(&deep, ARRIVAL).unwrap_err().to_string();
    assert!(error.contains("which the decoder does not know"), "{error}");
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_it_fall(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut media = Media::new();
        let _ = media.push(b"\0\0\0\x08ftyp", ARRIVAL);
        for piece in pieces {
            let _ = media.push(&piece, ARRIVAL);
        }
    }
}
