//! The scanners against media that ffmpeg makes, in any slices, damaged in any way, and against what
//! nobody would call media.

mod damage;
mod media;

use std::{fs, process::Command, sync::OnceLock};

use super::{Container, Scanner};

/// A stream as an encoder would send it, and what is expected of it.
#[derive(Debug)]
struct Sample {
    name: &'static str,
    container: Container,
    /// How many join points it has, where that can be said.
    points: Option<usize>,
    bytes: Vec<u8>,
}

/// What ffmpeg is told, what comes out, and how many join points that has: 3 s, of 25 pictures a
/// second and a key picture in 10.
const RECIPES: [(&str, Container, Option<usize>, &str); 19] = [
    (
        "mp4",
        Container::Mp4,
        Some(8),
        "V A -c:v libx264 -c:a aac -f mp4 -movflags frag_keyframe+empty_moov+default_base_moof",
    ),
    (
        "mp4 by picture",
        Container::Mp4,
        Some(8),
        "V A -c:v libx264 -c:a aac -f mp4 -movflags frag_every_frame+empty_moov+default_base_moof",
    ),
    (
        "cmaf",
        Container::Mp4,
        Some(8),
        "V -c:v libx264 -bf 2 -f mp4 -movflags cmaf+frag_keyframe+separate_moof -write_prft wallclock",
    ),
    (
        "mp4 sound",
        Container::Mp4,
        None,
        "A -c:a aac -f mp4 -frag_duration 200000 -movflags empty_moov+default_base_moof",
    ),
    ("ts", Container::MpegTs, Some(8), "V A -c:v libx264 -c:a aac -f mpegts"),
    ("ts mpeg-2", Container::MpegTs, Some(8), "V A -c:v mpeg2video -c:a mp2 -f mpegts"),
    ("ts sound", Container::MpegTs, None, "A -c:a aac -f mpegts"),
    (
        "webm",
        Container::Webm,
        Some(8),
        "V A -c:v libvpx -deadline realtime -c:a libopus -f webm -live 1",
    ),
    ("matroska", Container::Webm, Some(8), "V A -c:v libx264 -bf 2 -c:a aac -f matroska -live 1"),
    (
        "webm sound",
        Container::Webm,
        None,
        "A -c:a libvorbis -f webm -live 1 -cluster_time_limit 200",
    ),
    ("vorbis", Container::Ogg, None, "A -c:a libvorbis -f ogg -page_duration 100000"),
    ("opus", Container::Ogg, None, "A -c:a libopus -f ogg -page_duration 100000"),
    ("ogg flac", Container::Ogg, None, "A -c:a flac -f ogg -page_duration 100000"),
    ("mp3", Container::Frames, None, "A -c:a libmp3lame -b:a 64k -f mp3"),
    ("mp2", Container::Frames, None, "A -c:a mp2 -f mp2"),
    ("adts", Container::Frames, None, "A -c:a aac -f adts"),
    ("flac", Container::Flac, None, "A -c:a flac -frame_size 1152 -f flac"),
    ("wav", Container::Wav, None, "A -c:a pcm_s24le -ac 2 -f wav"),
    ("flv", Container::Flv, Some(8), "V A -c:v libx264 -c:a aac -ar 44100 -f flv"),
];

/// Streams that nobody can join in the middle.
const RAW_RECIPES: [(&str, &str); 3] = [
    ("mp4 with its index at the end", "V -c:v libx264 -f mp4"),
    ("mp4 with its index in front", "V -c:v libx264 -f mp4 -movflags +faststart"),
    ("mp4 with offsets in the file", "V -c:v libx264 -f mp4 -movflags frag_keyframe+empty_moov"),
];

/// What a scanner says at the end.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    container: Option<Container>,
    is_ready: bool,
    header: Vec<u8>,
    points: Vec<u64>,
}

fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let sample = |(name, container, points, recipe)| Sample {
            name,
            container,
            points,
            bytes: encode(recipe, "160x120", 3),
        };
        RECIPES.into_iter().map(sample).collect()
    })
}

/// Run ffmpeg by a recipe.
fn encode(recipe: &str, size: &str, seconds: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let picture = format!("-f lavfi -i testsrc2=s={size}:r=25");
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=48000".to_owned();
    let output = format!("-t {seconds} -g 10 -sc_threshold 0 -pix_fmt yuv420p -flush_packets 1");
    let mut arguments =
        vec!["-v".to_owned(), "error".into(), "-nostdin".into(), "-bitexact".into()];
    let (inputs, options): (Vec<_>, Vec<_>) =
        recipe.split(' ').partition(|word| ["V", "A"].contains(word));
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    inputs
        .iter()
        .for_each(|kind| arguments.extend(words(if *kind == "V" { &picture } else { &sound })));
    arguments.extend(words(&output));
    arguments.extend(options.into_iter().map(str::to_owned));
    arguments.push(path.to_str().unwrap().to_owned());
    let done = Command::new("ffmpeg").args(&arguments).output().expect("ffmpeg is installed");
    assert!(done.status.success(), "{recipe}: {}", String::from_utf8_lossy(&done.stderr));
    fs::read(path).unwrap()
}

fn seen(scanner: &mut Scanner) -> Seen {
    Seen {
        container: scanner.container(),
        is_ready: scanner.is_ready(),
        header: scanner.header().to_vec(),
        points: scanner.found.points(),
    }
}

fn scan(bytes: &[u8]) -> Seen {
    let mut scanner = Scanner::new();
    scanner.push(0, bytes);
    seen(&mut scanner)
}

/// A generator that needs no more than its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound.max(1) as u64).unwrap()
    }
}
