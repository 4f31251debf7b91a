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

const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
