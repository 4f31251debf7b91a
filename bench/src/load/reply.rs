//! The reply that a plain consumer gets, decoded as it arrives: head, then chunks, then an end; or bytes
//! until the connection ends, where a relay knows no better.
//!
//! No more of HTTP than a live reply needs, and nothing is copied: a thousand consumers in one thread
//! must cost less than the server that they measure.

use anyhow::{Context, bail};

use crate::limits::HEAD_BYTES_MAX;

/// A decoder for one reply.
#[derive(Debug, Default)]
pub struct Reply {
    state: State,
    /// The head, or the line of a chunk's size, as far as it came.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// The line with the size of the next chunk.
    Size,
    /// So many bytes of a chunk are still to come.
    Chunk(u64),
    /// All that comes is the body's.
    Bare,
    /// The line end after a chunk, or the trailer.
    ChunkEnd,
    Trailer,
    Ended,
}

impl Reply {
    /// For a stream without a head.
    #[must_use]
    pub const fn bare() -> Self {
        Self { state: State::Bare, line: Vec::new() }
    }

    /// May the connection end here?
    #[must_use]
    pub const fn may_close(&self) -> bool {
        matches!(self.state, State::Bare | State::Ended)
    }

    /// Is the head there, and was it 200 with a body that has no length?
    #[must_use]
    pub const fn has_head(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Did the body end as it should?
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Take what arrived; `body` is called with what of it is the body's.
    ///
    /// # Errors
    ///
    /// Another status than 200, a body of known length, or no HTTP at all.
    pub fn take(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            if self.state == State::Bare {
                body(bytes);
                return Ok(());
            }
            if let State::Chunk(left) = self.state {
                let now = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (taken, rest) = bytes.split_at(now);
                body(taken);
                bytes = rest;
                let left = left - now as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return self.bounded();
            };
            let (line, rest) = bytes.split_at(end + 1);
            self.line.extend_from_slice(line);
            self.bounded()?;
            bytes = rest;
            self.line_end()?;
        }
        Ok(())
    }

    fn bounded(&self) -> anyhow::Result<()> {
        if self.line.len() > HEAD_BYTES_MAX {
            bail!("a head or a line of more than {HEAD_BYTES_MAX} bytes");
        }
        Ok(())
    }

    /// A line is complete: what does it say?
    fn line_end(&mut self) -> anyhow::Result<()> {
        let text = std::str::from_utf8(&self.line)?;
        self.state = match self.state {
            State::Head if text.ends_with("\r\n\r\n") => {
                if is_chunked(text)? {
                    State::Size
                } else {
                    State::Bare
                }
            }
            // The head's lines are collected until it is whole.
            State::Head => return Ok(()),
            State::Size => match size(text)? {
                0 => State::Trailer,
                bytes => State::Chunk(bytes),
            },
            State::ChunkEnd if text == "\r\n" => State::Size,
            State::Trailer if text == "\r\n" => State::Ended,
            State::Trailer => State::Trailer,
            State::Ended => bail!("more after the end"),
            State::ChunkEnd | State::Chunk(_) | State::Bare => {
                bail!("a chunk is longer than it said")
            }
        };
        self.line.clear();
        Ok(())
    }
}

/// Does the body come in chunks? Otherwise it ends with the connection.
fn is_chunked(head: &str) -> anyhow::Result<bool> {
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    if first.split(' ').nth(1) != Some("200") {
        bail!("the reply is {first:?}");
    }
    let has = |wanted: &str, value: &str| {
        fields.lines().filter_map(|line| line.split_once(':')).any(|(name, said)| {
            name.eq_ignore_ascii_case(wanted)
                && (value.is_empty() || said.trim().eq_ignore_ascii_case(value))
        })
    };
    if has("content-length", "") {
        bail!("the body has a length: no live stream");
    }
    Ok(has("transfer-encoding", "chunked"))
}

fn size(line: &str) -> anyhow::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).with_context(|| format!("{line:?} is no chunk's size"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn decode(text: &str, piece: usize) -> anyhow::Result<(Reply, Vec<u8>)> {
        let (mut reply, mut body) = (Reply::default(), Vec::new());
        for bytes in text.as_bytes().chunks(piece) {
            reply.take(bytes, |part| body.extend_from_slice(part))?;
        }
        Ok((reply, body))
    }

    proptest! {
        #[test]
        fn a_reply_is_decoded_in_whatever_pieces_it_comes(piece in 1..100usize) {
            let text = format!("{HEAD}5\r\nhello\r\nB;x=y\r\n, 0\r\n world\r\n0\r\nA: b\r\n\r\n");
            let (reply, body) = decode(&text, piece).unwrap();
            prop_assert_eq!(body, b"hello, 0\r\n world");
            prop_assert!(reply.has_head() && reply.has_ended());
        }
    }

    #[test]
    fn a_reply_without_chunks_ends_with_its_connection() {
        let (reply, body) = decode("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n5\r\nhello", 9).unwrap();
        assert_eq!(body, b"5\r\nhello");
        assert!(reply.may_close() && !reply.has_ended());
        assert!(!decode(HEAD, 9).unwrap().0.may_close());
    }

    #[test]
    fn a_reply_without_its_last_chunk_has_not_ended() {
        let (reply, body) = decode(&format!("{HEAD}5\r\nhello\r\n"), 7).unwrap();
        assert_eq!((reply.has_ended(), body.as_slice()), (false, &b"hello"[..]));
    }

    #[test]
    fn what_is_no_live_reply_is_refused() {
        for text in [
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
            &format!("{HEAD}x\r\n"),
            &format!("{HEAD}1\r\nab\r\n"),
            &format!("{HEAD}0\r\n\r\nmore\r\n"),
            &"x".repeat(HEAD_BYTES_MAX + 1),
        ] {
            assert!(decode(text, 1_000).is_err(), "{text:.80}");
        }
    }
}
