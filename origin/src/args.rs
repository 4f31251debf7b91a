//! What is typed after `origin`, and what it means.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use freshet_origin::{
    Container, Encoder, Input, InputError, Late, Options, Rate, Size, Target, TestCard, limits,
};

/// Post a file, a folder, standard input or a capture to a distributor as live streams.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: What,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything is posted and acknowledged
  1  refused by the distributor, or an error here; trying again will not help
  2  wrong usage
  3  interrupted or given up; started again, it goes on where it was

Whatever is cut, killed or restarted, origin asks the distributor what it holds and sends what is
missing. RUST_LOG sets how much is logged (to standard error).";

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Post one file; the stream is complete when all of it is acknowledged.
    File {
        /// The file.
        path: PathBuf,
        /// The stream: http://HOST:PORT/live/NAME
        #[arg(long, value_name = "URL")]
        to: Target,
        #[command(flatten)]
        pace: Pace,
        /// Go round for ever: offsets go on, the stream is never complete. The default --rate is
        /// then `real`.
        #[arg(long = "loop")]
        looped: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Post each file of a folder as a complete stream of its own, one after the other.
    ///
    /// Folders become segments of the name below the URL's. A character that no name can have becomes
    /// "-"; a name that loses letters so, or is too long, gets eight hex digits of its SHA-256. Hidden
    /// files are left out; whatever else cannot be named is reported, and the exit code is 1.
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the names begin with: http://HOST:PORT/live/ or http://HOST:PORT/live/NAME
        #[arg(long, value_name = "URL")]
        to: Target,
        #[command(flatten)]
        pace: Pace,
        #[command(flatten)]
        common: Common,
    },
    /// Post standard input; the stream is complete at its end.
    ///
    /// A copy on disk is kept. Started again with the same copy, origin first delivers what the copy
    /// has and the distributor lacks, then goes on with what comes in. Bytes of a pipe are in the pipe
    /// or in the copy at any moment, so a kill -9 loses none; of a terminal, socket or file up to
    /// 64 KiB that were just read can be lost. A power cut can cost the copy what was not yet on disk.
    Stdin {
        /// The stream: http://HOST:PORT/live/NAME
        #[arg(long, value_name = "URL")]
        to: Target,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        common: Common,
    },
    /// Post what an installed ffmpeg captures; the stream is complete at the first Ctrl-C.
    ///
    /// A copy on disk is kept, as of standard input. When ffmpeg dies it is started again, and the
    /// stream goes on: times go on as well, and a header that is there already is not repeated, so that
    /// players see one stream with a gap. After 8 quick deaths in a row (3 before the first
    /// byte) it is given up, with what ffmpeg said. A second Ctrl-C does not wait for what is not delivered yet.
    Capture {
        /// `testcard` (a running clock and a tone), `screen` ($DISPLAY), `camera` (/dev/video0),
        /// `microphone` (the default of PulseAudio or ALSA), or whatever ffmpeg opens: a file (./screen
        /// for one of such a name), a device, a URL.
        input: String,
        /// The stream: http://HOST:PORT/live/NAME
        #[arg(long, value_name = "URL")]
        to: Target,
        #[command(flatten)]
        encoding: Encoding,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        common: Common,
    },
    /// Post a live picture with a clock in it and a tone, without any other program; the stream is complete
    /// at the first Ctrl-C.
    ///
    /// H.264 and Opus in fragmented MP4, posted frame by frame. Below the top of the picture stands the
    /// time in UTC; the blocks above it say the same to programs: `player` and `bench glass` read off them
    /// how old a picture is. The tone clicks at the beginning of each second. Nothing is kept on disk;
    /// started again, the card goes on after what the distributor holds.
    Testcard {
        /// The stream: http://HOST:PORT/live/NAME
        #[arg(long, value_name = "URL")]
        to: Target,
        #[command(flatten)]
        card: Card,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Group)]
