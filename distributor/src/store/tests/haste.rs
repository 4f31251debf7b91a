//! A stream that is copied as fast as it goes, on a real disk: what it takes of the system's memory, and of the disk.

use std::{os::unix::fs::MetadataExt, sync::Arc};

use freshet_protocol::Stamp;
use tokio::time::advance;

use crate::{
    rope::Rope,
    store::{
        disk::RealDisk,
        limits::{FORGET_BEHIND_BYTES, FORGET_TIME, RECORD_BYTES_MAX},
        place::Place,
        segment::Segments,
    },
};

/// A file system of memory has no other copy, and forgets nothing.
const IN_MEMORY: i64 = 0x0102_1994;

const SEGMENT: u64 = FORGET_BEHIND_BYTES / 4;

/// Segments on a disk; where temporary files are there may be none, where this program is there is one.
fn on_disk() -> (tempfile::TempDir, Segments) {
    let program = std::env::current_exe().unwrap();
    let folder = tempfile::TempDir::new_in(program.parent().unwrap()).unwrap();
    let file_system = rustix::fs::statfs(folder.path()).unwrap().f_type;
    assert_ne!(file_system, IN_MEMORY, "{} is to be on a disk", program.display());
    let place = Place::new(Arc::new(RealDisk), folder.path().into(), 7, SEGMENT);
    (folder, Segments::new(Arc::new(place), None, false))
}

fn write(segments: &mut Segments, from: u64, end: u64) {
    let piece = Rope::from_iter([vec![7; RECORD_BYTES_MAX].into()]);
    for at in (from..end).step_by(piece.len()) {
        segments.write(at, piece.clone(), None, Stamp::from_nanos(1)).unwrap();
    }
}

/// However slow the disk is, no time passes.
#[tokio::test(start_paused = true)]
async fn a_copy_as_fast_as_it_goes_takes_no_more_of_the_systems_memory_than_it_may() {
    let (_folder, mut segments) = on_disk();
    write(&mut segments, 0, 6 * SEGMENT);

    let place = &segments.place;
    let is_in_memory = |at: u64| {
        let file = place.disk.open(&place.data_path(place.start_of(at)), false).unwrap();
        file.read_cached(&mut [0; 4096], at % SEGMENT).unwrap()
    };

    assert_eq!([0, SEGMENT].map(is_in_memory), [false; 2]);
    assert_eq!([2, 3, 4].map(|n| is_in_memory(n * SEGMENT + SEGMENT / 2)), [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn it_has_room_for_a_whole_segment_at_once_and_gives_back_what_it_does_not_need() {
    let (_folder, mut segments) = on_disk();
    let (start, end) = (5 * SEGMENT, 5 * SEGMENT + RECORD_BYTES_MAX as u64);
    write(&mut segments, 0, end);
    let path = segments.place.data_path(start);
    let of_disk = || {
        let file = std::fs::metadata(&path).unwrap();
        assert_eq!(file.len(), end - start);
        file.blocks() * 512
    };
    assert!(of_disk() >= SEGMENT);

    segments.complete(end, Stamp::from_nanos(2));
    assert!(of_disk() < SEGMENT / 2);
}

#[tokio::test(start_paused = true)]
async fn it_gives_back_what_it_does_not_need_when_it_is_in_haste_no_more() {
    let (_folder, mut segments) = on_disk();
    let (start, piece) = (6 * SEGMENT, RECORD_BYTES_MAX as u64);
    write(&mut segments, 0, 5 * SEGMENT + piece);
    // Opened in haste; what is before it is filled at leisure.
    write(&mut segments, start, start + piece);
    advance(2 * FORGET_TIME).await;
    write(&mut segments, 5 * SEGMENT + piece, start);
    segments.complete(start + piece, Stamp::from_nanos(2));

    let file = std::fs::metadata(segments.place.data_path(start)).unwrap();
    assert!(file.blocks() * 512 < SEGMENT / 2);
}
