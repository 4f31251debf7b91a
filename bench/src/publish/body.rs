//! One stream on its way to a relay, chunk by chunk, in the manner of its URL's scheme.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    chunk::Chunk,
    clock::Moment,
    limits::{HEAD_BYTES_MAX, ROLE_ANSWER, ROLE_END},
    target::{Scheme, Target},
};

/// A stream that is being published.
#[derive(Debug)]
pub struct Body {
    target: Target,
    way: Way,
    frame: Vec<u8>,
    /// Bytes of the stream so far.
    sent: u64,
    /// Was it said that there are no more?
    is_over: bool,
}

#[derive(Debug)]
enum Way {
    /// Everything goes down one connection.
    Open(TcpStream),
    /// Somebody comes for it here.
    Awaited(TcpListener),
    /// A connection for each chunk.
    Each,
}

impl Body {
    /// Go there, and say what is said before the first chunk.
    ///
    /// # Errors
    ///
    /// Nobody is there, or it is refused.
    pub fn open(target: &Target) -> anyhow::Result<Self> {
        let way = match target.scheme {
            Scheme::Serve => Way::Awaited(
                TcpListener::bind(target.address)
                    .with_context(|| format!("cannot listen on {}", target.address))?,
            ),
            Scheme::Each => Way::Each,
            Scheme::Https => bail!("{target}: only consumers come over TLS"),
            Scheme::Http | Scheme::Posts | Scheme::Icecast | Scheme::Tcp => {
                Way::Open(greet(target)?)
            }
        };
        Ok(Self { target: target.clone(), way, frame: Vec::new(), sent: 0, is_over: false })
    }

    /// Send one chunk, in one write; how long until it was acknowledged, where it is.
    ///
    /// # Errors
    ///
    /// The connection broke, or the chunk is not taken; what the relay said, if it said anything.
    pub fn send(&mut self, chunk: &Chunk) -> anyhow::Result<Option<Duration>> {
        if let Way::Awaited(listener) = &self.way {
            self.way = Way::Open(answer(listener)?);
        }
        self.frame.clear();
        match self.target.scheme {
            Scheme::Http | Scheme::Https | Scheme::Serve => {
                write!(self.frame, "{:x}\r\n", chunk.length)?;
                chunk.write_to(&mut self.frame);
                self.frame.extend_from_slice(b"\r\n");
            }
            Scheme::Icecast | Scheme::Tcp => chunk.write_to(&mut self.frame),
            Scheme::Posts | Scheme::Each => {
                self.post_head(chunk.length)?;
                chunk.write_to(&mut self.frame);
            }
        }
        self.sent += chunk.length as u64;
        match &mut self.way {
            Way::Open(socket) => {
                if let Err(error) = socket.write_all(&self.frame) {
                    let reply = reply(socket).unwrap_or_default();
                    bail!("{} takes no more ({error}): {reply}", self.target);
                }
                match self.target.scheme {
                    Scheme::Posts => acknowledged(socket).map(Some),
                    _ => Ok(None),
                }
            }
            _ => {
                let began = Moment::now();
                let mut socket = connect(&self.target)?;
                socket.write_all(&self.frame)?;
                acknowledged(&mut socket)?;
                Ok(Some(Moment::now().since(began)))
            }
        }
    }

    /// Say that there are no more chunks. Where there are many streams, all of them before the first one's
    /// [`end`](Self::end): to keep a stream whole takes a relay a while.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        if let Way::Open(socket) = &mut self.way
            && !self.is_over
            && matches!(self.target.scheme, Scheme::Http | Scheme::Serve)
        {
            socket.write_all(b"0\r\n\r\n")?;
        }
        self.is_over = true;
        Ok(())
    }

    /// End the stream; where an end can be acknowledged, wait until it is.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.finish()?;
        let Way::Open(mut socket) = self.way else { return Ok(()) };
        if self.target.scheme == Scheme::Http {
            socket.set_read_timeout(Some(ROLE_ANSWER))?;
            let reply = reply(&mut socket).context("no reply to the stream")?;
            accepted(&reply)?;
        }
        Ok(())
    }

    fn post_head(&mut self, bytes: usize) -> anyhow::Result<()> {
        let (target, first) = (&self.target, self.sent);
        write!(
            self.frame,
            "POST {} HTTP/1.1\r\nHost: {}\r\n{}Origin-Id: bench\r\n\
             Content-Range: bytes {first}-{}/*\r\nContent-Length: {bytes}\r\n\r\n",
            target.path,
            target.address,
            target.authorization(),
            first + bytes as u64 - 1,
        )?;
        Ok(())
    }
}

