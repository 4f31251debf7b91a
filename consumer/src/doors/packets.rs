//! The client of `packets`: lists, and plays one song on a connection.

use bytes::Bytes;
use freshet_protocol::{
    doors::{
        Entry,
        packets::{Packet, PacketReader, Request, parse_list},
    },
    limits::{DOOR_REPLY_BYTES_MAX, PACKET_DATA_BYTES_MAX},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    DoorError, DoorScheme, DoorUrl,
    wire::{connect, read, within},
};
use crate::limits;

/// What there is.
pub(super) async fn list(url: &DoorUrl) -> Result<Vec<Entry>, DoorError> {
    Packets::connect(url).await?.list().await
}

/// Play a song. A number that is none gets no answer, so the list is asked first.
pub(super) async fn play(url: &DoorUrl, id: u64) -> Result<Song, DoorError> {
    let mut packets = Packets::connect(url).await?;
    if !packets.list().await?.iter().any(|entry| entry.id == id) {
        return Err(DoorError::NoStream { id });
    }
    packets.ask(Request::Play(id)).await?;
    Ok(Song { packets, is_over: false })
}

/// A song that is being played.
#[derive(Debug)]
pub(super) struct Song {
    packets: Packets,
    is_over: bool,
}

impl Song {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DoorError> {
        while !self.is_over {
            match self.packets.next().await?.ok_or(DoorError::Cut)? {
                Packet::Play(data) => {
                    // The last one has fewer.
                    self.is_over = data.len() < PACKET_DATA_BYTES_MAX;
                    if !data.is_empty() {
                        return Ok(Some(data));
                    }
                }
                Packet::Stop | Packet::Quit => return Err(DoorError::Cut),
                Packet::List(_) => {}
            }
        }
        Ok(None)
    }
}

#[derive(Debug)]
struct Packets {
    socket: TcpStream,
    reader: PacketReader,
    has_ended: bool,
}

impl Packets {
    async fn connect(url: &DoorUrl) -> Result<Self, DoorError> {
        let socket = connect(url).await?;
        Ok(Self { socket, reader: PacketReader::default(), has_ended: false })
    }

    async fn ask(&mut self, request: Request) -> Result<(), DoorError> {
        Ok(self.socket.write_all(&request.encode()).await?)
    }

    async fn list(&mut self) -> Result<Vec<Entry>, DoorError> {
        self.ask(Request::List).await?;
        let text = within(limits::REPLY_HEAD, self.list_text()).await?;
        parse_list(&text).ok_or_else(|| surprise(&text))
    }

    async fn list_text(&mut self) -> Result<String, DoorError> {
        let mut text = Vec::new();
        while text.len() < DOOR_REPLY_BYTES_MAX {
            let Some(Packet::List(piece)) = self.next().await? else {
                return Err(DoorError::NoAnswer);
            };
            text.extend_from_slice(&piece);
            if piece.len() < PACKET_DATA_BYTES_MAX {
                return String::from_utf8(text).map_err(|_| surprise("no text"));
            }
        }
        Err(surprise("a list without an end"))
    }

    /// The next packet; `None` at the connection's end. Cancel safe.
    async fn next(&mut self) -> Result<Option<Packet>, DoorError> {
        loop {
            let next = self.reader.next_packet();
            if let Some(packet) = next.map_err(|error| surprise(&error.to_string()))? {
                return Ok(Some(packet));
            }
            if self.has_ended {
                return Ok(self.reader.settle());
            }
            let bytes = if self.reader.is_empty() {
                read(&mut self.socket).await?
            } else {
                // A packet that is not full is certain once nothing follows it.
                match timeout(limits::PACKET_SETTLE, read(&mut self.socket)).await {
                    Ok(bytes) => bytes?,
                    Err(_) => match self.reader.settle() {
                        Some(packet) => return Ok(Some(packet)),
                        None => read(&mut self.socket).await?,
                    },
                }
            };
            self.has_ended = bytes.is_empty();
            self.reader.push(&bytes);
        }
    }
}

fn surprise(what: &str) -> DoorError {
    let what = what.chars().take(80).collect();
    DoorError::Protocol { scheme: DoorScheme::Packets, what }
}
