//! The progress bar: on a terminal only, on standard error, below whatever is printed meanwhile.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::News;

/// How often the bar is drawn while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// How far a plan is.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Nothing is done yet.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        let template = "{bar:30} {pos} of {len}, {elapsed} gone, {eta} to go: {msg}";
        // The template is a constant; where it were wrong the bar would look otherwise.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Show what is measured now.
    pub fn show(&self, news: News<'_>) {
        if let News::Measuring(scenario, relay, done, all) = news {
            self.0.set_length(all as u64);
            self.0.set_position(done as u64);
            self.0.set_message(format!("{scenario} through {relay}"));
        }
    }

    /// Do something that prints.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
