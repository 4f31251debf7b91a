//! Every bound of the bench, with the reason for its value.

use std::time::Duration;

/// Longest wait for another process of the bench to say something: it has to connect a thousand
/// consumers on a busy machine.
pub const ROLE_ANSWER: Duration = Duration::from_secs(60);

/// Longest wait for a role to end once it was told to; then it is killed.
pub const ROLE_END: Duration = Duration::from_secs(20);

/// Lines of a role that wait to be read. A role says a handful in its whole life.
pub const ROLE_LINES_MAX: usize = 64;

/// Silence on a connection after which a consumer counts as cut: streams of the bench pause for
/// milliseconds.
pub const SILENCE: Duration = Duration::from_secs(20);

/// Bytes of a reply's head that are read.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes taken from a socket at once: a whole burst of small chunks, or a large one.
pub const READ_BYTES: usize = 64 << 10;

/// Bytes of a TLS record, at most (RFC 8446, section 5.1).
pub const TLS_RECORD_BYTES: usize = 16 << 10;

/// Bytes that a consumer of a complete stream asks for at once: enough that asking costs nothing.
pub const RANGE_BYTES: u64 = 16 << 20;

/// Largest chunk of the test pattern, its header included.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Chunks that the bare fan-out keeps for a consumer that is late; then the consumer is cut. Eight
/// seconds of 1 Mbit/s in chunks of 4 KiB.
pub const FANOUT_CHUNKS_MAX: usize = 256;

/// Longest latency that is told apart; more counts as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Events taken from an epoll at once: few, so that what one brings is not long known before it is read.
pub const EVENTS: usize = 64;

/// Bytes of a stream that wait for readers of the floor; when there are more nothing is read.
pub const FLOOR_BACKLOG_BYTES: usize = 8 << 20;

/// Bytes of the floor's disk copy that are written at once: many calls' worth, and little to wait for at a sync.
pub const COPY_WRITE_BYTES: usize = 1 << 20;

/// Bytes of each of its files: those of a distributor's segment.
pub const COPY_FILE_BYTES: u64 = 16 << 20;

/// Its newest files that the system remembers: 64 MiB, as of the distributor's.
pub const COPY_FILES_REMEMBERED: usize = 4;

/// How far a publisher in haste is ahead of the slowest consumer: enough to keep every buffer on the way
/// filled, and no more than relays keep in memory.
pub const PEAK_AHEAD_BYTES: usize = 4 << 20;

/// Time between the chunks of a publisher in haste before all consumers are there.
pub const BEFORE_JOIN: Duration = Duration::from_millis(20);

/// How long a load waits for what was due in the measured time, behind its end.
pub const LATE: Duration = Duration::from_secs(5);

/// Age at which a byte of a live stream is stale.
pub const STALE: Duration = Duration::from_secs(1);

/// Connections of a load's thread that wait for a reply: half of what Icecast lets wait for it.
pub const CONNECT_AT_ONCE: usize = 32;

/// How long a consumer waits that was refused before it asks again: the stream may not be there yet.
pub const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How often a load looks at what no event tells: silence, the end of the measured time.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Consumers that Varnish is given at most: it has a thread for each.
pub const VARNISH_CONSUMERS_MAX: usize = 2_000;

/// Bytes that the kernel keeps for a slow consumer: a slow link's worth, or nobody would notice it.
pub const SLOW_ROOM_BYTES: usize = 16 << 10;

/// Connections that a relay is allowed beyond those that a scenario needs.
pub const SPARE_CONNECTIONS: usize = 100;

/// Draws of a bootstrap: enough that the ends of an interval do not move by more than a hundredth.
pub const BOOTSTRAP_DRAWS: usize = 10_000;

/// Time between the last consumer's arrival and the first chunk that counts: what joining cost is
/// over by then.
pub const SETTLE: Duration = Duration::from_millis(500);

/// How long chunks still flow after the last one that counts, so that it arrives in the same
/// conditions as all others.
pub const TAIL: Duration = Duration::from_millis(300);

/// How often the memory of a process is looked at.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Marks of a stream's way that one process keeps: 10 s of 1,000 consumers of a megabit, ten times over.
pub const MARKS_MAX: usize = 4 << 20;

/// What the demo's distributor keeps on disk: a demo may run for days.
pub const DEMO_RETAIN_BYTES: u64 = 1 << 30;

/// Bytes of the demo's catalogue: it has the demo's stream and what a visitor posts.
pub const CATALOGUE_BYTES_MAX: u64 = 1 << 20;

/// Longest wait for the first picture of a player: some look at a stream for seconds before they show it,
/// and on a busy machine it takes a browser ten to start.
pub const GLASS_FIRST_MAX: Duration = Duration::from_secs(40);

/// Pause between two looks at the screen, which is how exact the age of a picture is.
pub const GLASS_LOOK_EVERY: Duration = Duration::from_millis(1);

/// Pause between two searches for a picture that does not fill the screen: they take a while.
pub const GLASS_SEARCH_EVERY: Duration = Duration::from_secs(2);
