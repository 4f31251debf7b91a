//! Every bound of the consumer, with the reason for its value.

use std::time::Duration;

/// Time for a TCP connection: a distributor that is there answers in a round trip.
pub const CONNECT: Duration = Duration::from_secs(5);

/// Time for the head of a reply, on top of what the request itself asked to wait.
pub const REPLY_HEAD: Duration = Duration::from_secs(30);

/// Time for a digest of the whole stream: the distributor reads it all, at a few hundred MB/s.
pub const DIGEST_REPLY: Duration = Duration::from_secs(600);

/// A body that is silent for so long is doubted: a HEAD asks whether there is something to send.
/// And a stream that is complete but for holes is left after so long without a byte: whoever could
/// fill them would have begun.
pub const SILENCE: Duration = Duration::from_secs(30);

/// What a doubted body still gets after the HEAD said that something is missing: those bytes may
/// have come in just then.
pub const SILENCE_GRACE: Duration = Duration::from_secs(5);

/// TCP keep-alive: first probe after so long without a segment. With the two below, a peer that
/// vanished without a word is noticed after 25 s.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// TCP keep-alive: time between probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// TCP keep-alive: probes without an answer until the connection counts as dead.
pub const KEEPALIVE_PROBES: u32 = 3;

/// Time that a connection gets to become free for the next request before a new one is made.
pub const REUSE: Duration = Duration::from_secs(1);

/// First pause after a cut: a distributor that restarts is back in about this time.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause between attempts, `Retry-After` included: a person at the screen waits no longer.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What a polling GET asks the distributor to wait for a byte: below the 30 s after which common
/// proxies give up on a silent reply.
pub const POLL_WAIT: Duration = Duration::from_secs(25);

/// Least time between two polls that brought nothing: for a distributor that does not wait.
pub const POLL_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a problem document that are read: ours are below 1 KiB.
pub const PROBLEM_BYTES_MAX: usize = 16 << 10;

/// Runs that are kept in mind; beyond them the oldest is forgotten (and asked for again, where
/// wanted). About 5 MB of memory.
pub const RUNS_MAX: usize = 1 << 16;

/// Bytes of a `.have` file: [`RUNS_MAX`] lines of two offsets of 19 digits, and a head.
pub const HAVE_BYTES_MAX: u64 = 4 << 20;

/// Time between two saves of a `.have` file: what a kill -9 makes us fetch again. A save takes a few
/// milliseconds, for it syncs the bytes first.
pub const HAVE_SAVE: Duration = Duration::from_millis(250);

/// Bytes of a token file: a token has a few dozen.
pub const TOKEN_BYTES_MAX: u64 = 4 << 10;

/// Bytes hashed at a time.
pub const HASH_BYTES: usize = 1 << 20;

/// Round trips that the distributor's clock is estimated by: the quickest of eight, as NTP's clients do
/// it (RFC 5905, section 10).
pub const ROUND_TRIPS_KEPT: usize = 8;

/// Largest age that is counted; older is counted as this.
pub const AGE_MICROS_MAX: u64 = 86_400_000_000;

/// Time between two redraws of the progress bar.
pub const REDRAW: Duration = Duration::from_millis(200);

/// Runs up to which the progress bar counts them anew with each piece.
pub const RUNS_COUNTED: usize = 64;

/// Silence of a source that the progress bar speaks of.
pub const SILENT_SHOWN: Duration = Duration::from_secs(2);

const _: () = assert!(RUNS_MAX as u64 * 41 + 8192 <= HAVE_BYTES_MAX);
const _: () = assert!(BACKOFF_MIN.as_nanos() < BACKOFF_MAX.as_nanos());
const _: () = assert!(POLL_WAIT.as_secs() <= freshet_protocol::limits::WAIT_SECONDS_MAX as u64);

/// Bytes read from a door at once.
pub const DOOR_READ_BYTES: usize = 64 << 10;

/// A packet that may be the last of its song is taken for it after so long without another byte: a door
/// writes each packet at once.
pub const PACKET_SETTLE: Duration = Duration::from_millis(250);

/// How long an answer of a group is waited for at first; it doubles with each attempt.
pub const GROUP_TRY: Duration = Duration::from_millis(500);

/// And at most.
pub const GROUP_TRY_MAX: Duration = Duration::from_secs(2);

/// Time between two signs of life to a group, which loses whoever is silent for 9 s.
pub const GROUP_KEEPALIVE: Duration = Duration::from_secs(2);

/// How often it is looked what a member of a group has to play.
pub const GROUP_LOOK: Duration = Duration::from_millis(50);

/// How often a member looks what it has to send, and asks for the time until it knows it.
pub const GROUP_TICK: Duration = Duration::from_millis(100);

/// Silence after which a group is taken for gone: five keepalives were not answered.
pub const GROUP_SILENCE: Duration = Duration::from_secs(10);

/// Room in the kernel for datagrams: a fifth of a second of a movie, with what each costs there.
pub const GROUP_SOCKET_BYTES: usize = 1 << 20;

/// How often missing bytes of a movie are asked for over HTTP: what is late may come until then.
pub const GROUP_REPAIR: Duration = Duration::from_millis(300);

/// Round trips that a group's clock is known by.
pub const GROUP_TRIPS: usize = 8;

/// So many are asked for in a row at first: a trip that was held up one way tells a wrong time.
pub const GROUP_TRIPS_SURE: usize = 5;

const _: () = assert!(GROUP_TRIPS_SURE <= GROUP_TRIPS);

/// Numbers of datagrams that are remembered: some seconds of a movie.
pub const GROUP_WINDOW: u64 = 4096;

/// Drift that nobody notices: sound that is so much off its picture is not heard to be.
pub const GROUP_DRIFT_MIN: Duration = Duration::from_millis(10);

/// Drift from which on a leap is less of a nuisance than a minute of another speed.
pub const GROUP_DRIFT_MAX: Duration = Duration::from_secs(2);

/// How long it takes to make up for a drift, where the speed may change enough.
pub const GROUP_DRIFT_CLOSED: Duration = Duration::from_secs(5);

/// Change of speed that is not noticed.
pub const GROUP_SPEED_CHANGE_MAX: f64 = 0.05;

const _: () = assert!(GROUP_KEEPALIVE.as_millis() * 4 < GROUP_SILENCE.as_millis());
