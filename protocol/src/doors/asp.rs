//! asp: lines of text in both directions, the video as lines of base64.
//!
//! ```text
//!   C: LIST          S: 200 1,one.mp4,video/mp4;2,two.mp4,video/mp4;
//!   C: WATCH 1       S: 200 Starting video stream: one.mp4
//!                       base64 of 8,192 bytes, a line each; the last may be shorter
//!                       END_OF_DOWNLOAD
//!                       200 Video stream completed
//! ```
//!
//! Neither a space nor a digit with a space behind it is base64's, so that an error that comes in place
//! of a line of the video is told from one.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Entry, number, word};
use crate::limits::{
    ASP_CHUNK_BYTES, ASP_EMAIL_CHARS_MAX, ASP_LINE_CHARS_MAX, ASP_PSEUDO_CHARS_MAX,
};

/// The port that the protocol is at home on.
pub const PORT: u16 = 1986;

/// What a server says first.
pub const WELCOME: &str = "Welcome to the Amar Streaming Platform !";

/// The answer to a pseudo that is taken.
pub const VALID_PSEUDO: &str = "Valid pseudo";

/// The answer to an email that is taken.
pub const VALID_EMAIL: &str = "Valid email";

/// The answer to a pseudo or an email that is not; another one may be tried.
pub const INVALID_ENTRY: &str = "Invalid entry.";

/// What stands after the last line of a video.
pub const END_OF_DOWNLOAD: &str = "END_OF_DOWNLOAD";

/// What ends a video.
pub const COMPLETED: &str = "200 Video stream completed";

/// The answer to a deletion.
pub const DELETED: &str = "200 Video deleted";

/// The answer to a client that leaves.
pub const BYE: &str = "200 Bye";

const STARTING: &str = "200 Starting video stream: ";

/// What a client asks for, once it has said who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Which videos are there?
    List,
    /// Send the video of that number.
    Watch(u64),
    /// Remove it.
    Delete(u64),
    /// That was all.
    Quit,
}

/// A command's own error, as the line that says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no video of that number.
    #[error("404 Video not found")]
    NotFound,
    /// The command is none.
    #[error("400 Commande inconnue: {word}")]
    Unknown {
        /// How it begins.
        word: String,
    },
    /// The command needs a number.
    #[error("400 Missing video id")]
    MissingId,
    /// Nobody may delete here.
    #[error("403 Not allowed")]
    NotAllowed,
    /// It is not the client's fault.
    #[error("500 Erreur serveur: {what}")]
    Server {
        /// What it is.
        what: String,
    },
}

/// Words in any letter case. What stands in the place of a number and is none is no video's.
impl FromStr for Command {
    type Err = Refusal;

    fn from_str(line: &str) -> Result<Self, Refusal> {
        let line = line.trim();
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let id = || match rest.trim() {
            "" => Err(Refusal::MissingId),
            rest => number(rest).ok_or(Refusal::NotFound),
        };
        match verb.to_ascii_uppercase().as_str() {
            "LIST" => Ok(Self::List),
            "WATCH" => Ok(Self::Watch(id()?)),
            "DELETE" => Ok(Self::Delete(id()?)),
            "QUIT" => Ok(Self::Quit),
            _ => Err(Refusal::Unknown { word: word(line) }),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("LIST"),
            Self::Watch(id) => write!(f, "WATCH {id}"),
            Self::Delete(id) => write!(f, "DELETE {id}"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

/// Is this a pseudo: something to read, on one line, not too long?
#[must_use]
pub fn is_pseudo(text: &str) -> bool {
    is_entry(text, ASP_PSEUDO_CHARS_MAX)
}

/// Is this an email, as far as can be told without sending one?
#[must_use]
pub fn is_email(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    let is_address = parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    is_entry(text, ASP_EMAIL_CHARS_MAX) && is_address && !text.contains(char::is_whitespace)
}

fn is_entry(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control)
}

/// The answer to `LIST`, without its line ending.
#[must_use]
pub fn list(entries: &[Entry]) -> String {
    let mut line = String::from("200 ");
    for Entry { id, title, description } in entries {
        line += &format!("{id},{},{};", field(title), field(description));
    }
    line
}

/// A text that ends neither its field nor its line.
fn field(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ',' | ';') || c.is_control() { ' ' } else { c }).collect()
}

/// What a list says; `None` where it is none.
#[must_use]
pub fn parse_list(line: &str) -> Option<Vec<Entry>> {
    let entries = line.strip_prefix("200")?.trim_start().split_terminator(';');
    entries
        .map(|entry| {
            let mut fields = entry.splitn(3, ',');
            let id = number(fields.next()?)?;
            let (title, description) = (fields.next()?.into(), fields.next()?.into());
            Some(Entry { id, title, description })
        })
        .collect()
}

/// What comes before a video of that title, without its line ending.
#[must_use]
pub fn starting(title: &str) -> String {
    format!("{STARTING}{}", field(title))
}

/// A line of a video with its ending.
#[must_use]
pub fn data_line(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(ASP_LINE_CHARS_MAX + 1);
    STANDARD.encode_string(bytes, &mut line);
    line.push('\n');
    line
}

/// What a line means to whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The video begins.
    Started {
        /// Its title.
        title: String,
    },
    /// Bytes of it.
    Bytes(Vec<u8>),
    /// There are no more.
    Ending,
    /// All of it has come.
    Completed,
}

