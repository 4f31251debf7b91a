//! The container's header of a stream whose beginning is gone upstream, too.
//!
//! ```text
//!   native delivery: 206, Retained-From: 5000000        no byte of the header will come
//!   plain delivery:  200, Stream-Header: 1184 ──▶ header ──▶ sniff ──▶ the stream's scanner
//!                  200, no header ──▶ frames of sound, or nothing that could be joined
//! ```
//!
//! A distributor keeps the header for as long as it has the stream, and a plain GET begins with it. So it
//! is read off the beginning of one, and the rest of that delivery is not taken.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;
use tracing::debug;

use super::request::{Cut, Question};
use crate::{
    config::UpstreamUrl,
    join::{Container, Scanner, limits::HEADER_BYTES_MAX},
    limits,
    store::Stream,
};

/// Let `stream` know the header that `upstream` has of it, if it says so. Cancel safe.
pub(super) async fn learn(question: &Question, upstream: &UpstreamUrl, stream: &Stream) {
    let limit = limits::UPSTREAM_HEADER_MAX;
    let asked = timeout(limit, ask(question, upstream)).await;
    match asked.unwrap_or(Err(Cut::NoReply(limit))) {
        Ok(Some(scanner)) => stream.adopt(scanner),
        Ok(None) => debug!(stream = %question.name, "no header upstream"),
        Err(error) => debug!(stream = %question.name, %error, "no header from upstream"),
    }
}

async fn ask(question: &Question, upstream: &UpstreamUrl) -> Result<Option<Scanner>, Cut> {
    let Some(mut playing) = question.play(upstream).await? else { return Ok(None) };
    match playing.header {
        Some(length) => read(&mut playing.body, length).await,
        // A stream that is no frames has no place that looks like one.
        None => Ok(Some(Scanner::resume(Container::Frames, &[]))),
    }
}

/// The first `length` bytes are the header; these and a few more tell of which container.
async fn read(body: &mut Incoming, length: usize) -> Result<Option<Scanner>, Cut> {
    let (mut scanner, mut begun) = (Scanner::new(), BytesMut::new());
    while begun.len() < length || scanner.container().is_none() {
        if begun.len() > HEADER_BYTES_MAX {
            return Ok(None);
        }
        let frame = body.frame().await.ok_or(Cut::Early)??;
        if let Ok(data) = frame.into_data() {
            scanner.push(begun.len() as u64, &data);
            begun.extend_from_slice(&data);
        }
    }
    let header = begun.split_to(length);
    Ok(scanner.container().map(|container| Scanner::resume(container, &header)))
}
