//! One running ffmpeg: read, told to stop, and gone when it is dropped.
//!
//! It runs in a process group of its own: an interrupt typed at the terminal reaches us, and it is
//! told by us, once. Twice would make it leave without writing the end.

use std::{io, process::ExitStatus, process::Stdio};

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

use super::{Encoder, EncoderError, complaint::Complaints};
use crate::limits::{CAPTURE_BYTES, ENCODER_STOP, LAST_WORDS};

/// An ffmpeg that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: ChildStdout,
    /// `None` once it is closed.
    stderr: Option<ChildStderr>,
    complaints: Complaints,
    said: BytesMut,
}

impl Running {
    pub(crate) fn start(encoder: &Encoder, arguments: &[String]) -> Result<Self, EncoderError> {
        let failed = |source| EncoderError::Run { program: encoder.program.clone(), source };
        let mut command = Command::new(&encoder.program);
        command.args(arguments).kill_on_drop(true).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        // It was asked for above.
        let stdout = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let stderr = child.stderr.take();
        Ok(Self {
            child,
            stdout,
            stderr,
            complaints: Complaints::new(encoder.input.secret()),
            said: BytesMut::new(),
        })
    }

    /// More of its output into `buffer`; 0 at the end. What it complains of is kept meanwhile.
    ///
    /// Cancel safe.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        buffer.reserve(CAPTURE_BYTES);
        loop {
            tokio::select! {
                biased;
                read = self.stdout.read_buf(buffer) => return read,
                open = listen(&mut self.stderr, &mut self.said), if self.stderr.is_some() => {
                    self.heard(open);
                }
            }
        }
    }

    /// End as ffmpeg does at Ctrl-C: what is encoded is written.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// End at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Its end, after that of its output, or after it was killed: what it ended with, and its last words.
    pub(crate) async fn end(mut self) -> io::Result<(ExitStatus, String)> {
        let words = async {
            while self.stderr.is_some() {
                let open = listen(&mut self.stderr, &mut self.said).await;
                self.complaints.push(&self.said.split());
                if !open {
                    self.stderr = None;
                }
            }
        };
        // Somebody else may hold its standard error open.
        let _ = timeout(LAST_WORDS, words).await;
        let status = match timeout(ENCODER_STOP, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                self.kill();
                self.child.wait().await?
            }
        };
        Ok((status, self.complaints.told()))
    }

    fn heard(&mut self, open: bool) {
        self.complaints.push(&self.said.split());
        if !open {
            self.stderr = None;
        }
    }

    fn signal(&self, signal: Signal) {
        // No id: it was waited for, and its number may be somebody else's.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process_group(id, signal)
        {
            tracing::debug!(%error, "ffmpeg is gone already");
        }
    }
}

/// More of what it says; false at the end of it.
async fn listen(stderr: &mut Option<ChildStderr>, said: &mut BytesMut) -> bool {
    let Some(stderr) = stderr else { return false };
    said.reserve(1024);
    matches!(stderr.read_buf(said).await, Ok(read) if read > 0)
}