pub(crate) struct Card {
    /// Size of the picture, in even numbers.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720")]
    size: Size,
    /// Pictures per second.
    #[arg(long, value_name = "N", default_value_t = limits::CAPTURE_FPS_DEFAULT,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CAPTURE_FPS_MAX)))]
    rate: u32,
    /// End by itself after so long.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Pictures from one key frame to the next, which is where a player can begin. Default: a second of
    /// them.
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CARD_GOP_MAX)))]
    gop: Option<u32>,
    /// Bits per second of the picture, about: noise makes it as large, where a corner has room for that.
    #[arg(long, value_name = "BITS_PER_S", default_value_t = limits::CARD_BITRATE_DEFAULT,
          value_parser = clap::value_parser!(u32)
          .range(limits::VIDEO_BITRATE_MIN as i64..=limits::VIDEO_BITRATE_MAX as i64))]
    bitrate: u32,
    /// No tone.
    #[arg(long)]
    no_sound: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Encoding {
    /// Fragmented MP4, or MPEG transport stream. Default: `ts` where the stream's name ends in .ts,
    /// else `mp4`.
    #[arg(long = "as", value_enum, value_name = "mp4|ts", hide_possible_values = true)]
    container: Option<ContainerArg>,
    /// Size of the picture. Default: the input's; of the test card 1280x720.
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,
    /// Pictures per second. Default: the input's; of the test card and the screen 30.
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CAPTURE_FPS_MAX)))]
    fps: Option<u32>,
    /// Most bits per second of the picture. Default: as its quality takes.
    #[arg(long, value_name = "BITS_PER_S", value_parser = clap::value_parser!(u64)
          .range(limits::VIDEO_BITRATE_MIN..=limits::VIDEO_BITRATE_MAX))]
    video_bitrate: Option<u64>,
    /// End by itself after so long.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Which ffmpeg.
    #[arg(long, value_name = "PATH", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ContainerArg {
    Mp4,
    Ts,
}

#[derive(Debug, Group)]
pub(crate) struct Kept {
    /// Directory of the copy: a plain media file named as the stream, and two small files beside
    /// it. Default: $XDG_STATE_HOME/freshet/origin/HOST~PORT~NAME
    #[arg(long, value_name = "DIR", conflicts_with = "no_copy")]
    pub(crate) copy: Option<PathBuf>,
    /// Keep no copy: only what is not acknowledged yet, in memory, at most 16 MiB; then whoever
    /// writes has to wait. Goes on at the end of what the distributor holds.
    #[arg(long)]
    pub(crate) no_copy: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Pace {
    /// How fast: `real` (as the media plays, by its header), bytes per second, or `max`. [default: max]
    #[arg(long, value_name = "real|BYTES_PER_S|max")]
    pub(crate) rate: Option<Rate>,
}

#[derive(Debug, Group)]
pub(crate) struct Common {
    /// Most bytes of one POST. On a long way (100 ms and more) larger ones are faster.
    #[arg(long, value_name = "BYTES", default_value_t = limits::CHUNK_BYTES_DEFAULT,
          value_parser = clap::value_parser!(u64).range(1..=limits::CHUNK_BYTES_MAX))]
    chunk: u64,
    /// What goes first when the uplink is slower than the source. With `newest` the live edge stays
    /// live, and what is older follows when there is room. It needs a source with a clock: not --rate max.
    #[arg(long, value_enum, default_value_t = LateArg::All)]
    late: LateArg,
    /// Token that allows publishing. Better in the environment or a file than here, where all
    /// processes see it.
    #[arg(long, env = "FRESHET_PUBLISH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// File with the token in its first line; goes before --token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Names this origin: only one at a time posts to a stream, and the same one takes over at once.
    /// Default: a random one kept beside the copy, or one made of the file and the URL.
    #[arg(long, value_name = "TOKEN", value_parser = origin_id)]
    origin_id: Option<String>,
    /// Media type of the stream. Default: by the file's or the stream's name.
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Give up, with exit code 3, after so long without progress. Default: never.
    #[arg(long, value_name = "SECONDS")]
    give_up: Option<u64>,
    /// No progress bar.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LateArg {
    Newest,
    All,
}

impl Args {
    pub(crate) const fn quiet(&self) -> bool {
        self.what.common().quiet
    }
}

impl What {
    const fn common(&self) -> &Common {
        match self {
            Self::File { common, .. }
            | Self::Folder { common, .. }
            | Self::Stdin { common, .. }
            | Self::Capture { common, .. }
            | Self::Testcard { common, .. } => common,
        }
    }

    /// What no single option can say by itself.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let all_at_once = match self {
            Self::File { looped: true, pace, .. } => pace.rate == Some(Rate::Max),
            Self::File { pace, .. } | Self::Folder { pace, .. } => {
                matches!(pace.rate, None | Some(Rate::Max))
            }
            Self::Stdin { .. } | Self::Capture { .. } | Self::Testcard { .. } => false,
        };
        if all_at_once && self.common().late == LateArg::Newest {
            return Err("--late newest needs a clock: give --rate real or bytes per second");
        }
        if let Self::Capture { input, encoding, .. } = self
            && input == "microphone"
            && encoding.asks_for_a_picture()
        {
            return Err("a microphone has no picture: no --size, --fps, --video-bitrate");
        }
        let named = match self {
            Self::File { to, .. }
            | Self::Stdin { to, .. }
            | Self::Capture { to, .. }
            | Self::Testcard { to, .. } => to.name().is_some(),
            Self::Folder { .. } => true,
        };
        if named { Ok(()) } else { Err("the URL names no stream: http://HOST:PORT/live/NAME") }
    }
}

