//! What an encoder gives, on its way into the copy: started, read, and started again when it dies.
//!
//! ```text
//!   start ──▶ read ──▶ whole pieces ──▶ copy
//!     ▲         │ dies, or is silent
//!     └─ pause ─┘  (back-off; too many quick deaths in a row end it)
//! ```
//!
//! The stream goes on where a dead encoder left it: no new incarnation, and a complete end only if the
//! encoder ended as it should, or was asked to.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use freshet_protocol::Stamp;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    blocking,
    capture::{Recorder, keep},
};
use crate::{
    backoff::Backoff,
    encoder::{Encoder, EncoderError, process::Running, units::Units},
    limits::{
        ENCODER_DEATHS_MAX, ENCODER_SILENT, ENCODER_STARTS_MAX, ENCODER_STEADY, ENCODER_STOP,
        HEADER_BYTES_MAX,
    },
};

/// An encoder, and the word that ends it.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) encoder: Encoder,
    pub(super) stop: CancellationToken,
}

/// How one run of ffmpeg ended, where that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its input did.
    Input,
    /// It was asked to.
    Asked,
}

/// Capture until the input ends, `stop`, or there is no hope.
pub(super) async fn run(encoded: Encoded, recorder: Recorder) {
    let Encoded { encoder, stop } = encoded;
    let outcome = match begin(&recorder).await {
        Ok((beginning, age)) => {
            let units = Units::new(encoder.container, beginning);
            let begun = Instant::now();
            Feed { encoder: &encoder, stop: &stop, recorder: &recorder, units, begun, age }
                .run()
                .await
        }
        Err(error) => Err(FeedError::Copy(error)),
    };
    // Joined, not left alone: the end must be on disk before this task is over.
    let _ = blocking(move || match outcome {
        Ok(()) => recorder.finish(),
        Err(FeedError::Encoder(error)) => recorder.fail_encoding(Arc::new(error)),
        Err(FeedError::Copy(error)) => recorder.fail(error),
    })
    .await;
}

/// How the stream begins, and how old it is: both from the copy of an earlier run.
async fn begin(recorder: &Recorder) -> io::Result<(Bytes, Duration)> {
    let (Some(copy), end) = (recorder.shared_copy(), recorder.end()) else {
        return Ok(Default::default());
    };
    let read = blocking(move || {
        let len = usize::try_from(end).unwrap_or(usize::MAX).min(HEADER_BYTES_MAX);
        let mut beginning = vec![0; len];
        copy.read(0, &mut beginning)?;
        // A file system that does not know: the times begin anew, as they would without a copy.
        let age = if end == 0 { Duration::ZERO } else { copy.age().unwrap_or_default() };
        Ok((beginning.into(), age))
    });
    read.await.map_err(io::Error::other)?
}

enum FeedError {
    Encoder(EncoderError),
    Copy(io::Error),
}

impl From<EncoderError> for FeedError {
    fn from(error: EncoderError) -> Self {
        Self::Encoder(error)
    }
}

struct Feed<'a> {
    encoder: &'a Encoder,
    stop: &'a CancellationToken,
    recorder: &'a Recorder,
    units: Units,
    begun: Instant,
    /// How old the stream was then.
    age: Duration,
}

