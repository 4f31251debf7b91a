//! One socket, from its first request to its end.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use super::{
    Asked, Response, Site, handle, hygiene,
    intake::Intake,
    reply,
    wire::{Line, Wire},
};
use crate::{
    fanout::HandOver,
    inlet::Inlet,
    limits,
    outlet::Outlet,
    stall::{Shared, Stalling},
};

/// What may happen to a session from outside.
enum Event {
    /// The distributor stops.
    Stop,
    /// The peer's system has reset the connection.
    Gone,
}

/// Serve one socket until its peer leaves, or until the distributor stops and the reply at hand.
pub(crate) async fn session(socket: TcpStream, site: Arc<Site>) {
    let socket = Arc::new(socket);
    let handover = Arc::new(HandOver::new(&site.fanout, &socket));
    let outlet = Outlet::new(&socket, site.metrics.stored_sent.clone());
    let line = Arc::new(Line::new(Arc::clone(&handover), Arc::clone(&outlet)));
    let inlet = Inlet::new(&socket, site.metrics.received.clone());
    let service = service_fn(|request| {
        let (line, inlet) = (Arc::clone(&line), Arc::clone(&inlet));
        answer(Arc::clone(&site), line, inlet, request)
    });
    let (received, sent) = (site.metrics.received.clone(), site.metrics.sent.clone());
    let shared = Shared::new(Arc::clone(&socket), received, sent);
    let io = wire(shared.lent_by(handover).with_outlet(outlet), &site, &line, &inlet);
    let connection = builder(site.bounds.idle).serve_connection(io, service);
    tokio::pin!(connection);

    let stop = async {
        site.shutdown.cancelled().await;
        Event::Stop
    };
    let gone = async {
        // With half-closed peers allowed, hyper waits for a body without a look at the socket.
        let _ = socket.ready(Interest::ERROR).await;
        Event::Gone
    };
    // Polled when one of them is woken, not at each byte: there are a thousand sessions like this.
    let mut events = FuturesUnordered::from_iter([
        Box::pin(stop) as Pin<Box<dyn Future<Output = Event> + Send + '_>>,
        Box::pin(gone),
    ]);
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break Some(ended),
            Some(event) = events.next() => match event {
                Event::Stop => {
                    line.stop();
                    connection.as_mut().graceful_shutdown();
                }
                // What is still in the socket's buffer may be taken in.
                Event::Gone => break timeout(limits::DRAIN_TIME_MAX, connection.as_mut()).await.ok(),
            },
        }
    };
    if let Some(Err(error)) = ended {
        debug!(%error, "session cut short");
        if error.is_user() {
            site.metrics.cuts.inc();
            reset_if_needed(&socket, &line);
        }
    }
    if line.lingers() {
        linger(&socket).await;
    }
}

type Io = TokioIo<Wire<Stalling<Shared>>>;

/// The wire below hyper.
fn wire(shared: Shared, site: &Site, line: &Arc<Line>, inlet: &Arc<Inlet>) -> Io {
    let (limit, cut) = (site.bounds.write_deadline, site.metrics.stalled.clone());
    let stalling = Stalling::new(shared, limit, cut);
    TokioIo::new(Wire::new(stalling, Arc::clone(line), Arc::clone(inlet), reply::unparsed))
}

fn builder(idle: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Without it no header timeout runs.
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .half_close(true)
        .max_headers(limits::HEADER_FIELDS_MAX)
        .max_header_size(limits::HEAD_BYTES_MAX)
        .max_buf_size(limits::HYPER_BUFFER_BYTES);
    builder
}

/// Answer one request, whatever it is.
async fn answer(
    site: Arc<Site>,
    line: Arc<Line>,
    inlet: Arc<Inlet>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let (exchange, number, two_framings) = line.begin();
    let (head, body) = request.into_parts();
    let asks_first = head.headers.contains_key(header::EXPECT);
    let mut intake = Intake::new(body, inlet, asks_first, &site.bounds, site.shutdown.clone());
    let asked = Asked { site, line, head };
    let mut response = match hygiene::check(&asked.head, two_framings) {
        Ok(()) => handle::route(&asked, &mut intake).await,
        Err(unclean) => reply::Refusal::from(unclean).into_response(None),
    };
    let unread = !intake.leave().await;
    if unread {
        asked.line.linger();
    }
    let Asked { site, head, .. } = asked;
    let left = site.bounds.requests_max.saturating_sub(number);
    reply::finish(&mut response, site.bounds.idle, left, unread || two_framings);
    site.metrics.request(head.method.as_str(), response.status().as_u16());
    Ok(response.map(|body| body.during(exchange)))
}

/// A reply that ends with its connection was cut: tell that apart from its end.
fn reset_if_needed(socket: &TcpStream, line: &Line) {
    if line.ends_with_connection() {
        // An error means that it is closed already.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

/// The reply is out, and the peer may still be sending what nobody wants. Closing now would reset
/// the connection, and the peer would never read the reply: take a little of it first, and let it
/// wait for room after that, for then it looks for a reply.
async fn linger(socket: &TcpStream) {
    let until = Instant::now() + limits::DRAIN_TIME_MAX;
    let ended = timeout_at(until, drain(socket)).await;
    if let Ok(Drained::Enough) = ended {
        // An error means that it is gone, the deadline that it had its chance.
        let _ = timeout_at(until, socket.ready(Interest::ERROR)).await;
    }
}

/// Why no more is read from a peer that has had its reply.
enum Drained {
    /// It has closed, or the connection is broken.
    Ended,
    /// It had as much as it may send for nothing.
    Enough,
}

/// Read and drop what comes. Cancel safe.
async fn drain(socket: &TcpStream) -> Drained {
    let mut scrap = vec![0; limits::HYPER_BUFFER_BYTES];
    let mut left = limits::DRAIN_BYTES_MAX;
    while socket.readable().await.is_ok() {
        match socket.try_read(&mut scrap) {
            Ok(0) => return Drained::Ended,
            Ok(read) if read as u64 >= left => return Drained::Enough,
            Ok(read) => left -= read as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Drained::Ended,
        }
    }
    Drained::Ended
}
