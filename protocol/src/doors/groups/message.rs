//! What is said at a group's own port, in both directions.
//!
//! What has to arrive is sent again until it is acknowledged: everything but an acknowledgement, data, a
//! keepalive, and a state that answers one. The types from 0x40 on are not of the old system, but for the
//! keepalive.

use bytes::{BufMut, Bytes, BytesMut};

use super::{ACK, DatagramError, Reader, begin};
use crate::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_DATA_BYTES_MAX, MOVIE_NAME_BYTES_MAX};

const REGISTRATION: u8 = 0x01;
const MOVIES: u8 = 0x02;
const CHOICE: u8 = 0x04;
const START: u8 = 0x08;
const DATA: u8 = 0x10;
const END: u8 = 0x20;
const KEEPALIVE: u8 = 0x40;
const READY: u8 = 0x80;
const PAUSE: u8 = 0x81;
const RESUME: u8 = 0x82;
const PRESENCE: u8 = 0x83;
const STATE: u8 = 0x84;

/// Bytes of a list before its movies.
const MOVIES_HEAD: usize = 11;

/// A datagram at a group's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The datagram of that number has come.
    Ack,
    /// Take me in.
    Registration {
        /// Milliseconds between two packets of the stream; 0: as the server likes.
        interval: u32,
    },
    /// What there is, or a part of it.
    Movies(Vec<Movie>),
    /// That is what we watch; from the leader.
    Choice {
        /// Its number.
        movie: u32,
    },
    /// Begin, from the leader.
    Start,
    /// A piece of the movie.
    Data {
        /// Where in the movie.
        offset: u64,
        /// At most [`DATAGRAM_DATA_BYTES_MAX`].
        bytes: Bytes,
    },
    /// The movie has ended.
    End {
        /// The offset of its end.
        length: u64,
    },
    /// I am here; and, where the member counts it, what has come of the data.
    Keepalive(Option<Received>),
    /// I can begin.
    Ready,
    /// Hold on; from the leader, and to the members.
    Pause,
    /// Go on; likewise.
    Resume,
    /// Who has come or gone; from a member, that it leaves.
    Presence {
        /// Its number; from a member, 0 means itself.
        member: u32,
        /// What it did.
        event: Event,
    },
    /// Where the group is, and what time it is there.
    State(State),
}

/// A movie of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie {
    /// Its number in the catalogue.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has come.
    Joined,
    /// It has said that it leaves.
    Left,
    /// It was silent for too long.
    Lost,
}

/// What a member has counted of the data, since it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets that did not come.
    pub lost: u32,
    /// Packets that came before one with a smaller number.
    pub out_of_order: u32,
    /// Packets that came when their bytes were here already, over HTTP.
    pub late: u32,
    /// Packets that came twice.
    pub duplicate: u32,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Members come, the leader chooses.
    Gathering,
    /// The movie plays, or will at the time of `since`.
    Playing,
    /// It is paused.
    Paused,
    /// It has ended.
    Ended,
}

/// Where a group is. Position at a time T while it plays: `position + (T - since) * rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The number of the keepalive that this answers; 0: none.
    pub echo: u64,
    /// What the distributor's clock says now, in microseconds.
    pub clock: u64,
    /// What the group is doing.
    pub phase: Phase,
    /// Who the one that gets this is: its number in the group.
    pub member: u32,
    /// The movie that was chosen; 0: none.
    pub movie: u32,
    /// When `position` was reached, or will be, on the same clock.
    pub since: u64,
    /// The byte of the movie that is played at `since`.
    pub position: u64,
    /// Bytes a second.
    pub rate: u32,
}

