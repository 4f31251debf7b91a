//! What is let go, and when: by bytes, by age, and by the free space of the disk.
//!
//! Whole segments, the oldest first, and never the one that the live edge is in.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use freshet_protocol::StreamName;

use super::{Shared, Store, disk_thread::Op, lock, stream::Stream};

/// Most segments that one round lets go for the sake of free space: it is looked at again soon.
const FREED_PER_ROUND_MAX: usize = 64;

impl Store {
    /// Let go of what is too much or too old, and see how much space is left. Blocks; call it every
    /// few seconds.
    pub(crate) fn tend(&self) {
        let streams: Vec<Arc<Stream>> = lock(&self.shared.streams)
            .values()
            .filter(|stream| stream.is_ready())
            .cloned()
            .collect();
        let config = &self.shared.config;
        for stream in &streams {
            if let Some(bytes) = config.retain_bytes {
                let_go(stream, by_bytes(stream, bytes));
            }
            if let Some(age) = config.retain_age {
                let_go(stream, by_age(stream, age, SystemTime::now()));
            }
            if stream.is_abandoned() {
                // Who waits looks again, and sees that it was in vain.
                stream.news.tell();
            }
            if !stream.is_live() {
                let stream = Arc::clone(stream);
                // A full queue: another time.
                let _ = self.shared.queue.try_send(Op::CloseIdle { stream });
            }
        }
        if let Err(error) = self.look_after_space(&streams) {
            tracing::warn!(%error, "free space is not known");
        }
    }

    fn look_after_space(&self, streams: &[Arc<Stream>]) -> io::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let free = disk.disk.free_bytes(&disk.data)?;
        self.shared.is_full.store(free < self.shared.config.min_free_bytes, Relaxed);
        if self.shared.config.retain_free_bytes.is_some_and(|wanted| free < wanted) {
            free_oldest(streams);
        }
        Ok(())
    }
}

/// Where the stream is to begin so that at most `bytes` (and the rest of a segment) are kept.
fn by_bytes(stream: &Stream, bytes: u64) -> Option<u64> {
    let place = &stream.files.as_ref()?.place;
    Some(place.start_of(stream.end().saturating_sub(bytes)))
}

/// Where the stream is to begin so that its oldest segment was written within `age`.
fn by_age(stream: &Stream, age: Duration, now: SystemTime) -> Option<u64> {
    let (written, end) = oldest_segment(stream)?;
    let old = now.duration_since(written).is_ok_and(|since| since > age);
    old.then_some(end)
}

/// When the oldest segment was written last, and where it ends; `None` if it is the newest, too.
fn oldest_segment(stream: &Stream) -> Option<(SystemTime, u64)> {
    let place = &stream.files.as_ref()?.place;
    let oldest = stream.with_readable(|readable, _| readable.iter().next())?.start();
    let start = place.start_of(oldest);
    let end = start + place.segment_bytes;
    if end >= stream.end() {
        return None;
    }
    let file = place.disk.open(&place.data_path(start), false).ok()?;
    Some((file.modified().ok()?, end))
}

fn free_oldest(streams: &[Arc<Stream>]) {
    for _ in 0..FREED_PER_ROUND_MAX {
        let oldest = streams
            .iter()
            .filter_map(|stream| {
                oldest_segment(stream).map(|(written, end)| (written, end, stream))
            })
            .min_by_key(|(written, ..)| *written);
        let Some((_, end, stream)) = oldest else { return };
        let name: &StreamName = stream.name();
        tracing::warn!(stream = %name, below = end, "let go for want of space");
        let_go(stream, Some(end));
        // The files go later, on the disk's own thread: one segment a round and stream is enough.
        if streams.len() == 1 {
            return;
        }
    }
}

fn let_go(stream: &Arc<Stream>, from: Option<u64>) {
    let Some(from) = from else { return };
    let before = stream.readable().bytes();
    if stream.retain_from(from) {
        let shared: &Shared = &stream.shared;
        let gone = before.saturating_sub(stream.readable().bytes());
        shared.counters.retained_away_bytes.fetch_add(gone, Relaxed);
        // A full queue: the next start removes the files, by what the manifest says then.
        let _ = shared.queue.try_send(Op::Retain { stream: Arc::clone(stream), from });
    }
}
