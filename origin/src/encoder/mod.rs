//! What ffmpeg is told so that it captures: from which input, into which container, with little delay.
//!
//! ```text
//!   Encoder ──▶ arguments ──▶ ffmpeg ──stdout──▶ units ──▶ whole packets, whole fragments
//!                                └─────stderr──▶ complaint ──▶ why it ended, in plain words
//! ```
//!
//! ffmpeg may die and be started again in the middle of a stream. So that what players see is one
//! stream all the same, an encoder's times go on where its predecessor's were (`-output_ts_offset`),
//! and each makes the same header from the same options, which [`units`] then leaves out.
//!
//! Every argument is passed as it is, never through a shell.

pub(crate) mod complaint;
mod input;
pub(crate) mod process;
pub(crate) mod units;

use std::{fmt, path::PathBuf, process::ExitStatus, str::FromStr, time::Duration};

pub use input::{Input, InputError};

use self::input::CAMERA;
use crate::limits::{
    CAPTURE_FPS_DEFAULT, CAPTURE_SIDE_MAX, CAPTURE_SIDE_MIN, CAPTURE_SIZE_DEFAULT, ENCODER_SILENT,
};

/// An installed ffmpeg, and what it is to do.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The program: a path, or a name that is looked for in the `PATH`.
    pub program: PathBuf,
    /// What is captured.
    pub input: Input,
    /// What comes out.
    pub container: Container,
    /// Size of the picture; without it the input's.
    pub size: Option<Size>,
    /// Pictures per second; without it the input's.
    pub fps: Option<u32>,
    /// Bits per second of the picture; without it, as its quality takes.
    pub video_bitrate: Option<u64>,
    /// End after so long; without it, with the input.
    pub seconds: Option<Duration>,
}

/// What comes out of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Fragmented MP4, a fragment for each frame.
    Mp4,
    /// MPEG transport stream.
    Ts,
}

/// Width and height of a picture, both even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: u32,
}

/// No size of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WIDTHxHEIGHT is expected, two even numbers from {CAPTURE_SIDE_MIN} to {CAPTURE_SIDE_MAX}")]
pub struct SizeError;

/// Why a capture ended, and cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// There is no ffmpeg.
    #[error("{} is not here; it is in Debian's package ffmpeg: apt install ffmpeg", program.display())]
    Missing {
        /// What was looked for.
        program: PathBuf,
    },
    /// It is there and cannot be run, or the pipe from it fails.
    #[error("cannot run {}", program.display())]
    Run {
        /// What was started.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended by itself.
    #[error("ffmpeg ended ({status}) capturing {input}{said}")]
    Died {
        /// What it ended with.
        status: ExitStatus,
        /// What it was to capture.
        input: String,
        /// Its last words.
        said: String,
    },
    /// It gave nothing for too long.
    #[error("ffmpeg gave nothing for {} s capturing {input}{said}", ENCODER_SILENT.as_secs())]
    Silent {
        /// What it was to capture.
        input: String,
        /// Its last words.
        said: String,
    },
    /// It was over before there was a byte.
    #[error("nothing was captured from {input}{said}")]
    Nothing {
        /// What was to be captured.
        input: String,
        /// ffmpeg's last words.
        said: String,
    },
    /// It died too often.
    #[error("given up after {deaths} starts in a row that soon failed")]
    GaveUp {
        /// How often.
        deaths: u32,
        /// The last one.
        source: Box<Self>,
    },
}

impl Container {
    /// The media type of what comes out.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Ts => "video/mp2t",
        }
    }
}

impl Size {
    /// The two sides, which are known to be even.
    pub(crate) const fn of((width, height): (u32, u32)) -> Self {
        Self { width, height }
    }