impl Message {
    /// Number and meaning of a datagram.
    ///
    /// # Errors
    ///
    /// It has none.
    pub fn decode(datagram: &[u8]) -> Result<(u64, Self), DatagramError> {
        let (kind, seq, mut reader) = Reader::begin(datagram)?;
        let message = match kind {
            ACK => Self::Ack,
            REGISTRATION => Self::Registration { interval: reader.u32()? },
            MOVIES => Self::Movies(movies(&mut reader)?),
            CHOICE => Self::Choice { movie: reader.u32()? },
            START => Self::Start,
            DATA => Self::Data { offset: reader.u64()?, bytes: reader.bytes() },
            END => Self::End { length: reader.u64()? },
            KEEPALIVE => Self::Keepalive(received(&mut reader)?),
            READY => Self::Ready,
            PAUSE => Self::Pause,
            RESUME => Self::Resume,
            PRESENCE => Self::Presence { member: reader.u32()?, event: event(reader.u8()?)? },
            STATE => Self::State(state(&mut reader)?),
            kind => return Err(DatagramError::Unknown { kind }),
        };
        reader.end((seq, message))
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn encode(&self, seq: u64) -> Bytes {
        let mut datagram = begin(self.kind(), seq);
        match self {
            Self::Ack | Self::Start | Self::Keepalive(None) => {}
            Self::Ready | Self::Pause | Self::Resume => {}
            Self::Registration { interval } => datagram.put_u32(*interval),
            Self::Movies(movies) => put_movies(&mut datagram, movies),
            Self::Choice { movie } => datagram.put_u32(*movie),
            Self::Data { offset, bytes } => {
                datagram.put_u64(*offset);
                let len = bytes.len().min(DATAGRAM_DATA_BYTES_MAX);
                datagram.put_slice(bytes.get(..len).unwrap_or_default());
            }
            Self::End { length } => datagram.put_u64(*length),
            Self::Keepalive(Some(received)) => put_received(&mut datagram, *received),
            Self::Presence { member, event } => {
                datagram.put_u32(*member);
                datagram.put_u8(event.number());
            }
            Self::State(state) => put_state(&mut datagram, state),
        }
        datagram.freeze()
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ack => ACK,
            Self::Registration { .. } => REGISTRATION,
            Self::Movies(_) => MOVIES,
            Self::Choice { .. } => CHOICE,
            Self::Start => START,
            Self::Data { .. } => DATA,
            Self::End { .. } => END,
            Self::Keepalive(_) => KEEPALIVE,
            Self::Ready => READY,
            Self::Pause => PAUSE,
            Self::Resume => RESUME,
            Self::Presence { .. } => PRESENCE,
            Self::State(_) => STATE,
        }
    }

    /// Does whoever gets this acknowledge it?
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        match self {
            Self::Ack | Self::Data { .. } | Self::Keepalive(_) => false,
            Self::State(state) => state.echo == 0,
            _ => true,
        }
    }
}

impl State {
    /// The byte that is played when the distributor's clock says `now`.
    #[must_use]
    pub fn position_at(&self, now: u64) -> u64 {
        let time = match self.phase {
            Phase::Playing | Phase::Ended => now.saturating_sub(self.since),
            Phase::Gathering | Phase::Paused => 0,
        };
        let played = u128::from(time) * u128::from(self.rate) / 1_000_000;
        self.position.saturating_add(u64::try_from(played).unwrap_or(u64::MAX))
    }
}

impl Event {
    const fn number(self) -> u8 {
        match self {
            Self::Joined => 0,
            Self::Left => 1,
            Self::Lost => 2,
        }
    }
}

impl Phase {
    const fn number(self) -> u8 {
        match self {
            Self::Gathering => 0,
            Self::Playing => 1,
            Self::Paused => 2,
            Self::Ended => 3,
        }
    }
}

fn event(number: u8) -> Result<Event, DatagramError> {
    let mut all = [Event::Joined, Event::Left, Event::Lost].into_iter();
    all.find(|event| event.number() == number).ok_or(DatagramError::Value)
}

