//! Every bound of the distributor's HTTP side that is no setting, with the reason for its value.
//! The store's own are in `store/limits.rs`; what an operator may choose is in [`Config`](crate::Config).

use std::time::Duration;

/// Header fields of one request; more are 431. Ours and curl's have about ten, a browser's twenty.
pub const HEADER_FIELDS_MAX: usize = 64;

/// Bytes of one request's head; more are 431. Room for a `Content-Range` of 128 runs three times
/// over, and what an idle or malicious connection can make us keep.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes of a request's target; more are 414. A name has at most 259, the rest is the query.
pub const TARGET_BYTES_MAX: usize = 4 << 10;

/// Bytes that hyper gathers for a connection before it stops asking the body for more, and the
/// most it reads at once. Small, so that a consumer that stopped reading hides little of a live
/// stream from newest-first.
pub const HYPER_BUFFER_BYTES: usize = 16 << 10;

/// Bytes that are read at once of a body that is read past hyper.
pub const STRAIGHT_READ_BYTES: usize = 64 << 10;

/// Bytes of a chunk that is read into memory of its own, which the ring then keeps as it is: three quarters of what is
/// read at once, so that it keeps little else alive. Smaller ones are copied.
pub const ALONE_BYTES_MIN: usize = 48 << 10;

/// Bytes that are read behind such a chunk: its end, and the line that says the next one's size.
pub const CHUNK_TAIL_BYTES: usize = 64;

/// Bytes of the beginning of such a chunk that wait for the next read, where that has something.
pub const CHUNK_BEGIN_BYTES: usize = 4 << 10;

/// Bytes of one chunk that is written past hyper. One that stops reading keeps what is left of it.
pub const CHUNK_BYTES_MAX: usize = 16 << 10;

/// Bytes of a line that says the size of a chunk, its extensions (RFC 9112, section 7.1.1) among them; hyper takes
/// as many. Nobody sends any.
pub const CHUNK_LINE_BYTES_MAX: usize = 16 << 10;

/// Unsent bytes in the kernel at which a socket counts as full (`TCP_NOTSENT_LOWAT`): bytes past
/// this are better kept here, where newer ones can still go first.
pub const UNSENT_BYTES_MAX: u32 = 16 << 10;

/// The same while bytes of the disk copy are sent that were asked for by their range: nothing newer could go
/// before them, and a reader that is as fast as memory is to find some whenever it comes.
pub const STORED_UNSENT_BYTES_MAX: u32 = 512 << 10;

/// Bytes of the disk copy that the kernel is let send by itself, at least: for fewer its calls cost more than
/// a copy does.
pub const STORED_SEND_BYTES_MIN: usize = 16 << 10;

/// Bytes of one write to a socket that was full lately: what [`UNSENT_BYTES_MAX`] leaves room for when
/// the kernel says that there is some.
pub const WRITE_STEP_BYTES: usize = 8 << 10;

/// How many such writes find room until a socket counts as fast again.
pub const WRITE_STEPS: u32 = 32;

/// Consumers at the live edge of a stream that are written to in the task of whoever brings the bytes;
/// for more there is a loop for each thread. To write to so many takes as long as to wake a thread.
pub const WALK_SEATS_MIN: usize = 16;

/// Consumers that such a loop writes to before it lets others have the thread, and whoever wants to
/// leave do so: a fraction of a millisecond. To let others have it costs as much as several of them.
pub const WALK_SEATS_MAX: usize = 64;

/// Bytes below which such a loop waits for the next chunk, if it has just written to all: a chunk of a stream
/// in small chunks. Those of 4 KiB and more are written at once.
pub const WALK_BYTES_MIN: u64 = 4 << 10;

/// How long after it began that is just now, and how long it then waits at most. A chunk of a stream whose
/// chunks are further apart never waits.
pub const WALK_PAUSE: Duration = Duration::from_millis(4);

/// Walks in a row that are put off like this; the next one is not. So fewer than half of all chunks wait
/// for the next one, and 4 Mbit/s in packets of a transport stream, 2.6 ms apart, cost a quarter less.
pub const WALK_PUT_OFF_MAX: u32 = 2;

/// Most bytes of one write past hyper. They are in the ring and in no other memory, and nothing newer could go before
/// them.
pub const WALK_FRAME_BYTES_MAX: usize = 256 << 10;

