//! The one thread that writes: whatever is waiting is written together, and made durable together.
//!
//! ```text
//!   publishers ──▶ queue (bounded in bytes and in number) ──▶ batch: write, write, write
//!                                                               │
//!                                     settle ◀── acknowledged ◀─┴── sync once a stream (group commit)
//! ```
//!
//! No runtime thread ever waits for the disk. A disk that stalls fills the queue, and then origins
//! wait; what followers read from the ring is not touched by it.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::SystemTime,
};

use freshet_protocol::{ByteRange, RangeSet, Stamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    holdings::{Pieces, WriteError},
    limits::{DISK_BATCH_WRITES_MAX, DISK_GATHER_TIME, RECORD_BYTES_MAX},
    lock,
    publisher::Ticket,
    recovery::segment_starts,
    segment::Files,
    shared::Counters,
    stream::Stream,
};
use crate::{config::Durability, rope::Rope};

/// What the disk's thread is asked to do, in order.
#[derive(Debug)]
pub(super) enum Op {
    Write(Write),
    /// The stream has its complete length.
    Complete {
        stream: Arc<Stream>,
        total: u64,
        ticket: Arc<Ticket>,
    },
    /// These bytes are damaged: say so in the journal.
    SetAside {
        stream: Arc<Stream>,
        range: ByteRange,
    },
    /// Let go of the segments below this offset.
    Retain {
        stream: Arc<Stream>,
        from: u64,
    },
    /// Remove the stream's folder.
    Delete {
        stream: Arc<Stream>,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Write down what is known of its container.
    Header {
        stream: Arc<Stream>,
    },
    /// Close what has not been written lately.
    CloseIdle {
        stream: Arc<Stream>,
    },
    /// Tell when all before this is as durable as configured.
    Settle(oneshot::Sender<()>),
}

/// Bytes of one request on their way to the disk.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) stream: Arc<Stream>,
    pub(super) pieces: Pieces,
    pub(super) captured: Option<Stamp>,
    pub(super) received: Stamp,
    pub(super) ticket: Arc<Ticket>,
    /// The room in the queue, given back when the bytes are written.
    pub(super) room: OwnedSemaphorePermit,
}

/// Neighbouring bytes of one request, written as one record.
#[derive(Debug)]
struct Run {
    stream: Arc<Stream>,
    range: ByteRange,
    bytes: Rope,
    captured: Option<Stamp>,
    received: Stamp,
    ticket: Arc<Ticket>,
}

/// What the thread knows. Not the sender of its own queue: it ends when nobody has one any more.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) durability: Durability,
    pub(super) counters: Arc<Counters>,
}

/// What was written in this batch and waits to be synced and acknowledged.
type Written = Vec<(Arc<Stream>, ByteRange, Arc<Ticket>)>;

/// Work until all senders are gone, and everything is on the disk.
pub(super) fn run(desk: &Desk, mut queue: mpsc::Receiver<Op>) {
    while let Some(first) = queue.blocking_recv() {
        let mut next = Some(first);
        while let Some(first) = next {
            next = work_on(desk, first, &mut queue);
        }
    }
}

/// Do what waits. Where that was bytes that nobody waits for, more of them come soon: gather those for a
/// while, unless [`Shared::hurry`](super::Shared::hurry) says otherwise; the first of them.
fn work_on(desk: &Desk, first: Op, queue: &mut mpsc::Receiver<Op>) -> Option<Op> {
    let mut batch = vec![first];
    while batch.len() < DISK_BATCH_WRITES_MAX {
        match queue.try_recv() {
            Ok(op) => batch.push(op),
            Err(_) => break,
        }
    }
    let nobody_waits = batch.iter().all(|op| matches!(op, Op::Write(_)));
    let gathers = nobody_waits && batch.len() < DISK_BATCH_WRITES_MAX;
    work(desk, batch);
    if !gathers {
        return None;
    }
    thread::park_timeout(DISK_GATHER_TIME);
    queue.try_recv().ok()
}

fn now() -> Stamp {
    SystemTime::now().into()
}

