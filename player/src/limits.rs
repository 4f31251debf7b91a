//! Every bound of the player, with the reason for its value.

use std::time::Duration;

/// Bytes kept in memory for a program that does not take them at once: 4 s of 8 Mbit/s. Beyond them
/// the network is made to wait.
pub const BUFFER_BYTES: usize = 4 << 20;

/// Smallest buffer: one write into a pipe.
pub const BUFFER_BYTES_MIN: usize = 64 << 10;

/// Time that a program gets to end after it was asked to, before it is killed.
pub const PROGRAM_END: Duration = Duration::from_secs(2);

/// Time between two lines of a headless player.
pub const REPORT: Duration = Duration::from_secs(1);

/// Longest age that is told apart, in microseconds: an hour. Older bytes count as this old.
pub const AGE_MICROS_MAX: u64 = 3_600_000_000;

/// Largest box of an MP4 that is kept whole: the header, or a fragment's table. A second of many tracks has
/// some 10 KiB.
pub const BOX_BYTES_MAX: usize = 4 << 20;

/// Samples of one fragment: a minute of sound in small packets.
pub const SAMPLES_MAX: usize = 64 << 10;

/// Largest coded frame: a picture of 8K that is not compressed much.
pub const SAMPLE_BYTES_MAX: usize = 32 << 20;

/// Largest table of a transport stream (ISO/IEC 13818-1, 2.4.4.3 and 2.4.4.8), with room for a packet more.
pub const SECTION_BYTES_MAX: usize = 2 << 10;

/// Pictures that wait for earlier ones: no stream of H.264 may need more (ITU-T H.264, A.3.1).
pub const REORDER_PICTURES_MAX: usize = 16;

/// Bytes that have come and wait to be decoded: a minute of 4 Mbit/s. Beyond them the network is made to wait.
pub const COMING_BYTES_MAX: u32 = 32 << 20;

/// Pieces that they come in, where each is as small as a packet.
pub const COMING_MAX: usize = 32 << 10;

/// Steps that the decoder is ahead of the screen.
pub const DECODED_MAX: usize = 4;

/// Frames in one packet of VP9 (VP9 bitstream specification, annex B).
pub const VP9_FRAMES_MAX: usize = 8;

/// Steps over one frame of AV1 as it came: each takes a part of it, or gives a picture.
pub const AV1_STEPS_MAX: usize = 64;

/// Decoded pictures that wait until they are due: half a second, 22 MB at 720 lines, 50 at 1080.
pub const PICTURES_MAX: usize = 16;

/// Pictures that a screen has been given and has not said that it shows. It shows the newest.
pub const SEEN_MAX: usize = 16;

/// Keys pressed and not yet obeyed.
pub const COMMANDS_MAX: usize = 16;

/// A key goes so far back or forward.
pub const STEP: Duration = Duration::from_secs(10);

/// Pictures do not wait longer than this by themselves, however irregularly they come.
pub const AUTO_WAIT_MAX: Duration = Duration::from_millis(500);

/// The fastest picture of so long is the measure for the others; of twice as long, in fact.
pub const FLOOR_WINDOW: Duration = Duration::from_secs(4);

/// Pictures by which jitter is measured: those of less than 2 s, after which the buffer is small again.
pub const JITTER_PICTURES: usize = 48;

/// Pieces of the newest bytes that wait until what comes before them is there: some seconds of them. Beyond, the
/// distributor takes us for slow.
pub const NEWEST_MAX: usize = 1 << 10;

/// A picture that stands so much longer than it was meant to is seen to stand still.
pub const STALL: Duration = Duration::from_millis(250);

/// What a sound server is asked to keep of our sound: less breaks off where the machine is busy.
pub const SOUND_BUFFER: Duration = Duration::from_millis(40);

/// A server asks for so much sound at once: the last of it has to be here when the first is asked for.
pub const SOUND_ASKED: Duration = Duration::from_millis(20);

/// Sound that waits until it is due: what comes beyond that is out of its time.
pub const SOUND_QUEUE: Duration = Duration::from_secs(4);

/// Sound and picture may be so much apart: who is farther off waits, or leaves something out.
pub const SOUND_APART_MAX: Duration = Duration::from_millis(40);

/// Sound that is so near to its time is played as it is.
pub const SOUND_NEAR: Duration = Duration::from_millis(5);

/// Speed may be changed by so much: nobody hears a difference of pitch of a twelfth of a semitone.
pub const SOUND_SPEED_MAX: f64 = 0.005;

/// How often a sound server is asked how far behind it is.
pub const SOUND_LOOK: Duration = Duration::from_millis(500);

const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