/// Pieces of memory that one call to the system takes (`IOV_MAX`).
pub const SLICES_MAX: usize = 1024;

/// Most bytes handed to hyper in one frame: large enough that a fast link is not bound by calls,
/// small enough that a slow one has little in flight that has become old.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// The same of the disk copy, where the kernel sends them by itself: they are in no memory of ours.
pub const STORED_FRAME_BYTES_MAX: usize = 256 << 10;

/// Lines of a timeline that are made together: what a listing costs in memory, and in bytes that are
/// read again for their join points (64 KiB a line).
pub const TIMELINE_PAGE_LINES: usize = 64;

/// Bytes of a chunk that is checked before it is kept, for its digest or because it overlaps what
/// is held. It waits in memory meanwhile.
pub const CHECKED_CHUNK_BYTES_MAX: u64 = 16 << 20;

/// How long a chunk waits for room among the chunks that are being checked, before it is refused.
pub const CHECKED_ROOM_WAIT: Duration = Duration::from_secs(5);

/// Bytes of a refused body that are read and dropped, so that the sender comes to the answer.
pub const DRAIN_BYTES_MAX: u64 = 1 << 20;

/// How long that may take.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of the live edge that a native consumer may be behind before it is moved to the newest:
/// a quarter of a second at 8 Mbit/s, and what a healthy link has in flight.
pub const NEWEST_JUMP_BYTES: u64 = 256 << 10;

/// How long its link may take for them, where it is so slow that this is less.
pub const NEWEST_JUMP_TIME: Duration = Duration::from_millis(100);

/// What it may be behind however slow its link is: a few chunks that come in one burst.
pub const NEWEST_JUMP_BYTES_MIN: u64 = 16 << 10;

/// Bytes of one part while the stream is live: a new byte waits behind no more.
pub const LIVE_PART_BYTES_MAX: u64 = 64 << 10;

/// How long a slow link may take for such a part, where that is less.
pub const LIVE_PART_TIME: Duration = Duration::from_millis(20);

/// Bytes of such a part however slow the link is: its head is 3 % of it.
pub const LIVE_PART_BYTES_MIN: u64 = 4 << 10;

/// Bytes sent without a pause that tell how fast a link is: more than what hyper and the kernel take
/// at once, whatever the link.
pub const PACE_BYTES: u64 = 64 << 10;

/// Bytes per second of a link that nothing is known of: its first parts have 16 KiB.
pub const PACE_FIRST: u64 = 400_000;

/// Bytes per second from which on a link is simply fast.
pub const PACE_MAX: u64 = 1 << 30;

/// Ranges of one request that are answered; more are 416. Real clients ask for one to three.
pub const RANGES_ANSWERED_MAX: usize = 16;

/// Ranges that are looked at at all.
pub const RANGES_READ_MAX: usize = 4_096;

/// A range whose last byte is at least so far beyond the end asks to follow the stream (RFC 8673).
/// Its examples use 10^12; no stream grows by half a terabyte while a request is on its way.
pub const FOLLOW_DISTANCE_MIN: u64 = 1 << 39;

/// The length that `resume=1` tells of a live stream: the largest whole number that a program which
/// counts in doubles has exactly, and the one that RFC 8673 asks for. No stream gets that far.
pub const VIRTUAL_LENGTH: u64 = (1 << 53) - 1;

/// How far beyond the live edge a `resume=1` may begin. A player has bytes before they are written,
/// and after a kill asks for the next one before the origin has sent those again: no more than what
/// waits for the disk (64 MiB). Far below where a player looks for the end of a file.
pub const RESUME_AHEAD_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a `Content-Type` that is kept.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Pause after a failed accept: out of descriptors is not cured by trying faster.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Descriptors kept from connections, for segments, journals and directories: at most eight for
/// each stream that is being written, so that hundreds may be. Half of them where there are few.
pub const DESCRIPTORS_RESERVED: u64 = 4_096;

/// How long the kernel waits on a silent connection before it asks whether the peer is there.
pub const TCP_PROBE_AFTER: Duration = Duration::from_secs(30);

/// How long between such questions; three without an answer end the connection.
pub const TCP_PROBE_EVERY: Duration = Duration::from_secs(10);

