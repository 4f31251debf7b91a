//! Every bound of the origin, with the reason for its value.

use std::time::Duration;

/// Bytes of one POST when nothing else is asked for: half a second of a 1 Mbit/s stream, and a
/// resend after a cut costs no more than this.
pub const CHUNK_BYTES_DEFAULT: u64 = 64 << 10;

/// Largest chunk that may be asked for. A chunk is in memory while it is posted, and the distributor
/// buffers at most this much of one that it has to compare.
pub const CHUNK_BYTES_MAX: u64 = 16 << 20;

/// Bytes that are posted a second time to prove that what the distributor holds is ours. Few, so
/// that they pass a slow link within one deadline: they are not kept piece by piece.
pub const PROOF_BYTES: u64 = 4 << 10;

/// Runs that the distributor may hold before a hole is closed for each new one. Fewer than fit into
/// one `Content-Range`, so the reply always tells the whole truth.
pub const RUNS_MAX: usize = 96;
const _: () = assert!(RUNS_MAX < freshet_protocol::limits::RANGES_MAX);

/// Bytes of a capture without a disk copy that wait in memory for their acknowledgement; when they
/// are full, the source is made to wait.
pub const WINDOW_BYTES_MAX: usize = 16 << 20;

/// Bytes taken from a pipe at once: small, since what is read and not yet written to the copy is
/// what a kill -9 can lose. A pipe holds 64 KiB by default.
pub const CAPTURE_BYTES: usize = 64 << 10;

/// How long an encoder may give nothing before it counts as hanging. A camera may take some seconds
/// to begin, and a URL that does not answer is given up by ffmpeg after about as long.
pub const ENCODER_SILENT: Duration = Duration::from_secs(30);

/// How long an encoder has to run so that its end is not one in a row of quick ones.
pub const ENCODER_STEADY: Duration = Duration::from_secs(10);

/// Quick ends of an encoder in a row before it is given up, once it has given something: about ten
/// seconds with the pauses, as long as a camera takes that was unplugged and put back.
pub const ENCODER_DEATHS_MAX: u32 = 8;

/// Likewise where it has given nothing yet: most often the input is wrong, and that is told at once.
pub const ENCODER_STARTS_MAX: u32 = 3;
const _: () = assert!(ENCODER_STARTS_MAX <= ENCODER_DEATHS_MAX);

/// Time for an encoder to end after it was asked to; then it is killed.
pub const ENCODER_STOP: Duration = Duration::from_secs(3);

/// Time for an encoder's last words once its output has ended.
pub const LAST_WORDS: Duration = Duration::from_millis(500);

/// Time for all that is captured to be delivered after the first signal.
pub const CAPTURE_DRAIN: Duration = Duration::from_secs(15);
const _: () = assert!(CAPTURE_DRAIN.as_secs() > 2 * ENCODER_STOP.as_secs());

/// Lines of an encoder's complaints that are kept: the reason is in the last ones.
pub const COMPLAINT_LINES_MAX: usize = 6;

/// Bytes of such a line that are kept.
pub const COMPLAINT_BYTES_MAX: usize = 300;

/// Bytes of a header that are kept to be compared. A header without samples is a few thousand.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// Bytes of a piece that is not whole yet; a larger one is let through as it comes. A frame is never
/// as large.
pub const UNIT_BYTES_MAX: usize = 8 << 20;
const _: () = assert!(HEADER_BYTES_MAX < UNIT_BYTES_MAX);

/// Sides of a picture, in pixels: what H.264 can have.
pub const CAPTURE_SIDE_MIN: u32 = 16;
/// See [`CAPTURE_SIDE_MIN`].
pub const CAPTURE_SIDE_MAX: u32 = 8192;

/// Size of the test card where none is asked for.
pub const CAPTURE_SIZE_DEFAULT: (u32, u32) = (1280, 720);

/// Pictures per second of the test card and the screen where nothing is asked for.
pub const CAPTURE_FPS_DEFAULT: u32 = 30;

/// Most pictures per second that may be asked for.
pub const CAPTURE_FPS_MAX: u32 = 240;

