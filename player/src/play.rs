//! The stream into a program: from the network into the buffer, from the buffer into the pipe.
//!
//! ```text
//!   distributor ──Follow──▶ Buffer ──stdin──▶ mpv, vlc, ffplay, ...
//!        └── cuts: the Follow resumes at the next byte, the program never learns of them
//! ```

use std::{io, process::ExitStatus};

use bytes::Bytes;
use freshet_consumer::{
    DoorError, DoorSong, DoorUrl, Fetch, FetchError, Follow, GroupShow, Manner, MovieError, Start,
    Token,
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    buffer::Buffer,
    limits,
    via::{Pace, StartError, Via},
};

/// A stream to show.
#[derive(Clone, Debug)]
pub struct Play {
    /// Where it is.
    pub fetch: Fetch,
    /// Where to begin; a stream that is complete begins at its beginning in any case.
    pub from: Start,
    /// What shows it.
    pub via: Via,
    /// Bytes kept for a program that is slower than the network.
    pub buffer_bytes: usize,
}

/// A stream at a door to show.
#[derive(Clone, Debug)]
pub struct DoorPlay {
    /// The door.
    pub url: DoorUrl,
    /// The number of the stream.
    pub id: u64,
    /// What shows it.
    pub via: Via,
    /// Bytes kept for a program that is slower than the network.
    pub buffer_bytes: usize,
}

/// A group's movie to show, together with the others.
#[derive(Clone, Debug)]
pub struct GroupPlay {
    /// The group's port.
    pub url: DoorUrl,
    /// The distributor over HTTP, for what is lost on the way.
    pub http: String,
    /// What lets us read it there, where that is needed.
    pub token: Option<Token>,
    /// What shows it.
    pub via: Via,
    /// Bytes kept for a program that is slower than the group.
    pub buffer_bytes: usize,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// Why it is over.
    pub end: PlayEnd,
    /// Bytes that the program took.
    pub bytes: u64,
    /// The most bytes that waited for it.
    pub buffered_bytes_peak: usize,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayEnd {
    /// The stream ended, and the program has shown it.
    Stream,
    /// The program ended, as when somebody closes its window.
    Program,
    /// We were told to stop.
    Interrupted,
}

/// Why a stream cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlayError {
    /// The stream.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The stream at a door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The movie of a group.
    #[error(transparent)]
    Group(#[from] MovieError),
    /// The program does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The program failed.
    #[error("{program} ended with {status}")]
    Program {
        /// Its name.
        program: String,
        /// What it ended with.
        status: ExitStatus,
    },
    /// The pipe to it, or waiting for it.
    #[error("lost the connection to the program")]
    Pipe(#[from] io::Error),
}

impl Play {
    /// Show it until it ends, the program does, or `shutdown`.
    ///
    /// # Errors
    ///
    /// The stream cannot be taken, or the program does not start or fails.
    pub async fn run(self, shutdown: &CancellationToken) -> Result<Played, PlayError> {
        let opened = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            opened = self.open() => Some(opened?),
        };
        let Some((follow, pace)) = opened else { return Ok(Played::nothing()) };
        let source = Source::Stream(Box::new(follow));
        show(source, pace, &self.via, self.buffer_bytes, shutdown).await
    }

    async fn open(&self) -> Result<(Follow, Pace), FetchError> {
        let take = |from| self.fetch.clone().open(Manner::InOrder(from), None);
        let follow = take(self.from).await?;
        if self.from != Start::Live {
            return Ok((follow, Pace::Recorded));
        }
        if follow.assembly().total().is_some() {
            return Ok((take(Start::Beginning).await?, Pace::Recorded));
        }
        Ok((follow, Pace::Live))
    }
}

impl DoorPlay {
    /// Show it until it ends, the program does, or `shutdown`. Nothing tells whether it is live, so the
    /// program keeps time by itself.
    ///
    /// # Errors
    ///
    /// The stream cannot be taken, or the program does not start or fails.
    pub async fn run(self, shutdown: &CancellationToken) -> Result<Played, PlayError> {
        let Some(song) = shutdown.run_until_cancelled(self.url.play(self.id)).await else {
            return Ok(Played::nothing());
        };
        let source = Source::Door(Box::new(song?));
        show(source, Pace::Recorded, &self.via, self.buffer_bytes, shutdown).await
    }
}

impl GroupPlay {
    /// Show it from where the group is until it ends, the program does, or `shutdown`. The bytes come when the
    /// group plays them; the program keeps time by itself.
    ///
    /// # Errors
    ///
    /// There is no such group, it is gone too soon, or the program does not start or fails.
    pub async fn run(self, shutdown: &CancellationToken) -> Result<Played, PlayError> {
        let joined = GroupShow::join(&self.url, &self.http, self.token.clone());
        let Some(joined) = shutdown.run_until_cancelled(joined).await else {
            return Ok(Played::nothing());
        };
        let source = Source::Group(Box::new(joined?));
        show(source, Pace::Recorded, &self.via, self.buffer_bytes, shutdown).await
    }
}

impl Played {
    fn nothing() -> Self {
        Self { end: PlayEnd::Interrupted, bytes: 0, buffered_bytes_peak: 0 }
    }
}

/// Where the bytes come from.
enum Source {
    Stream(Box<Follow>),
    Door(Box<DoorSong>),
    Group(Box<GroupShow>),
}

impl Source {
    /// The next bytes; `None` at the end. Cancel safe.
    async fn next(&mut self) -> Result<Option<Bytes>, PlayError> {
        match self {
            Self::Stream(follow) => Ok(follow.next().await?.map(|piece| piece.bytes)),
            Self::Door(song) => Ok(song.next().await?),
            Self::Group(show) => Ok(show.next().await?),
        }
    }
}

async fn show(
    mut source: Source,
    pace: Pace,
    via: &Via,
    buffer_bytes: usize,
    shutdown: &CancellationToken,
) -> Result<Played, PlayError> {
    let mut buffer = Buffer::new(buffer_bytes);
    let mut child = via.start(pace)?;
    let mut stdin = child.stdin.take();
    let mut bytes = 0;
    let fed = tokio::select! {
        biased;
        () = shutdown.cancelled() => Ok(Fed::Stopped),
        fed = feed(&mut source, &mut buffer, &mut stdin, &mut bytes) => fed,
        ended = child.wait() => ended.map(|_| Fed::Refused).map_err(Into::into),
    };
    drop(stdin);
    let end = finish(via, fed?, child, shutdown).await?;
    Ok(Played { end, bytes, buffered_bytes_peak: buffer.peak() })
}

/// The program's own end, which it gets as long as it needs for once it has all bytes.
async fn finish(
    via: &Via,
    fed: Fed,
    mut child: Child,
    shutdown: &CancellationToken,
) -> Result<PlayEnd, PlayError> {
    let status = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        status = child.wait() => Some(status?),
    };
    let Some(status) = status else {
        // Its input has ended, and a terminal's interrupt reached it as well.
        if timeout(limits::PROGRAM_END, child.wait()).await.is_err() {
            child.kill().await?;
        }
        return Ok(PlayEnd::Interrupted);
    };
    if !status.success() {
        return Err(PlayError::Program { program: via.program().into(), status });
    }
    Ok(if fed == Fed::All { PlayEnd::Stream } else { PlayEnd::Program })
}