fn connect(target: &Target) -> anyhow::Result<TcpStream> {
    let socket =
        TcpStream::connect(target.address).with_context(|| format!("cannot reach {target}"))?;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(ROLE_END))?;
    socket.set_read_timeout(Some(ROLE_END))?;
    Ok(socket)
}

fn greet(target: &Target) -> anyhow::Result<TcpStream> {
    let mut socket = connect(target)?;
    let (path, address, user) = (&target.path, target.address, target.authorization());
    let head = match target.scheme {
        Scheme::Tcp => format!("PUT {path}\n"),
        Scheme::Http => format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\n{user}Transfer-Encoding: chunked\r\n\r\n"
        ),
        Scheme::Icecast => format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\n{user}Content-Type: audio/mpeg\r\n\
             Expect: 100-continue\r\n\r\n"
        ),
        Scheme::Posts | Scheme::Each | Scheme::Serve | Scheme::Https => String::new(),
    };
    socket.write_all(head.as_bytes())?;
    if target.scheme == Scheme::Icecast {
        let reply = reply(&mut socket).context("no word from Icecast")?;
        if !reply.starts_with("HTTP/1.1 100") {
            accepted(&reply)?;
        }
    }
    Ok(socket)
}

/// Wait for whoever fetches the stream, and say that it comes.
fn answer(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (mut socket, _) = listener.accept().context("nobody comes for the stream")?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ROLE_END))?;
    reply(&mut socket).context("no request for the stream")?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes())?;
    Ok(socket)
}

/// The reply to a chunk; how long it took.
fn acknowledged(socket: &mut TcpStream) -> anyhow::Result<Duration> {
    let sent = Moment::now();
    let reply = reply(socket).context("no reply to a chunk")?;
    let took = Moment::now().since(sent);
    accepted(&reply)?;
    Ok(took)
}

fn accepted(reply: &str) -> anyhow::Result<()> {
    if reply.split(' ').nth(1).is_none_or(|status| !status.starts_with('2')) {
        bail!("the relay did not take it: {reply}");
    }
    Ok(())
}

/// A head, and the body behind it if it says how long that is.
fn reply(socket: &mut TcpStream) -> anyhow::Result<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4 << 10]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(end) = text.find("\r\n\r\n")
            && bytes.len() >= end + 4 + length(&text)
        {
            return Ok(text);
        }
        let read = socket.read(&mut buffer)?;
        if read == 0 || bytes.len() > HEAD_BYTES_MAX {
            bail!("no whole reply: {text:?}");
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
}

fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, thread};

    use super::*;

    /// What a body of two chunks sends to somebody who answers each request with `reply`.
    fn said(scheme: Scheme, answers: usize, reply: &str) -> (anyhow::Result<()>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut target = Target::new(scheme, listener.local_addr().unwrap(), "/live/x");
        target.user = Some("source:hackme".into());
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                let (mut socket, _) = listener.accept().unwrap();
                let mut all = std::io::BufReader::new(socket.try_clone().unwrap());
                let mut bytes = Vec::new();
                for _ in 0..answers {
                    while !bytes.ends_with(b"\r\n\r\n") {
                        assert_ne!(all.read_until(b'\n', &mut bytes).unwrap(), 0);
                    }
                    bytes.pop();
                    socket.write_all(reply.as_bytes()).unwrap();
                }
                // It may go without reading the reply.
                let _ = all.read_to_end(&mut bytes);
                bytes
            });
            let sent = (|| {
                let mut body = Body::open(&target)?;
                for number in 0..2 {
                    let due = Moment::from_nanos(number);
                    body.send(&Chunk { number, due, length: 100 })?;
                }
                drop(body);
                Ok(())
            })();
            (sent, there.join().unwrap())
        })
    }

    #[test]
    fn a_raw_stream_is_a_line_and_its_bytes() {
        let (sent, bytes) = said(Scheme::Tcp, 0, "");
        sent.unwrap();
        assert!(bytes.starts_with(b"PUT /live/x\nFRESHET\n"));
        assert_eq!(bytes.len(), 12 + 200);
    }

    #[test]
    fn icecast_is_told_the_password_and_gets_bare_bytes() {
        let (sent, bytes) = said(Scheme::Icecast, 1, "HTTP/1.1 100 Continue\r\n\r\n");
        sent.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("Authorization: Basic c291cmNlOmhhY2ttZQ==\r\n"), "{text}");
        assert!(bytes.windows(8).filter(|bytes| *bytes == b"FRESHET\n").count() == 2);
    }

    #[test]
    fn a_chunk_that_is_refused_is_an_error_with_what_was_said() {
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        let (sent, _) = said(Scheme::Posts, 1, refusal);
        let told = format!("{:#}", sent.unwrap_err());
        assert!(told.contains("403 Forbidden"), "{told}");
    }
}