fn work(desk: &Desk, batch: Vec<Op>) {
    let (mut written, mut run, mut settled) = (Written::new(), None, Vec::new());
    for op in batch {
        match op {
            Op::Write(write) => take(desk, &mut run, write, &mut written),
            other => {
                flush(desk, run.take(), &mut written);
                other_op(desk, other, &mut settled);
            }
        }
    }
    flush(desk, run, &mut written);
    if desk.durability == Durability::Disk {
        sync(desk, &mut written);
    }
    for (stream, range, _) in written {
        stream.wrote(range);
    }
    for done in settled {
        // Whoever asked may have left.
        let _ = done.send(());
    }
}

/// Join a request's pieces to the run before them, or write that and begin a new one.
fn take(desk: &Desk, run: &mut Option<Run>, write: Write, written: &mut Written) {
    let Write { stream, pieces, captured, received, ticket, room } = write;
    for (at, bytes) in pieces {
        let Some(range) = ByteRange::at(at, bytes.len() as u64) else { continue };
        let joins = |run: &&mut Run| {
            Arc::ptr_eq(&run.ticket, &ticket)
                && run.range.end() == at
                && run.bytes.len() + bytes.len() <= RECORD_BYTES_MAX
        };
        if let Some(run) = run.as_mut().filter(joins) {
            run.bytes.push(bytes);
            run.range = run.range.through(range);
            continue;
        }
        flush(desk, run.take(), written);
        let (stream, ticket) = (Arc::clone(&stream), Arc::clone(&ticket));
        let bytes = Rope::from_iter([bytes]);
        *run = Some(Run { stream, range, bytes, captured, received, ticket });
    }
    drop(room);
}

fn flush(desk: &Desk, run: Option<Run>, written: &mut Written) {
    let Some(Run { stream, range, bytes, captured, received, ticket }) = run else { return };
    let Some(files) = &stream.files else { return };
    let result = prepare(desk, &stream, files)
        .map_err(|error| (range.start(), error))
        .and_then(|()| lock(&files.segments).write(range.start(), bytes, captured, received));
    // What the journal says and what the stream says it holds must be the same to the byte.
    let reached = result.as_ref().map_or_else(|(reached, _)| *reached, |()| range.end());
    if let (Some(lost), Err((_, error))) = (ByteRange::new(reached, range.end()), result) {
        failed(desk, &stream, lost, &ticket, &error);
    }
    if let Some(range) = ByteRange::new(range.start(), reached) {
        written.push((stream, range, ticket));
    }
}

/// The stream's folder and manifest, before its first byte.
fn prepare(desk: &Desk, stream: &Stream, files: &Files) -> io::Result<()> {
    if stream.is_on_disk.load(Relaxed) {
        return Ok(());
    }
    let durable = desk.durability == Durability::Disk;
    let disk = files.place.disk.as_ref();
    disk.create_dir(&files.place.folder)?;
    let mut manifest = lock(&files.manifest);
    manifest.content_type = stream.content_type();
    manifest.write(disk, &files.place.folder, durable)?;
    if let (true, Some(parent)) = (durable, files.place.folder.parent()) {
        disk.sync_dir(parent)?;
    }
    stream.is_on_disk.store(true, Relaxed);
    Ok(())
}

fn failed(desk: &Desk, stream: &Stream, range: ByteRange, ticket: &Ticket, error: &io::Error) {
    desk.counters.disk_errors.fetch_add(1, Relaxed);
    tracing::warn!(stream = %stream.name(), %range, %error, "not written");
    stream.not_written(range);
    ticket.fail(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            WriteError::Full
        }
        _ => WriteError::Disk { reason: error.to_string() },
    });
}

/// Sync every stream of the batch once. What cannot be synced was never written: see
/// [`Segments::sync`](super::segment::Segments::sync).
fn sync(desk: &Desk, written: &mut Written) {
    let streams: HashMap<u64, Arc<Stream>> =
        written.iter().map(|(stream, ..)| (stream.id(), Arc::clone(stream))).collect();
    for stream in streams.into_values() {
        let Some(files) = &stream.files else { continue };
        let synced = lock(&files.segments).sync();
        if let Err((lost, error)) = synced {
            desk.counters.poisoned.fetch_add(1, Relaxed);
            tracing::error!(stream = %stream.name(), %lost, %error, "sync failed: not acknowledged");
            forget(desk, &stream, &lost, &error, written);
        }
    }
}

