//! A file that fills in place.

mod again;
mod patience;

use std::{fs, path::PathBuf, time::Duration};

use freshet_consumer::{
    CopyError, End, Existing, FetchError, Have, Manner, Policy, Progress, SinkError, Summary,
    to_file,
};
use freshet_protocol::{ByteRange, RangeSet};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, continuous, field, noise, soon, until};

/// A folder of one's own with a file to fill.
struct Shelf {
    folder: TempDir,
    shutdown: CancellationToken,
}

impl Shelf {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), shutdown: CancellationToken::new() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("radio")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    fn have(&self) -> Have {
        let text = fs::read_to_string(self.folder.path().join("radio.have")).unwrap();
        Have::decode(&text).unwrap()
    }

    async fn take(&self, fake: &Fake) -> Result<Summary, CopyError> {
        self.take_as(fake, continuous(Policy::All), Existing::Keep).await
    }

    async fn take_as(
        &self,
        fake: &Fake,
        manner: Manner,
        existing: Existing,
    ) -> Result<Summary, CopyError> {
        let (file, mut progress) = (self.file(), Progress::hidden());
        let fetch = fake.fetch();
        soon(to_file(fetch, manner, &file, existing, &mut progress, &self.shutdown)).await
    }

    /// Take until the file is `bytes`, then stop.
    async fn take_until(&self, fake: &Fake, bytes: &[u8]) {
        let reached = async {
            until(|| fs::read(self.file()).is_ok_and(|file| file == bytes)).await;
            self.shutdown.cancel();
        };
        let (taken, ()) = tokio::join!(self.take(fake), soon(reached));
        assert_eq!(taken.unwrap().end, End::Interrupted);
    }

    /// The same folder, for the next start.
    fn again(self) -> Self {
        Self { shutdown: CancellationToken::new(), ..self }
    }
}

fn set(runs: &[(u64, u64)]) -> RangeSet {
    runs.iter().filter_map(|&(start, end)| ByteRange::new(start, end)).collect()
}

#[tokio::test]
async fn a_complete_stream_is_copied_and_then_found_complete() {
    let (stream, shelf) = (noise(5500), Shelf::new());
    let fake = Fake::with(&stream).await;

    let first = shelf.take(&fake).await.unwrap();
    let gets = fake.asked("get").len();
    let second = shelf.take(&fake).await.unwrap();

    assert_eq!((first.end, second.end), (End::Complete, End::Complete));
    assert!(shelf.bytes() == stream);
    assert_eq!((gets, fake.asked("get").len()), (1, 1), "the second start fetches nothing");
    assert_eq!(shelf.have().held.to_string(), "bytes 0-5499/5500");
}

#[tokio::test]
async fn the_age_of_the_newest_byte_is_told_by_the_distributors_clock() {
    const HOUR: i64 = 3_600_000_000_000;
    let (stream, shelf) = (noise(5500), Shelf::new());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.ahead = HOUR);

    let taken = shelf.take(&fake).await.unwrap();

    let clock = taken.clock.unwrap();
    let wrong = Duration::from_nanos(clock.nanos.abs_diff(HOUR));
    assert!(wrong <= clock.uncertainty, "{clock}");
    assert_eq!(taken.ages.count(), 1, "what fills a hole is not the newest");
    let age = taken.ages.newest().unwrap() + clock.uncertainty;
    assert!((1.5..60.0).contains(&age.as_secs_f64()), "{age:?}: captured 1.5 s before it was sent");
}

#[tokio::test]
async fn an_empty_stream_makes_an_empty_file() {
    let (fake, shelf) = (Fake::with(&[]).await, Shelf::new());

    let taken = shelf.take(&fake).await.unwrap();

    assert_eq!((taken.end, shelf.bytes().len()), (End::Complete, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_is_the_stream_through_any_cuts(
        length in 1..9000usize, cuts in prop::collection::vec(0..4000usize, 0..6), poll in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, shelf) = (noise(length), Shelf::new());
            let fake = Fake::with(&stream).await;
            fake.change(|model| model.cuts = cuts.iter().copied().map(|cut| cut + 1).collect());
            let manner =
                if poll { Manner::Poll(Policy::All) } else { continuous(Policy::All) };

            let taken = shelf.take_as(&fake, manner, Existing::Keep).await.unwrap();

            assert_eq!(taken.end, End::Complete);
            assert!(shelf.bytes() == stream);
            assert_eq!(taken.effort.received_bytes, length as u64, "no byte twice");
        });
    }
}

#[tokio::test]
async fn live_bytes_are_there_as_they_come_and_holes_fill_later() {
    let (stream, shelf) = (noise(6000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream[..1000]);
    let source = async {
        fake.until_asked(1).await;
        fake.put(4000, &stream[4000..6000]);
        until(|| fs::metadata(shelf.file()).map_or(0, |file| file.len()) >= 6000).await;
        fake.put(1000, &stream[1000..4000]);
        fake.complete(6000);
    };

    let (taken, ()) = tokio::join!(shelf.take(&fake), soon(source));

    assert_eq!(taken.unwrap().end, End::Complete);
    assert!(shelf.bytes() == stream);
}

#[tokio::test]
async fn the_newest_policy_begins_at_the_live_edge() {
    for manner in [continuous(Policy::Newest), Manner::Poll(Policy::Newest)] {
        let (stream, shelf) = (noise(6000), Shelf::new());
        let fake = Fake::start().await;
        fake.put(0, &stream[..4000]);
        let source = async {
            fake.until_asked(1).await;
            fake.put(4000, &stream[4000..6000]);
            until(|| fs::metadata(shelf.file()).map_or(0, |file| file.len()) >= 6000).await;
            fake.complete(6000);
        };

        let take = shelf.take_as(&fake, manner, Existing::Keep);
        let (taken, ()) = tokio::join!(take, soon(source));

        let taken = taken.unwrap();
        assert_eq!((taken.end, taken.assembly.holes()), (End::Holes, set(&[(0, 4000)])));
        assert!(shelf.bytes()[4000..] == stream[4000..]);
    }
}

#[tokio::test]
async fn more_holes_than_a_request_can_name_end_like_one() {
    for manner in [continuous(Policy::All), Manner::Poll(Policy::All)] {
        let (stream, shelf) = (noise(2000), Shelf::new());
        let fake = Fake::with(&stream).await;
        let runs: Vec<_> = (0..200).map(|at| (at * 10, at * 10 + 5)).collect();
        fake.change(|model| model.held = set(&runs));
        let mut fetch = fake.fetch();
        fetch.deadlines.silence = Duration::from_millis(300);

        let (file, mut progress) = (shelf.file(), Progress::hidden());
        let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
        let taken = soon(take).await.unwrap();

        assert_eq!((taken.end, taken.assembly.runs()), (End::Holes, 200));
        assert!(taken.effort.requests < 210, "{} requests", taken.effort.requests);
    }
}
