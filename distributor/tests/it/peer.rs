//! An HTTP peer that shows what is on the wire.

use std::{fmt, net::SocketAddr};

use freshet_protocol::{PartHead, PartReader, PartStep, Problem, boundary_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::node::soon;

/// One connection.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    /// Read and not yet looked at.
    rest: Vec<u8>,
}

/// A reply, whole or cut.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Did the body end as it should?
    pub(crate) ended: bool,
}

impl Peer {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> impl Future<Output = Self> {
        let connected = soon(TcpStream::connect(address));
        async { Self::over(connected.await.unwrap()) }
    }

    pub(crate) fn over(socket: TcpStream) -> Self {
        Self { socket, rest: Vec::new() }
    }

    /// Send these bytes as they are.
    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        soon(self.socket.write_all(text.as_ref())).await.unwrap();
    }

    /// Send a request; a body is announced by Content-Length.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.say([head.as_bytes(), b"\r\n", body].concat()).await;
    }

    /// Begin a chunked POST.
    pub(crate) async fn begin_post(&mut self, path: &str, fields: &str) {
        self.say(format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n{fields}\r\n"
        ))
        .await;
    }

    /// A chunk of a body.
    pub(crate) async fn chunk(&mut self, bytes: &[u8]) {
        let head = format!("{:x}\r\n", bytes.len());
        self.say([head.as_bytes(), bytes, b"\r\n"].concat()).await;
    }

    /// More bytes into `rest`; false at the end, by whatever way it came.
    pub(crate) async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let read = soon(self.socket.read(&mut buffer)).await.unwrap_or(0);
        self.rest.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// What comes up to and with `end`; what came if the connection ended before.
    pub(crate) async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.rest.windows(end.len()).position(|bytes| bytes == end);
            if let Some(at) = found {
                return self.rest.drain(..at + end.len()).collect();
            }
            if !self.more().await {
                return std::mem::take(&mut self.rest);
            }
        }
    }

    /// A reply's head.
    pub(crate) async fn head(&mut self) -> Reply {
        loop {
            let text = String::from_utf8(self.through(b"\r\n\r\n").await).unwrap();
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_else(|| panic!("no reply"));
            let status = first.split(' ').nth(1).unwrap().parse().unwrap();
            let field = |line: &str| {
                line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            };
            let fields = lines.filter_map(field).collect();
            if status != 100 {
                return Reply { status, fields, body: Vec::new(), ended: false };
            }
        }
    }

    /// The next chunk of a chunked body: `Ok(None)` at its end, an error where it is cut.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let line = self.through(b"\r\n").await;
        let line = String::from_utf8(line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| ())?;
        let mut bytes = self.exactly(size + 2).await?;
        bytes.truncate(size);
        Ok((size > 0).then_some(bytes))
    }

    /// At least `length` bytes of a chunked body.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < length {
            taken.extend(self.next().await.unwrap().unwrap());
        }
        taken
    }

    /// The next `length` bytes, as they are on the wire.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, ()> {
        while self.rest.len() < length {
            if !self.more().await {
                return Err(());
            }
        }
        Ok(self.rest.drain(..length).collect())
    }

    /// All chunks to the end, or to the cut.
    pub(crate) async fn drain(&mut self, reply: &mut Reply) {
        loop {
            match self.next().await {
                Ok(Some(bytes)) => reply.body.extend(bytes),
                Ok(None) => return reply.ended = true,
                Err(()) => return,
            }
        }
    }

    /// A whole reply to `method`.
    pub(crate) async fn reply(&mut self, method: &str) -> Reply {
        let mut reply = self.head().await;
        let length = reply.field("content-length").map(|length| length.parse::<usize>().unwrap());
        if method == "HEAD" || matches!(reply.status, 204 | 304) {
            reply.ended = true;
        } else if let Some(length) = length {
            match self.exactly(length).await {
                Ok(body) => (reply.body, reply.ended) = (body, true),
                Err(()) => reply.body = std::mem::take(&mut self.rest),
            }
        } else if reply.field("transfer-encoding").is_some() {
            self.drain(&mut reply).await;
        } else {
            while self.more().await {}
            reply.body = std::mem::take(&mut self.rest);
        }
        reply
    }

    /// A line without its ending.
    pub(crate) async fn line(&mut self) -> String {
        let line = String::from_utf8(self.through(b"\n").await).unwrap();
        line.strip_suffix('\n').unwrap_or_else(|| panic!("ended within {line:?}")).into()
    }

    /// All that comes to the end, by whatever way it came.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.rest)
    }

    /// Nothing more comes: the connection has ended.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let ended = !self.more().await;
        ended && self.rest.is_empty()
    }
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The detail of the problem document that every refusal is.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, status);
        assert!(!problem.detail.is_empty(), "{self:?}");
        problem.detail
    }

    /// The parts of a multipart body, and whether it ended as it should.
    pub(crate) fn parts(&self) -> (Vec<(PartHead, Vec<u8>)>, bool) {
        let mut reader = PartReader::new(boundary_of(self.field("content-type").unwrap()).unwrap());
        let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
        reader.push(self.body.clone().into());
        loop {
            match reader.step().unwrap() {
                PartStep::Head(head) => parts.push((head, Vec::new())),
                PartStep::Bytes(bytes) => parts.last_mut().unwrap().1.extend(bytes),
                PartStep::End => return (parts, true),
                PartStep::More => return (parts, false),
            }
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        let excerpt = &self.body[..self.body.len().min(300)];
        write!(f, "\n{} (ended: {})", String::from_utf8_lossy(excerpt), self.ended)
    }
}