    /// Width and height.
    pub const fn sides(self) -> (u32, u32) {
        (self.width, self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let side = |text: &str| {
            let side = text.parse().ok().filter(|side: &u32| side.is_multiple_of(2));
            side.filter(|side| (CAPTURE_SIDE_MIN..=CAPTURE_SIDE_MAX).contains(side))
        };
        let (width, height) = text.split_once('x').ok_or(SizeError)?;
        let (width, height) = side(width).zip(side(height)).ok_or(SizeError)?;
        Ok(Self { width, height })
    }
}

impl Encoder {
    /// The program, where it is.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn found(mut self, path: Option<std::ffi::OsString>) -> Result<Self, EncoderError> {
        let named = self.program.components().count() > 1;
        let folders: Vec<_> = match path {
            Some(path) if !named => std::env::split_paths(&path).collect(),
            _ if named => vec![PathBuf::new()],
            _ => Vec::new(),
        };
        let mut places = folders.iter().map(|folder| folder.join(&self.program));
        match places.find(|place| place.is_file()) {
            Some(place) => self.program = place,
            None => return Err(EncoderError::Missing { program: self.program }),
        }
        Ok(self)
    }

    /// All that ffmpeg is told. `offset` is how old the stream is, `left` how long it is to go on.
    pub(crate) fn arguments(&self, offset: Duration, left: Option<Duration>) -> Vec<String> {
        let mut words = owned(&["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"]);
        words.extend(self.opening());
        if !self.input.is_sound() {
            words.extend(self.picture());
        }
        words.extend(owned(&["-c:a", "aac", "-b:a", "128k"]));
        words.extend(owned(match self.container {
            Container::Mp4 => MP4,
            Container::Ts => TS,
        }));
        if let Some(left) = left {
            words.extend(["-t".into(), format!("{:.3}", left.as_secs_f64())]);
        }
        words.extend(["-output_ts_offset".into(), format!("{:.3}", offset.as_secs_f64())]);
        words.extend(owned(&[
            "-muxdelay",
            "0",
            "-muxpreload",
            "0",
            "-flush_packets",
            "1",
            "pipe:1",
        ]));
        words
    }

    /// The input, and which of its tracks.
    fn opening(&self) -> Vec<String> {
        let fps = self.fps.unwrap_or(CAPTURE_FPS_DEFAULT);
        match &self.input {
            Input::TestCard => {
                let (width, height) =
                    self.size.map_or(CAPTURE_SIZE_DEFAULT, |size| (size.width, size.height));
                let card = format!("testsrc2=size={width}x{height}:rate={fps}");
                let tone = "sine=frequency=440:sample_rate=48000";
                let mut words = owned(&["-re", "-f", "lavfi", "-i", &card]);
                words.extend(owned(&[
                    "-re", "-f", "lavfi", "-i", tone, "-map", "0:v", "-map", "1:a",
                ]));
                words
            }
            Input::Screen { display } => {
                owned(&["-f", "x11grab", "-framerate", &fps.to_string(), "-i", display])
            }
            Input::Camera => owned(&["-f", "v4l2", "-i", CAMERA, "-map", "0:v"]),
            Input::Microphone { pulse } => {
                let system = if *pulse { "pulse" } else { "alsa" };
                owned(&["-f", system, "-i", "default", "-map", "0:a"])
            }
            Input::Other { url, paced } => {
                let mut words = owned(if *paced { &["-re"] } else { &[] });
                words.extend(owned(&["-i", url, "-map", "0:v:0?", "-map", "0:a:0?"]));
                words
            }
        }
    }

    /// The picture: no frame waits for another, and one can join each second.
    fn picture(&self) -> Vec<String> {
        let mut words = owned(H264);
        if let Some(rate) = self.video_bitrate {
            let (rate, buffer) = (rate.to_string(), (rate / 2).to_string());
            words.extend(owned(&["-b:v", &rate, "-maxrate", &rate, "-bufsize", &buffer]));
        }
        let mut filters = Vec::new();
        if let (Input::Camera | Input::Other { .. }, Some(fps)) = (&self.input, self.fps) {
            filters.push(format!("fps={fps}"));
        }
        match (&self.input, self.size) {
            (Input::TestCard, _) => {}
            (_, Some(Size { width, height })) => filters.push(format!("scale={width}:{height}")),
            // Chroma at half the size takes even sides.
            (_, None) => filters.push("crop=trunc(iw/2)*2:trunc(ih/2)*2".into()),
        }
        if !filters.is_empty() {
            words.extend(["-vf".into(), filters.join(",")]);
        }
        words
    }
}

const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-tune",
    "zerolatency",
    "-pix_fmt",
    "yuv420p",
    "-force_key_frames",
    "expr:if(isnan(prev_forced_t),gte(t,0),gte(t,prev_forced_t+1))",
];

