//! The progress bar: on a terminal only, on standard error, with the log above it.

use std::{
    convert::Infallible,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use freshet_origin::{State, Stats, Target};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing_subscriber::EnvFilter;

/// How often it is drawn; the eye wants no more.
const TICK: Duration = Duration::from_millis(125);

/// A bar that is drawn, or that is not.
#[derive(Clone, Debug)]
pub(crate) struct Bar(Option<MultiProgress>);

impl Bar {
    pub(crate) fn new(quiet: bool) -> Self {
        let drawn = !quiet && io::stderr().is_terminal();
        Self(drawn.then(MultiProgress::new))
    }

    /// Log to standard error, above the bar.
    pub(crate) fn log(&self) {
        let filter = EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| EnvFilter::new("warn,lofty=error,origin=info,freshet_origin=info"));
        let above = AboveBar(self.0.clone());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(move || above.clone())
            .init();
    }

    /// Show `stats` while `work` runs.
    pub(crate) async fn during<T>(
        &self,
        to: &Target,
        stats: watch::Receiver<Stats>,
        work: impl Future<Output = T>,
    ) -> T {
        let Some(screen) = &self.0 else { return work.await };
        let name = to.name().map_or("", |name| name.as_str());
        let bar = screen.add(ProgressBar::no_length().with_style(style(false)));
        tokio::select! {
            done = work => {
                bar.finish_and_clear();
                screen.remove(&bar);
                done
            }
            never = draw(&bar, name, stats) => match never {},
        }
    }
}

/// Draw for ever.
async fn draw(bar: &ProgressBar, name: &str, stats: watch::Receiver<Stats>) -> Infallible {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut rate, mut last) = (0.0, (Instant::now(), 0));
    loop {
        let now = ticks.tick().await;
        let stats = stats.borrow().clone();
        let elapsed = now.saturating_duration_since(last.0).as_secs_f64();
        if elapsed > 0.0 {
            let bytes = u32::try_from(stats.posted - last.1).map_or(f64::MAX, f64::from);
            rate += (bytes / elapsed - rate) * 0.1;
            last = (now, stats.posted);
        }
        if let Some(total) = stats.total {
            bar.set_length(total);
        }
        bar.set_style(style(stats.total.is_some()));
        bar.set_position(stats.acknowledged);
        bar.set_message(message(name, &stats, rate));
    }
}

fn style(has_total: bool) -> ProgressStyle {
    let template = if has_total { "[{wide_bar}] {percent}% {msg}" } else { "{spinner} {msg}" };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn message(name: &str, stats: &Stats, rate: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never below 0")]
    let rate = HumanBytes(rate as u64);
    let figures = format!(
        "{name}: {rate}/s, {} acknowledged, {} behind",
        HumanBytes(stats.acknowledged),
        HumanBytes(stats.behind())
    );
    match &stats.state {
        State::Retrying { why } => format!("{figures}, retrying ({why})"),
        _ => figures,
    }
}

/// Writes to standard error without tearing the bar.
#[derive(Clone, Debug)]
struct AboveBar(Option<MultiProgress>);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(screen) => screen.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
