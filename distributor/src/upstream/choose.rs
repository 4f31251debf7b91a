//! Which upstream is asked next, and after how long a pause. Pure.
//!
//! ```text
//!   round:  first ──▶ second ──▶ ... ──▶ over ──▶ pause ──▶ round
//!             │ served well, then cut        ├─ all say that there is none      Missing
//!             └──▶ a round at once, with     ├─ one has another incarnation     Adopt
//!                  the one that failed last  └─ at least one could not tell     Away
//! ```
//!
//! In a round each upstream is asked once, in order of preference. Rounds in a row that bring nothing
//! are ever further apart.

use std::{collections::VecDeque, time::Duration};

use crate::limits::{UPSTREAM_PATIENCE_ROUNDS, UPSTREAM_PAUSE_MAX, UPSTREAM_PAUSE_MIN};

/// What came of asking one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It served for a while, and then no more.
    Cut,
    /// Another one, at this place in the order of preference, has bytes that this one lacks.
    Behind { better: usize },
    /// It has no such stream.
    Missing,
    /// It has another incarnation.
    Other,
    /// It cannot be asked, or its answer is of no use.
    Failed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this one.
    Ask(usize),
    /// The round is over: nobody has our incarnation, and somebody has another.
    Adopt,
    /// The round is over: nobody has the stream.
    Missing,
    /// The round is over, and at least one could not tell.
    Away,
}

/// The state of one stream's search.
#[derive(Debug)]
pub(super) struct Choice {
    count: usize,
    /// Who is still to be asked in this round.
    left: VecDeque<usize>,
    other: bool,
    failed: bool,
    /// Rounds in a row that brought nothing.
    fruitless: u32,
}

impl Choice {
    /// Among `count` upstreams.
    pub(super) fn new(count: usize) -> Self {
        let left = (0..count).collect();
        Self { count, left, other: false, failed: false, fruitless: 0 }
    }

    /// What to do next; a round that is over begins again with the call after.
    pub(super) fn next(&mut self) -> Next {
        if let Some(&one) = self.left.front() {
            return Next::Ask(one);
        }
        self.fruitless = self.fruitless.saturating_add(1);
        let next = match (self.other, self.failed) {
            (true, false) => Next::Adopt,
            // The one that cannot tell may be just about to be started again.
            (true, true) if self.fruitless > UPSTREAM_PATIENCE_ROUNDS => Next::Adopt,
            (_, true) => Next::Away,
            (false, false) => Next::Missing,
        };
        self.begin(None);
        next
    }

    /// The one that was to be asked was asked.
    pub(super) fn note(&mut self, outcome: Outcome) {
        let Some(asked) = self.left.pop_front() else { return };
        match outcome {
            Outcome::Missing => {}
            Outcome::Other => self.other = true,
            Outcome::Failed => self.failed = true,
            Outcome::Cut => {
                self.fruitless = 0;
                self.begin(Some(asked));
            }
            Outcome::Behind { better } => {
                self.begin(Some(asked));
                self.left.retain(|&one| one != better);
                self.left.push_front(better);
            }
        }
    }

    /// How long to pause after a round; `jitter` is between 0 and 1.
    pub(super) fn pause(&self, jitter: f64) -> Duration {
        let doubled = 1_u32 << self.fruitless.saturating_sub(1).min(16);
        let pause = UPSTREAM_PAUSE_MIN.saturating_mul(doubled).min(UPSTREAM_PAUSE_MAX);
        // Half of it at least, so that those who were cut together do not come back together.
        pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    fn begin(&mut self, last: Option<usize>) {
        self.left = (0..self.count).filter(|&one| Some(one) != last).chain(last).collect();
        (self.other, self.failed) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Whom a round asks, and how it ends, if each one answers so.
    fn round(choice: &mut Choice, outcomes: &[Outcome]) -> (Vec<usize>, Next) {
        let mut asked = Vec::new();
        loop {
            match choice.next() {
                Next::Ask(one) => {
                    asked.push(one);
                    choice.note(outcomes[one]);
                }
                end => return (asked, end),
            }
        }
    }

    #[test]
    fn a_round_asks_everybody_in_order_and_says_what_came_of_it() {
        use Outcome::{Failed, Missing, Other};
        let mut choice = Choice::new(3);
        for (outcomes, end) in [
            ([Missing, Missing, Missing], Next::Missing),
            ([Missing, Failed, Missing], Next::Away),
            ([Missing, Other, Other], Next::Adopt),
            ([Failed, Other, Other], Next::Away),
        ] {
            assert_eq!(round(&mut choice, &outcomes), (vec![0, 1, 2], end));
        }
    }

    #[test]
    fn another_incarnation_waits_a_few_rounds_for_one_that_cannot_tell() {
        let mut choice = Choice::new(2);
        let mut rounds = 0;
        while round(&mut choice, &[Outcome::Failed, Outcome::Other]).1 != Next::Adopt {
            rounds += 1;
        }
        assert_eq!(rounds, UPSTREAM_PATIENCE_ROUNDS);
    }

    #[test]
    fn one_that_is_cut_is_asked_again_after_the_others() {
        let mut choice = Choice::new(3);
        assert_eq!(choice.next(), Next::Ask(0));
        choice.note(Outcome::Failed);
        assert_eq!(choice.next(), Next::Ask(1));
        choice.note(Outcome::Cut);
        assert_eq!(round(&mut choice, &[Outcome::Failed; 3]), (vec![0, 2, 1], Next::Away));
        assert_eq!(choice.next(), Next::Ask(0), "the next round is by preference again");
    }

    #[test]
    fn one_that_has_more_is_asked_at_once() {
        let mut choice = Choice::new(3);
        choice.note(Outcome::Behind { better: 2 });
        assert_eq!(round(&mut choice, &[Outcome::Missing; 3]), (vec![2, 1, 0], Next::Missing));
    }

    #[test]
    fn pauses_grow_and_are_short_again_once_it_went_well() {
        let mut choice = Choice::new(1);
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            round(&mut choice, &[Outcome::Failed]);
            let pause = choice.pause(1.0);
            assert!(pause > last || pause == UPSTREAM_PAUSE_MAX);
            last = pause;
        }
        assert_eq!(last, UPSTREAM_PAUSE_MAX);
        assert_eq!(choice.pause(0.0), UPSTREAM_PAUSE_MAX / 2);
        assert_eq!(choice.next(), Next::Ask(0));
        choice.note(Outcome::Cut);
        round(&mut choice, &[Outcome::Failed]);
        assert_eq!(choice.pause(1.0), UPSTREAM_PAUSE_MIN);
    }

    proptest! {
        /// Whatever they answer, nobody is asked twice in a round, unless it served in between.
        #[test]
        fn nobody_is_asked_twice_for_nothing(
            count in 1..5usize, answers in vec(0..4u8, 1..100),
        ) {
            let (mut choice, mut asked) = (Choice::new(count), Vec::new());
            for answer in answers {
                match choice.next() {
                    Next::Ask(one) => {
                        prop_assert!(!asked.contains(&one) && one < count);
                        asked.push(one);
                        let outcome = match answer {
                            0 => Outcome::Missing,
                            1 => Outcome::Other,
                            2 => Outcome::Failed,
                            _ => Outcome::Cut,
                        };
                        choice.note(outcome);
                        if outcome == Outcome::Cut {
                            asked.clear();
                        }
                    }
                    _ => {
                        prop_assert_eq!(asked.len(), count);
                        asked.clear();
                    }
                }
            }
        }
    }
}
