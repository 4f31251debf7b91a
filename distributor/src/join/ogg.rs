//! Ogg (RFC 3533) with Vorbis, Opus, FLAC or Speex in it.
//!
//! ```text
//!   header pages of each logical stream │ page │ page, goes on │ page │ ...
//!   header                                └ join point          └ join point
//! ```
//!
//! A page is a join point if its first packet begins in it. Where a chain goes on with a new
//! logical stream, a new header begins. What is not known cannot be told from its headers: raw.

use bytes::Bytes;

use super::{
    Step,
    found::Found,
    limits::{HEADER_BYTES_MAX, TRACKS_MAX},
    read::{be16, le32, search},
};

#[derive(Debug, Default)]
pub(super) struct Ogg {
    logical: Vec<Logical>,
    header: Vec<u8>,
    ready: bool,
    lost: bool,
}

#[derive(Debug)]
struct Logical {
    serial: u32,
    /// Header packets still to come.
    left: usize,
}

/// A page's head.
struct Page<'a> {
    continues: bool,
    begins_stream: bool,
    serial: u32,
    lacing: &'a [u8],
    len: usize,
}

const HEAD: usize = 27;

impl Ogg {
    pub(super) fn lose(&mut self) -> bool {
        self.lost = true;
        if !self.ready {
            // Half a header is none; another may begin later.
            self.logical.clear();
            self.header.clear();
        }
        true
    }

    pub(super) fn step(&mut self, at: u64, bytes: &[u8], found: &mut Found) -> Step {
        if self.lost {
            match search(bytes, HEAD, |window| self.is_page(window)) {
                Ok(()) => self.lost = false,
                Err(step) => return step,
            }
        }
        let page = match Page::parse(bytes) {
            Ok(Some(page)) => page,
            Ok(None) => {
                self.lose();
                return Step::Used(1);
            }
            Err(wanted) => return Step::More(wanted),
        };
        if page.begins_stream {
            return self.begin(&page, bytes, found);
        }
        match self.logical.iter().position(|logical| logical.serial == page.serial) {
            Some(index) if !self.ready => self.header_page(index, &page, bytes, found),
            Some(_) if !page.continues => {
                found.point(at);
                Step::Used(page.len as u64)
            }
            _ => Step::Used(page.len as u64),
        }
    }

    fn is_page(&self, window: &[u8]) -> bool {
        let serial = le32(window, 14);
        window.starts_with(b"OggS\0")
            && (self.logical.is_empty()
                || self.logical.iter().any(|logical| Some(logical.serial) == serial))
    }

    fn begin(&mut self, page: &Page<'_>, bytes: &[u8], found: &mut Found) -> Step {
        let Some(unit) = bytes.get(..page.len) else { return Step::More(page.len) };
        if self.ready {
            (self.ready, self.header) = (false, Vec::new());
            self.logical.clear();
        }
        let body = unit.get(HEAD + page.lacing.len()..).unwrap_or_default();
        let Some(left) = header_packets(body).filter(|_| self.logical.len() < TRACKS_MAX) else {
            return Step::Raw;
        };
        self.logical.push(Logical { serial: page.serial, left });
        let index = self.logical.len() - 1;
        self.header_page(index, page, bytes, found)
    }

    fn header_page(
        &mut self,
        index: usize,
        page: &Page<'_>,
        bytes: &[u8],
        found: &mut Found,
    ) -> Step {
        let Some(unit) = bytes.get(..page.len) else { return Step::More(page.len) };
        let Some(logical) = self.logical.get_mut(index).filter(|logical| logical.left > 0) else {
            // Sound of one logical stream before the header of another is whole.
            return Step::Used(page.len as u64);
        };
        let ended = page.lacing.iter().filter(|&&len| len < 255).count();
        logical.left = logical.left.saturating_sub(ended);
        if self.header.len() + unit.len() > HEADER_BYTES_MAX {
            return Step::Raw;
        }
        self.header.extend_from_slice(unit);
        if self.logical.iter().all(|logical| logical.left == 0) {
            self.ready = true;
            found.set_header(vec![Bytes::copy_from_slice(&self.header)]);
        }
        Step::Used(page.len as u64)
    }
}

impl<'a> Page<'a> {
    /// The page here; `None` where this is none. `Err`: so many bytes are needed to tell.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, usize> {
        let head = bytes.get(..HEAD).ok_or(HEAD)?;
        let [b'O', b'g', b'g', b'S', 0, flags, ..] = *head else { return Ok(None) };
        let segments = usize::from(head.last().copied().unwrap_or_default());
        let lacing = bytes.get(HEAD..HEAD + segments).ok_or(HEAD + segments)?;
        let body: usize = lacing.iter().copied().map(usize::from).sum();
        Ok(Some(Self {
            continues: flags & 1 != 0,
            begins_stream: flags & 2 != 0,
            serial: le32(head, 14).unwrap_or_default(),
            lacing,
            len: HEAD + segments + body,
        }))
    }
}

/// How many packets the header of a logical stream has, by the first of them; `None` for a codec
/// that is not known.
fn header_packets(first: &[u8]) -> Option<usize> {
    if first.starts_with(b"\x01vorbis") {
        return Some(3);
    }
    if first.starts_with(b"OpusHead") || first.starts_with(b"Speex   ") {
        return Some(2);
    }
    // How many follow is in it; 0 means that nobody knows.
    let follow = be16(first, 7).filter(|&follow| follow > 0)?;
    first.starts_with(b"\x7fFLAC").then_some(1 + usize::from(follow))
}
