//! Real players that come to a live stream in the middle, at random moments, in every container: they
//! decode from there to the end without an error, and each frame is one of the source's.
//!
//! ```text
//!   film:  header ├──GOP──┼──GOP──┼──GOP──┼─ ... ─┤
//!                             join ▲    ▲ moment: what is there when the players come
//!   curl:  header + all from the join point on      ffmpeg, ffprobe, mpv, VLC: the same, decoded
//! ```
//!
//! The moments are bytes, not seconds: whoever joins is awaited before the next byte is posted.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use crate::{
    command::Node,
    players::{Player, vlc, wait_for_consumers},
};

/// How often somebody joins each container.
const MOMENTS: usize = 10;
/// curl, ffmpeg, mpv, VLC, ffprobe.
const PLAYERS: usize = 5;
const SEED: u64 = 8;

/// How long the films are, and their groups of pictures: 12 of 25 a second.
const SECONDS: f64 = 6.0;
const GOP_SECONDS: f64 = 12.0 / 25.0;
/// What a player may keep to itself of the end of a stream that it plays: less than half a second.
const TAIL_SECONDS: f64 = 0.5;

/// A stream, and what comes of it.
struct Film {
    name: &'static str,
    media_type: &'static str,
    has_picture: bool,
    bytes: Vec<u8>,
    /// The most bytes from one key picture to the next; without pictures, those of as much time.
    gop: usize,
    decoded: Decoded,
    folder: TempDir,
}

/// What a decoder makes of a stream: the digest of each picture, or all samples where there are none.
#[derive(PartialEq)]
enum Decoded {
    Pictures(Vec<String>),
    Samples(Vec<u8>),
}

impl Film {
    /// `V` and `A` in the recipe are a picture and a sound.
    fn make(name: &'static str, media_type: &'static str, recipe: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        let picture = "-f lavfi -i testsrc2=s=160x120:r=25";
        let sound = "-f lavfi -i anoisesrc=color=pink:sample_rate=48000:seed=5";
        let every = format!("-t {SECONDS} -g 12 -sc_threshold 0 -pix_fmt yuv420p -flush_packets 1");
        let (inputs, options): (Vec<_>, Vec<_>) =
            recipe.split(' ').partition(|word| ["V", "A"].contains(word));
        let has_picture = inputs.contains(&"V");
        let inputs = inputs.iter().map(|kind| if *kind == "V" { picture } else { sound });
        let line = inputs.chain([every.as_str()]).collect::<Vec<_>>().join(" ");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-bitexact"]).args(line.split(' ')).args(options);
        assert!(ffmpeg.arg(&path).status().unwrap().success(), "ffmpeg makes {name}");
        let bytes = fs::read(&path).unwrap();
        let gop = if has_picture { longest_gop(&path) } else { of_seconds(&bytes, GOP_SECONDS) };
        let nothing = Decoded::Samples(Vec::new());
        let mut film = Self { name, media_type, has_picture, bytes, gop, decoded: nothing, folder };
        film.decoded = film.decode(&film.bytes, &[], "the whole").0;
        film
    }

    /// What ffmpeg is told to give out: every picture's digest, or every sample.
    fn output(&self) -> &'static [&'static str] {
        if self.has_picture {
            &["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-y"]
        } else {
            &["-map", "0:a", "-f", "s16le", "-y"]
        }
    }

    fn read(&self, output: Vec<u8>) -> Decoded {
        if !self.has_picture {
            return Decoded::Samples(output);
        }
        let text = String::from_utf8(output).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Decoded::Pictures(lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect())
    }

    /// What ffmpeg makes of `bytes`, and what it complains of.
    fn decode(&self, bytes: &[u8], options: &[&str], what: &str) -> (Decoded, String) {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i", "pipe:0"]).args(self.output()).args(options).arg("-");
        ffmpeg.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ffmpeg = ffmpeg.spawn().unwrap();
        let mut stdin = ffmpeg.stdin.take().unwrap();
        let done = thread::scope(|scope| {
            // It stops reading once it has the frames that it was asked for.
            scope.spawn(move || stdin.write_all(bytes).is_ok());
            ffmpeg.wait_with_output().unwrap()
        });
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{}, {what}: {said}", self.name);
        (self.read(done.stdout), said)
    }

    /// Post the bytes up to `end`.
    fn post(&self, url: &str, from: usize, end: usize) {
        let all = self.bytes.len();
        let total = if end == all { all.to_string() } else { "*".into() };
        let range = format!("Content-Range: bytes {from}-{}/{total}", end - 1);
        let media_type = format!("Content-Type: {}", self.media_type);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-H", &range, "-H", &media_type, "--data-binary", "@-", url]);
        let mut curl = curl.stdin(Stdio::piped()).spawn().unwrap();
        curl.stdin.take().unwrap().write_all(&self.bytes[from..end]).unwrap();
        assert!(curl.wait().unwrap().success(), "{range} to {url}");
    }
}

impl Decoded {
    /// How much it is, in seconds of the film.
    fn seconds(&self) -> f64 {
        match self {
            Self::Pictures(pictures) => pictures.len() as f64 / 25.0,
            Self::Samples(samples) => samples.len() as f64 / 96_000.0,
        }
    }
}

