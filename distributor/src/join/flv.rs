//! FLV: tags of sound, picture and script data.
//!
//! ```text
//!   FLV onMetaData AVC-config AAC-config │ key frame │ sound │ frame │ ... │ key frame │ ...
//!   header                                 └ join point                      └ join point
//! ```

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::UNIT_BYTES_MAX,
    read::{be24, be32, search},
};

#[derive(Debug, Default)]
pub(super) struct Flv {
    /// The file's header; empty until it has come.
    start: Bytes,
    has_video: bool,
    lost: bool,
    script: Bytes,
    video: Bytes,
    sound: Bytes,
    /// Does the header that was told lack what came since?
    changed: bool,
}

/// A tag's head, and the beginning of what is in it.
#[derive(Clone, Copy, Debug)]
struct Tag {
    kind: u8,
    /// All of it, the length behind it included.
    len: usize,
    first: u8,
    second: u8,
}

const FILE_HEAD: usize = 9;
const TAG_HEAD: usize = 11;
const SOUND: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;

impl Flv {
    pub(super) fn lose(&mut self) -> bool {
        self.lost = true;
        !self.start.is_empty()
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if self.start.is_empty() {
            return self.file_head(bytes);
        }
        if self.lost {
            match search_tag(bytes) {
                Ok(()) => self.lost = false,
                Err(step) => return step,
            }
        }
        let Some(head) = bytes.get(..TAG_HEAD + 2) else { return Step::More(TAG_HEAD + 2) };
        let Some(tag) = Tag::parse(head) else {
            if head.starts_with(b"FLV\x01") {
                // Another file begins.
                *self = Self::default();
                return Step::Used(0);
            }
            self.lose();
            return Step::Used(1);
        };
        if !tag.is_config() {
            return self.content(at, tag, found);
        }
        if tag.len > UNIT_BYTES_MAX {
            return Step::Raw;
        }
        let Some(unit) = bytes.get(..tag.len) else { return Step::More(tag.len) };
        self.config(tag, unit);
        Step::Used(tag.len as u64)
    }

    fn file_head(&mut self, bytes: &[u8]) -> Step {
        let len = be32(bytes, 5).unwrap_or(0) as usize;
        if bytes.len() < FILE_HEAD + 4 {
            return Step::More(FILE_HEAD + 4);
        }
        let (FILE_HEAD, Some(unit)) = (len, bytes.get(..FILE_HEAD + 4)) else { return Step::Raw };
        self.start = Bytes::copy_from_slice(unit);
        self.has_video = unit.get(4).is_some_and(|flags| flags & 1 != 0);
        self.changed = true;
        Step::Used(unit.len() as u64)
    }

    fn config(&mut self, tag: Tag, unit: &[u8]) {
        let place = match tag.kind {
            SCRIPT => &mut self.script,
            VIDEO => &mut self.video,
            _ => &mut self.sound,
        };
        if place != unit {
            *place = Bytes::copy_from_slice(unit);
            self.changed = true;
        }
    }

    fn content(&mut self, at: u64, tag: Tag, found: &mut Found) -> Step {
        if self.changed {
            self.changed = false;
            let parts = [&self.start, &self.script, &self.video, &self.sound];
            found.set_header(parts.into_iter().cloned().collect());
        }
        if tag.kind == VIDEO {
            self.has_video = true;
        }
        if tag.is_key_frame() || (tag.kind == SOUND && !self.has_video) {
            found.point(at);
        }
        Step::Used(tag.len as u64)
    }
}

impl Tag {
    /// The tag whose head and first two bytes these are.
    fn parse(head: &[u8]) -> Option<Self> {
        let (kind, size) = (*head.first()?, be24(head, 1)?);
        let is_tag = matches!(kind, SOUND | VIDEO | SCRIPT) && be24(head, 8)? == 0;
        let (first, second) = (*head.get(TAG_HEAD)?, *head.get(TAG_HEAD + 1)?);
        is_tag.then_some(Self { kind, len: TAG_HEAD + size as usize + 4, first, second })
    }

    /// Enhanced RTMP: a codec by its name, and its packet type in the first byte.
    fn is_enhanced(self) -> bool {
        self.kind == VIDEO && self.first & 0x80 != 0 || self.kind == SOUND && self.first >> 4 == 9
    }

    /// Does a decoder need it before anything else?
    fn is_config(self) -> bool {
        match self.kind {
            SCRIPT => true,
            _ if self.is_enhanced() => self.first & 0xf == 0,
            VIDEO => matches!(self.first & 0xf, 7 | 12) && self.second == 0,
            _ => self.first >> 4 == 10 && self.second == 0,
        }
    }

    fn is_key_frame(self) -> bool {
        let is_frame = match self.first & 0xf {
            kind if self.is_enhanced() => matches!(kind, 1 | 3),
            7 | 12 => self.second == 1,
            _ => true,
        };
        self.kind == VIDEO && self.first >> 4 & 7 == 1 && is_frame
    }
}

/// Go on to the first place at which a tag is followed by its own length and by another tag.
fn search_tag(bytes: &[u8]) -> Result<(), Step> {
    let may_begin = |window: &[u8]| Tag::parse(window).is_some_and(|tag| tag.len <= UNIT_BYTES_MAX);
    search(bytes, TAG_HEAD + 2, may_begin)?;
    let Some(tag) = Tag::parse(bytes) else { return Err(Step::Used(1)) };
    let next = bytes.get(tag.len..).filter(|next| !next.is_empty());
    let next = *next.and_then(<[u8]>::first).ok_or(Step::More(tag.len + 1))?;
    let told = be32(bytes, tag.len - 4).unwrap_or_default() as usize;
    let follows = told == tag.len - 4 && matches!(next, SOUND | VIDEO | SCRIPT);
    if follows { Ok(()) } else { Err(Step::Used(1)) }
}
