//! packets: delimited packets over TCP. Commands and the song share a connection, a packet each in turn.
//!
//! ```text
//!   requests ──▶ answers ──┐
//!                          ├──▶ one packet in hand ──▶ socket, which is asked before each
//!   stream ────▶ Song ─────┘
//! ```
//!
//! What comes next is chosen when the packet before has left. So an answer goes out behind one packet of
//! the song however slow the reader is, and of a song that was stopped, or followed by another, no packet
//! comes after that.

use std::{collections::VecDeque, future::pending, io, sync::Arc};

use bytes::Bytes;
use freshet_protocol::{
    doors::packets::{Packet, Request, RequestReader, list_packets, list_text},
    limits::{PACKET_BYTES_MAX, PACKET_DATA_BYTES_MAX},
};
use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use super::{
    Door,
    conn::{End, Inlet, Outlet, Patience, until},
    song::{Cut, Song},
};
use crate::limits::{DOOR_READ_BYTES, PACKET_REST, PACKET_SETTLE, PACKET_UNSENT_BYTES_MAX};

/// One client.
pub(super) async fn session(socket: &Arc<TcpStream>, door: &Door) -> Result<(), End> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(&**socket).set_tcp_notsent_lowat(PACKET_UNSENT_BYTES_MAX)?;
    let mut session = Session {
        door,
        inlet: Inlet::new(socket, door),
        outlet: Outlet::careful(socket, door),
        requests: RequestReader::default(),
        patience: Patience::new(),
        settles: None,
        answers: VecDeque::new(),
        song: None,
        hand: Hand::default(),
        is_closing: false,
        has_ended: false,
    };
    loop {
        session.choose().await;
        if session.is_over() {
            return Ok(());
        }
        let event = session.event().await?;
        session.take(event);
    }
}

struct Session<'a> {
    door: &'a Door,
    inlet: Inlet,
    outlet: Outlet,
    requests: RequestReader,
    patience: Patience,
    /// When a word without delimiters is taken for all that there is.
    settles: Option<Instant>,
    /// Packets that go out before the song goes on; filled when it is empty only.
    answers: VecDeque<Packet>,
    song: Option<Song>,
    hand: Hand,
    /// No request is taken any more.
    is_closing: bool,
    /// Nor will one come.
    has_ended: bool,
}

/// The packet that is being sent.
#[derive(Debug, Default)]
struct Hand {
    rest: Bytes,
    is_full: bool,
    /// Not before: the one before it was not full.
    waits: Option<Instant>,
}

enum Event {
    Stop,
    Written,
    Waited,
    Heard(Vec<u8>),
    Settled,
    Piece(Result<Bytes, Cut>),
}

impl Session<'_> {
    /// Take a packet into the hand where it is empty: an answer, or else, later, a piece of the song.
    async fn choose(&mut self) {
        if !self.hand.rest.is_empty() {
            return;
        }
        while self.answers.is_empty() && !self.is_closing {
            match self.requests.next_request() {
                Some(Ok(request)) => self.answer(request).await,
                // Nobody is told.
                Some(Err(_)) => {
                    self.door.counts.errors.inc();
                }
                None => break,
            }
            self.patience.renew();
        }
        if let Some(packet) = self.answers.pop_front() {
            self.hand.hold(&packet);
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::List => {
                self.answers.extend(list_packets(list_text(&self.door.entries())));
            }
            // A number that is none gets no answer, and ends nothing.
            Request::Play(id) => {
                if let Some(stream) = self.door.find(id).await {
                    self.song = Some(self.door.play(&stream, self.outlet.peer()));
                }
            }
            Request::Stop => {
                self.song = None;
                self.answers.push_back(Packet::Stop);
            }
            Request::Quit => self.close(Packet::Quit),
        }
    }

    fn close(&mut self, last: Packet) {
        self.song = None;
        self.answers.push_back(last);
        self.is_closing = true;
    }

    fn is_over(&self) -> bool {
        let is_idle = self.hand.rest.is_empty() && self.answers.is_empty() && self.song.is_none();
        is_idle && (self.is_closing || self.has_ended)
    }

    /// What happens next. Cancel safe, for each of its branches is.
    async fn event(&mut self) -> Result<Event, End> {
        let mut buffer = [0; DOOR_READ_BYTES];
        let has_packet = !self.hand.rest.is_empty();
        let has_room = !self.has_ended && self.requests.buffered() < PACKET_BYTES_MAX;
        let is_idle = !has_packet && self.song.is_none();
        let (waits, settles) = (self.hand.waits.filter(|_| has_packet), self.settles);
        let deadline = self.patience.deadline(self.door);
        let song = async {
            match &mut self.song {
                Some(song) => song.piece(PACKET_DATA_BYTES_MAX).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.door.shutdown.cancelled(), if !self.is_closing => Ok(Event::Stop),
            () = until(waits), if waits.is_some() => Ok(Event::Waited),
            written = self.outlet.write(&mut self.hand.rest), if has_packet && waits.is_none() => {
                Ok(written.map(|()| Event::Written)?)
            }
            read = self.inlet.read(&mut buffer), if has_room => {
                Ok(Event::Heard(heard(&buffer, read)?))
            }
            () = until(settles), if settles.is_some() => Ok(Event::Settled),
            piece = song, if !has_packet => Ok(Event::Piece(piece)),
            () = until(deadline), if is_idle && !self.has_ended => Err(End::Idle),
            () = self.inlet.gone(), if self.has_ended => Err(End::Left),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Stop => self.stop(),
            Event::Written => self.hand.written(),
            Event::Waited => self.hand.waits = None,
            Event::Heard(bytes) => {
                self.has_ended = bytes.is_empty();
                self.requests.push(&bytes);
                self.patience.heard();
                self.settles = Some(Instant::now() + PACKET_SETTLE);
                if self.has_ended {
                    self.settle();
                }
            }
            Event::Settled => self.settle(),
            Event::Piece(piece) => self.play(piece),
        }
    }

    /// What has an end may come to it, the rest is cut so that its reader can tell.
    fn stop(&mut self) {
        self.is_closing = true;
        if self.song.as_ref().is_some_and(|song| !song.has_end()) {
            self.close(Packet::Stop);
        }
    }

    fn settle(&mut self) {
        self.settles = None;
        if self.requests.settle().is_some() {
            // Behind it nothing waits, so that its place is the next one.
            self.requests.push(&Request::List.encode());
        }
    }

    fn play(&mut self, piece: Result<Bytes, Cut>) {
        match piece {
            Ok(piece) => {
                let packet = Packet::Play(piece);
                if !packet.is_full() {
                    self.song = None;
                    self.patience.renew();
                }
                self.hand.hold(&packet);
            }
            Err(_) => {
                self.door.metrics.cuts.inc();
                self.song = None;
                self.patience.renew();
                self.answers.push_back(Packet::Stop);
            }
        }
    }
}

impl Hand {
    fn hold(&mut self, packet: &Packet) {
        (self.rest, self.is_full) = (packet.encode(), packet.is_full());
    }

    fn written(&mut self) {
        if self.rest.is_empty() {
            self.waits = (!self.is_full).then(|| Instant::now() + PACKET_REST);
        }
    }
}

/// What was read; nothing at the peer's end.
fn heard(buffer: &[u8], read: io::Result<usize>) -> io::Result<Vec<u8>> {
    Ok(buffer.get(..read?).unwrap_or_default().to_vec())
}
