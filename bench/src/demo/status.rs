//! What the distributor says of the stream, as its catalogue tells everybody.

use std::net::SocketAddr;

use anyhow::Context;
use freshet_protocol::Catalogue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::limits::{CATALOGUE_BYTES_MAX, SAMPLE_EVERY};

/// Bytes held and consumers, of all streams together.
pub(crate) async fn ask(address: SocketAddr) -> anyhow::Result<(u64, u64)> {
    let reply = timeout(SAMPLE_EVERY, fetch(address)).await.context("no catalogue in time")??;
    let (_, body) = reply.split_once("\r\n\r\n").context("no whole reply")?;
    let streams = serde_json::from_str::<Catalogue>(body)?.streams;
    Ok(streams.iter().fold((0, 0), |(bytes, consumers), stream| {
        (bytes + stream.bytes, consumers + stream.consumers)
    }))
}

async fn fetch(address: SocketAddr) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let ask = format!("GET /live/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(ask.as_bytes()).await?;
    let mut reply = String::new();
    socket.take(CATALOGUE_BYTES_MAX).read_to_string(&mut reply).await?;
    Ok(reply)
}