/// So many seconds of a stream of even rate.
fn of_seconds(bytes: &[u8], seconds: f64) -> usize {
    (bytes.len() as f64 * seconds / SECONDS) as usize
}

/// The most bytes from one key picture to the next, or to the end.
fn longest_gop(file: &Path) -> usize {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,flags"]);
    let output = ffprobe.args(["-of", "csv=p=0"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let keys = text.lines().filter(|line| line.contains('K'));
    let places = keys.map(|line| line.split(',').next().unwrap().parse().unwrap());
    let ends: Vec<usize> = places.chain([fs::metadata(file).unwrap().len() as usize]).collect();
    assert!(ends.len() > 10, "too few key pictures in\n{text}");
    ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// Those that joined at one moment.
struct Joined {
    moment: usize,
    head: PathBuf,
    curl: Player,
    ffmpeg: Player,
    mpv: Player,
    vlc: Player,
    ffprobe: Player,
}

impl Joined {
    fn start(film: &Film, url: &str, moment: usize, index: usize) -> Self {
        let start = |name: &str, command: Command, args: &[&[&str]]| {
            let name = format!("{name}-{index}");
            Player::start(&name, film.folder.path(), command, &args.concat())
        };
        let head = film.folder.path().join(format!("head-{index}"));
        let mut curl = Command::new("curl");
        curl.args(["-sSN", "--fail", "-D"]).arg(&head);
        let input = ["-v", "error", "-nostdin", "-i", url];
        Self {
            moment,
            head,
            curl: start("curl", curl, &[&["-o", "OUT", url]]),
            ffmpeg: start("ffmpeg", Command::new("ffmpeg"), &[&input, film.output(), &["OUT"]]),
            mpv: start("mpv", mpv(film), &[&["--o=OUT", url]]),
            vlc: start("cvlc", vlc(film.folder.path()), &[film.for_vlc(), &[url]]),
            ffprobe: start("ffprobe", ffprobe(film), &[&[url]]),
        }
    }

    /// Wait until they have played to the end, and see what they were given and what they made of it.
    fn check(self, film: &Film) {
        let (body, _) = self.curl.ended();
        let join = stream_join(&self.head);
        let what = format!("{}: joined at {join}, when there were {}", film.name, self.moment);
        assert!(join <= self.moment && self.moment - join < 2 * film.gop, "{what}: the newest");
        assert!(body.ends_with(&film.bytes[join..]), "{what}: other bytes than the stream's");
        let header = body.len() - (film.bytes.len() - join);

        let begun = &body[..body.len().min(header + film.gop)];
        let (first, said) = film.decode(begun, &["-frames", "1"], &what);
        assert!(first.seconds() > 0.0, "{what}: no frame after {} bytes\n{said}", film.gop);

        let (expected, said) = film.decode(&body, &[], &what);
        assert_eq!(said, "", "{what}: from curl into ffmpeg");
        let share = (film.bytes.len() - join) as f64 / film.bytes.len() as f64;
        let seconds = expected.seconds();
        assert!(seconds > share * SECONDS - GOP_SECONDS, "{what}: only {seconds} s");
        if let (Decoded::Pictures(whole), Decoded::Pictures(part)) = (&film.decoded, &expected) {
            assert!(whole.ends_with(part), "{what}: other pictures");
        }

        let (taken, said) = self.ffmpeg.ended();
        assert_eq!(said, "", "{what}: ffmpeg");
        assert!(film.read(taken) == expected, "{what}: ffmpeg has other frames than the file");
        check_mpv(film, self.mpv, &expected, &what);
        check_vlc(film, self.vlc, &expected, &what);
        check_ffprobe(self.ffprobe, &expected, &what);
    }
}

/// Where the reply said that its body begins in the stream.
fn stream_join(head: &Path) -> usize {
    let head = fs::read_to_string(head).unwrap().to_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("stream-join: "));
    value.unwrap_or_else(|| panic!("no join point in {head}")).trim().parse().unwrap()
}

/// mpv that decodes into a file, as it can where it encodes.
fn mpv(film: &Film) -> Command {
    let mut mpv = Command::new("mpv");
    mpv.args(["--no-config", "--msg-level=all=error"]).args(if film.has_picture {
        ["--no-audio", "--ovc=rawvideo", "--of=framemd5"]
    } else {
        ["--no-video", "--oac=pcm_s16le", "--of=s16le"]
    });
    mpv
}

fn check_mpv(film: &Film, mpv: Player, expected: &Decoded, what: &str) {
    let (taken, said) = mpv.ended();
    assert_eq!(said.trim(), "", "{what}: mpv");
    let is_same = match (film.read(taken), expected) {
        // It fills the last of its frames up with silence.
        (Decoded::Samples(taken), Decoded::Samples(expected)) => taken.starts_with(expected),
        (taken, expected) => taken == *expected,
    };
    assert!(is_same, "{what}: mpv has other frames");
}

impl Film {
    /// VLC decodes, and encodes what came of it as simply as it can.
    const fn for_vlc(&self) -> &'static [&'static str] {
        if self.has_picture {
            &["--no-sout-audio", "--sout=#transcode{vcodec=mpgv}:std{access=file,mux=ts,dst=OUT}"]
        } else {
            &["--sout=#transcode{acodec=s16l}:std{access=file,mux=wav,dst=OUT}"]
        }
    }
}

fn check_vlc(film: &Film, vlc: Player, expected: &Decoded, what: &str) {
    let (taken, said) = vlc.ended();
    let (decoded, _) = film.decode(&taken, &[], "what VLC made");
    let (seconds, all) = (decoded.seconds(), expected.seconds());
    assert!(seconds > all - TAIL_SECONDS, "{what}: VLC has {seconds} s of {all}\n{said}");
    let of_decoders = |line: &&str| line.contains("decoder error") || line.contains("@ 0x");
    assert_eq!(said.lines().find(of_decoders), None, "{what}: VLC");
}

fn ffprobe(film: &Film) -> Command {
    let kind = if film.has_picture { "v" } else { "a" };
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-count_frames", "-select_streams", kind]);
    ffprobe.args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]);
    ffprobe
}