/// Bits per second of a picture that may be asked for: below, there is none; above, no link for it.
pub const VIDEO_BITRATE_MIN: u64 = 10_000;
/// See [`VIDEO_BITRATE_MIN`].
pub const VIDEO_BITRATE_MAX: u64 = 200_000_000;

/// Sides of the test card: smaller, the cells of its code are no longer four pixels wide and high; its
/// encoder takes no larger one (whichever side is the longer).
pub const CARD_SIDES_MIN: (u32, u32) = (128, 72);
/// See [`CARD_SIDES_MIN`].
pub const CARD_SIDES_MAX: (u32, u32) = (3840, 2160);

/// Bits per second of the test card's picture where nothing is asked for.
pub const CARD_BITRATE_DEFAULT: u32 = 2_000_000;

/// Frames in which it makes up for those that cost more or less than their share: enough that a key frame
/// does not show, few enough that a second has its rate.
pub const CARD_NOISE_FRAMES: f64 = 15.0;

/// Bits per second of its tone.
pub const CARD_SOUND_BITRATE: u32 = 48_000;

/// Length of a packet of its tone: what Opus codes best, and as much as the tone is older than the
/// picture.
pub const CARD_PACKET: Duration = Duration::from_millis(20);

/// Bytes of a packet of the tone: ten times what its rate makes of it.
pub const OPUS_PACKET_BYTES_MAX: usize = 1275;

/// Frames and packets of the test card that wait for the window: a second of them. When it is full, what
/// comes later is not drawn.
pub const CARD_PIECES_MAX: usize = 128;

/// How late a frame of the test card may be before those that are due are left out.
pub const CARD_LATE_MAX: Duration = Duration::from_millis(500);

/// Pictures from one key frame to the next that may be asked for: ten minutes of the default rate.
pub const CARD_GOP_MAX: u32 = 18_000;

/// Capture times that are remembered: 1 MiB of them, and with one each millisecond at least the
/// last minute. Older bytes are sent again without `Origin-Time`.
pub const MARKS_MAX: usize = 64 << 10;

/// Shortest time between two capture times that are remembered.
pub const MARK_EVERY: Duration = Duration::from_millis(1);

/// How finely a paced file is released: 25 times a second, so that a post carries some bytes.
pub const PACE_STEP: Duration = Duration::from_millis(40);

/// Largest rate that may be given, in bytes per second: more than any disk gives.
pub const RATE_MAX: u64 = 1 << 40;

/// Time for a TCP connection to be there. Longer than one lost SYN (1 s) and its repetition (3 s).
pub const CONNECT: Duration = Duration::from_secs(5);

/// Time for one request and its reply. What arrived of a chunk stays with the distributor, so a slow
/// link makes progress even when this runs out.
pub const REPLY: Duration = Duration::from_secs(30);

/// How long sent bytes may stay without any acknowledgement of TCP before the link counts as dead.
pub const LINK_DEAD: Duration = Duration::from_secs(10);

/// Bytes of a reply's body that are read: a problem document is a few hundred.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// First pause after a failure; it doubles with each further one. A restart of a distributor on the
/// same machine takes about this long.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause after a failure: the most that a recovered distributor waits for its origin.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
const _: () = assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis());

/// Pause before a write to a copy on a full disk is tried again.
pub const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);

/// How long a finished copy is held back to see whether its pipe has more to say.
pub const FINISHED_PEEK: Duration = Duration::from_secs(1);

/// How long a copy may still be locked by a process that has just been killed.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Bytes of the beginning and of the end of a media file that are looked at for its bit rate.
pub const PROBE_BYTES: u64 = 4 << 20;

/// Boxes or elements looked at before a media file counts as malformed.
pub const PROBE_ITEMS_MAX: usize = 100_000;

/// Files of one folder. More than any tree one posts by hand; the list of them is in memory.
pub const FOLDER_FILES_MAX: usize = 100_000;

/// Folders below a folder that are entered: names have only four segments, the rest is reported.
pub const FOLDER_DEPTH_MAX: usize = 16;
