//! packets: `TYPE<NEXT;>DATA<NEXT;><END;>`, at most 4,096 bytes.
//!
//! ```text
//!   C: list<NEXT;><END;>          S: list<NEXT;>{sid: 1 title: a.mp3}\n<NEXT;><END;>
//!   C: play<NEXT;>1<NEXT;><END;>  S: play<NEXT;>4,072 bytes<NEXT;><END;>, again and again
//! ```
//!
//! A song is bytes of any kind, the delimiters among them. Therefore a packet of a song, and of a list,
//! carries 4,072 bytes unless it is the last: whoever counts is always right, and a packet with less
//! says that it was the last one. Where a song's length is a multiple of 4,072, an empty packet says so.

use bytes::{Buf, Bytes, BytesMut};

use super::{Entry, number};
use crate::limits::{PACKET_BYTES_MAX, PACKET_DATA_BYTES_MAX};

/// The port that the protocol is at home on.
pub const PORT: u16 = 8081;

const NEXT: &[u8] = b"<NEXT;>";
const END: &[u8] = b"<END;>";
const TAIL: &[u8] = b"<NEXT;><END;>";
const STOP: &[u8] = b"stop<NEXT;><END;>";
const QUIT: &[u8] = b"quit<NEXT;><END;>";
const KIND_LEN: usize = 4;

const _: () =
    assert!(PACKET_BYTES_MAX == KIND_LEN + NEXT.len() + PACKET_DATA_BYTES_MAX + TAIL.len());

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which songs are there?
    List,
    /// Send the song of that number.
    Play(u64),
    /// No more of it.
    Stop,
    /// That was all.
    Quit,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A piece of the list.
    List(Bytes),
    /// A piece of the song.
    Play(Bytes),
    /// The song was stopped.
    Stop,
    /// The server closes.
    Quit,
}

/// Why a packet means nothing; it is left out, and nobody is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// It does not end.
    #[error("a packet has at most {PACKET_BYTES_MAX} bytes")]
    TooLong,
    /// A type that is none, or a number that is none.
    #[error("no packet begins with {begin:?}")]
    Unknown {
        /// How it begins.
        begin: String,
    },
}

impl Request {
    /// As it goes over the wire.
    #[must_use]
    pub fn encode(self) -> Bytes {
        match self {
            Self::List => frame(b"list", None),
            Self::Play(id) => frame(b"play", Some(id.to_string().as_bytes())),
            Self::Stop => Bytes::from_static(STOP),
            Self::Quit => Bytes::from_static(QUIT),
        }
    }

    /// The one that these bytes are, without their `<END;>`.
    fn parse(packet: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(packet).ok()?;
        let mut fields = text.split("<NEXT;>").map(str::trim);
        match fields.next()? {
            "list" => Some(Self::List),
            "play" => number(fields.next()?).map(Self::Play),
            "stop" => Some(Self::Stop),
            "quit" => Some(Self::Quit),
            _ => None,
        }
    }
}

impl Packet {
    /// As it goes over the wire; what it carries is at most [`PACKET_DATA_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::List(text) => frame(b"list", Some(text)),
            Self::Play(data) => frame(b"play", Some(data)),
            Self::Stop => Bytes::from_static(STOP),
            Self::Quit => Bytes::from_static(QUIT),
        }
    }

    /// Is it as large as packets are, so that whoever reads 4,096 bytes reads this and nothing else?
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::List(data) | Self::Play(data) if data.len() >= PACKET_DATA_BYTES_MAX)
    }
}

fn frame(kind: &[u8], data: Option<&[u8]>) -> Bytes {
    let mut packet = BytesMut::with_capacity(PACKET_BYTES_MAX);
    packet.extend_from_slice(kind);
    packet.extend_from_slice(NEXT);
    if let Some(data) = data {
        packet.extend_from_slice(data);
        packet.extend_from_slice(NEXT);
    }
    packet.extend_from_slice(END);
    packet.freeze()
}

/// The list as text: a line for each song.
#[must_use]
pub fn list_text(entries: &[Entry]) -> Bytes {
    let line = |entry: &Entry| format!("{{sid: {} title: {}}}\n", entry.id, entry.title);
    entries.iter().map(line).collect::<String>().into()
}

/// The packets of a list, of which the last is not full.
pub fn list_packets(mut text: Bytes) -> impl Iterator<Item = Packet> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        let piece = text.split_to(text.len().min(PACKET_DATA_BYTES_MAX));
        let packet = Packet::List(piece);
        let is_last = !packet.is_full();
        (!std::mem::replace(&mut is_over, is_last)).then_some(packet)
    })
}