fn check_ffprobe(ffprobe: Player, expected: &Decoded, what: &str) {
    let (_, said) = ffprobe.ended();
    let counts: Result<Vec<usize>, _> = said.split_whitespace().map(str::parse).collect();
    let counts = counts.unwrap_or_else(|_| panic!("{what}: ffprobe says {said}"));
    assert!(counts.iter().all(|&count| count > 0) && !counts.is_empty(), "{what}: {said}");
    if let Decoded::Pictures(pictures) = expected {
        assert!(counts.iter().all(|&count| count == pictures.len()), "{what}: ffprobe {said}");
    }
}

/// All of them join at random moments of the first two thirds; then the stream goes on to its end.
fn everybody_joins(name: &'static str, media_type: &'static str, recipe: &str) {
    let film = Film::make(name, media_type, recipe);
    let (node, mut random) = (Node::start(), StdRng::seed_from_u64(SEED));
    let url = format!("http://{}/live/{name}", node.address);
    let all = film.bytes.len();
    // Before the first group of pictures is whole there is only the beginning to join at.
    let range = 2 * film.gop..all * 2 / 3;
    let mut moments: Vec<_> = (0..MOMENTS).map(|_| random.random_range(range.clone())).collect();
    moments.sort_unstable();

    let (mut joined, mut posted): (Vec<Joined>, _) = (Vec::new(), 0);
    for (index, &moment) in moments.iter().enumerate() {
        if moment > posted {
            film.post(&url, posted, moment);
            posted = moment;
        }
        joined.push(Joined::start(&film, &url, moment, index));
        wait_for_consumers(&node.address, joined.len() * PLAYERS);
    }
    film.post(&url, posted, all);

    joined.into_iter().for_each(|joined| joined.check(&film));
}

#[test]
fn fragmented_mp4() {
    let fragments = "-f mp4 -movflags frag_keyframe+empty_moov+default_base_moof";
    let recipe = format!("V A -c:v libx264 -preset ultrafast -c:a aac {fragments}");
    everybody_joins("film.mp4", "video/mp4", &recipe);
}

#[test]
fn mpeg_ts() {
    let recipe = "V A -c:v libx264 -preset ultrafast -c:a aac -f mpegts";
    everybody_joins("film.ts", "video/mp2t", recipe);
}

#[test]
fn webm() {
    let recipe = "V A -c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus -f webm -live 1";
    everybody_joins("film.webm", "video/webm", recipe);
}

#[test]
fn matroska() {
    let recipe = "V A -c:v libx264 -preset ultrafast -c:a aac -f matroska -live 1";
    everybody_joins("film.mkv", "video/x-matroska", recipe);
}

#[test]
fn flv() {
    let recipe = "V A -c:v libx264 -preset ultrafast -c:a aac -ar 44100 -f flv";
    everybody_joins("film.flv", "video/x-flv", recipe);
}

#[test]
fn ogg_vorbis() {
    let recipe = "A -c:a libvorbis -f ogg -page_duration 100000";
    everybody_joins("vorbis.ogg", "audio/ogg", recipe);
}

#[test]
fn ogg_opus() {
    everybody_joins("sound.opus", "audio/ogg", "A -c:a libopus -f ogg -page_duration 100000");
}

#[test]
fn ogg_flac() {
    everybody_joins(
        "flac.ogg",
        "audio/ogg",
        "A -c:a flac -sample_fmt s16 -f ogg -page_duration 100000",
    );
}

#[test]
fn mp3() {
    everybody_joins("sound.mp3", "audio/mpeg", "A -c:a libmp3lame -f mp3");
}

#[test]
fn adts() {
    everybody_joins("sound.aac", "audio/aac", "A -c:a aac -f adts");
}

#[test]
fn flac() {
    everybody_joins(
        "sound.flac",
        "audio/flac",
        "A -c:a flac -sample_fmt s16 -frame_size 1152 -f flac",
    );
}

#[test]
fn wav() {
    everybody_joins("sound.wav", "audio/wav", "A -c:a pcm_s16le -f wav");
}
