//! A song on its way over a data port: one connection, from one address, that has its bytes and nothing
//! else.
//!
//! A proper end of the connection means that the song has ended, or that its client stopped it. Where it
//! breaks off, the connection is reset, so that the client can tell.

use std::{io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Door,
    conn::{Inlet, Outlet},
    ports::DataPort,
    song::{Cut, Song},
};
use crate::{
    limits::{DATA_PORT_WAIT, DOOR_READ_BYTES, DRAIN_TIME_MAX, FRAME_BYTES_MAX},
    stall::tune,
};

/// A song that plays, or waits for its client.
pub(super) struct Play<'a> {
    stop: CancellationToken,
    running: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl<'a> Play<'a> {
    /// Wait at `listener` for the client at `host`, and send it `song`.
    pub(super) fn begin(
        door: &'a Door,
        (listener, port): (TcpListener, DataPort),
        host: IpAddr,
        song: Song,
    ) -> Self {
        let stop = CancellationToken::new();
        let told = stop.clone();
        let running = Box::pin(async move {
            let counted = door.counts.data_port();
            if let Err(error) = deliver(door, listener, host, song, &told).await {
                debug!(port = port.number(), %error, "song cut short");
                if matches!(error, Break::Cut(_)) {
                    door.metrics.cuts.inc();
                }
            }
            drop((port, counted));
        });
        Self { stop, running }
    }

    /// Goes on with it; returns at its end. Cancel safe.
    pub(super) async fn ended(&mut self) {
        self.running.as_mut().await;
    }

    /// End it now.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
    }
}

/// Why a song did not get to its end.
#[derive(Debug, thiserror::Error)]
enum Break {
    #[error("nobody came for it")]
    Nobody,
    #[error("its client has left")]
    Left,
    #[error(transparent)]
    Cut(#[from] Cut),
    #[error(transparent)]
    Lost(#[from] io::Error),
}

async fn deliver(
    door: &Door,
    listener: TcpListener,
    host: IpAddr,
    mut song: Song,
    stop: &CancellationToken,
) -> Result<(), Break> {
    let socket = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        () = door.shutdown.cancelled() => return Err(Cut::Stopping.into()),
        socket = accept(&listener, host) => socket?,
    };
    drop(listener);
    tune(&socket)?;
    // Until it is known to end well: however this is left, the client is not to take it for an end.
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    let socket = Arc::new(socket);
    let (inlet, mut outlet) = (Inlet::new(&socket, door), Outlet::new(&socket, door));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        sent = send(door, &inlet, &mut outlet, &mut song) => sent?,
    }
    finish(&socket, &inlet, stop).await?;
    Ok(())
}

/// The client's connection, and nobody else's.
async fn accept(listener: &TcpListener, host: IpAddr) -> Result<TcpStream, Break> {
    let until = Instant::now() + DATA_PORT_WAIT;
    loop {
        let accepted = timeout_at(until, listener.accept()).await;
        let (socket, peer) = accepted.map_err(|_| Break::Nobody)??;
        if peer.ip().to_canonical() == host.to_canonical() {
            return Ok(socket);
        }
        debug!(%peer, "a stranger at a data port");
    }
}

/// All bytes of the song.
async fn send(
    door: &Door,
    inlet: &Inlet,
    outlet: &mut Outlet,
    song: &mut Song,
) -> Result<(), Break> {
    loop {
        let bytes = tokio::select! {
            biased;
            // What has an end may come to it.
            () = door.shutdown.cancelled(), if !song.has_end() => return Err(Cut::Stopping.into()),
            bytes = song.next(FRAME_BYTES_MAX) => bytes?,
            () = inlet.gone() => return Err(Break::Left),
        };
        let Some(bytes) = bytes else { return Ok(()) };
        outlet.write_all(bytes).await?;
    }
}

/// End the connection as it should be. Closing at once would reset it where the client has sent
/// something, which nobody reads, and it would never get the last bytes: so its end is waited for, a little.
async fn finish(socket: &TcpStream, inlet: &Inlet, stop: &CancellationToken) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_linger(None)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let until = Instant::now() + DRAIN_TIME_MAX;
    let ended = async {
        let mut scrap = vec![0; DOOR_READ_BYTES];
        while inlet.read(&mut scrap).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // However that goes, all that could be done is done.
    let _ = stop.run_until_cancelled(timeout_at(until, ended)).await;
    Ok(())
}
