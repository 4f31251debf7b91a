//! NAL units behind start codes (ITU-T H.264, annex B), out of those behind their lengths (ISO/IEC 14496-15).

/// What goes before a NAL unit.
const START: [u8; 4] = [0, 0, 0, 1];

/// `nal_unit_type` of a slice of a picture that needs no other (ITU-T H.264, table 7-1).
const IDR: u8 = 5;

/// Add the units of a sample to `out`; is the sample whole?
pub(crate) fn convert(sample: &[u8], length_bytes: usize, out: &mut Vec<u8>) -> bool {
    let mut rest = sample;
    while let Some((length, behind)) = rest.split_at_checked(length_bytes) {
        let length = length.iter().fold(0_usize, |all, &byte| all << 8 | usize::from(byte));
        let Some((unit, behind)) = behind.split_at_checked(length) else { return false };
        add(unit, out);
        rest = behind;
        if rest.is_empty() {
            return true;
        }
    }
    rest.is_empty()
}

/// Add one unit to `out`.
pub(crate) fn add(unit: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START);
    out.extend_from_slice(unit);
}

/// Types of the units in bytes that have start codes.
pub(crate) fn kinds(units: &[u8]) -> impl Iterator<Item = u8> {
    let starts = units.windows(4).filter(|at| at.starts_with(&[0, 0, 1]));
    starts.filter_map(|at| at.last().map(|first| first & 0x1f))
}

/// `profile_idc` of the parameters among them (ITU-T H.264, 7.3.2.1.1).
#[cfg(feature = "openh264")]
pub(crate) fn profile(units: &[u8]) -> Option<u8> {
    const PARAMETERS: u8 = 7;
    units.windows(5).find_map(|at| match *at {
        [0, 0, 1, kind, profile] if kind & 0x1f == PARAMETERS => Some(profile),
        _ => None,
    })
}

/// Is there a part of a picture among them (ITU-T H.264, table 7-1)?
#[cfg(feature = "openh264")]
pub(crate) fn has_picture(units: &[u8]) -> bool {
    kinds(units).any(|kind| (1..=IDR).contains(&kind))
}

/// Is there a picture among them that needs no other?
pub(crate) fn has_idr(units: &[u8]) -> bool {
    kinds(units).any(|kind| kind == IDR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_start_codes_and_a_cut_is_seen() {
        let mut out = Vec::new();
        assert!(convert(&[0, 2, 0x67, 1, 0, 1, 0x65], 2, &mut out));
        assert_eq!(out, [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65]);
        assert!(has_idr(&out));
        assert_eq!(kinds(&out).collect::<Vec<_>>(), [7, 5]);
        assert!(!convert(&[0, 9, 0x65], 2, &mut out));
        assert!(!convert(&[0], 2, &mut out));
    }
}
