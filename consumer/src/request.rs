//! One request: a connection, the head of the reply, its body to its end or its cut.
//!
//! ```text
//!   Client::head ──▶ Head
//!   Client::get  ──▶ Head, Body ──▶ Run, Run, ... ──▶ End     the body said that it is over
//!                                               └──▶ Cut     it did not
//! ```
//!
//! A client has one connection and one request at a time. What it spawns (hyper's driver of the
//! connection) dies with it.

use std::{
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use freshet_protocol::{
    PartError, PartHead, PartReader, PartStep, Problem, RoundTrip, Stamp, field,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::{fetch::Deadlines, head::Head, limits, token::Token, url::StreamUrl};

/// Why a request has no reply, or its body no end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cut {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// A connection, and then not what was expected.
    #[error("the connection broke")]
    Broke(#[from] hyper::Error),
    /// No head of a reply in time.
    #[error("no reply within {0:?}")]
    NoReply(Duration),
    /// The body does not keep to its form.
    #[error("the reply's body is malformed")]
    Malformed(#[from] PartError),
    /// The body ended without its closing boundary.
    #[error("the body ended without its closing boundary")]
    Early,
    /// Bytes are there to be sent and do not come.
    #[error("the connection is silent although bytes are missing")]
    Silent,
    /// The distributor says: later.
    #[error("the distributor answers {status}{}", Detail(.detail))]
    Later {
        /// Its status.
        status: StatusCode,
        /// What it says about it.
        detail: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// There is nothing to be had that was not sent.
    #[error("the reply ended, the stream has not")]
    Unfinished,
}

impl Cut {
    /// The cut and what caused it, in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// `: detail`, or nothing where there is none.
pub(crate) struct Detail<'a>(pub(crate) &'a str);

impl std::fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// Header fields of a request, over those that each one has.
pub(crate) type Fields = Vec<(HeaderName, HeaderValue)>;

/// Speaks with one distributor about one stream.
#[derive(Debug)]
pub(crate) struct Client {
    url: StreamUrl,
    token: Option<Token>,
    deadlines: Deadlines,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    /// Ends with the connection, or is aborted with it.
    _driver: JoinSet<()>,
}

impl Client {
    pub(crate) fn new(url: StreamUrl, token: Option<Token>, deadlines: Deadlines) -> Self {
        Self { url, token, deadlines, connection: None }
    }

    /// A second client for the same stream, with a connection of its own.
    pub(crate) fn sibling(&self) -> Self {
        Self::new(self.url.clone(), self.token.clone(), self.deadlines)
    }

    /// Ask for the head alone. `wait` is what the request asks the distributor to wait.
    pub(crate) async fn head(&mut self, fields: Fields, wait: Duration) -> Result<Head, Cut> {
        Ok(self.exchange(&Method::HEAD, "", &fields, wait).await?.0)
    }

    /// Ask for bytes.
    pub(crate) async fn get(
        &mut self,
        query: &str,
        fields: Fields,
        wait: Duration,
    ) -> Result<(Head, Incoming), Cut> {
        self.exchange(&Method::GET, query, &fields, wait).await
    }

    /// A kept connection may have been closed by the other side meanwhile: then once more, anew.
    async fn exchange(
        &mut self,
        method: &Method,
        query: &str,
        fields: &Fields,
        wait: Duration,
    ) -> Result<(Head, Incoming), Cut> {
        if self.free().await
            && let Ok(reply) = self.send(method, query, fields, wait).await
        {
            return Ok(reply);
        }
        self.connection = None;
        self.connection = Some(connect(&self.url, &self.deadlines).await?);
        let reply = self.send(method, query, fields, wait).await;
        if reply.is_err() {
            self.connection = None;
        }
        reply
    }

    /// Is there a connection that takes a request now?
    async fn free(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        matches!(timeout(limits::REUSE, connection.sender.ready()).await, Ok(Ok(())))
    }

    async fn send(
        &mut self,
        method: &Method,
        query: &str,
        fields: &Fields,
        wait: Duration,
    ) -> Result<(Head, Incoming), Cut> {
        let request = self.request(method, query, fields, wait);
        let connection = self.connection.as_mut().ok_or(Cut::Early)?;
        let limit = self.deadlines.reply_head.saturating_add(wait);
        let sent = now();
        let reply = timeout(limit, connection.sender.send_request(request))
            .await
            .map_err(|_| Cut::NoReply(limit))??;
        let received = now();
        let (parts, body) = reply.into_parts();
        let mut head = Head::read(&parts);
        head.trip = head.stream_time.map(|theirs| RoundTrip { sent, theirs, received });
        Ok((head, body))
    }

    fn request(
        &self,
        method: &Method,
        query: &str,
        fields: &Fields,
        wait: Duration,
    ) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        // A valid name and a query of our own making are always a valid request target.
        *request.uri_mut() = format!("{}{query}", self.url.path()).parse().unwrap_or_default();
        let own = request.headers_mut();
        if let Ok(host) = self.url.authority().parse() {
            own.insert(header::HOST, host);
        }
        own.insert(field::CONNECTION_TYPE, HeaderValue::from_static("consumer"));
        own.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("freshet-consumer/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(token) = &self.token {
            own.insert(header::AUTHORIZATION, token.authorization());
        }
        if let Ok(prefer) = format!("wait={}", wait.as_secs()).parse()
            && !wait.is_zero()
        {
            own.insert(field::PREFER, prefer);
        }
        own.extend(fields.iter().cloned());
        request
    }
}

/// What our clock says.
pub(crate) fn now() -> Stamp {
    SystemTime::now().into()
}

/// Connects to the first address that answers, with probes that notice a peer that vanished.
async fn connect(url: &StreamUrl, deadlines: &Deadlines) -> Result<Connection, Cut> {
    let socket = timeout(deadlines.connect, TcpStream::connect((url.host(), url.port())))
        .await
        .map_err(|_| Cut::Connect(io::ErrorKind::TimedOut.into()))?
        .map_err(Cut::Connect)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(limits::KEEPALIVE_PROBES);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive).map_err(Cut::Connect)?;
    socket.set_nodelay(true).map_err(Cut::Connect)?;
    let (sender, driver) = http1::handshake(TokioIo::new(socket)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // Whoever waits for the reply or the body gets the same error.
        if let Err(error) = driver.await {
            tracing::trace!(%error, "connection ended");
        }
    });
    Ok(Connection { sender, _driver: tasks })
}

/// What the problem document of a refusal says; empty where there is none.
pub(crate) async fn detail(body: Incoming) -> String {
    let read = Limited::new(body, limits::PROBLEM_BYTES_MAX).collect();
    match timeout(limits::REUSE, read).await {
        Ok(Ok(body)) => Problem::detail_of(&body.to_bytes()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Bytes with their place, as a body brings them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    pub(crate) origin_time: Option<Stamp>,
    /// The complete length, where the part says it.
    pub(crate) total: Option<u64>,
    /// It is the container's header, which goes before and belongs elsewhere.
    pub(crate) is_header: bool,
}

/// The bytes of a reply.
#[derive(Debug)]
pub(crate) struct Body {
    incoming: Incoming,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// `multipart/byteranges`: each part says where it belongs.
    Parts { reader: PartReader, part: Option<Part> },
    /// One run, from the first position that the head named.
    Run { part: Part, rest: Bytes },
}

/// Where the next bytes belong.
#[derive(Clone, Copy, Debug)]
struct Part {
    next: u64,
    /// Bytes of the container's header that go before.
    header: u64,
    origin_time: Option<Stamp>,
    total: Option<u64>,
}

impl Body {
    pub(crate) fn parts(incoming: Incoming, boundary: &str) -> Self {
        let form = Form::Parts { reader: PartReader::new(boundary), part: None };
        Self { incoming, form }
    }

    pub(crate) fn run(incoming: Incoming, head: &Head, next: u64, total: Option<u64>) -> Self {
        let part = Part { next, header: 0, origin_time: head.origin_time, total };
        Self { incoming, form: Form::Run { part, rest: Bytes::new() } }
    }

    /// A plain body: so many bytes of a header, and then the stream from `next` on.
    pub(crate) fn plain(incoming: Incoming, (next, header): (u64, u64)) -> Self {
        let part = Part { next, header, origin_time: None, total: None };
        Self { incoming, form: Form::Run { part, rest: Bytes::new() } }
    }

    /// The next bytes; `None` at the proper end. Cancel safe: what was received is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<Run>, Cut> {
        loop {
            if let Some(step) = self.form.step()? {
                return Ok(step);
            }
            let Some(frame) = self.incoming.frame().await else {
                return self.over();
            };
            let Ok(data) = frame?.into_data() else { continue };
            if let Some(run) = self.form.push(data) {
                return Ok(Some(run));
            }
        }
    }

    /// hyper says that the body is over; a multipart body says so itself before.
    fn over(&self) -> Result<Option<Run>, Cut> {
        match self.form {
            Form::Run { .. } => Ok(None),
            Form::Parts { .. } => Err(Cut::Early),
        }
    }
}

impl Form {
    /// Bytes that were received before: `Some(None)` at the closing boundary, `None` for "read on".
    fn step(&mut self) -> Result<Option<Option<Run>>, Cut> {
        let (reader, part) = match self {
            Self::Parts { reader, part } => (reader, part),
            Self::Run { rest, .. } if rest.is_empty() => return Ok(None),
            Self::Run { part, rest } => return Ok(Some(Some(part.take(std::mem::take(rest))))),
        };
        loop {
            match reader.step()? {
                PartStep::Head(head) => *part = Some(Part::of(&head)),
                PartStep::Bytes(bytes) => {
                    return Ok(part.as_mut().map(|part| Some(part.take(bytes))));
                }
                PartStep::End => return Ok(Some(None)),
                PartStep::More => return Ok(None),
            }
        }
    }

    /// Take a slice of the body in; bytes that need no parsing come straight back.
    fn push(&mut self, data: Bytes) -> Option<Run> {
        match self {
            Self::Parts { reader, .. } => {
                reader.push(data);
                None
            }
            Self::Run { .. } if data.is_empty() => None,
            Self::Run { part, rest } => {
                let mut data = data;
                let header = usize::try_from(part.header).unwrap_or(usize::MAX).min(data.len());
                if header == 0 {
                    return Some(part.take(data));
                }
                let head = data.split_to(header);
                *rest = data;
                Some(part.take_header(head))
            }
        }
    }
}

impl Part {
    fn of(head: &PartHead) -> Self {
        let placed = head.placed;
        let next = placed.range.start();
        Self { next, header: 0, origin_time: head.origin_time, total: placed.total }
    }

    fn take(&mut self, bytes: Bytes) -> Run {
        let offset = self.next;
        self.next = self.next.saturating_add(bytes.len() as u64);
        let (origin_time, total) = (self.origin_time, self.total);
        Run { offset, bytes, origin_time, total, is_header: false }
    }

    fn take_header(&mut self, bytes: Bytes) -> Run {
        self.header = self.header.saturating_sub(bytes.len() as u64);
        Run { offset: self.next, bytes, origin_time: None, total: None, is_header: true }
    }
}