/// Seconds after which a request refused for want of room may come again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(HYPER_BUFFER_BYTES >= HEAD_BYTES_MAX, "hyper parses a head from its buffer");
const _: () = assert!(LIVE_PART_BYTES_MAX <= freshet_protocol::limits::PART_BYTES_MAX);
const _: () = assert!(LIVE_PART_BYTES_MAX <= NEWEST_JUMP_BYTES);
const _: () = assert!(RESUME_AHEAD_BYTES_MAX < FOLLOW_DISTANCE_MIN);
const _: () = assert!(FOLLOW_DISTANCE_MIN < VIRTUAL_LENGTH);
const _: () = assert!(LIVE_PART_BYTES_MIN <= NEWEST_JUMP_BYTES_MIN);

/// How often retention and free space are looked after.
pub const TEND_EVERY: Duration = Duration::from_secs(5);

/// The same where consumers linger for less than that.
pub const TEND_EVERY_MIN: Duration = Duration::from_millis(100);

/// Distributors that a request may have come through. Any sound tree of them is less deep.
pub const HOPS_MAX: usize = 16;

/// Pause after the first round of questions upstream that brought nothing: a process that is started
/// again is there after that.
pub const UPSTREAM_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest such pause: how late a viewer may have it that an upstream is back.
pub const UPSTREAM_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Rounds in a row after which another incarnation is taken although some upstream that may have ours
/// cannot be asked: some three seconds.
pub const UPSTREAM_PATIENCE_ROUNDS: u32 = 5;

/// How long it is remembered that nobody upstream has a stream, or could tell: those who ask for what
/// is not there cost one round of questions in that time.
pub const UPSTREAM_NEGATIVE: Duration = Duration::from_secs(1);

/// How long a connection upstream may take to come about: three round trips around the world, and a
/// lost packet.
pub const UPSTREAM_CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long the bytes of a stream wait for its header, where that has to be asked for apart: players
/// who come meanwhile are better served late than with a picture that they cannot show.
pub const UPSTREAM_HEADER_MAX: Duration = Duration::from_secs(2);

/// How long the head of a reply from upstream may take, beyond what it was asked to wait. Longer than
/// a distributor between takes to find out itself.
pub const UPSTREAM_HEAD_MAX: Duration = Duration::from_secs(10);

/// How long a request waits for the first word from upstream, where it does not say itself.
pub const SUPPLY_WAIT_MAX: Duration = Duration::from_secs(10);

/// The same for a request of another distributor: two that ask each other at the same moment find
/// out that neither has it, and go on elsewhere.
pub const SUPPLY_WAIT_OF_NODE: Duration = Duration::from_secs(1);

/// How long one of several upstreams is asked to wait for a stream to begin: the others come late by
/// no more.
pub const UPSTREAM_WAIT_SLICE: Duration = Duration::from_secs(2);

/// The same where there is only one.
pub const UPSTREAM_WAIT_MAX: Duration = Duration::from_secs(30);

/// A delivery from upstream that lasted so long has served well, and its cut is not its fault.
pub const SERVED_WELL: Duration = Duration::from_secs(1);

/// Silence from upstream after which all of them are asked whether there is more to be had.
pub const UPSTREAM_SILENCE_MIN: Duration = Duration::from_secs(5);

/// The longest time between such questions while the silence lasts.
pub const UPSTREAM_SILENCE_MAX: Duration = Duration::from_secs(60);

/// How often a pull looks whether anybody follows it, and which bytes they wait for.
pub const VIEWERS_EVERY: Duration = Duration::from_millis(250);

/// Shortest time that a pull goes on without viewers: between the answer to a request and the first
/// byte that is taken of it.
pub const LINGER_MIN: Duration = Duration::from_secs(1);

/// Shortest time between two places from which older bytes are asked for, when viewers want others.
pub const SEEK_EVERY: Duration = Duration::from_secs(1);

/// Bytes that a viewer may be ahead of older bytes as they come, and still wait for them where it is.
pub const SEEK_BYTES_MIN: u64 = 4 << 20;

const _: () = assert!(SUPPLY_WAIT_OF_NODE.as_nanos() < SUPPLY_WAIT_MAX.as_nanos());

/// Bytes that a door reads at once: a few commands.
pub const DOOR_READ_BYTES: usize = 4 << 10;

/// How long a packet waits behind one that is not full: a client that reads up to 4,096 bytes at a time
/// has read the first by then, and does not get the two as one.
pub const PACKET_REST: Duration = Duration::from_millis(20);

