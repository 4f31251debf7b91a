//! The program that shows the stream: which one, and how it is told not to wait.

use std::{fmt, io, process::Stdio, str::FromStr};

use tokio::process::{Child, Command};

/// A program that takes a stream on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    program: String,
    arguments: Vec<String>,
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

/// The players that we know: name, package, and what makes each one show a byte soonest.
const KNOWN: [(&str, &str, &[&str]); 3] = [
    ("mpv", "mpv", &["--profile=low-latency", "--untimed", "--cache=no", "-"]),
    (
        "vlc",
        "vlc",
        &[
            "--file-caching=0",
            "--network-caching=0",
            "--live-caching=0",
            "--clock-jitter=0",
            "--clock-synchro=0",
            "--play-and-exit",
            "-",
        ],
    ),
    (
        "ffplay",
        "ffmpeg",
        &[
            "-loglevel",
            "warning",
            "-autoexit",
            "-fflags",
            "nobuffer",
            "-flags",
            "low_delay",
            "-sync",
            "ext",
            "-framedrop",
            "-i",
            "-",
        ],
    ),
];

impl Via {
    /// Start it. It dies with what is returned.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be run.
    pub fn start(&self) -> Result<Child, StartError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).kill_on_drop(true);
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
        if let Some((program, package, arguments)) = KNOWN.iter().find(|known| known.0 == text) {
            let arguments = arguments.iter().copied().map(Into::into).collect();
            return Ok(Self { program: (*program).into(), arguments, package: Some(package) });
        }
        let mut words = shell_words::split(text)?.into_iter();
        let program = words.next().ok_or(ViaError::Empty)?;
        Ok(Self { program, arguments: words.collect(), package: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_player_gets_the_flags_that_make_it_quick() {
        let mpv: Via = "mpv".parse().unwrap();
        assert_eq!(mpv.arguments, ["--profile=low-latency", "--untimed", "--cache=no", "-"]);
        for (name, ..) in KNOWN {
            let via: Via = name.parse().unwrap();
            assert_eq!((via.program(), via.arguments.last().unwrap().as_str()), (name, "-"));
        }
    }

    #[test]
    fn a_command_is_split_into_words_and_needs_no_shell() {
        let via: Via = "dd 'of=a file' bs=1".parse().unwrap();
        assert_eq!(
            (via.program(), &via.arguments[..]),
            ("dd", &["of=a file".into(), "bs=1".into()][..])
        );
        assert!(matches!(" ".parse::<Via>(), Err(ViaError::Empty)));
        assert!(matches!("a 'b".parse::<Via>(), Err(ViaError::Quotes(_))));
    }

    #[test]
    fn a_player_that_is_missing_says_which_package_has_it() {
        let error = StartError::NotFound { program: "ffplay".into(), package: Some("ffmpeg") };
        assert!(error.to_string().ends_with("apt install ffmpeg"), "{error}");
    }
}
