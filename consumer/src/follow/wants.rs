//! What is still wanted, how it is said to the distributor, and when nothing more is to be waited for.

use freshet_protocol::{Backfill, ByteRange, Held, limits::RANGES_MAX};

use super::Follow;
use crate::{fetch::Manner, head::Head};

impl Follow {
    /// What to say that we hold: our bytes, and all that we do not want.
    pub(super) fn claim(&self) -> Held {
        let mut claim = self.assembly.held();
        let unwanted = ByteRange::new(0, self.assembly.floor());
        unwanted.into_iter().chain(self.swept).for_each(|range| claim.set.insert(range));
        claim
    }

    /// A poll has room for so many runs only, and the newest missing byte may be one that we hold and
    /// could not name. But whoever answers with it has nothing for us above it: that is one run.
    pub(super) fn sweep(&self, head: &Head, claim_end: u64) -> Option<ByteRange> {
        let polls = matches!(self.manner, Manner::Poll(_));
        let many = self.assembly.runs() > RANGES_MAX;
        let newest = head.placed().filter(|_| polls && many)?;
        ByteRange::new(newest.range.end(), claim_end)
    }

    /// Is everything here that was wanted of a complete stream, and is still kept?
    pub(super) fn has_all(&self) -> bool {
        match self.manner {
            Manner::InOrder(_) => self.assembly.total().is_some_and(|end| self.position() >= end),
            Manner::Continuous(_) | Manner::Poll(_) => self.assembly.has_all_kept(),
        }
    }

    /// Does the distributor hold bytes that it should have sent?
    pub(super) fn is_overdue(&self) -> bool {
        let obtainable = self.assembly.obtainable();
        match self.manner {
            Manner::Continuous(Backfill::All) | Manner::Poll(_) => !obtainable.is_empty(),
            // What lies behind a gap is not for such a reply to fill.
            Manner::Continuous(_) => obtainable.end() > self.assembly.held_end(),
            Manner::InOrder(_) => obtainable.contains(self.position()),
        }
    }

    /// Is the stream complete but for holes, which nobody has filled for a while?
    pub(super) fn is_left_alone(&self) -> bool {
        let quiet = self.fresh_at.elapsed() >= self.fetch.deadlines.silence;
        quiet && self.assembly.total().is_some() && !self.is_overdue()
    }
}