/// `frag_discont` and `make_non_negative` let the times begin at the offset instead of at 0;
/// without `skip_trailer` an index of the fragments would grow as long as the capture.
const MP4: &[&str] = &[
    "-f",
    "mp4",
    "-movflags",
    "empty_moov+default_base_moof+frag_every_frame+frag_discont+skip_trailer",
    "-avoid_negative_ts",
    "make_non_negative",
];

/// A packet of sound is not kept until it is a large one; tables come twice a second, for who joins.
const TS: &[&str] = &[
    "-f",
    "mpegts",
    "-mpegts_flags",
    "initial_discontinuity",
    "-pes_payload_size",
    "0",
    "-pat_period",
    "0.5",
];

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(input: &str) -> Encoder {
        Encoder {
            program: "ffmpeg".into(),
            input: Input::new(input, |_| Some(":7".into())).unwrap(),
            container: Container::Mp4,
            size: None,
            fps: None,
            video_bitrate: None,
            seconds: None,
        }
    }

    fn line(encoder: &Encoder) -> String {
        encoder.arguments(Duration::from_millis(1500), None).join(" ")
    }

    #[test]
    fn an_input_is_one_argument_whatever_is_in_it() {
        let name = "rtsp://cam/a b;$(c) -y 'd'";
        let words = encoder(name).arguments(Duration::ZERO, None);
        let at = words.iter().position(|word| word == name).unwrap();
        assert_eq!(words[at - 1], "-i");
        assert_eq!(words.last().unwrap(), "pipe:1");
    }

    #[test]
    fn each_input_is_opened_in_its_way_and_only_a_file_is_paced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("screen");
        std::fs::write(&file, "").unwrap();
        let path = file.to_str().unwrap();
        for (input, opened) in [
            ("testcard", "-re -f lavfi -i testsrc2=size=1280x720:rate=30"),
            ("screen", "-f x11grab -framerate 30 -i :7"),
            ("camera", "-f v4l2 -i /dev/video0"),
            ("microphone", "-f pulse -i default"),
            (path, &format!("-re -i {path}")),
            (&format!("file:{path}"), &format!("-re -i file:{path}")),
            ("http://h/x", "-loglevel error -i http://h/x"),
        ] {
            let line = line(&encoder(input));
            assert!(line.contains(opened), "{input}: {line}");
            assert_eq!(line.contains("libx264"), input != "microphone", "{line}");
        }
    }

    #[test]
    fn what_is_asked_of_the_picture_is_said() {
        let asked = |input| Encoder {
            size: Some("640x360".parse().unwrap()),
            fps: Some(15),
            video_bitrate: Some(800_000),
            ..encoder(input)
        };
        assert!(line(&asked("testcard")).contains("testsrc2=size=640x360:rate=15 "));
        assert!(line(&asked("screen")).contains("-framerate 15 "));
        assert!(line(&asked("camera")).contains("-vf fps=15,scale=640:360 "));
        assert!(line(&asked("camera")).contains("-b:v 800000 -maxrate 800000 -bufsize 400000 "));
        let words = encoder("testcard").arguments(Duration::ZERO, Some(Duration::from_secs(2)));
        let after = |word| &words[words.iter().position(|found| found == word).unwrap() + 1];
        assert_eq!((after("-t").as_str(), after("-output_ts_offset").as_str()), ("2.000", "0.000"));
    }

    #[test]
    fn a_size_is_two_even_numbers() {
        assert_eq!("640x360".parse(), Ok(Size { width: 640, height: 360 }));
        for text in ["", "640", "640x", "641x360", "0x0", "640x99999", "640x-2", "64Ox360"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError), "{text}");
        }
    }

    #[test]
    fn a_missing_ffmpeg_names_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let path = || Some(dir.path().as_os_str().to_owned());
        let error = encoder("testcard").found(path()).unwrap_err();
        assert!(error.to_string().ends_with("apt install ffmpeg"), "{error}");
        std::fs::write(dir.path().join("ffmpeg"), "").unwrap();
        let found = encoder("testcard").found(path()).unwrap();
        assert_eq!(found.program, dir.path().join("ffmpeg"));
    }
}