fn phase(number: u8) -> Result<Phase, DatagramError> {
    let all = [Phase::Gathering, Phase::Playing, Phase::Paused, Phase::Ended];
    all.into_iter().find(|phase| phase.number() == number).ok_or(DatagramError::Value)
}

fn movies(reader: &mut Reader<'_>) -> Result<Vec<Movie>, DatagramError> {
    let count = reader.u16()?;
    (0..count).map(|_| Ok(Movie { id: reader.u32()?, name: reader.text()? })).collect()
}

fn put_movies(datagram: &mut BytesMut, movies: &[Movie]) {
    datagram.put_u16(u16::try_from(movies.len()).unwrap_or(u16::MAX));
    for movie in movies {
        datagram.put_u32(movie.id);
        let name = cut(&movie.name);
        datagram.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        datagram.put_slice(name.as_bytes());
    }
}

/// A name as far as there is room for it.
fn cut(name: &str) -> &str {
    let fits = |end: &usize| name.is_char_boundary(*end);
    let end = (0..=name.len().min(MOVIE_NAME_BYTES_MAX)).rev().find(fits);
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// All movies, in as many messages as it takes; at least one.
#[must_use]
pub fn movie_lists(movies: impl IntoIterator<Item = Movie>) -> Vec<Message> {
    let (mut lists, mut list, mut len) = (Vec::new(), Vec::new(), MOVIES_HEAD);
    for movie in movies {
        let more = 5 + cut(&movie.name).len();
        if len + more > DATAGRAM_BYTES_MAX {
            lists.push(Message::Movies(std::mem::take(&mut list)));
            len = MOVIES_HEAD;
        }
        len += more;
        list.push(movie);
    }
    lists.push(Message::Movies(list));
    lists
}

fn received(reader: &mut Reader<'_>) -> Result<Option<Received>, DatagramError> {
    if reader.rest.is_empty() {
        return Ok(None);
    }
    let (lost, out_of_order) = (reader.u32()?, reader.u32()?);
    let (late, duplicate) = (reader.u32()?, reader.u32()?);
    Ok(Some(Received { lost, out_of_order, late, duplicate }))
}

fn put_received(datagram: &mut BytesMut, received: Received) {
    let Received { lost, out_of_order, late, duplicate } = received;
    for count in [lost, out_of_order, late, duplicate] {
        datagram.put_u32(count);
    }
}

fn state(reader: &mut Reader<'_>) -> Result<State, DatagramError> {
    Ok(State {
        echo: reader.u64()?,
        clock: reader.u64()?,
        phase: phase(reader.u8()?)?,
        member: reader.u32()?,
        movie: reader.u32()?,
        since: reader.u64()?,
        position: reader.u64()?,
        rate: reader.u32()?,
    })
}

fn put_state(datagram: &mut BytesMut, state: &State) {
    datagram.put_u64(state.echo);
    datagram.put_u64(state.clock);
    datagram.put_u8(state.phase.number());
    datagram.put_u32(state.member);
    datagram.put_u32(state.movie);
    datagram.put_u64(state.since);
    datagram.put_u64(state.position);
    datagram.put_u32(state.rate);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 9];

    fn state() -> State {
        let (phase, movie) = (Phase::Paused, 3);
        State { echo: 1, clock: 2, phase, member: 4, movie, since: 5, position: 6, rate: 7 }
    }

    #[test]
    fn messages_are_these_bytes() {
        let movies = ["a.mp4", "é"].map(Into::into);
        let [a, b] = movies.map(|name: String| Movie { id: 1 + u32::from(name.len() < 5), name });
        let received = Received { lost: 1, out_of_order: 2, late: 3, duplicate: 4 };
        let data = Message::Data { offset: 0x0100, bytes: Bytes::from_static(b"\x00\xff") };
        for (message, kind, body) in [
            (Message::Ack, 0x00, &b""[..]),
            (Message::Registration { interval: 20 }, 0x01, b"\x00\x00\x00\x14"),
            (
                Message::Movies(vec![a, b]),
                0x02,
                // two of them; 1, five bytes; 2, two bytes
                b"\x00\x02\x00\x00\x00\x01\x05a.mp4\x00\x00\x00\x02\x02\xc3\xa9",
            ),
            (Message::Choice { movie: 2 }, 0x04, b"\x00\x00\x00\x02"),
            (Message::Start, 0x08, b""),
            (data, 0x10, b"\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff"),
            (Message::End { length: 2 }, 0x20, b"\x00\x00\x00\x00\x00\x00\x00\x02"),
            (Message::Keepalive(None), 0x40, b""),
            (
                Message::Keepalive(Some(received)),
                0x40,
                b"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04",
            ),
            (Message::Ready, 0x80, b""),
            (Message::Pause, 0x81, b""),
            (Message::Resume, 0x82, b""),
            (Message::Presence { member: 7, event: Event::Lost }, 0x83, b"\x00\x00\x00\x07\x02"),
            (
                Message::State(state()),
                0x84,
                b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x02\
                  \x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\
                  \x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x07",
            ),
        ] {
            let wire = [&[kind][..], &HEAD, body].concat();
            assert_eq!(message.encode(9), wire);
            assert_eq!(Message::decode(&wire), Ok((9, message)));
        }
    }

    #[test]
    fn the_largest_data_is_the_largest_datagram() {
        let bytes = Bytes::from(vec![7; DATAGRAM_DATA_BYTES_MAX]);
        let wire = Message::Data { offset: 1, bytes }.encode(1);
        assert_eq!(wire.len(), DATAGRAM_BYTES_MAX);
        assert!(Message::decode(&wire).is_ok());
        let long = Message::decode(&[&wire[..], b"x"].concat());
        assert_eq!(long, Err(DatagramError::Long { len: DATAGRAM_BYTES_MAX + 1 }));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (body, why) in [
            (&b"\x0f"[..], DatagramError::Unknown { kind: 0x0f }),
            (b"\x01\x00", DatagramError::Short { len: 10 }),
            (b"\x08x", DatagramError::Long { len: 10 }),
            (b"\x83\x00\x00\x00\x01\x03", DatagramError::Value),
            (b"\x02\x00\x01\x00\x00\x00\x01\x02a", DatagramError::Short { len: 17 }),
            (b"\x02\x00\x01\x00\x00\x00\x01\x01\xff", DatagramError::Value),
        ] {
            let (kind, body) = body.split_at(1);
            assert_eq!(Message::decode(&[kind, &HEAD, body].concat()), Err(why));
        }
    }

    proptest! {
        #[test]
        fn a_list_is_whole_in_datagrams_of_the_size(
            names in prop::collection::vec("[a-zé]{0,150}", 0..60),
        ) {
            let movie = |(id, name): (usize, &String)| Movie { id: id as u32, name: name.clone() };
            let movies: Vec<_> = names.iter().enumerate().map(movie).collect();
            let mut read = Vec::new();
            for list in movie_lists(movies.clone()) {
                let wire = list.encode(1);
                prop_assert!(wire.len() <= DATAGRAM_BYTES_MAX);
                let (_, Message::Movies(movies)) = Message::decode(&wire).unwrap() else { panic!() };
                read.extend(movies);
            }
            let short = |movie: Movie| Movie { name: cut(&movie.name).into(), ..movie };
            prop_assert_eq!(read, movies.into_iter().map(short).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_read_is_written_the_same(
            kind in prop::sample::select(vec![0_u8, 1, 2, 4, 8, 16, 32, 64, 128, 129, 130, 131, 132]),
            rest in prop::collection::vec(prop_oneof![Just(0_u8), Just(1_u8), any::<u8>()], 0..60),
        ) {
            let wire = [&[kind][..], &rest].concat();
            if let Ok((seq, message)) = Message::decode(&wire) {
                prop_assert_eq!(message.encode(seq), wire);
            }
        }
    }
}