/// How long a client may pause within the word `list` until that is taken for all it has to say.
pub const PACKET_SETTLE: Duration = Duration::from_millis(200);

/// Unsent bytes in the kernel at which a socket of the door packets counts as full: the next packet is
/// chosen when the one before is on its way, so that an answer comes behind one packet of a song.
pub const PACKET_UNSENT_BYTES_MAX: u32 = 1;

/// How long a data port waits for its one connection.
pub const DATA_PORT_WAIT: Duration = Duration::from_secs(10);

/// Connections to a data port that the kernel holds until they are looked at: its client's, and a few of
/// strangers, who are turned away.
pub const DATA_PORT_BACKLOG: u32 = 8;

/// Time between two events of `/events`: what a person can read, and one look at the catalogue.
pub const EVENTS_EVERY: Duration = Duration::from_secs(1);

/// How long `/events` may be silent before it says that it is still there.
pub const EVENTS_SILENCE_MAX: Duration = Duration::from_secs(15);

/// Peers of `/events` at once; more are 503. Each holds a connection, and a page in view has one.
pub const WATCHERS_MAX: usize = 1_000;

/// The time that the rate of a stream is told over: no jitter of single chunks, no memory of a pause.
pub const RATE_OVER: Duration = Duration::from_secs(4);

const _: () = assert!(EVENTS_EVERY.as_nanos() < RATE_OVER.as_nanos());

/// Consumers that `/status` tells of: a page of them is more than anybody reads.
pub const STATUS_CONSUMERS_MAX: usize = 1_000;

/// Groups at once: each has a socket and a task.
pub const GROUPS_MAX: usize = 100;

/// Groups at once that one host has begun.
pub const GROUPS_OF_HOST_MAX: usize = 10;

/// Members of a group: each gets every datagram of the movie, and hears of each other one.
pub const GROUP_MEMBERS_MAX: usize = 64;

/// Changes of a group that are kept for those who listen; who is further behind gets the state as it is.
pub const GROUP_CHANGES_MAX: usize = 256;

/// How far ahead of what is played the movie is sent, in microseconds: so long there is to fetch what was
/// lost, and to tell everybody when it begins.
pub const GROUP_LEAD: u64 = 1_000_000;

/// How long a member may be silent before it is lost, in microseconds: four keepalives may be, and the others
/// know of it within 10 s.
pub const GROUP_SILENCE_MAX: u64 = 9_000_000;

/// Fastest that a movie is sent, in bytes a second: 100 Mbit/s to each member.
pub const GROUP_RATE_MAX: u32 = 12_500_000;

/// Largest request about a group: some words of JSON.
pub const GROUP_REQUEST_BYTES_MAX: usize = 1 << 10;

/// How often a listener of a group is told something, so that either side notices when the other is gone.
pub const GROUP_STILL_HERE: Duration = Duration::from_secs(2);

/// How long a group without members is kept, in microseconds: somebody may be about to come.
pub const GROUP_EMPTY: u64 = 60_000_000;

/// Datagrams with movies that a member gets: a few thousand names.
pub const GROUP_LISTS_MAX: usize = 64;

/// How long a token is good for, in microseconds, and as long again: ten attempts fit in.
pub const GROUP_TOKEN_TIME: u64 = 15_000_000;

/// Hosts that are told apart when strangers are counted: 16 bytes each.
pub const GROUP_ADDRESSES: usize = 4 << 10;

/// Datagrams of a stranger's host that are looked at, at once: a house of people that come together.
pub const GROUP_BURST: u32 = 200;

/// And a second from then on.
pub const GROUP_RATE: u32 = 50;

/// Datagrams of a movie in one go: between two of these the group listens.
pub const GROUP_BURST_DATAGRAMS: u64 = 256;

/// How often a group looks at the time while no movie is sent.
pub const GROUP_TICK: Duration = Duration::from_millis(100);

/// How often another port is tried where one cannot be had.
pub const GROUP_PORT_TRIES: usize = 16;

/// Groups that were opened over HTTP and wait to be served.
pub const GROUPS_WAITING_MAX: usize = 16;

const _: () =
    assert!(GROUP_MEMBERS_MAX * 2 + GROUP_LISTS_MAX <= freshet_protocol::limits::GROUP_UNACKED_MAX);

/// Time between two packets of a movie where no member says another.
pub const GROUP_INTERVAL: Duration = Duration::from_millis(20);