/// Why a video cannot be watched, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The server says no.
    #[error("the server says: {line}")]
    Refused {
        /// Its line.
        line: String,
    },
    /// It says something that does not belong there.
    #[error("not a line of a video: {line:?}")]
    Unexpected {
        /// How the line begins.
        line: String,
    },
}

/// Reads the answer to `WATCH`, line by line.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchReader {
    has_started: bool,
    has_ended: bool,
}

impl WatchReader {
    /// What the next line means.
    ///
    /// # Errors
    ///
    /// The server refuses, or breaks off, or speaks of something else.
    pub fn line(&mut self, line: &str) -> Result<Watched, WatchError> {
        let begin = || line.chars().take(80).collect();
        if !self.has_started {
            let title = line.strip_prefix(STARTING);
            let title = title.ok_or_else(|| WatchError::Refused { line: begin() })?;
            self.has_started = true;
            return Ok(Watched::Started { title: title.into() });
        }
        if line == END_OF_DOWNLOAD && !self.has_ended {
            self.has_ended = true;
            return Ok(Watched::Ending);
        }
        if self.has_ended {
            let is_end = line == COMPLETED;
            let unexpected = || WatchError::Unexpected { line: begin() };
            return is_end.then_some(Watched::Completed).ok_or_else(unexpected);
        }
        if line.starts_with("500 ") {
            return Err(WatchError::Refused { line: begin() });
        }
        match STANDARD.decode(line) {
            Ok(bytes) if bytes.len() <= ASP_CHUNK_BYTES => Ok(Watched::Bytes(bytes)),
            _ => Err(WatchError::Unexpected { line: begin() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doors::LineReader;

    fn entry(id: u64, title: &str, description: &str) -> Entry {
        Entry { id, title: title.into(), description: description.into() }
    }

    /// A session as it is on the wire, `C` and `S` before the lines of either side.
    const SESSION: &str = "\
        4c 49 53 54 0a                                              C LIST\n\
        32 30 30 20                                                 S 200 (a space)\n\
        31 2c 61 2e 6d 70 34 2c 76 69 64 65 6f 3b 0a                S 1,a.mp4,video;\n\
        57 41 54 43 48 20 31 0a                                     C WATCH 1\n\
        32 30 30 20 53 74 61 72 74 69 6e 67 20 76 69 64 65 6f 20    S 200 Starting video\n\
        73 74 72 65 61 6d 3a 20 61 2e 6d 70 34 0a                   S stream: a.mp4\n\
        41 51 49 3d 0a                                              S AQI= (01 02)\n\
        45 4e 44 5f 4f 46 5f 44 4f 57 4e 4c 4f 41 44 0a             S END_OF_DOWNLOAD\n\
        32 30 30 20 56 69 64 65 6f 20 73 74 72 65 61 6d 20          S 200 Video stream\n\
        63 6f 6d 70 6c 65 74 65 64 0a                               S completed\n";

    fn spoken(side: char) -> Vec<u8> {
        let of_side = |line: &&str| line.get(60..61) == Some(&side.to_string());
        let lines = SESSION.lines().filter(of_side).map(|line| line.get(..60).unwrap());
        let hex = lines.flat_map(str::split_whitespace);
        hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn a_session_is_these_bytes() {
        assert_eq!(format!("{}\n{}\n", Command::List, Command::Watch(1)).as_bytes(), spoken('C'));
        let list = list(&[entry(1, "a.mp4", "video")]);
        let (start, data) = (starting("a.mp4"), data_line(&[1, 2]));
        let said = format!("{list}\n{start}\n{data}{END_OF_DOWNLOAD}\n{COMPLETED}\n");
        assert_eq!(said.as_bytes(), spoken('S'), "{said}");

        let mut reader = LineReader::new(100);
        reader.push(&spoken('S'));
        let mut lines = std::iter::from_fn(|| reader.next_line()).map(Result::unwrap);
        assert_eq!(parse_list(&lines.next().unwrap()), Some(vec![entry(1, "a.mp4", "video")]));
        let mut watch = WatchReader::default();
        let read: Vec<_> = lines.map(|line| watch.line(&line).unwrap()).collect();
        let title = "a.mp4".into();
        let bytes = Watched::Bytes(vec![1, 2]);
        assert_eq!(read, [Watched::Started { title }, bytes, Watched::Ending, Watched::Completed]);
    }

    #[test]
    fn commands_are_read_in_any_case_and_refused_in_the_servers_words() {
        for (line, command) in [
            ("list", Command::List),
            (" Watch  12 ", Command::Watch(12)),
            ("dELETE 3", Command::Delete(3)),
            ("QUIT now", Command::Quit),
        ] {
            assert_eq!(line.parse(), Ok(command), "{line}");
        }
        for (line, told) in [
            ("", "400 Commande inconnue: "),
            ("DANCE\u{7} 1", "400 Commande inconnue: DANCE"),
            ("WATCH", "400 Missing video id"),
            ("DELETE  ", "400 Missing video id"),
            ("WATCH one", "404 Video not found"),
            ("WATCH -1", "404 Video not found"),
            ("WATCH 99999999999999999999", "404 Video not found"),
        ] {
            assert_eq!(line.parse::<Command>().unwrap_err().to_string(), told);
        }
        let long: Refusal = "x".repeat(500).parse::<Command>().unwrap_err();
        assert!(long.to_string().len() < 100);
    }

    #[test]
    fn a_pseudo_and_an_email_have_to_be_some() {
        for (text, pseudo, email) in [
            ("", false, false),
            ("   ", false, false),
            ("amar", true, false),
            ("Amar the 1st", true, false),
            ("a\u{7}b", false, false),
            ("a@b.c", true, true),
            ("@b", true, false),
            ("a@", true, false),
            ("a b@c", true, false),
        ] {
            assert_eq!((is_pseudo(text), is_email(text)), (pseudo, email), "{text:?}");
        }
        assert!(is_pseudo(&"é".repeat(32)) && !is_pseudo(&"é".repeat(33)));
        assert!(!is_email(&format!("{}@b.c", "a".repeat(300))));
    }

    #[test]
    fn a_full_line_has_the_length_that_is_promised() {
        assert_eq!(data_line(&[0; ASP_CHUNK_BYTES]).len(), ASP_LINE_CHARS_MAX + 1);
    }

    #[test]
    fn whoever_watches_is_told_what_goes_wrong() {
        let refused = WatchReader::default().line("404 Video not found").unwrap_err();
        assert_eq!(refused.to_string(), "the server says: 404 Video not found");
        let mut reader = WatchReader::default();
        reader.line(&starting("x")).unwrap();
        assert!(matches!(reader.line("500 Erreur serveur: x"), Err(WatchError::Refused { .. })));
        assert!(matches!(reader.line("QQ"), Err(WatchError::Unexpected { .. })));
        let more = STANDARD.encode([0; ASP_CHUNK_BYTES + 1]);
        assert!(matches!(reader.line(&more), Err(WatchError::Unexpected { .. })));
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(
            titles in prop::collection::vec(("[^,;\\p{Cc}]{0,12}", "[^,;\\p{Cc}]{0,12}"), 0..9),
        ) {
            let entries: Vec<_> =
                (1..).zip(&titles).map(|(id, (title, text))| entry(id, title, text)).collect();
            prop_assert_eq!(parse_list(&list(&entries)), Some(entries));
        }

        #[test]
        fn no_title_breaks_the_list(title in ".{0,20}") {
            let read = parse_list(&list(&[entry(1, &title, &title), entry(2, "b", "")])).unwrap();
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(&read[1], &entry(2, "b", ""));
        }

        #[test]
        fn a_video_is_read_as_it_was_written(
            video in prop::collection::vec(any::<u8>(), 0..40_000), size in 1_usize..3000,
        ) {
            let mut wire = format!("{}\n", starting("x"));
            video.chunks(ASP_CHUNK_BYTES).for_each(|chunk| wire += &data_line(chunk));
            wire += &format!("{END_OF_DOWNLOAD}\r\n{COMPLETED}\n");
            let (mut lines, mut reader) = (LineReader::new(ASP_LINE_CHARS_MAX), WatchReader::default());
            let (mut read, mut is_complete) = (Vec::new(), false);
            for slice in wire.as_bytes().chunks(size) {
                lines.push(slice);
                while let Some(line) = lines.next_line() {
                    match reader.line(&line.unwrap()).unwrap() {
                        Watched::Bytes(bytes) => read.extend(bytes),
                        Watched::Completed => is_complete = true,
                        Watched::Started { .. } | Watched::Ending => {}
                    }
                }
            }
            prop_assert!(is_complete);
            prop_assert!(read == video);
        }
    }
}
