//! From the network: bytes in order, and where some are missing.
//!
//! ```text
//!   in order      header │ newest join point ... edge │
//!   newest first                                      │ edge ... on; past what would come too late
//! ```
//!
//! A live stream is taken in both manners at first, until what comes in order has reached what comes newest
//! first. From then on a link that is fast enough brings every byte, and on one that is not the distributor leaves
//! out what would come too late.

use std::sync::Arc;

use bytes::Bytes;
use freshet_consumer::{Fetch, FetchError, Follow, Manner, Piece, Policy, Start};
use freshet_protocol::{Backfill, From};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};

use crate::{
    limits::{COMING_BYTES_MAX, COMING_MAX, NEWEST_MAX},
    picture::Arrival,
};

/// What comes from the network.
#[derive(Debug)]
pub(super) enum Input {
    Bytes(Bytes, Arrival),
    /// Bytes are missing here.
    Gap,
}

/// What has come, and the room that it takes until it is let go.
pub(super) type Came = mpsc::Receiver<(Input, OwnedSemaphorePermit)>;

/// To the decoder: no more than so many bytes, however long the pictures wait.
#[derive(Debug)]
pub(super) struct Coming {
    out: mpsc::Sender<(Input, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Coming {
    pub(super) fn new() -> (Self, Came) {
        let (out, came) = mpsc::channel(COMING_MAX);
        (Self { out, room: Arc::new(Semaphore::new(COMING_BYTES_MAX as usize)) }, came)
    }

    /// Hand it on once there is room; false: nobody wants it.
    async fn put(&self, input: Input) -> bool {
        let bytes = if let Input::Bytes(bytes, _) = &input { bytes.len() } else { 0 };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(COMING_BYTES_MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else { return false };
        self.out.send((input, room)).await.is_ok()
    }
}

/// A stream that is being taken.
#[derive(Debug)]
pub(super) struct Feed {
    in_order: Follow,
    newest: Option<Follow>,
    /// It comes as it is captured.
    pub(super) is_live: bool,
}

impl Feed {
    /// Find the stream, and where to begin in it.
    pub(super) async fn open(fetch: Fetch, from: From, policy: Policy) -> Result<Self, FetchError> {
        let manner = Manner::InOrder(Start::Join(from));
        let in_order = fetch.clone().open(manner, None).await?;
        let is_live = from == From::Live && in_order.assembly().total().is_none();
        let newest = if is_live && policy == Policy::Newest {
            Some(fetch.open(Manner::Continuous(Backfill::None), None).await?)
        } else {
            None
        };
        Ok(Self { in_order, newest, is_live })
    }

    /// Hand on what comes, until the stream ends or nobody wants it.
    pub(super) async fn run(self, out: Coming) -> Result<(), FetchError> {
        let Self { mut in_order, newest, .. } = self;
        let Some(mut newest) = newest else {
            while let Some(piece) = in_order.next().await? {
                if !out.piece(&piece).await {
                    return Ok(());
                }
            }
            return Ok(());
        };
        let edge = newest.assembly().edge();
        let (put, mut take) = mpsc::channel(NEWEST_MAX);
        let mut parts = JoinSet::new();
        parts.spawn(async move {
            while let Some(piece) = newest.next().await.transpose() {
                if put.send(piece).await.is_err() {
                    return;
                }
            }
        });
        let mut next = 0;
        // One byte beyond the edge, or more: then all of the header has come, too.
        while next <= edge
            && let Some(piece) = in_order.next().await?
        {
            next = in_order.position();
            if !out.piece(&piece).await {
                return Ok(());
            }
        }
        drop(in_order);
        while let Some(piece) = take.recv().await {
            if !out.follow(piece?, &mut next).await {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Coming {
    /// Hand on a piece; false: nobody wants it.
    async fn piece(&self, piece: &Piece) -> bool {
        self.put(Input::Bytes(piece.bytes.clone(), arrival(piece))).await
    }

    /// Hand on what of a piece is not before `next`, and say whether bytes are missing there.
    async fn follow(&self, mut piece: Piece, next: &mut u64) -> bool {
        let known = usize::try_from(next.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
        if known >= piece.bytes.len() {
            return true;
        }
        if piece.offset > *next && !self.put(Input::Gap).await {
            return false;
        }
        *next = piece.end();
        piece.bytes = piece.bytes.slice(known..);
        self.piece(&piece).await
    }
}

fn arrival(piece: &Piece) -> Arrival {
    let captured = piece.origin_time.map(|at| at.shifted(piece.clock_ahead_nanos.saturating_neg()));
    Arrival { captured, received: piece.received }
}