/// Why the program gets no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fed {
    /// It has them all.
    All,
    /// It does not want more.
    Refused,
    /// We were told to stop.
    Stopped,
}

async fn feed(
    source: &mut Source,
    buffer: &mut Buffer,
    stdin: &mut Option<ChildStdin>,
    fed: &mut u64,
) -> Result<Fed, PlayError> {
    let Some(stdin) = stdin else { return Ok(Fed::Refused) };
    loop {
        let piece = {
            // Kept over the writes: a request under way is not to begin anew with each of them.
            let next = source.next();
            tokio::pin!(next);
            loop {
                tokio::select! {
                    piece = &mut next, if buffer.has_room() => break piece?,
                    written = stdin.write(buffer.front()), if !buffer.is_empty() => {
                        if !took(buffer, written, fed)? {
                            return Ok(Fed::Refused);
                        }
                    }
                }
            }
        };
        let Some(bytes) = piece else { break };
        buffer.push(bytes);
    }
    while !buffer.is_empty() {
        let written = stdin.write(buffer.front()).await;
        if !took(buffer, written, fed)? {
            return Ok(Fed::Refused);
        }
    }
    Ok(Fed::All)
}

/// Does the program want more, after it took so many?
fn took(buffer: &mut Buffer, written: io::Result<usize>, fed: &mut u64) -> io::Result<bool> {
    match written {
        Ok(count) => {
            buffer.take(count);
            *fed = fed.saturating_add(count as u64);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
