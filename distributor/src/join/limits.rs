//! Every bound of the scanners, with the reason for its value.

/// Bytes of a container's header that are kept. Real ones have a few KiB; cover art in an audio
/// file's comments makes hundreds. A stream whose header is larger is raw.
pub(crate) const HEADER_BYTES_MAX: usize = 1 << 20;

/// Bytes of a unit (`moof`, tag, packet) that is looked at as a whole.
pub(crate) const UNIT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a unit that is stepped over. A length beyond this is taken for damage, so that no
/// flipped bit makes a scanner sleep for the rest of a stream.
pub(crate) const SKIP_BYTES_MAX: u64 = 64 << 20;

/// Join points that are remembered one and all: the newest. Of those that are twice as old every
/// second is, and so on, half as many a doubling of age: a stream costs 3,000 at most, in 48 KiB.
pub(crate) const POINTS_KEPT_EXACTLY: u64 = 256;

/// Bytes between two join points of sound without frames: 23 ms of 16-bit stereo at 44.1 kHz.
pub(crate) const WAV_POINT_BYTES: u64 = 4 << 10;

/// Bytes behind an ID3 tag in which a first audio frame is looked for.
pub(crate) const FRAMES_PROBATION_BYTES: u64 = 64 << 10;

/// Tracks, or logical streams, that a header may have and is still looked at.
pub(crate) const TRACKS_MAX: usize = 32;

/// Room that is kept for the next unit; more is given back once a large unit is over.
pub(crate) const PENDING_BYTES_KEPT: usize = 16 << 10;

const _: () = assert!(UNIT_BYTES_MAX as u64 <= SKIP_BYTES_MAX);
