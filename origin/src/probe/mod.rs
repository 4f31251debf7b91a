//! How fast a media file plays: its bytes per second, by what its header says.
//!
//! ```text
//!   MP4        mvhd, mehd, or the times of its fragments ─┐
//!   Matroska   Info: Duration                             ├─▶ length ÷ duration
//!   MP3, FLAC, Ogg, ADTS, ... (lofty)                     ─┘
//!   WAV        fmt: bytes per second
//!   MPEG-TS    first and last PCR: bytes between ÷ time between
//! ```
//!
//! The mean over the whole file: a stream of varying rate then runs ahead of, or behind, its own clock
//! by as much as it varies.

mod matroska;
mod mp4;
mod mpegts;

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, time::Duration};

use lofty::{config::ParseOptions, file::AudioFile, probe::Probe};

use crate::limits::{PROBE_ITEMS_MAX, RATE_MAX};

/// Why a file's bit rate is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// No known kind of media, or one that does not say how long it is.
    #[error("no header that says how long it plays")]
    Unknown,
}

/// Bytes per second at which the media file at `path` plays. Blocks.
///
/// # Errors
///
/// It cannot be read, or does not say how long it plays.
pub fn bytes_per_second(path: &Path) -> Result<u64, ProbeError> {
    let media = Media::open(path)?;
    let rate = match own_rate(&media) {
        Some(rate) => Some(rate),
        None => lofty_duration(path).and_then(|duration| over(media.len, duration)),
    };
    rate.filter(|rate| (1..=RATE_MAX).contains(rate)).ok_or(ProbeError::Unknown)
}

fn own_rate(media: &Media) -> Option<u64> {
    let head = media.read(0, 12)?;
    if head.starts_with(b"RIFF") && head.ends_with(b"WAVE") {
        return wav_rate(media);
    }
    if head.starts_with(&matroska::MAGIC) {
        return over(media.len, matroska::duration(media)?);
    }
    if mp4::is_box(head.get(4..8)?) {
        return over(media.len, mp4::duration(media)?);
    }
    mpegts::rate(media)
}

fn lofty_duration(path: &Path) -> Option<Duration> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let file = Probe::open(path).ok()?.options(options).guess_file_type().ok()?.read().ok()?;
    Some(file.properties().duration())
}

fn over(bytes: u64, duration: Duration) -> Option<u64> {
    let rate = (u128::from(bytes) * 1_000_000_000).checked_div(duration.as_nanos())?;
    u64::try_from(rate).ok()
}

/// `fmt ` says it outright; the length of the data may be a lie where it was written to a pipe.
fn wav_rate(media: &Media) -> Option<u64> {
    let mut at = 12;
    for _ in 0..PROBE_ITEMS_MAX {
        let head = media.read(at, 8)?;
        let bytes = u64::from(u32::from_le_bytes(head.get(4..8)?.try_into().ok()?));
        if head.starts_with(b"fmt ") {
            let rate = media.read(at + 16, 4)?;
            return Some(u32::from_le_bytes(rate.try_into().ok()?).into());
        }
        at = at.checked_add(8 + bytes + bytes % 2)?;
    }
    None
}

/// A file that is looked into here and there.
struct Media {
    file: File,
    len: u64,
}

impl Media {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// Exactly `bytes` bytes at `at`; `None` where there are not so many.
    fn read(&self, at: u64, bytes: usize) -> Option<Vec<u8>> {
        let end = at.checked_add(bytes as u64)?;
        if end > self.len {
            return None;
        }
        let mut buffer = vec![0; bytes];
        self.file.read_exact_at(&mut buffer, at).ok()?;
        Some(buffer)
    }
}