impl Feed<'_> {
    async fn run(&mut self) -> Result<(), FeedError> {
        let mut backoff = Backoff::new(rand::random());
        let before = self.recorder.end();
        loop {
            let started = Instant::now();
            let left = self.encoder.seconds.map(|all| all.saturating_sub(started - self.begun));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            let error = match self.once(left).await {
                Ok(Ended::Input | Ended::Asked) => return Ok(()),
                Err(FeedError::Encoder(
                    error @ (EncoderError::Died { .. } | EncoderError::Silent { .. }),
                )) => error,
                Err(error) => return Err(error),
            };
            let silent = matches!(error, EncoderError::Silent { .. });
            let idle = if silent { ENCODER_SILENT } else { Duration::ZERO };
            if started.elapsed() >= idle + ENCODER_STEADY {
                backoff.reset();
            }
            let pause = backoff.next(None);
            let gave = self.recorder.end() > before;
            let most = if gave { ENCODER_DEATHS_MAX } else { ENCODER_STARTS_MAX };
            if backoff.failures() >= most {
                let deaths = backoff.failures();
                return Err(EncoderError::GaveUp { deaths, source: Box::new(error) }.into());
            }
            warn!("{error}; started again");
            tokio::select! {
                () = self.stop.cancelled() => return self.stopped(String::new()),
                () = sleep(pause) => {}
            }
        }
    }

    fn stopped(&self, said: String) -> Result<(), FeedError> {
        self.ended(Ended::Asked, said).map(drop)
    }

    /// A stream of nothing is none: it would be complete, and could never go on.
    fn ended(&self, ended: Ended, said: String) -> Result<Ended, FeedError> {
        if self.recorder.end() == 0 {
            let input = self.encoder.input.told();
            return Err(EncoderError::Nothing { input, said }.into());
        }
        Ok(ended)
    }

    /// One ffmpeg, from its start to its end.
    async fn once(&mut self, left: Option<Duration>) -> Result<Ended, FeedError> {
        let first = self.recorder.end() == 0;
        let offset = if first { Duration::ZERO } else { self.age + self.begun.elapsed() };
        let mut running = Running::start(self.encoder, &self.encoder.arguments(offset, left))?;
        self.units.begin();
        let (silent, asked) = self.read(&mut running).await?;
        let program = &self.encoder.program;
        let (status, said) = running
            .end()
            .await
            .map_err(|source| EncoderError::Run { program: program.clone(), source })?;
        if asked {
            return self.ended(Ended::Asked, said);
        }
        let input = self.encoder.input.told();
        if silent {
            return Err(EncoderError::Silent { input, said }.into());
        }
        if !status.success() {
            return Err(EncoderError::Died { status, input, said }.into());
        }
        let rest = self.units.rest();
        self.keep(rest, SystemTime::now().into()).await?;
        self.ended(Ended::Input, said)
    }

    /// Its output into the copy. Was it silent for too long, was it asked to end?
    async fn read(&mut self, running: &mut Running) -> Result<(bool, bool), FeedError> {
        let mut buffer = BytesMut::new();
        let mut ends_by = None;
        loop {
            let until = ends_by.unwrap_or_else(|| Instant::now() + ENCODER_SILENT);
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if ends_by.is_none() => {
                    info!("ending the capture");
                    running.interrupt();
                    ends_by = Some(Instant::now() + ENCODER_STOP);
                }
                read = timeout_at(until, running.read(&mut buffer)) => match read {
                    Ok(Ok(0)) => return Ok((false, ends_by.is_some())),
                    Ok(Ok(_)) => {
                        let captured = SystemTime::now().into();
                        let whole = self.units.push(&buffer);
                        buffer.clear();
                        self.keep(whole, captured).await?;
                    }
                    Ok(Err(source)) => {
                        let program = self.encoder.program.clone();
                        return Err(EncoderError::Run { program, source }.into());
                    }
                    Err(_) => {
                        running.kill();
                        return Ok((ends_by.is_none(), ends_by.is_some()));
                    }
                },
            }
        }
    }

    async fn keep(&self, piece: Bytes, captured: Stamp) -> Result<(), FeedError> {
        if piece.is_empty() {
            return Ok(());
        }
        keep(self.recorder, piece, captured).await.map_err(FeedError::Copy)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::task::JoinSet;

    use super::{
        super::{Keep, SourceError, capture::Capture},
        *,
    };
    use crate::encoder::{Container, Input};

    /// The clock is paused: whatever waits for nothing but time has waited long enough at once.
    #[tokio::test(start_paused = true)]
    async fn an_encoder_that_hangs_is_killed_and_given_up_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("ffmpeg");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let encoder = Encoder {
            program,
            input: Input::TestCard,
            container: Container::Ts,
            size: None,
            fps: None,
            video_bitrate: None,
            seconds: None,
        };
        let encoded = Encoded { encoder, stop: CancellationToken::new() };
        let target = "http://h/live/a".parse().unwrap();
        let mut capture = Capture::encoder(&target, Keep::Memory, encoded).await.unwrap();
        let mut tasks = JoinSet::new();

        let begun = Instant::now();
        capture.begin(&mut tasks).await.unwrap();
        let error = capture.grown(capture.have()).await.unwrap_err();

        let SourceError::Encoder(error) = error else { panic!("{error}") };
        let EncoderError::GaveUp { deaths, source } = &*error else { panic!("{error}") };
        assert_eq!(*deaths, ENCODER_STARTS_MAX);
        assert!(matches!(**source, EncoderError::Silent { .. }), "{source}");
        assert!(begun.elapsed() >= ENCODER_SILENT * ENCODER_STARTS_MAX);
    }
}
