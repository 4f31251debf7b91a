//! How a role is told something, and says something: over standard input and output where it has a process of
//! its own, over channels where it is a thread of the bench.
//!
//! ```text
//!   Role ──lines──▶ Orders      their end is that of the role
//!        ◀──lines── Voice
//! ```

use std::{
    io::{self, BufRead, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::limits::ROLE_LINES_MAX;

/// What a role is told.
#[derive(Debug)]
pub struct Orders(Receiver<String>);

/// What a role says.
#[derive(Clone, Debug)]
pub struct Voice(Option<SyncSender<String>>);

/// Of a process.
#[must_use]
pub fn stdio() -> (Orders, Voice) {
    let (tell, told) = sync_channel(ROLE_LINES_MAX);
    // On a thread that may be left alone: nothing can wake a blocked read.
    thread::spawn(move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        lines.take_while(|line| tell.send(line.clone()).is_ok()).for_each(drop);
    });
    (Orders(told), Voice(None))
}

/// Of a thread, and the other ends.
#[must_use]
pub fn channels() -> (Orders, Voice, SyncSender<String>, Receiver<String>) {
    let ((tell, told), (say, said)) = (sync_channel(ROLE_LINES_MAX), sync_channel(ROLE_LINES_MAX));
    (Orders(told), Voice(Some(say)), tell, said)
}

impl Orders {
    /// The next line.
    ///
    /// # Errors
    ///
    /// There will be none.
    pub fn next(&self) -> anyhow::Result<String> {
        self.0.recv().context("nothing is told")
    }

    /// All lines to their end.
    pub fn lines(self) -> impl Iterator<Item = String> {
        self.0.into_iter()
    }

    /// Cancelled when they end.
    #[must_use]
    pub fn until_the_end(self) -> CancellationToken {
        let ended = CancellationToken::new();
        let tell = ended.clone();
        thread::spawn(move || {
            self.lines().for_each(drop);
            tell.cancel();
        });
        ended
    }
}

impl Voice {
    /// Say a line.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn say(&self, line: &str) -> anyhow::Result<()> {
        match &self.0 {
            None => writeln!(io::stdout(), "{line}").context("nobody listens"),
            Some(say) => say.send(line.to_owned()).context("nobody listens"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_in_a_thread_is_told_and_speaks_until_its_orders_end() {
        let (orders, voice, tell, said) = channels();
        tell.send("one".into()).unwrap();
        assert_eq!(orders.next().unwrap(), "one");
        voice.say("two").unwrap();
        assert_eq!(said.recv().unwrap(), "two");
        tell.send("three".into()).unwrap();
        drop(tell);
        assert_eq!(orders.lines().collect::<Vec<_>>(), ["three"]);
        drop(said);
        assert!(voice.say("four").is_err());
    }
}
