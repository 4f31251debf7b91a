//! What ffmpeg writes to standard error, and what is told of it: its last lines, and plain words for
//! what goes wrong most often. Pure.

use std::collections::VecDeque;

use crate::limits::{COMPLAINT_BYTES_MAX, COMPLAINT_LINES_MAX};

/// The newest lines, in a bounded list.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    lines: VecDeque<String>,
    open: Vec<u8>,
    /// What stands in no line: the name and the password of a URL, which ffmpeg repeats.
    secret: Option<String>,
}

/// What ffmpeg says, and what that means.
const MEANINGS: &[(&str, &str)] = &[
    ("Unknown encoder", "this ffmpeg lacks an encoder that Debian's package ffmpeg has"),
    ("Unknown input format", "this ffmpeg has no support for such a device"),
    ("Cannot open display", "there is no such X display, or no permission to see it"),
    ("Permission denied", "no permission (a camera is for the group video, sound for audio)"),
    ("Device or resource busy", "another program is using it"),
    ("No such file or directory", "it is not there"),
    ("No such device", "it is not there"),
    ("Connection refused", "nobody listens there"),
    ("Name or service not known", "there is no host of that name"),
    ("Invalid data found", "it is no media that ffmpeg knows"),
];

impl Complaints {
    /// Nothing said yet; `secret` will not be told.
    pub(crate) fn new(secret: Option<String>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Bytes of standard error, in any pieces.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => self.close(),
                _ if self.open.len() < COMPLAINT_BYTES_MAX => self.open.push(byte),
                _ => {}
            }
        }
    }

    /// For the end of a sentence: what it means, where that is known, and the lines themselves.
    pub(crate) fn told(&mut self) -> String {
        self.close();
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        let said = lines.join("; ");
        if said.is_empty() {
            return String::new();
        }
        let known = MEANINGS.iter().find(|(words, _)| said.contains(words));
        known.map_or_else(
            || format!(", saying: {said}"),
            |(_, meaning)| format!(": {meaning}. It said: {said}"),
        )
    }

    fn close(&mut self) {
        let text = String::from_utf8_lossy(&self.open).into_owned();
        self.open.clear();
        // No control character of whoever made the media reaches the terminal.
        let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
        let text = match &self.secret {
            Some(secret) => text.replace(secret.as_str(), ""),
            None => text,
        };
        let line = without_address(&text);
        if line.is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        tracing::debug!(line, "ffmpeg");
        if self.lines.len() == COMPLAINT_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }
}

/// A line without `[part @ 0xADDRESS]` before it.
fn without_address(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.filter(|(part, _)| part.contains(" @ 0x")).map_or(line, |(_, rest)| rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let mut complaints = Complaints::default();
        for piece in text.as_bytes().chunks(3) {
            complaints.push(piece);
        }
        complaints.told()
    }

    #[test]
    fn last_words_are_told_in_plain_words() {
        let camera = "[video4linux2,v4l2 @ 0x55a] Cannot open video device /dev/video0: No such file or \
                      directory\n/dev/video0: No such file or directory\n";
        assert_eq!(
            told(camera),
            ": it is not there. It said: Cannot open video device /dev/video0: No such file or \
             directory; /dev/video0: No such file or directory"
        );
        assert_eq!(told("odd\nodd\n\x1b[31m odder"), ", saying: odd; [31m odder");
        assert_eq!(told("\n"), "");
    }

    #[test]
    fn a_password_is_not_told() {
        let mut complaints = Complaints::new(Some("me:secret@".into()));
        complaints.push(b"rtsp://me:secret@cam/a: odd\n");
        assert_eq!(complaints.told(), ", saying: rtsp://cam/a: odd");
    }

    #[test]
    fn endless_complaints_are_bounded() {
        let text: String = (0..1000).map(|line| format!("{line}{}\n", "x".repeat(5000))).collect();
        let told = told(&text);
        assert!(
            told.len() < (COMPLAINT_BYTES_MAX + 2) * COMPLAINT_LINES_MAX + 100,
            "{}",
            told.len()
        );
        assert!(told.contains("999x") && !told.contains("990x"));
    }
}
