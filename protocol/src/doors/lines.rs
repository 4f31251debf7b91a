//! lines: commands and answers on one connection, the bytes of a song on another.
//!
//! ```text
//!   C: list        S: {"a.mp3": 1, "b.mp3": 2}
//!   C: play 2      S: 40123             the port of a connection that has the song and nothing else
//!   C: stop        S: stopped
//!   C: quit        S: bye
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{Entry, number, word};

/// The port that the protocol is at home on.
pub const PORT: u16 = 5111;

/// The answer to `stop`.
pub const STOPPED: &str = "stopped";

/// The answer to `quit`.
pub const BYE: &str = "bye";

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Which songs are there?
    List,
    /// Send the song of that number.
    Play(u64),
    /// No more of it.
    Stop,
    /// That was all.
    Quit,
}

/// A command's own error, as the line that says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The command is none.
    #[error("error unknown command: {word}")]
    Unknown {
        /// How it begins.
        word: String,
    },
    /// There is no song of that number.
    #[error("error no such song: {given}")]
    NoSong {
        /// What was asked for.
        given: String,
    },
    /// The line does not end, or is no text.
    #[error("error {what}")]
    Line {
        /// What is wrong with it.
        what: String,
    },
    /// All ports of the range are in use.
    #[error("error no port is free, try again later")]
    NoPort,
    /// It is not the client's fault.
    #[error("error {what}")]
    Server {
        /// What it is.
        what: String,
    },
}

impl FromStr for Command {
    type Err = Refusal;

    fn from_str(line: &str) -> Result<Self, Refusal> {
        let line = line.trim();
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (verb, rest.trim()) {
            ("list", "") => Ok(Self::List),
            ("stop", "") => Ok(Self::Stop),
            ("quit", "") => Ok(Self::Quit),
            ("play", id) => {
                number(id).map(Self::Play).ok_or_else(|| Refusal::NoSong { given: word(id) })
            }
            _ => Err(Refusal::Unknown { word: word(line) }),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("list"),
            Self::Play(id) => write!(f, "play {id}"),
            Self::Stop => f.write_str("stop"),
            Self::Quit => f.write_str("quit"),
        }
    }
}

/// The answer to `list`, without its line ending: a JSON object on one line, in the order of `entries`.
#[must_use]
pub fn list(entries: &[Entry]) -> String {
    let quoted = |title: &String| serde_json::Value::from(title.as_str()).to_string();
    let pairs: Vec<_> =
        entries.iter().map(|entry| format!("{}: {}", quoted(&entry.title), entry.id)).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// What a list says, by number; `None` where it is none.
#[must_use]
pub fn parse_list(line: &str) -> Option<Vec<Entry>> {
    let songs: BTreeMap<String, u64> = serde_json::from_str(line).ok()?;
    let entry = |(title, id)| Entry { id, title, description: String::new() };
    let mut entries: Vec<_> = songs.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.id);
    Some(entries)
}

/// The port of an answer to `play`; `None` where it is none.
#[must_use]
pub fn parse_port(line: &str) -> Option<u16> {
    let port = number(line.trim())?;
    u16::try_from(port).ok().filter(|&port| port > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u64, title: &str) -> Entry {
        Entry { id, title: title.into(), description: String::new() }
    }

    /// What is on the control connection, `C` and `S` before what either side says.
    const SESSION: [(char, &[u8], &str); 8] = [
        ('C', &[0x6c, 0x69, 0x73, 0x74], "list"),
        ('S', &[0x7b, 0x22, 0x61, 0x22, 0x3a, 0x20, 0x31, 0x7d], "{\"a\": 1}"),
        ('C', &[0x70, 0x6c, 0x61, 0x79, 0x20, 0x31], "play 1"),
        ('S', &[0x34, 0x30, 0x31, 0x32, 0x33], "40123"),
        ('C', &[0x73, 0x74, 0x6f, 0x70], "stop"),
        ('S', &[0x73, 0x74, 0x6f, 0x70, 0x70, 0x65, 0x64], "stopped"),
        ('C', &[0x71, 0x75, 0x69, 0x74], "quit"),
        ('S', &[0x62, 0x79, 0x65], "bye"),
    ];

    #[test]
    fn a_session_is_these_bytes() {
        let commands = [Command::List, Command::Play(1), Command::Stop, Command::Quit];
        let answers = [list(&[entry(1, "a")]), "40123".into(), STOPPED.into(), BYE.into()];
        let of = |side| SESSION.iter().filter(move |line| line.0 == side).map(|line| line.1);
        for (command, bytes) in commands.iter().zip(of('C')) {
            assert_eq!(command.to_string().as_bytes(), bytes);
            assert_eq!(std::str::from_utf8(bytes).unwrap().parse(), Ok(*command));
        }
        for (answer, bytes) in answers.iter().zip(of('S')) {
            assert_eq!(answer.as_bytes(), bytes, "{answer}");
        }
        for (_, bytes, text) in SESSION {
            assert_eq!(text.as_bytes(), bytes);
        }
        assert_eq!(parse_port("40123\r"), Some(40123));
    }

    #[test]
    fn whatever_is_no_command_is_an_error_that_says_so() {
        for (line, told) in [
            ("", "error unknown command: "),
            ("LIST", "error unknown command: LIST"),
            ("list all", "error unknown command: list"),
            ("play", "error no such song: "),
            ("play b.mp3", "error no such song: b.mp3"),
            ("play 1 2", "error no such song: 1"),
            ("GET / HTTP/1.1", "error unknown command: GET"),
        ] {
            assert_eq!(line.parse::<Command>().unwrap_err().to_string(), told);
        }
        for port in ["", "0", "65536", "error no", "-1", "4 0"] {
            assert_eq!(parse_port(port), None, "{port}");
        }
    }

    #[test]
    fn the_list_is_a_dictionary_as_python_writes_it() {
        assert_eq!(list(&[]), "{}");
        let songs = [entry(1, "a.mp3"), entry(2, "b.mp3")];
        assert_eq!(list(&songs), r#"{"a.mp3": 1, "b.mp3": 2}"#);
        assert_eq!(parse_list("[1]"), None);
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(titles in prop::collection::btree_set(".{0,12}", 0..9)) {
            let entries: Vec<_> =
                (1..).zip(&titles).map(|(id, title)| entry(id, title)).collect();
            let line = list(&entries);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(parse_list(&line), Some(entries));
        }

        #[test]
        fn commands_are_read_as_they_are_written(id in any::<u64>()) {
            prop_assert_eq!(Command::Play(id).to_string().parse(), Ok(Command::Play(id)));
        }
    }
}