/// What a list's text says; `None` where it is none.
#[must_use]
pub fn parse_list(text: &str) -> Option<Vec<Entry>> {
    let entry = |line: &str| {
        let (id, title) = line.strip_prefix("{sid: ")?.strip_suffix('}')?.split_once(" title: ")?;
        Some(Entry { id: number(id)?, title: title.into(), description: String::new() })
    };
    text.lines().map(entry).collect()
}

/// Reads what a client sends.
#[derive(Clone, Debug, Default)]
pub struct RequestReader {
    buffer: BytesMut,
    /// Is the rest of a packet that was too long still to come?
    is_dropping: bool,
}

impl RequestReader {
    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next request; `None` while it is not all here.
    pub fn next_request(&mut self) -> Option<Result<Request, PacketError>> {
        self.drop_rest();
        let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.buffer.advance(blank);
        if self.is_bare_list() {
            self.buffer.advance(KIND_LEN);
            return Some(Ok(Request::List));
        }
        let reach = self.buffer.len().min(PACKET_BYTES_MAX);
        let found = find(self.buffer.get(..reach).unwrap_or_default(), END);
        let Some(len) = found else {
            if reach < PACKET_BYTES_MAX {
                return None;
            }
            self.is_dropping = true;
            self.drop_rest();
            return Some(Err(PacketError::TooLong));
        };
        let packet = self.buffer.split_to(len);
        self.buffer.advance(END.len());
        let unknown = || PacketError::Unknown { begin: begin_of(&packet) };
        Some(Request::parse(&packet).ok_or_else(unknown))
    }

    /// The peer has paused, or has ended: what it wrote without delimiters was all of it.
    pub fn settle(&mut self) -> Option<Request> {
        let is_list = self.buffer.trim_ascii() == b"list" && !self.is_dropping;
        is_list.then(|| {
            self.buffer.clear();
            Request::List
        })
    }

    /// Bytes that wait.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Is nothing here of a next packet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.is_dropping
    }

    /// Some clients ask for the list with the bare word, and go on with a packet.
    fn is_bare_list(&self) -> bool {
        let Some(rest) = self.buffer.strip_prefix(b"list") else { return false };
        let next = rest.trim_ascii_start();
        [&b"list"[..], b"play<", b"stop<", b"quit<"].iter().any(|kind| next.starts_with(kind))
    }

    fn drop_rest(&mut self) {
        if !self.is_dropping {
            return;
        }
        match find(&self.buffer, END) {
            Some(at) => {
                self.buffer.advance(at + END.len());
                self.is_dropping = false;
            }
            // What is left may be the beginning of an end.
            None => self.buffer.advance(self.buffer.len().saturating_sub(END.len() - 1)),
        }
    }
}

/// Reads what a server sends, by counting.
///
/// A packet that is not full ends where its delimiters are; but a song may have these in it, and then
/// only what comes behind tells. So the last packet of a song is not told before the server pauses.
#[derive(Clone, Debug, Default)]
pub struct PacketReader {
    buffer: BytesMut,
}

