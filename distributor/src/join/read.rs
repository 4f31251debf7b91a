//! Numbers in bytes, for parsers that never trust a length: what is not there is `None`.

use super::{Step, limits::SKIP_BYTES_MAX};

/// Two bytes at `at`, most significant first.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// Three bytes at `at`, most significant first.
pub(super) fn be24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk::<3>()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// Four bytes at `at`, most significant first.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// Eight bytes at `at`, most significant first.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_be_bytes)
}

/// Two bytes at `at`, least significant first.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

/// Four bytes at `at`, least significant first.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The first `len` bytes, or the wish for them; `None` where that is more than `max`.
pub(super) fn whole(bytes: &[u8], len: u64, max: usize) -> Option<Result<&[u8], Step>> {
    let len = usize::try_from(len).ok().filter(|&len| len <= max)?;
    Some(bytes.get(..len).ok_or(Step::More(len)))
}

/// May a unit be that long?
pub(super) fn is_sane(len: u64) -> bool {
    len <= SKIP_BYTES_MAX
}

/// Go on to the first place in `bytes` at which `is_start` holds of the `window` bytes there; true
/// where that is right here. Finding none costs all but what may be the beginning of one.
pub(super) fn search(
    bytes: &[u8],
    window: usize,
    is_start: impl Fn(&[u8]) -> bool,
) -> Result<(), Step> {
    if bytes.len() < window {
        return Err(Step::More(window));
    }
    match bytes.windows(window).position(is_start) {
        Some(0) => Ok(()),
        Some(before) => Err(Step::Used(before as u64)),
        None => Err(Step::Used((bytes.len() + 1 - window) as u64)),
    }
}
