//! What a body brings: bytes and their place, and in front of a player's the container's header.

use freshet_protocol::{ByteRange, way};
use tokio::time::Instant;
use tracing::trace;

use super::{Follow, State};
use crate::{
    fetch::{FetchError, Manner, Start},
    limits,
    piece::Piece,
    request::{self, Cut, Run},
};

impl Follow {
    /// A step of the body: bytes, its end, or its cut.
    pub(super) fn take(&mut self, step: Result<Option<Run>, Cut>) -> Result<(), FetchError> {
        match step {
            Ok(Some(run)) => self.place(run),
            Ok(None) => {
                self.state = match self.manner {
                    Manner::Poll(_) => State::Ask,
                    Manner::Continuous(_) | Manner::InOrder(_) => State::Confirm,
                };
                Ok(())
            }
            Err(cut) => self.pause(cut),
        }
    }

    /// What goes before the stream's bytes, and was not handed out before a cut.
    fn place_header(&mut self, run: &Run) {
        let (given, seen) = self.header;
        let end = seen + run.bytes.len() as u64;
        let known = usize::try_from(given.saturating_sub(seen)).unwrap_or(usize::MAX);
        let (origin_time, clock_ahead_nanos) = (None, 0);
        let (offset, received) = (run.offset, request::now());
        if let Some(bytes) = run.bytes.get(known..).filter(|bytes| !bytes.is_empty()) {
            let bytes = run.bytes.slice_ref(bytes);
            self.ready.push_back(Piece { offset, bytes, origin_time, received, clock_ahead_nanos });
        }
        self.header = (given.max(end), end);
    }

    fn place(&mut self, run: Run) -> Result<(), FetchError> {
        if run.is_header {
            self.place_header(&run);
            return Ok(());
        }
        if let Manner::InOrder(Start::Join(_)) = self.manner {
            // From now on it is known where to go on.
            self.manner = Manner::InOrder(Start::Offset(self.start));
        }
        let length = run.bytes.len() as u64;
        let Some(range) = ByteRange::at(run.offset, length) else {
            return Err(FetchError::Foreign { what: "its bytes have no possible place" });
        };
        self.assembly.learn_total(run.total, range.end())?;
        trace!(target: way::TARGET, step = way::RECEIVE, end = range.end());
        self.effort.received_bytes += length;
        self.failing_since = None;
        let fresh = self.assembly.place(range);
        if !fresh.is_empty() {
            self.fresh_at = Instant::now();
            self.pauses.reset();
        } else if let Manner::Poll(_) = self.manner {
            // Whoever sends what we hold has nothing better: do not spin.
            self.resume_at = Some(Instant::now() + limits::POLL_PAUSE);
        }
        let (received, clock) = (request::now(), self.clock.offset());
        let ahead = clock.map_or(0, |clock| clock.nanos);
        self.ready.extend(Piece::of(&run, &fresh, received, ahead));
        let newest = self.ready.back().filter(|piece| piece.end() == self.assembly.edge());
        if let Some(age) = newest.and_then(Piece::age) {
            self.ages.note(age);
        }
        Ok(())
    }
}
