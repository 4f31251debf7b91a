//! Frames of sound that say themselves how long they are: ADTS (ISO/IEC 13818-7, 6.2) and MPEG audio layer III (ISO/IEC
//! 11172-3, 2.4.1.3; 13818-3).

/// A frame of AAC behind an ADTS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Adts<'a> {
    /// What a decoder has to know, as an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    pub(super) config: [u8; 2],
    pub(super) bytes: &'a [u8],
}

/// The first frame of some, and what is behind it.
pub(super) fn adts(bytes: &[u8]) -> Option<(Adts<'_>, &[u8])> {
    let &[0xff, second, third, fourth, fifth, sixth, _, ..] = bytes else { return None };
    if second & 0xf6 != 0xf0 {
        return None;
    }
    let (kind, rate) = ((third >> 6) + 1, third >> 2 & 0xf);
    let channels = (third & 1) << 2 | fourth >> 6;
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    let head = if second & 1 == 1 { 7 } else { 9 };
    let (frame, rest) = bytes.split_at_checked(length)?;
    let config = [kind << 3 | rate >> 1, (rate & 1) << 7 | channels << 3];
    Some((Adts { config, bytes: frame.get(head..)? }, rest))
}

/// Kilobits a second of layer III, by their number from 1 on: MPEG-1, and MPEG-2 and 2.5.
const KILOBITS: [[u32; 14]; 2] = [
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Samples a second, by their number: MPEG-1.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// The first frame of layer III, and what is behind it.
pub(super) fn mp3(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[0xff, second, third, _, ..] = bytes else { return None };
    // Layer III is 01.
    if second & 0xe6 != 0xe2 {
        return None;
    }
    let (divisor, table, samples) = match second >> 3 & 3 {
        3 => (1, KILOBITS.first()?, 144),
        2 => (2, KILOBITS.last()?, 72),
        0 => (4, KILOBITS.last()?, 72),
        _ => return None,
    };
    let kilobits = table.get(usize::from(third >> 4).checked_sub(1)?)?;
    let rate = RATES.get(usize::from(third >> 2 & 3))? / divisor;
    let length = samples * 1000 * kilobits / rate + u32::from(third >> 1 & 1);
    bytes.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_where_the_next_one_is() {
        // AAC-LC, 48 kHz, two channels, 10 bytes in all.
        let bytes = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x5f, 0xfc, 1, 2, 3, 9];
        let (frame, rest) = adts(&bytes).unwrap();
        assert_eq!((frame.config, frame.bytes, rest), ([0x11, 0x90], &[1, 2, 3][..], &[9][..]));
        assert_eq!(adts(&bytes[..9]), None, "it is cut");

        // MPEG-1 layer III, 128 kbit/s, 44.1 kHz, padded.
        let mut bytes = vec![0xff, 0xfb, 0x92, 0];
        bytes.resize(500, 0);
        assert_eq!(mp3(&bytes).unwrap().0.len(), 418);
        assert_eq!(mp3(&[0xff, 0xfb, 0xf0, 0]), None);
        assert_eq!(mp3(&[]), None);
    }
}
