//! One request to another distributor: a connection, the head of the reply, its parts as they come.
//!
//! ```text
//!   Question::get  ──▶ Answer::Delivery ──▶ Piece, Piece, ... ──▶ None    it said that it is over
//!                      └ Missing, Other, Refused             └──▶ Cut     it did not
//!   Question::head ──▶ Answer::Held
//! ```
//!
//! Each request has a connection of its own, to an address that was configured, and no redirect is
//! followed. What is spawned (hyper's driver of the connection) dies with it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use freshet_protocol::{
    Backfill, ByteRange, Delivery, ETag, From, Held, PartError, PartHead, PartReader, PartStep,
    Route, Stamp, StreamName, boundary_of,
    field::{CONNECTION_TYPE, HAVE, PREFER, RETAINED_FROM, STREAM_HEADER},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, response::Parts};
use http_body_util::Empty;
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{Node, Pull, hops::Hops};
use crate::{
    config::UpstreamUrl,
    inlet::{Inlet, Once, Straight},
    limits,
    store::Stream,
};

/// What is asked, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: StreamName,
    /// The incarnation that we hold bytes of.
    pub(super) etag: Option<ETag>,
    /// Which bytes we hold, or do without.
    pub(super) have: Held,
    pub(super) backfill: Backfill,
    /// Where older bytes are to begin.
    pub(super) from: From,
    /// Are older bytes wanted for the container's header alone?
    pub(super) only_header: bool,
    /// How long the other side may wait for the stream to begin.
    pub(super) wait: Duration,
    pub(super) via: Hops,
    pub(super) authorization: Option<HeaderValue>,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    /// The stream, as it comes.
    Delivery(Box<Arrival>),
    /// What is held of it, and nothing else was asked.
    Held { held: Held, content_type: Option<String> },
    /// There is no such stream, or we would be asking ourselves.
    Missing,
    /// There is, and it is another incarnation.
    Other,
    /// This will not do.
    Refused { status: u16 },
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection broke: {0}")]
    Broke(#[from] hyper::Error),
    #[error("the connection broke: {0}")]
    Read(#[source] io::Error),
    #[error("no reply within {} s", .0.as_secs_f32())]
    NoReply(Duration),
    #[error("the reply is malformed: {0}")]
    Malformed(#[from] PartError),
    #[error("the body ended without its closing boundary")]
    Early,
}

/// A reply with parts.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) etag: ETag,
    /// What the other side held when it began.
    pub(super) held: Held,
    /// Bytes below are gone there.
    pub(super) retained_from: u64,
    /// The nodes that its bytes come through.
    pub(super) via: Hops,
    reader: PartReader,
    part: Option<(PartHead, u64)>,
    incoming: Incoming,
    /// Bytes of the body so far.
    got: u64,
    /// They are read past hyper.
    straight: Option<Straight>,
    connection: Connection,
}

/// A reply to a plain GET.
#[derive(Debug)]
pub(super) struct Playing {
    /// How long the container's header is, which goes before the stream's bytes.
    pub(super) header: Option<usize>,
    pub(super) body: Incoming,
    _connection: Connection,
}

/// A connection that carries one request.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    inlet: Arc<Inlet>,
    /// Ends with the connection, or is aborted with it.
    _driver: JoinSet<()>,
}

/// Bytes with their place.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) bytes: Bytes,
    pub(super) total: Option<u64>,
    pub(super) content_type: Option<String>,
    pub(super) captured: Option<Stamp>,
}

