//! Every bound of the wire, with the reason for its value.

/// One past the last usable offset: the last one is 2^63 - 2, so that a half-open end still fits
/// in the signed 64 bits of a file offset.
pub const OFFSET_END_MAX: u64 = (1 << 63) - 1;

/// Ranges in one `Content-Range` or `Have`. 128 of them are about 5 KB of header at worst; a
/// sender that holds more leaves out the oldest.
pub const RANGES_MAX: usize = 128;

/// Ranges that are parsed before the rest is refused: a peer may say a little too much, but not
/// make us sort a megabyte.
pub const RANGES_PARSED_MAX: usize = 1024;

/// Segments of a stream's name.
pub const NAME_SEGMENTS_MAX: usize = 4;

/// Bytes of one segment of a name: a directory entry with room for a suffix.
pub const NAME_SEGMENT_BYTES_MAX: usize = 64;

/// Seconds that a request may ask to wait (`Prefer: wait=`); more is cut to this.
pub const WAIT_SECONDS_MAX: u32 = 300;

/// Newest bytes of a run that a one-part reply carries when the request names no `limit`.
pub const PART_BYTES_DEFAULT: u64 = 1 << 20;

/// Bytes of one part of a continuous reply: a new byte never waits behind more than these.
pub const PART_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a part's head in a multipart body; ours are about 150.
pub const PART_HEAD_BYTES_MAX: usize = 4 << 10;

/// Bytes of a token that names an origin (`Origin-Id`).
pub const ORIGIN_ID_BYTES_MAX: usize = 128;

/// The last position of a range that asks to follow the live edge: 2^53 - 1 (RFC 8673, section 2.3).
pub const LIVE_LAST_POSITION: u64 = (1 << 53) - 1;

const _: () = assert!(RANGES_MAX <= RANGES_PARSED_MAX);
const _: () = assert!(PART_BYTES_MAX <= PART_BYTES_DEFAULT);

/// Characters of a word that is said back to whoever sent it: any command of ours is shorter.
pub const DOOR_WORD_CHARS_MAX: usize = 32;

/// Bytes of a line that a client sends to a door: the longest of sense is an email of 254.
pub const DOOR_LINE_BYTES_MAX: usize = 1 << 10;

/// Bytes of a line that a client reads: a list of all streams, of a few thousand with long names.
pub const DOOR_REPLY_BYTES_MAX: usize = 1 << 20;

/// Characters of a pseudo (asp).
pub const ASP_PSEUDO_CHARS_MAX: usize = 32;

/// Characters of an email (asp): RFC 5321, section 4.5.3.1.3, less the angle brackets.
pub const ASP_EMAIL_CHARS_MAX: usize = 254;

/// Bytes of a video that one line carries (asp).
pub const ASP_CHUNK_BYTES: usize = 8192;

/// Characters of such a line: base64 of [`ASP_CHUNK_BYTES`].
pub const ASP_LINE_CHARS_MAX: usize = 10_924;

/// Bytes of a packet (packets).
pub const PACKET_BYTES_MAX: usize = 4096;

/// Bytes of a song, or of a list, that one packet carries: a packet less its framing.
pub const PACKET_DATA_BYTES_MAX: usize = 4072;

const _: () = assert!(ASP_LINE_CHARS_MAX == ASP_CHUNK_BYTES.div_ceil(3) * 4);
const _: () = assert!(ASP_EMAIL_CHARS_MAX * 4 <= DOOR_LINE_BYTES_MAX);
const _: () = assert!(ASP_LINE_CHARS_MAX <= DOOR_REPLY_BYTES_MAX);

/// Bytes of a datagram of a group: what every path on the internet carries in one piece, with room for tunnels.
pub const DATAGRAM_BYTES_MAX: usize = 1_200;

/// Bytes of a movie in one datagram: what is left beside type, number and offset.
pub const DATAGRAM_DATA_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - 17;

/// Bytes of a movie's name in a list: its length goes in one byte. A longer name is cut.
pub const MOVIE_NAME_BYTES_MAX: usize = 255;

const _: () = assert!(MOVIE_NAME_BYTES_MAX + 16 <= DATAGRAM_BYTES_MAX);

/// When a datagram that has to arrive is sent again for the first time, in microseconds; it doubles twice.
pub const GROUP_RETRY_MICROS: u64 = 500_000;

/// How often it is sent in all.
pub const GROUP_RETRIES_MAX: u32 = 10;

/// Datagrams to one peer that wait to be acknowledged: a list of all members, of the movies, and more.
pub const GROUP_UNACKED_MAX: usize = 256;

/// Numbers of one peer's datagrams that are known to have come: more than it can have under way.
pub const GROUP_SEEN_MAX: usize = 256;
