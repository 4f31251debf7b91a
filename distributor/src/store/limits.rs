//! Every bound of the store, with the reason for its value.

use std::time::Duration;

/// Bytes of a block that the ring copies chunks into: large enough that allocation is rare, small
/// enough that the last, half-empty one costs nothing.
pub(crate) const RING_BLOCK_BYTES: usize = 64 << 10;

/// Bytes of a chunk that room is made for before it comes: what is larger does not wait for a page, but for its
/// own bytes.
pub(crate) const RING_ROOM_BYTES_MAX: usize = 8 << 10;

/// Rings of one size for which that is done. With a thousand streams a page that was touched has left the
/// processor's caches when its chunk comes, and there is more to do than to wait for it.
pub(crate) const RINGS_FEW: usize = 16;

/// What a chunk in the ring costs beside its bytes: map entry and handle. Counted, so that a
/// stream of one-byte chunks stays within the same memory.
pub(crate) const RING_CHUNK_OVERHEAD_BYTES: usize = 128;

/// Least cost that a ring may be pressed to when the memory of all rings is used up.
pub(crate) const RING_COST_MIN: usize = 128 << 10;

/// Bytes under one checksum on disk. A reader verifies whole records, so this is also the most
/// that is read too much.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 10;

/// Pieces of memory that are gathered for one write to a socket: with what frames them no more than one call takes.
pub(crate) const GATHER_PIECES_MAX: usize = 256;

/// Bytes on their way to the disk, over all streams. More than this and origins wait: a disk that
/// stalls costs this much memory, and no more.
pub(crate) const DISK_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Writes on their way to the disk. Tiny ones are bounded by number.
pub(crate) const DISK_QUEUE_WRITES_MAX: usize = 8 << 10;

/// Writes that are taken from the queue together, and made durable together.
pub(crate) const DISK_BATCH_WRITES_MAX: usize = 1024;

/// How long bytes that nobody waits for gather on their way to the disk. A stream that flows then costs
/// a wake-up and two writes in this time, however small its chunks are; a process that is killed loses so
/// much more of what was not acknowledged.
pub(crate) const DISK_GATHER_TIME: Duration = Duration::from_millis(200);

/// Bytes that do so at most: what leaves the ring before it is written can be read by nobody meanwhile.
pub(crate) const DISK_GATHER_BYTES_MAX: usize = 1 << 20;

/// Segments of one stream that are kept open for writing: the live edge, a backfill, and two to
/// spare. Two descriptors each.
pub(crate) const SEGMENTS_OPEN_MAX: usize = 4;

/// Records of one segment before its journal is written anew with larger ones: bounds a journal
/// (4 MiB) and a reader's index of it, however small the writes were.
pub(crate) const SEGMENT_RECORDS_MAX: usize = 64 << 10;

/// How often a publisher gives way to those who serve the live edge before it goes on in any case.
pub(crate) const PACE_YIELDS_MAX: usize = 1 << 10;

/// Smallest segment that may be configured.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// Streams that are recovered at the same time: one large one does not hold up the others.
pub(crate) const RECOVERY_THREADS: usize = 4;

/// Bytes from a stream's beginning in which a first join point is waited for: a player is given
/// all of them meanwhile. A header and the longest time between two key pictures that one meets,
/// 10 s at 6 Mbit/s.
pub(crate) const FIRST_POINT_BYTES_MAX: u64 = 8 << 20;

/// Bytes at the live edge that are looked at for join points after a restart.
pub(crate) const JOIN_RECOVERY_BYTES_MAX: u64 = 4 << 20;

/// What finding join points may cost a stream when the memory of all rings is used up; where it takes
/// more, the stream is raw. A header of some KiB, and the points.
pub(crate) const SCANNER_COST_MIN: usize = 128 << 10;

/// Bytes of a stream between two headers of it that are written to the disk.
pub(crate) const HEADER_SAVE_BYTES_MIN: u64 = 4 << 20;

/// Bytes that a consumer which is behind goes on in order before it skips, to where a unit ends.
pub(crate) const SKIP_BYTES_MAX: u64 = 8 << 20;

/// Bytes before the place of interest from which on join points are looked for again, and beyond it to
/// which: a scanner needs some to find its way in, and some to be sure. The bytes of a fragment's index.
pub(crate) const SCAN_MARGIN_BYTES: u64 = 64 << 10;

/// How far back from a time the join point before it is looked for, one after the other: most are
/// near, and all of a long group of pictures are within 10 s at 6 Mbit/s.
pub(crate) const JOIN_WINDOWS_BYTES: [u64; 3] = [256 << 10, 2 << 20, 8 << 20];

/// Bytes that a scanner is given at a time while all of its join points are wanted: no more of them
/// than are remembered exactly, however small the frames.
pub(crate) const SCAN_SLICE_BYTES: usize = 16 << 10;

/// Bytes between two looks at the times of a stream that has no segments.
pub(crate) const TIME_STEP_BYTES: u64 = 1 << 20;

/// Written bytes of a segment that the system is asked to bring to the disk together: some milliseconds of a
/// disk's time, and what is left to wait for when the segment is sealed.
pub(crate) const WRITE_BACK_BYTES: u64 = 1 << 20;

/// Bytes of a stream behind its newest ones that the system may remember however fast they came: who is that
/// far behind the ring reads from memory.
pub(crate) const FORGET_BEHIND_BYTES: u64 = 64 << 20;

/// Only what comes so many bytes in less than this is forgotten: 107 Mbit/s, which is a copy and no live stream.
pub(crate) const FORGET_TIME: Duration = Duration::from_secs(5);

/// Bytes that a reader takes from the disk at a time.
pub(crate) const DISK_READ_BYTES_MAX: usize = 256 << 10;

const _: () = assert!(RECORD_BYTES_MAX <= RING_BLOCK_BYTES);
const _: () = assert!(RING_BLOCK_BYTES <= RING_COST_MIN);
const _: () = assert!(RECORD_BYTES_MAX as u64 <= SEGMENT_BYTES_MIN);
const _: () = assert!(RECORD_BYTES_MAX <= DISK_READ_BYTES_MAX);
const _: () = assert!(DISK_GATHER_BYTES_MAX * 2 <= DISK_QUEUE_BYTES_MAX);
