//! The bare fan-out: what a relay costs that does nothing else. The distributor is measured against it.
//!
//! ```text
//!   PUT or POST /NAME ──▶ broadcast ──▶ GET /NAME, GET /NAME, ...
//! ```
//!
//! hyper and tokio's broadcast, and whatever else a program could not do without. It holds nothing,
//! checks nothing, acknowledges nothing but the end; whoever falls behind is cut.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::limits::FANOUT_CHUNKS_MAX;

/// A chunk, or the end.
type Sender = broadcast::Sender<Option<Bytes>>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Clone, Default)]
struct Streams {
    senders: Arc<Mutex<HashMap<String, Sender>>>,
}

/// Serve until `shutdown`; then whatever is open is cut.
pub async fn serve(listener: TcpListener, shutdown: &CancellationToken) {
    let (streams, mut sessions) = (Streams::default(), JoinSet::new());
    loop {
        let (socket, _) = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(_) = sessions.join_next() => continue,
            Ok(accepted) = listener.accept() => accepted,
        };
        // A socket that is gone already shows when it is used.
        let _ = socket.set_nodelay(true);
        let streams = streams.clone();
        let service = service_fn(move |request| streams.clone().answer(request));
        let session = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        sessions.spawn(session);
    }
}

impl Streams {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let sender = self.sender(request.uri().path());
        if *request.method() == Method::GET {
            return Ok(Response::new(Self::follow(&sender)));
        }
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(bytes) = frame.into_data() {
                // Without any consumer it goes nowhere.
                let _ = sender.send(Some(bytes));
            }
        }
        let _ = sender.send(None);
        Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync()))
    }

    fn sender(&self, path: &str) -> Sender {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || broadcast::channel(FANOUT_CHUNKS_MAX).0;
        senders.entry(path.to_owned()).or_insert_with(new).clone()
    }

    fn follow(sender: &Sender) -> Body {
        let frames = stream::unfold(sender.subscribe(), |mut receiver| async {
            let frame = match receiver.recv().await {
                Ok(Some(bytes)) => Ok(Frame::data(bytes)),
                Ok(None) | Err(RecvError::Closed) => return None,
                Err(lagged @ RecvError::Lagged(_)) => Err(io::Error::other(lagged)),
            };
            Some((frame, receiver))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}