impl Card {
    /// What is drawn.
    pub(crate) fn card(&self) -> TestCard {
        TestCard {
            size: self.size,
            fps: self.rate,
            gop: self.gop.unwrap_or(self.rate),
            video_bitrate: self.bitrate,
            sound: !self.no_sound,
            seconds: self.seconds.map(Duration::from_secs),
        }
    }
}

impl Encoding {
    const fn asks_for_a_picture(&self) -> bool {
        self.size.is_some() || self.fps.is_some() || self.video_bitrate.is_some()
    }

    /// What is asked of ffmpeg. Looks into the environment for the screen and the microphone.
    pub(crate) fn encoder(self, input: &str, to: &Target) -> Result<Encoder, InputError> {
        let name = Path::new(to.name().map_or("", |name| name.as_str()));
        let container = match self.container {
            Some(ContainerArg::Ts) => Container::Ts,
            Some(ContainerArg::Mp4) => Container::Mp4,
            None if name.extension().is_some_and(|end| end == "ts") => Container::Ts,
            None => Container::Mp4,
        };
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Encoder {
            program: self.ffmpeg,
            input: Input::new(input, variable)?,
            container,
            size: self.size,
            fps: self.fps,
            video_bitrate: self.video_bitrate,
            seconds: self.seconds.map(Duration::from_secs),
        })
    }
}

impl Common {
    /// Options of a push. Reads the token's file.
    pub(crate) fn options(&self, content_type: String) -> io::Result<Options> {
        let token = match &self.token_file {
            Some(path) => Some(first_line(&fs::read_to_string(path)?)),
            None => self.token.clone().filter(|token| !token.is_empty()),
        };
        Ok(Options {
            chunk: self.chunk,
            late: match self.late {
                LateArg::Newest => Late::Newest,
                LateArg::All => Late::All,
            },
            token,
            origin_id: self.origin_id.clone(),
            content_type: self.content_type.clone().unwrap_or(content_type),
            give_up: self.give_up.map(Duration::from_secs),
            ..Options::default()
        })
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().into()
}

fn origin_id(text: &str) -> Result<String, String> {
    let max = freshet_protocol::limits::ORIGIN_ID_BYTES_MAX;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.is_empty() && text.len() <= max && visible {
        return Ok(text.into());
    }
    Err(format!("1 to {max} visible ASCII characters are expected"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Args {
        Args::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_arguments_fit_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn newest_first_needs_a_clock() {
        let check = |line: &str| parse(line).what.check();
        let file = "origin file a.mp3 --to http://h/live/a --late newest";
        assert!(check(file).is_err());
        assert!(check(&format!("{file} --rate max")).is_err());
        assert!(check(&format!("{file} --rate max --loop")).is_err());
        assert!(check(&format!("{file} --loop")).is_ok());
        assert!(check(&format!("{file} --rate 1000")).is_ok());
        assert!(check("origin stdin --to http://h/live/a --late newest").is_ok());
    }

    #[test]
    fn only_a_folder_goes_without_a_name() {
        assert!(parse("origin file a --to http://h/live/").what.check().is_err());
        assert!(parse("origin folder a --to http://h/live/").what.check().is_ok());
    }

    #[test]
    fn the_container_is_as_asked_or_as_named() {
        let container = |line: &str| match parse(line).what {
            What::Capture { input, to, encoding, .. } => {
                encoding.encoder(&input, &to).unwrap().container
            }
            _ => unreachable!("it says capture"),
        };
        assert_eq!(container("origin capture testcard --to http://h/live/a"), Container::Mp4);
        assert_eq!(container("origin capture testcard --to http://h/live/a.ts"), Container::Ts);
        let asked = "origin capture testcard --to http://h/live/a.ts --as mp4";
        assert_eq!(container(asked), Container::Mp4);
    }

    #[test]
    fn a_microphone_has_no_picture() {
        let line = "origin capture microphone --to http://h/live/a";
        assert!(parse(line).what.check().is_ok());
        for more in ["--size 640x360", "--fps 5", "--video-bitrate 100000"] {
            assert!(parse(&format!("{line} {more}")).what.check().is_err(), "{more}");
        }
    }

    #[test]
    fn a_token_file_goes_before_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "from file \n\n").unwrap();
        let line =
            format!("origin stdin --to http://h/live/a --token x --token-file {}", path.display());
        let options = parse(&line).what.common().options(String::new()).unwrap();
        assert_eq!(options.token.as_deref(), Some("from file"));
    }
}
