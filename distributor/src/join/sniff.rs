//! Which container it is, by the first bytes.

use super::{Container, frames, mpegts};

/// What the first bytes say.
pub(super) enum Sniffed {
    Is(Container),
    /// So many must be seen.
    More(usize),
}

/// A byte of a template that may be anything.
const ANY: u16 = 0x100;

const fn c(letter: u8) -> u16 {
    letter as u16
}

/// How containers begin. An MP4's first box is shorter than 16 MiB.
const TEMPLATES: [(&[u16], Container); 7] = [
    (&[0x1a, 0x45, 0xdf, 0xa3], Container::Webm),
    (&[c(b'O'), c(b'g'), c(b'g'), c(b'S'), 0], Container::Ogg),
    (&[c(b'f'), c(b'L'), c(b'a'), c(b'C')], Container::Flac),
    (&[c(b'F'), c(b'L'), c(b'V'), 1], Container::Flv),
    (&[c(b'I'), c(b'D'), c(b'3')], Container::Frames),
    (&[0, ANY, ANY, ANY, c(b'f'), c(b't'), c(b'y'), c(b'p')], Container::Mp4),
    (
        &[
            c(b'R'),
            c(b'I'),
            c(b'F'),
            c(b'F'),
            ANY,
            ANY,
            ANY,
            ANY,
            c(b'W'),
            c(b'A'),
            c(b'V'),
            c(b'E'),
        ],
        Container::Wav,
    ),
];

pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    for (template, container) in TEMPLATES {
        let fits = template
            .iter()
            .zip(bytes)
            .all(|(&wanted, &byte)| wanted == ANY || wanted == u16::from(byte));
        if fits && bytes.len() < template.len() {
            // One more may rule it out.
            return Sniffed::More(bytes.len() + 1);
        }
        if fits {
            return Sniffed::Is(container);
        }
    }
    match mpegts::begins(bytes) {
        Ok(true) => return Sniffed::Is(Container::MpegTs),
        Ok(false) => {}
        Err(wanted) => return Sniffed::More(wanted),
    }
    match frames::chain(bytes) {
        Ok(Some(_)) => Sniffed::Is(Container::Frames),
        Ok(None) => Sniffed::Is(Container::Raw),
        Err(wanted) => Sniffed::More(wanted),
    }
}
