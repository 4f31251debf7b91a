//! The program that shows the stream: which one, and how it is told not to wait.

use std::{fmt, io, process::Stdio, str::FromStr};

use tokio::process::{Child, Command};

/// A program that takes a stream on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    program: String,
    /// Before the others, where the bytes come live.
    quick: Vec<String>,
    always: Vec<String>,
    /// The Debian package that has it, where we know.
    package: Option<&'static str>,
}

/// Why a text names no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViaError {
    /// Nothing.
    #[error("no program; expected mpv, vlc, ffplay or a command that reads standard input")]
    Empty,
    /// A quote that is not closed.
    #[error("the command cannot be split into words")]
    Quotes(#[from] shell_words::ParseError),
}

/// Why a program does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is not there.
    #[error("there is no program {program}{}", Package(*.package))]
    NotFound {
        /// Its name.
        program: String,
        /// The Debian package that has it, where we know.
        package: Option<&'static str>,
    },
    /// The system says no.
    #[error("cannot start {program}")]
    Io {
        /// Its name.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

struct Package(Option<&'static str>);

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(package) => {
                write!(f, "; on Debian it is in the package {package}: apt install {package}")
            }
            None => Ok(()),
        }
    }
}

/// How the bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As they are captured: a program that waits for nothing shows them soonest.
    Live,
    /// All that there is, as fast as it is taken: the program has to keep time by itself.
    Recorded,
}

/// A player that we know.
struct Known {
    program: &'static str,
    package: &'static str,
    /// What makes it show a byte soonest. With these some forget about time: a recording would race.
    quick: &'static [&'static str],
    /// Read standard input, end when it ends.
    always: &'static [&'static str],
}

const KNOWN: [Known; 3] = [
    Known {
        program: "mpv",
        package: "mpv",
        quick: &["--profile=low-latency", "--untimed", "--cache=no"],
        always: &["-"],
    },
    Known {
        program: "vlc",
        package: "vlc",
        quick: &[
            "--file-caching=0",
            "--network-caching=0",
            "--live-caching=0",
            "--clock-jitter=0",
            "--clock-synchro=0",
        ],
        always: &["--play-and-exit", "-"],
    },
    Known {
        program: "ffplay",
        package: "ffmpeg",
        quick: &["-fflags", "nobuffer", "-flags", "low_delay", "-sync", "ext", "-framedrop"],
        always: &["-loglevel", "warning", "-autoexit", "-i", "-"],
    },
];

impl Via {
    fn arguments(&self, pace: Pace) -> impl Iterator<Item = &String> {
        let quick = self.quick.iter().filter(move |_| pace == Pace::Live);
        quick.chain(&self.always)
    }

    /// Start it. It dies with what is returned.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be run.
    pub fn start(&self, pace: Pace) -> Result<Child, StartError> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(pace)).stdin(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(|source| {
            let program = self.program.clone();
            if source.kind() == io::ErrorKind::NotFound {
                return StartError::NotFound { program, package: self.package };
            }
            StartError::Io { program, source }
        })
    }

    /// Its name.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }
}

/// A known player's name, or a command, split into words as a shell does, without a shell.
impl FromStr for Via {
    type Err = ViaError;

    fn from_str(text: &str) -> Result<Self, ViaError> {
        if let Some(known) = KNOWN.iter().find(|known| known.program == text) {
            let owned = |words: &[&str]| words.iter().copied().map(Into::into).collect();
            let (quick, always) = (owned(known.quick), owned(known.always));
            let (program, package) = (known.program.into(), Some(known.package));
            return Ok(Self { program, quick, always, package });
        }
        let mut words = shell_words::split(text)?.into_iter();
        let program = words.next().ok_or(ViaError::Empty)?;
        Ok(Self { program, quick: Vec::new(), always: words.collect(), package: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(via: &Via, pace: Pace) -> Vec<&str> {
        via.arguments(pace).map(String::as_str).collect()
    }

    #[test]
    fn a_known_player_is_quick_with_what_is_live_and_keeps_time_with_what_is_not() {
        let mpv: Via = "mpv".parse().unwrap();
        let quick = ["--profile=low-latency", "--untimed", "--cache=no", "-"];
        assert_eq!(arguments(&mpv, Pace::Live), quick);
        assert_eq!(arguments(&mpv, Pace::Recorded), ["-"]);
        for known in KNOWN {
            let via: Via = known.program.parse().unwrap();
            assert_eq!(via.program(), known.program);
            assert_eq!(arguments(&via, Pace::Live).last(), Some(&"-"), "it reads standard input");
        }
    }

    #[test]
    fn a_command_is_split_into_words_and_needs_no_shell() {
        let via: Via = "dd 'of=a file' bs=1".parse().unwrap();
        assert_eq!((via.program(), arguments(&via, Pace::Live)), ("dd", vec!["of=a file", "bs=1"]));
        assert!(matches!(" ".parse::<Via>(), Err(ViaError::Empty)));
        assert!(matches!("a 'b".parse::<Via>(), Err(ViaError::Quotes(_))));
    }

    #[test]
    fn a_player_that_is_missing_says_which_package_has_it() {
        let error = StartError::NotFound { program: "ffplay".into(), package: Some("ffmpeg") };
        assert!(error.to_string().ends_with("apt install ffmpeg"), "{error}");
    }
}
