//! Drives a parser over bytes that come in any slices: keeps what a step waits for, skips what is
//! of no interest, and makes sure that each step gets on.

use super::{Step, limits::PENDING_BYTES_KEPT};

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// What came before the slice at hand, and is not done with.
    bytes: Vec<u8>,
    /// So many of them are done with all the same.
    used: usize,
    /// So many must be at hand before another step makes sense.
    wanted: usize,
    /// So many are still to be skipped; then nothing is kept.
    skip: u64,
}

/// Steps in a row that use nothing: a parser may change its mind, but not for ever.
const IDLE_STEPS_MAX: u32 = 2;

impl Pending {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Let `step` run over what is kept and then over `input`, which begins at `at`.
    pub(super) fn run(&mut self, at: u64, input: &[u8], mut step: impl FnMut(u64, &[u8]) -> Step) {
        let (mut pos, mut idle) = (0, 0);
        loop {
            pos += self.skip(input.len() - pos);
            if self.kept() > 0 && self.kept() <= pos {
                // All that is kept lies in the slice at hand: no copy is needed from here on.
                pos -= self.kept();
                self.forget(usize::MAX);
            }
            if self.kept() > 0 {
                pos += self.top_up(input.get(pos..).unwrap_or_default());
            }
            let kept = self.bytes.get(self.used..).unwrap_or_default();
            let rest = input.get(pos..).unwrap_or_default();
            let here = if kept.is_empty() { rest } else { kept };
            if here.is_empty() || here.len() < self.wanted {
                if kept.is_empty() {
                    self.bytes.extend_from_slice(rest);
                }
                return;
            }
            self.wanted = 0;
            let used = match step(at + pos as u64 - kept.len() as u64, here) {
                Step::More(wanted) if wanted > here.len() => {
                    self.wanted = wanted;
                    continue;
                }
                Step::Used(0) if idle < IDLE_STEPS_MAX => {
                    idle += 1;
                    continue;
                }
                Step::Used(used) => used.max(1),
                Step::More(_) | Step::Raw => 1,
            };
            idle = 0;
            let now = usize::try_from(used).unwrap_or(usize::MAX).min(here.len());
            self.skip = used - now as u64;
            if kept.is_empty() {
                pos += now;
            } else {
                self.forget(now);
            }
        }
    }

    fn kept(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Skip of `len` bytes what is to be skipped.
    fn skip(&mut self, len: usize) -> usize {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(len);
        self.skip -= skipped as u64;
        skipped
    }

    /// Take what is wanted from `input`, and no more.
    fn top_up(&mut self, input: &[u8]) -> usize {
        let len = self.wanted.saturating_sub(self.kept()).min(input.len());
        self.bytes.extend_from_slice(input.get(..len).unwrap_or_default());
        len
    }

    /// The first `len` of what is kept are done with.
    fn forget(&mut self, len: usize) {
        self.used = self.used.saturating_add(len).min(self.bytes.len());
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
            if self.bytes.capacity() > PENDING_BYTES_KEPT {
                self.bytes = Vec::new();
            }
        } else if self.used > self.bytes.len() / 2 {
            // Moved together only when half of it is gone: each byte is moved a few times at most.
            self.bytes.drain(..self.used);
            self.used = 0;
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity()
    }
}