impl Question {
    /// What `node` asks about the stream `name`, with what is here of it; `seek` is a byte that
    /// somebody waits for.
    pub(super) fn new(
        node: &Node,
        pull: &Pull,
        name: &StreamName,
        here: Option<&Stream>,
        seek: Option<u64>,
    ) -> Self {
        let lacks_header = here.is_none_or(|it| !it.can_be_joined() && it.retained_from() == 0);
        let mut have = Held::default();
        let mut from = From::Start;
        if let Some(stream) = here {
            (have.set, have.total) = stream.with_readable(|held, total| (held.clone(), total));
            if !lacks_header {
                from = From::Offset(seek.unwrap_or_else(|| have.set.end()));
            }
            // What was let go is not wanted again.
            have.set.extend(&ByteRange::new(0, stream.retained_from()).into_iter().collect());
        }
        // One that keeps only the newest bytes has no use for older ones than upstream has at hand,
        // but for the header.
        let keeps_everything = node.store.shared().config.keeps_everything();
        let all = keeps_everything || lacks_header;
        Self {
            name: name.clone(),
            etag: here.map(|stream| stream.etag().clone()),
            have,
            backfill: if all { Backfill::All } else { Backfill::Ring },
            from: if all { from } else { From::Live },
            only_header: lacks_header && !keeps_everything,
            wait: Duration::ZERO,
            via: pull.hops.and(&node.name),
            authorization: node.authorization.clone(),
        }
    }

    /// Ask `upstream` for the stream's bytes.
    pub(super) async fn get(&self, upstream: &UpstreamUrl) -> Result<Answer, Cut> {
        let (backfill, from) = (self.backfill, self.from);
        let query = Delivery { backfill, from, ..Delivery::default() }.to_query();
        let mut request = self.request(&Method::GET, &query, upstream);
        let headers = request.headers_mut();
        put(headers, header::CONTENT_RANGE, self.have.to_string());
        headers.insert(header::ACCEPT, HeaderValue::from_static("multipart/byteranges"));
        self.ask(upstream, request).await
    }

    /// Ask `upstream` what it holds.
    pub(super) async fn head(&self, upstream: &UpstreamUrl) -> Result<Answer, Cut> {
        self.ask(upstream, self.request(&Method::HEAD, "", upstream)).await
    }

    /// Ask `upstream` for the stream as a player does; `None` where this incarnation is not to be had.
    pub(super) async fn play(&self, upstream: &UpstreamUrl) -> Result<Option<Playing>, Cut> {
        let mut connection = connect(upstream).await?;
        let request = self.request(&Method::GET, "", upstream);
        let (head, body) = connection.sender.send_request(request).await?.into_parts();
        let is_same = self.etag.is_some() && parsed(&head.headers, header::ETAG) == self.etag;
        let header = parsed(&head.headers, STREAM_HEADER);
        let playing = Playing { header, body, _connection: connection };
        Ok((head.status == 200 && is_same).then_some(playing))
    }

    fn request(&self, method: &Method, query: &str, to: &UpstreamUrl) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        let path = Route::Live(self.name.clone());
        // A valid name and a query of our own making are always a valid request target.
        *request.uri_mut() = format!("{path}{query}").parse().unwrap_or_default();
        let headers = request.headers_mut();
        put(headers, header::HOST, to.authority());
        headers.insert(CONNECTION_TYPE, HeaderValue::from_static("distributor"));
        put(headers, header::VIA, self.via.to_string());
        if let Some(etag) = &self.etag {
            put(headers, header::IF_MATCH, etag.to_string());
        }
        if !self.wait.is_zero() {
            put(headers, PREFER, format!("wait={}", self.wait.as_secs().max(1)));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }

    async fn ask(&self, to: &UpstreamUrl, request: Request<Empty<Bytes>>) -> Result<Answer, Cut> {
        let mut connection = connect(to).await?;
        let limit = limits::UPSTREAM_HEAD_MAX + self.wait;
        let reply = timeout(limit, connection.sender.send_request(request)).await;
        let (head, incoming) = reply.map_err(|_| Cut::NoReply(limit))??.into_parts();
        Ok(self.read(&head, incoming, connection))
    }

    /// What a reply means: the only place that knows what other distributors' statuses say.
    fn read(&self, head: &Parts, incoming: Incoming, connection: Connection) -> Answer {
        let etag: Option<ETag> = parsed(&head.headers, header::ETAG);
        let is_other = self.etag.is_some() && self.etag != etag;
        match (head.status.as_u16(), etag) {
            (404 | 508, _) => Answer::Missing,
            (412, _) => Answer::Other,
            (200 | 206, _) if is_other => Answer::Other,
            (206, Some(etag)) => {
                let arrival = Arrival::new(etag, &head.headers, incoming, connection);
                arrival.map_or(Answer::Refused { status: 206 }, Answer::Delivery)
            }
            (200, Some(_)) => match parsed(&head.headers, header::CONTENT_RANGE) {
                Some(held) => {
                    let content_type = text(&head.headers, &header::CONTENT_TYPE).map(Into::into);
                    Answer::Held { held, content_type }
                }
                None => Answer::Refused { status: 200 },
            },
            (status, _) => Answer::Refused { status },
        }
    }
}

