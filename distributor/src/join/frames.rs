//! MPEG audio (MP1, MP2, MP3) and ADTS (AAC): frames, and nothing around them but ID3 tags.
//!
//! ```text
//!   ID3 │ frame │ frame │ frame │ ...      no header; each frame is a join point
//! ```
//!
//! A frame is believed once two more of its kind follow where it says that it ends.

use super::{
    Step,
    found::Found,
    limits::FRAMES_PROBATION_BYTES,
    read::{be32, is_sane},
};

#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What all frames have in common; `None` while lost.
    kind: Option<u32>,
    /// Was there ever a frame?
    proven: bool,
    /// Bytes searched before the first one.
    searched: u64,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    len: usize,
    kind: u32,
}

const HEAD: usize = 6;
const ID3_HEAD: usize = 10;

impl Frames {
    pub(super) fn lose(&mut self) -> bool {
        self.kind = None;
        true
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if bytes.starts_with(b"ID3") && (self.kind.is_some() || !self.proven) {
            match id3(bytes) {
                Ok(Some(len)) => return Step::Used(len),
                Ok(None) => {}
                Err(wanted) => return Step::More(wanted),
            }
        }
        let frame = match self.kind {
            Some(kind) => {
                if bytes.len() < HEAD {
                    return Step::More(HEAD);
                }
                match Frame::parse(bytes).filter(|frame| frame.kind == kind) {
                    Some(frame) => frame,
                    None => {
                        self.kind = None;
                        return Step::Used(0);
                    }
                }
            }
            None => match self.search(bytes) {
                Ok(frame) => frame,
                Err(step) => return step,
            },
        };
        (self.kind, self.proven) = (Some(frame.kind), true);
        found.point(at);
        Step::Used(frame.len as u64)
    }

    fn search(&mut self, bytes: &[u8]) -> Result<Frame, Step> {
        let before = bytes.iter().position(|&byte| byte == 0xff).unwrap_or(bytes.len());
        let step = match before {
            0 => match chain(bytes) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => Step::Used(1),
                Err(wanted) => return Err(Step::More(wanted)),
            },
            _ => Step::Used(before as u64),
        };
        if let Step::Used(used) = step {
            self.searched += used;
        }
        let given_up = !self.proven && self.searched > FRAMES_PROBATION_BYTES;
        Err(if given_up { Step::Raw } else { step })
    }
}

/// The frame here, if two more of its kind follow. `Err`: so many bytes are needed to tell.
pub(super) fn chain(bytes: &[u8]) -> Result<Option<Frame>, usize> {
    if bytes.first().is_some_and(|&byte| byte != 0xff) {
        return Ok(None);
    }
    let (mut at, mut first) = (0, None::<Frame>);
    for _ in 0..3 {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.len() < HEAD {
            return Err(at + HEAD);
        }
        let kind = first.map(|first| first.kind);
        let Some(frame) =
            Frame::parse(rest).filter(|frame| kind.is_none_or(|kind| kind == frame.kind))
        else {
            return Ok(None);
        };
        first.get_or_insert(frame);
        at += frame.len;
    }
    Ok(first)
}

impl Frame {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let head = be32(bytes, 0)?;
        if head >> 21 != 0x7ff {
            return None;
        }
        if head >> 17 & 3 == 0 { adts(head, bytes) } else { mpeg_audio(head) }
    }
}

fn adts(head: u32, bytes: &[u8]) -> Option<Frame> {
    if head >> 20 != 0xfff || head >> 10 & 0xf > 12 {
        return None;
    }
    let len = (be32(bytes, 2)? >> 5 & 0x1fff) as usize;
    // All but the length, the private bit and the two for copyright.
    (len > 7).then_some(Frame { len, kind: head & 0xffff_fdc0 })
}

fn mpeg_audio(head: u32) -> Option<Frame> {
    const BITRATES: [[u16; 15]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    let (version, layer) = (head >> 19 & 3, head >> 17 & 3);
    let (table, halvings) = match (version, layer) {
        (3, 3) => (0, 0),
        (3, 2) => (1, 0),
        (3, 1) => (2, 0),
        (0 | 2, 3) => (3, 1),
        (0 | 2, _) => (4, 1),
        _ => return None,
    };
    let bitrate =
        *BITRATES.get(table)?.get((head >> 12 & 0xf) as usize).filter(|&&rate| rate > 0)?;
    let halvings = halvings + u32::from(version == 0);
    let rate = RATES.get((head >> 10 & 3) as usize)? >> halvings;
    let padding = head >> 9 & 1;
    let bits = u32::from(bitrate) * 1_000;
    let len = match (version, layer) {
        (_, 3) => (12 * bits / rate + padding) * 4,
        (0 | 2, 1) => 72 * bits / rate + padding,
        _ => 144 * bits / rate + padding,
    };
    Some(Frame { len: len as usize, kind: head & 0xfffe_0c00 })
}

/// Bytes of the ID3 tag here. `Err`: so many bytes are needed to tell.
fn id3(bytes: &[u8]) -> Result<Option<u64>, usize> {
    let head = bytes.get(..ID3_HEAD).ok_or(ID3_HEAD)?;
    let size = head.get(6..).unwrap_or_default();
    let is_tag = size.iter().all(|&byte| byte < 0x80);
    let size = size.iter().fold(0_u64, |size, &byte| size << 7 | u64::from(byte));
    let len = ID3_HEAD as u64 + size;
    Ok(Some(len).filter(|&len| is_tag && is_sane(len)))
}
