//! Which coded frames need no other, by what they begin with.

use super::{Avc, Coding};
use crate::picture::start_code;

/// Type of an OBU that tells what follows (AV1 bitstream specification, 6.2.2): it is there with each key frame.
const SEQUENCE_HEADER: u8 = 1;

/// Can it be decoded without any before it?
pub(super) fn is_key(coding: &Coding, bytes: &[u8]) -> bool {
    match coding {
        Coding::H264(Avc { length_bytes: Some(length), .. }) => {
            let mut units = Vec::new();
            start_code::convert(bytes, *length, &mut units);
            start_code::has_idr(&units)
        }
        Coding::H264(_) => start_code::has_idr(bytes),
        Coding::Vp9 => is_vp9_key(bytes),
        Coding::Av1 { .. } => has_sequence_header(bytes),
        Coding::Sound(_) | Coding::Other(_) => true,
    }
}

/// `frame_type` behind a marker, the profile, and whether an older frame is shown again (VP9 bitstream
/// specification, 6.2).
fn is_vp9_key(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else { return false };
    let is_profile_3 = first & 0x30 == 0x30;
    let rest = if is_profile_3 { first << 5 } else { first << 4 };
    rest & 0xc0 == 0
}

fn has_sequence_header(mut bytes: &[u8]) -> bool {
    while let Some((kind, rest)) = obu(bytes) {
        if kind == SEQUENCE_HEADER {
            return true;
        }
        bytes = rest;
    }
    false
}

/// The type of the first OBU, and what follows it (AV1 bitstream specification, 5.3); `None`: there is none.
fn obu(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (kind, has_extension, has_size) = (first >> 3 & 0xf, first & 4 != 0, first & 2 != 0);
    let rest = rest.get(usize::from(has_extension)..)?;
    if !has_size {
        return Some((kind, &[]));
    }
    let (size, rest) = leb128(rest)?;
    Some((kind, rest.get(size..)?))
}

/// A number in groups of 7 bits, the lowest first (AV1 bitstream specification, 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const BYTES_MAX: usize = 8;
    let length = bytes.iter().take(BYTES_MAX).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length)?;
    let groups = number.iter().rev();
    let number = groups.fold(0_u64, |all, byte| all << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_vp9_are_known_by_their_first_byte() {
        // Marker 2, profile 0, not shown again; then key or not.
        assert!(is_key(&Coding::Vp9, &[0b1000_0010]));
        assert!(!is_key(&Coding::Vp9, &[0b1000_0110]));
        // Profile 3 has one more bit; an older frame that is shown again is no key.
        assert!(is_key(&Coding::Vp9, &[0b1011_0001]));
        assert!(!is_key(&Coding::Vp9, &[0b1000_1000]));
        assert!(!is_key(&Coding::Vp9, &[]));
    }

    #[test]
    fn keys_of_av1_tell_the_sequence() {
        let av1 = Coding::Av1 { config: Vec::new() };
        // A temporal delimiter, a sequence header of two bytes, a frame.
        assert!(is_key(&av1, &[0x12, 0, 0x0a, 2, 1, 2, 0x32, 1, 0]));
        assert!(!is_key(&av1, &[0x12, 0, 0x32, 1, 0]));
        // A size that goes beyond what is there; none at all.
        assert!(!is_key(&av1, &[0x32, 0x80]) && !is_key(&av1, &[0x32, 9]) && !is_key(&av1, &[]));
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
    }
}
