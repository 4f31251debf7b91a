//! One request to the distributor and its reply: the handshake, a chunk, or the end of the stream.
//!
//! Every request has a deadline, and a connection on which nothing is acknowledged any more is given
//! up by the kernel. A request that fails is never repeated here: only a new handshake tells what of
//! it arrived.

use bytes::{Bytes, BytesMut};
use freshet_protocol::{ChunkRange, ETag, Role, Stamp, field};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::{
    limits::{CONNECT, LINK_DEAD, REPLY, REPLY_BYTES_MAX},
    reply::{self, Reply},
    target::{Target, TargetError},
};

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutError {
    #[error("no connection")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("connection lost")]
    Lost(#[source] hyper_util::client::legacy::Error),
    #[error("connection lost in the reply")]
    Reply(#[source] hyper::Error),
    #[error("no reply within {} s", REPLY.as_secs())]
    Late,
    #[error("request cannot be made")]
    Request(#[from] http::Error),
}

/// Why a link cannot even be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The URL names no stream.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A token, id or type that no header field can carry.
    #[error("the {what} has a character that no header field can carry")]
    Value {
        /// Which one.
        what: &'static str,
    },
}

/// A stream at a distributor, as an origin speaks to it. Connections are kept between requests.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    origin_id: HeaderValue,
    authorization: Option<HeaderValue>,
    content_type: HeaderValue,
}

/// A chunk with all that is said about it.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) place: ChunkRange,
    pub(crate) bytes: Bytes,
    pub(crate) captured: Option<Stamp>,
}

impl Link {
    pub(crate) fn new(
        target: &Target,
        origin_id: &str,
        token: Option<&str>,
        content_type: &str,
    ) -> Result<Self, LinkError> {
        let authorization = token.map(|token| value("token", &format!("Bearer {token}")));
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(1)
                .build(connector()),
            uri: target.uri()?,
            origin_id: value("origin id", origin_id)?,
            authorization: authorization.transpose()?.map(|mut value| {
                value.set_sensitive(true);
                value
            }),
            content_type: value("content type", content_type)?,
        })
    }

    /// The handshake: what is held?
    ///
    /// Cancel safe: it changes nothing.
    pub(crate) async fn ask(&self) -> Result<Reply, CutError> {
        let request = self.request(Method::OPTIONS).body(Full::default())?;
        self.exchange(request).await
    }

    /// Post one chunk. `seen` is the incarnation that it belongs to, once that is known.
    ///
    /// Dropped half-way, an unknown part of the chunk has arrived.
    pub(crate) async fn post(&self, chunk: Chunk, seen: Option<&ETag>) -> Result<Reply, CutError> {
        let mut request = self
            .request(Method::POST)
            .header(header::CONTENT_RANGE, chunk.place.to_string())
            .header(header::CONTENT_TYPE, &self.content_type);
        if let Some(captured) = chunk.captured {
            request = request.header(field::ORIGIN_TIME, captured.to_string());
        }
        if let Some(etag) = seen {
            request = request.header(header::IF_MATCH, etag.to_string());
        }
        self.exchange(request.body(Full::new(chunk.bytes))?).await
    }

    fn request(&self, method: Method) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(self.uri.clone())
            .header(field::CONNECTION_TYPE, Role::Origin.to_string())
            .header(field::ORIGIN_ID, &self.origin_id);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, CutError> {
        let reply = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() { CutError::Connect(error) } else { CutError::Lost(error) }
            })?;
            let (head, body) = read_all(response).await?;
            Ok(reply::read(head.status, &head.headers, &body))
        };
        timeout(REPLY, reply).await.unwrap_or(Err(CutError::Late))
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    connector.set_tcp_user_timeout(Some(LINK_DEAD));
    connector.set_keepalive(Some(LINK_DEAD));
    connector
}

/// The whole reply, so that its connection can be used again; its body only as far as it matters.
async fn read_all(
    response: Response<Incoming>,
) -> Result<(http::response::Parts, Bytes), CutError> {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(CutError::Reply)?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > REPLY_BYTES_MAX {
            break;
        }
    }
    Ok((head, bytes.freeze()))
}

fn value(what: &'static str, text: &str) -> Result<HeaderValue, LinkError> {
    HeaderValue::from_str(text).map_err(|_| LinkError::Value { what })
}