fn forget(
    desk: &Desk,
    stream: &Arc<Stream>,
    lost: &RangeSet,
    error: &io::Error,
    written: &mut Written,
) {
    let mut kept = Written::new();
    for (other, range, ticket) in written.drain(..) {
        if !Arc::ptr_eq(&other, stream) || !lost.overlaps(range) {
            kept.push((other, range, ticket));
            continue;
        }
        ticket.fail(WriteError::Disk { reason: error.to_string() });
        let sound = lost.missing(range);
        kept.extend(sound.iter().map(|run| (Arc::clone(&other), run, Arc::clone(&ticket))));
    }
    *written = kept;
    desk.counters.disk_errors.fetch_add(1, Relaxed);
    lost.iter().for_each(|range| stream.not_written(range));
}

fn other_op(desk: &Desk, op: Op, settled: &mut Vec<oneshot::Sender<()>>) {
    match op {
        Op::Write(_) => {}
        Op::Settle(done) => settled.push(done),
        Op::Complete { stream, total, ticket } => {
            if let Err(error) = complete(desk, &stream, total) {
                desk.counters.disk_errors.fetch_add(1, Relaxed);
                ticket.fail(WriteError::Disk { reason: error.to_string() });
            }
        }
        Op::SetAside { stream, range } => {
            with_files(&stream, |files| lock(&files.segments).drop_range(range, now()))
        }
        Op::Retain { stream, from } => with_files(&stream, |files| retain(files, from)),
        Op::Header { stream } => with_files(&stream, |files| {
            let is_there = stream.is_on_disk.load(Relaxed) && !stream.is_deleted();
            let durable = desk.durability == Durability::Disk;
            if is_there { stream.save_header(&files.place, durable) } else { Ok(()) }
        }),
        Op::CloseIdle { stream } => with_files(&stream, |files| {
            lock(&files.segments).close();
            Ok(())
        }),
        Op::Delete { stream, done } => {
            let _ = done.send(stream.files.as_ref().map_or(Ok(()), |files| delete(desk, files)));
        }
    }
}

fn with_files(stream: &Stream, work: impl FnOnce(&Files) -> io::Result<()>) {
    if let Some(Err(error)) = stream.files.as_ref().map(work) {
        stream.shared.counters.disk_errors.fetch_add(1, Relaxed);
        tracing::warn!(stream = %stream.name(), %error, "disk copy could not be tended");
    }
}

fn complete(desk: &Desk, stream: &Stream, total: u64) -> io::Result<()> {
    let Some(files) = &stream.files else { return Ok(()) };
    prepare(desk, stream, files)?;
    let mut manifest = lock(&files.manifest);
    manifest.total = Some(total);
    manifest.content_type = stream.content_type();
    let durable = desk.durability == Durability::Disk;
    manifest.write(files.place.disk.as_ref(), &files.place.folder, durable)?;
    lock(&files.segments).complete(total, now());
    Ok(())
}

/// First the manifest says what is gone, then the files go, the oldest first: whatever moment a
/// crash picks, the oldest end has only moved up.
fn retain(files: &Files, from: u64) -> io::Result<()> {
    let place = &files.place;
    let mut manifest = lock(&files.manifest);
    manifest.retained_from = manifest.retained_from.max(from);
    manifest.write(place.disk.as_ref(), &place.folder, false)?;
    let below = |start: &u64| start.saturating_add(place.segment_bytes) <= from;
    let mut segments = lock(&files.segments);
    segment_starts(place)?
        .into_iter()
        .take_while(below)
        .try_for_each(|start| segments.remove(start))
}

/// Away with a name that recovery does not look at, then the files.
fn delete(desk: &Desk, files: &Files) -> io::Result<()> {
    lock(&files.segments).close();
    let (disk, folder) = (files.place.disk.as_ref(), &files.place.folder);
    let trash = folder.with_extension("trash");
    match disk.rename(folder, &trash) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    if let (Durability::Disk, Some(parent)) = (desk.durability, folder.parent()) {
        disk.sync_dir(parent)?;
    }
    disk.remove_dir(&trash)
}