impl Arrival {
    fn new(
        etag: ETag,
        headers: &HeaderMap,
        incoming: Incoming,
        connection: Connection,
    ) -> Option<Box<Self>> {
        let boundary = boundary_of(text(headers, &header::CONTENT_TYPE)?)?;
        Some(Box::new(Self {
            etag,
            held: parsed(headers, HAVE).unwrap_or_default(),
            retained_from: parsed(headers, RETAINED_FROM).unwrap_or(0),
            via: Hops::parse(text(headers, &header::VIA).unwrap_or_default()),
            reader: PartReader::new(boundary),
            part: None,
            incoming,
            got: 0,
            straight: None,
            connection,
        }))
    }

    /// The next bytes; `None` at the closing boundary. Cancel safe: what was received is kept.
    ///
    /// # Errors
    ///
    /// The body was cut, or does not keep to its form.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Cut> {
        loop {
            match self.reader.step()? {
                PartStep::Head(head) => {
                    let at = head.placed.range.start();
                    self.part = Some((head, at));
                }
                PartStep::Bytes(bytes) => {
                    if let Some(piece) = self.place(bytes) {
                        return Ok(Some(piece));
                    }
                }
                PartStep::End => return Ok(None),
                PartStep::More => {
                    let data = poll_fn(|cx| self.poll_data(cx)).await?;
                    self.got += data.len() as u64;
                    self.reader.push(data);
                }
            }
        }
    }

    /// The next bytes of the body: from hyper, or past it as soon as that can be.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Cut>> {
        loop {
            if let Some(straight) = &mut self.straight {
                if let Some(received) = ready!(straight.poll_next(cx)).map_err(Cut::Read)? {
                    return Poll::Ready(Ok(received.bytes));
                }
                // Hyper tells of the end.
                self.straight = None;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                self.straight = self.connection.inlet.take(self.got);
                if self.straight.is_none() {
                    return Poll::Pending;
                }
                continue;
            };
            if let Ok(data) = frame.ok_or(Cut::Early)??.into_data() {
                return Poll::Ready(Ok(data));
            }
        }
    }

    fn place(&mut self, bytes: Bytes) -> Option<Piece> {
        let (head, next) = self.part.as_mut()?;
        let at = *next;
        *next += bytes.len() as u64;
        Some(Piece {
            at,
            bytes,
            total: head.placed.total,
            content_type: head.content_type.take(),
            captured: head.origin_time,
        })
    }
}

/// Connect to the first address that answers, with probes that notice a peer that vanished.
async fn connect(to: &UpstreamUrl) -> Result<Connection, Cut> {
    let socket = timeout(limits::UPSTREAM_CONNECT_MAX, TcpStream::connect((to.host(), to.port())))
        .await
        .map_err(|_| Cut::Connect(io::ErrorKind::TimedOut.into()))?
        .map_err(Cut::Connect)?;
    let probes = TcpKeepalive::new()
        .with_time(limits::TCP_PROBE_AFTER)
        .with_interval(limits::TCP_PROBE_EVERY);
    SockRef::from(&socket).set_tcp_keepalive(&probes).map_err(Cut::Connect)?;
    socket.set_nodelay(true).map_err(Cut::Connect)?;
    let (once, inlet) = Once::new(socket);
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADER_FIELDS_MAX)
        .handshake(TokioIo::new(once))
        .await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Whoever waits for the reply or the body gets the same error.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection upstream ended");
        }
    });
    Ok(Connection { sender, inlet, _driver: driver })
}

/// What we print is visible ASCII, always.
fn put(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: HeaderName) -> Option<T> {
    text(headers, &name)?.parse().ok()
}