impl PacketReader {
    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet that is certain; `None` while there is none.
    ///
    /// # Errors
    ///
    /// What is here is no packet.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, PacketError> {
        for (whole, packet) in [(STOP, Packet::Stop), (QUIT, Packet::Quit)] {
            if self.buffer.starts_with(whole) {
                self.buffer.advance(whole.len());
                return Ok(Some(packet));
            }
        }
        let full = self.buffer.get(..PACKET_BYTES_MAX);
        if full.is_some_and(|packet| is_of(packet, b"play") || is_of(packet, b"list"))
            && full.is_some_and(|packet| packet.ends_with(TAIL))
        {
            return Ok(Some(self.take(PACKET_DATA_BYTES_MAX)));
        }
        // No title has a delimiter in it.
        if is_of(&self.buffer, b"list")
            && let Some(len) = find(self.data(), TAIL)
        {
            return Ok(Some(self.take(len)));
        }
        if full.is_some() || !self.may_become_a_packet() {
            return Err(PacketError::Unknown { begin: begin_of(&self.buffer) });
        }
        Ok(None)
    }

    /// The server has paused, or has ended: the packet that is here, if one is all here.
    pub fn settle(&mut self) -> Option<Packet> {
        let is_whole = is_of(&self.buffer, b"play") && self.data().ends_with(TAIL);
        is_whole.then(|| self.take(self.data().len() - TAIL.len()))
    }

    /// Is nothing here of a next packet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What comes after the kind.
    fn data(&self) -> &[u8] {
        self.buffer.get(KIND_LEN + NEXT.len()..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Packet {
        let is_list = self.buffer.starts_with(b"list");
        self.buffer.advance(KIND_LEN + NEXT.len());
        let data = self.buffer.split_to(len).freeze();
        self.buffer.advance(TAIL.len());
        if is_list { Packet::List(data) } else { Packet::Play(data) }
    }

    fn may_become_a_packet(&self) -> bool {
        let heads = [&b"play<NEXT;>"[..], b"list<NEXT;>", STOP, QUIT];
        heads.iter().any(|head| {
            let len = head.len().min(self.buffer.len());
            head.get(..len) == self.buffer.get(..len)
        })
    }
}

/// Does this packet have that kind?
fn is_of(packet: &[u8], kind: &[u8]) -> bool {
    packet.strip_prefix(kind).is_some_and(|rest| rest.starts_with(NEXT))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn begin_of(packet: &[u8]) -> String {
    let begin = packet.get(..packet.len().min(16)).unwrap_or_default();
    begin.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requests(bytes: &[u8], size: usize) -> Vec<Result<Request, PacketError>> {
        let (mut reader, mut read) = (RequestReader::default(), Vec::new());
        for slice in bytes.chunks(size) {
            reader.push(slice);
            read.extend(std::iter::from_fn(|| reader.next_request()));
        }
        read.extend(reader.settle().map(Ok));
        read
    }

    /// The packets of a song.
    fn song(data: &[u8]) -> Vec<Packet> {
        let piece = |piece: &[u8]| Packet::Play(Bytes::copy_from_slice(piece));
        let mut packets: Vec<_> = data.chunks(PACKET_DATA_BYTES_MAX).map(piece).collect();
        if packets.last().is_none_or(Packet::is_full) {
            packets.push(piece(b""));
        }
        packets
    }

    fn read_packets(wire: &[u8], size: usize) -> Result<Vec<Packet>, PacketError> {
        let (mut reader, mut read) = (PacketReader::default(), Vec::new());
        for slice in wire.chunks(size) {
            reader.push(slice);
            while let Some(packet) = reader.next_packet()? {
                read.push(packet);
            }
        }
        read.extend(reader.settle());
        Ok(read)
    }

    #[test]
    fn requests_are_these_bytes() {
        let play = [
            0x70, 0x6c, 0x61, 0x79, // play
            0x3c, 0x4e, 0x45, 0x58, 0x54, 0x3b, 0x3e, // <NEXT;>
            0x34, 0x32, // 42
            0x3c, 0x4e, 0x45, 0x58, 0x54, 0x3b, 0x3e, // <NEXT;>
            0x3c, 0x45, 0x4e, 0x44, 0x3b, 0x3e, // <END;>
        ];
        assert_eq!(Request::Play(42).encode(), play[..]);
        for (request, wire) in [
            (Request::List, "list<NEXT;><END;>"),
            (Request::Play(7), "play<NEXT;>7<NEXT;><END;>"),
            (Request::Stop, "stop<NEXT;><END;>"),
            (Request::Quit, "quit<NEXT;><END;>"),
        ] {
            assert_eq!(request.encode(), wire.as_bytes());
            assert_eq!(requests(wire.as_bytes(), 3), [Ok(request)]);
        }
    }

    #[test]
    fn replies_are_these_bytes() {
        let entry = Entry { id: 1, title: "a.mp3".into(), description: String::new() };
        let list: Vec<_> = list_packets(list_text(&[entry])).collect();
        let wire = b"list<NEXT;>{sid: 1 title: a.mp3}\n<NEXT;><END;>";
        assert_eq!(list.iter().map(Packet::encode).collect::<Vec<_>>(), [&wire[..]]);

        let data = [0x00, 0xff];
        let wire = [
            0x70, 0x6c, 0x61, 0x79, // play
            0x3c, 0x4e, 0x45, 0x58, 0x54, 0x3b, 0x3e, // <NEXT;>
            0x00, 0xff, // the song
            0x3c, 0x4e, 0x45, 0x58, 0x54, 0x3b, 0x3e, // <NEXT;>
            0x3c, 0x45, 0x4e, 0x44, 0x3b, 0x3e, // <END;>
        ];
        assert_eq!(Packet::Play(Bytes::copy_from_slice(&data)).encode(), wire[..]);
        let full = Packet::Play(Bytes::from(vec![0; PACKET_DATA_BYTES_MAX]));
        assert_eq!(full.encode().len(), PACKET_BYTES_MAX);
    }

    #[test]
    fn what_is_no_packet_is_left_out() {
        let long = format!("play<NEXT;>{}<NEXT;><END;>", "1".repeat(5000));
        for (wire, is_long) in [
            ("dance<NEXT;><END;>", false),
            ("<END;>", false),
            ("play<NEXT;>x<NEXT;><END;>", false),
            ("play<END;>", false),
            ("\u{fffd}<NEXT;><END;>", false),
            (long.as_str(), true),
        ] {
            let wire = format!("{wire}stop<NEXT;><END;>");
            for size in [1, 7, 10_000] {
                let read = requests(wire.as_bytes(), size);
                assert_eq!(read.len(), 2, "{wire}: {read:?}");
                assert_eq!(read[0] == Err(PacketError::TooLong), is_long, "{wire}");
                assert_eq!(read[1], Ok(Request::Stop), "{wire}");
            }
        }
    }

    #[test]
    fn a_bare_list_is_one_and_needs_a_pause_or_a_packet_behind_it() {
        assert_eq!(requests(b"list", 1), [Ok(Request::List)]);
        assert_eq!(requests(b"list\r\n", 2), [Ok(Request::List)]);
        let expected = [Ok(Request::List), Ok(Request::Play(3))];
        assert_eq!(requests(b"listplay<NEXT;>3<NEXT;><END;>", 5), expected);
        assert_eq!(requests(b"list\nplay<NEXT;>3<NEXT;><END;>\n", 6), expected);
        let mut reader = RequestReader::default();
        reader.push(b"list");
        assert_eq!(reader.next_request(), None, "a delimiter may follow");
        reader.push(b"<NEXT;><END;>");
        assert_eq!((reader.next_request(), reader.settle()), (Some(Ok(Request::List)), None));
    }

    #[test]
    fn a_packet_without_an_end_takes_no_memory() {
        let mut reader = RequestReader::default();
        for _ in 0..1000 {
            reader.push(&[b'x'; 4096]);
            while reader.next_request().is_some() {}
            assert!(reader.buffer.len() <= PACKET_BYTES_MAX);
        }
        assert!(reader.buffer.capacity() <= 64 << 10, "{}", reader.buffer.capacity());
    }

    #[test]
    fn a_long_list_is_full_packets_and_a_last_one() {
        let title = "t".repeat(PACKET_DATA_BYTES_MAX - "{sid: 1 title: }\n".len());
        let entry = |title: &str| Entry { id: 1, title: title.into(), description: String::new() };
        for (entries, lengths) in [
            (vec![], vec![0]),
            (vec![entry(&title)], vec![PACKET_DATA_BYTES_MAX, 0]),
            (vec![entry(&title), entry("")], vec![PACKET_DATA_BYTES_MAX, 17]),
        ] {
            let packets: Vec<_> = list_packets(list_text(&entries)).collect();
            let wire: Vec<u8> = packets.iter().flat_map(Packet::encode).collect();
            assert_eq!(read_packets(&wire, 999), Ok(packets.clone()));
            let text: Vec<u8> = packets
                .iter()
                .flat_map(|packet| match packet {
                    Packet::List(text) => text.to_vec(),
                    other => panic!("{other:?}"),
                })
                .collect();
            let sizes: Vec<_> = packets.iter().map(|packet| packet.encode().len() - 24).collect();
            assert_eq!(sizes, lengths);
            assert_eq!(parse_list(std::str::from_utf8(&text).unwrap()), Some(entries));
        }
    }

    #[test]
    fn an_answer_that_is_no_packet_is_an_error() {
        for wire in [&b"HTTP/1.1 400 Bad Request"[..], &[b'x'; 5000], b"play>"] {
            assert!(matches!(read_packets(wire, 7), Err(PacketError::Unknown { .. })));
        }
    }

    proptest! {
        #[test]
        fn any_slices_give_the_same_requests(
            words in prop::collection::vec(prop_oneof![
                Just("list"), Just("play"), Just("stop"), Just("<NEXT;>"), Just("<END;>"), Just("7"),
                Just("<END"), Just(";>"), Just(" "), Just("x"),
            ], 0..40),
            size in 1_usize..20,
        ) {
            let wire = words.concat();
            let whole = requests(wire.as_bytes(), wire.len().max(1));
            prop_assert_eq!(requests(wire.as_bytes(), size), whole);
        }

        #[test]
        fn a_song_is_read_as_it_was_written_though_it_is_full_of_delimiters(
            pieces in prop::collection::vec(prop_oneof![
                Just(TAIL.to_vec()), Just(END.to_vec()), Just(b"play<NEXT;>".to_vec()),
                Just(STOP.to_vec()), prop::collection::vec(any::<u8>(), 0..3000),
            ], 0..12),
            size in 1_usize..5000,
        ) {
            let data = pieces.concat();
            let packets = song(&data);
            let wire: Vec<u8> = packets.iter().flat_map(Packet::encode).collect();
            prop_assert_eq!(read_packets(&wire, size), Ok(packets));
        }
    }
}