/// A big-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_of(bytes: &[u8]) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("media");
        std::fs::write(&path, bytes).unwrap();
        bytes_per_second(&path).ok()
    }

    /// A box, or a chunk of RIFF with its length little-endian.
    fn mp4_box(kind: &str, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len() + 8).unwrap();
        [&len.to_be_bytes(), kind.as_bytes(), payload].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn element(id: &[u8], payload: &[u8]) -> Vec<u8> {
        let len = u8::try_from(payload.len()).unwrap();
        [id, &[0x40, len], payload].concat()
    }

    #[test]
    fn wav_says_its_rate() {
        let list = [b"LIST", &3u32.to_le_bytes()[..], b"abc\0"].concat();
        let fmt =
            [&b"fmt "[..], &16u32.to_le_bytes(), &[1, 0, 2, 0], &44_100u32.to_le_bytes()].concat();
        let wav = [b"RIFF\0\0\0\0WAVE", &list[..], &fmt, &176_400u32.to_le_bytes(), &[4, 0, 16, 0]];
        assert_eq!(rate_of(&wav.concat()), Some(176_400));
    }

    #[test]
    fn mp4_says_its_duration_wherever_its_moov_is() {
        let mvhd = mp4_box("mvhd", &words(&[0, 0, 0, 1000, 2500]));
        let mdat = mp4_box("mdat", &[0; 9000]);
        let mp4 = [mp4_box("ftyp", b"isom"), mdat, mp4_box("moov", &mvhd)].concat();
        assert_eq!(rate_of(&mp4), Some(mp4.len() as u64 * 1000 / 2500));
        let long = mp4_box("mvhd", &words(&[1 << 24, 0, 0, 0, 0, 1000, 0, 2500]));
        let mp4 = [mp4_box("ftyp", b"isom"), mp4_box("moov", &long), vec![0; 0]].concat();
        assert_eq!(rate_of(&mp4), Some(mp4.len() as u64 * 1000 / 2500));
    }

    #[test]
    fn fragmented_mp4_says_it_in_mehd_or_in_its_fragments() {
        let mvhd = mp4_box("mvhd", &words(&[0, 0, 0, 1000, 0]));
        let mehd = mp4_box("mvex", &mp4_box("mehd", &words(&[0, 4000])));
        let ftyp = mp4_box("ftyp", b"iso5");
        let moov = mp4_box("moov", &[mvhd.clone(), mehd].concat());
        let mp4 = [ftyp.clone(), moov, mp4_box("mdat", &[0; 8000])].concat();
        assert_eq!(rate_of(&mp4), Some(mp4.len() as u64 / 4));

        let tkhd = mp4_box("tkhd", &words(&[0, 0, 0, 7]));
        let mdia = mp4_box("mdia", &mp4_box("mdhd", &words(&[0, 0, 0, 90_000, 0])));
        let trak = mp4_box("trak", &[tkhd, mdia].concat());
        let moov = mp4_box("moov", &[mvhd, trak].concat());
        let moof = |at: u32| {
            let tfhd = mp4_box("tfhd", &words(&[0, 7]));
            let traf = mp4_box("traf", &[tfhd, mp4_box("tfdt", &words(&[0, at]))].concat());
            [mp4_box("moof", &traf), mp4_box("mdat", &[0; 1000])].concat()
        };
        let mp4 = [ftyp, moov, moof(0), moof(90_000), moof(180_000)].concat();
        assert_eq!(rate_of(&mp4), Some(mp4.len() as u64 / 3));
    }

    #[test]
    fn matroska_says_its_duration() {
        let scale = element(&[0x2a, 0xd7, 0xb1], &1_000_000u32.to_be_bytes());
        let duration = element(&[0x44, 0x89], &2000f64.to_be_bytes());
        let info = element(&[0x15, 0x49, 0xa9, 0x66], &[scale, duration].concat());
        let segment =
            [&[0x18, 0x53, 0x80, 0x67, 0xff][..], &element(&[0xec], &[0; 9]), &info].concat();
        let webm = [element(&matroska::MAGIC, b"webm"), segment, vec![0; 5000]].concat();
        assert_eq!(rate_of(&webm), Some(webm.len() as u64 / 2));
    }

    #[test]
    fn a_transport_stream_says_its_rate_by_its_clock() {
        let packet = |pid: u8, pcr: Option<u64>| {
            let mut packet = vec![0x47, 0, pid, if pcr.is_some() { 0x30 } else { 0x10 }];
            if let Some(base) = pcr {
                packet.extend([7, 0x10]);
                packet.extend(&(base << 15).to_be_bytes()[2..]);
            }
            packet.resize(188, 0xff);
            packet
        };
        let begin = (1u64 << 33) - 45_000;
        let ts = [
            packet(0, None),
            packet(1, Some(begin)),
            packet(2, Some(99)),
            [(); 97].map(|()| packet(1, None)).concat(),
            packet(1, Some(45_000)),
            packet(2, Some(1)),
        ];
        assert_eq!(rate_of(&ts.concat()), Some(99 * 188), "one second, over the clock's end");
    }

    #[test]
    fn what_says_nothing_has_no_rate_and_nothing_makes_it_panic() {
        assert_eq!(rate_of(b""), None);
        assert_eq!(rate_of(b"only words, and more of them, and no media in them"), None);
        assert_eq!(rate_of(&[0x47; 3000]), None);
        assert_eq!(rate_of(&[&[0, 0, 0, 0][..], b"ftyp", &[0; 3000]].concat()), None);
        let endless = mp4_box("moov", &[0, 0, 0, 1, b'm', b'v', b'h', b'd', 0, 0, 0, 0]);
        assert_eq!(rate_of(&[mp4_box("ftyp", b"isom"), endless].concat()), None);
    }
}
