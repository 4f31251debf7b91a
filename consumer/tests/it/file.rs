//! A file that fills in place.

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
async fn a_stream_that_becomes_another_one_is_begun_anew_where_that_was_asked_for() {
    let (old, new) = (noise(3000), noise(2000));
    for existing in [Existing::Keep, Existing::Replace] {
        let (fake, shelf) = (Fake::start().await, Shelf::new());
        fake.put(0, &old);
        // The first reply says nothing, until a HEAD tells why.
        fake.change(|model| model.mute = 1);
        let mut fetch = fake.fetch();
        fetch.deadlines.silence = Duration::from_millis(20);
        let (file, mut progress) = (shelf.file(), Progress::hidden());
        let manner = continuous(Policy::All);
        let taking = to_file(fetch, manner, &file, existing, &mut progress, &shelf.shutdown);
        let replace = async {
            fake.until_asked(1).await;
            fake.change(|model| {
                (model.etag, model.bytes) = ("\"two\"".into(), new.clone());
                (model.held, model.total) = (set(&[(0, 2000)]), Some(2000));
            });
        };

        let (taken, ()) = soon(async { tokio::join!(taking, replace) }).await;

        match existing {
            Existing::Replace => {
                assert_eq!(taken.unwrap().end, End::Complete);
                assert!(shelf.bytes() == new);
            }
            Existing::Keep => {
                let error = taken.unwrap_err();
                let is_told = matches!(&error, CopyError::Fetch(FetchError::Replaced { .. }));
                assert!(is_told, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_whole_copy_needs_no_distributor() {
    let (stream, shelf) = (noise(3000), Shelf::new());
    let fake = Fake::with(&stream).await;
    shelf.take(&fake).await.unwrap();

    fake.change(|model| model.exists = false);

    assert_eq!(shelf.take(&fake).await.unwrap().end, End::Complete);
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
async fn a_second_start_asks_only_for_what_is_missing() {
    let (stream, shelf) = (noise(8000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream[..1000]);
    fake.put(3000, &stream[3000..5000]);
    shelf.take_until(&fake, &[&stream[..1000], &[0; 2000], &stream[3000..5000]].concat()).await;
    fake.put(0, &stream);
    fake.complete(8000);

    let shelf = shelf.again();
    let taken = shelf.take(&fake).await.unwrap();

    let last = fake.asked("get").pop().unwrap();
    assert_eq!(field(&last, "content-range"), Some("bytes 0-999,3000-4999/8000"));
    assert_eq!(taken.effort.received_bytes, 5000);
    assert!(shelf.bytes() == stream);
}

#[tokio::test]
async fn a_file_that_was_cut_since_is_mended() {
    let (stream, shelf) = (noise(4000), Shelf::new());
    let fake = Fake::with(&stream).await;
    shelf.take(&fake).await.unwrap();
    fs::File::options().write(true).open(shelf.file()).unwrap().set_len(1500).unwrap();

    let taken = shelf.take(&fake).await.unwrap();

    assert_eq!((taken.end, taken.effort.received_bytes), (End::Complete, 2500));
    assert!(shelf.bytes() == stream);
}

#[tokio::test]
async fn another_incarnation_is_not_mixed_in() {
    let (old, new, shelf) = (noise(4000), vec![7; 2000], Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &old[..3000]);
    shelf.take_until(&fake, &old[..3000]).await;
    let shelf = shelf.again();
    fake.change(|model| {
        (model.etag, model.bytes) = ("\"two\"".into(), new.clone());
        (model.held, model.total) = (set(&[(0, 2000)]), Some(2000));
    });

    let refused = shelf.take(&fake).await;
    let left = shelf.bytes();
    let replaced = shelf.take_as(&fake, continuous(Policy::All), Existing::Replace).await;

    assert!(matches!(refused, Err(CopyError::Fetch(FetchError::Replaced { .. }))), "{refused:?}");
    assert!(left == old[..3000], "the copy of the old one stays as it is");
    assert_eq!(replaced.unwrap().end, End::Complete);
    assert!(shelf.bytes() == new);
}

#[tokio::test]
async fn another_incarnation_in_the_middle_ends_the_copy() {
    let (stream, shelf) = (noise(4000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream);
    fake.change(|model| model.cuts = [2000].into());
    let meanwhile = async {
        fake.until_asked(1).await;
        fake.change(|model| model.etag = "\"two\"".into());
    };

    let (taken, ()) = tokio::join!(shelf.take(&fake), meanwhile);

    assert!(matches!(taken, Err(CopyError::Fetch(FetchError::Replaced { .. }))), "{taken:?}");
}

#[tokio::test]
async fn what_retention_dropped_is_neither_asked_for_nor_waited_for() {
    let (stream, shelf) = (noise(5000), Shelf::new());
    let fake = Fake::with(&stream).await;
    fake.change(|model| (model.held, model.retained_from) = (set(&[(2000, 5000)]), 2000));

    let taken = shelf.take(&fake).await.unwrap();

    assert_eq!((taken.end, taken.assembly.holes()), (End::Holes, set(&[(0, 2000)])));
    let asked = fake.asked("get").pop().unwrap();
    assert_eq!(field(&asked, "content-range"), Some("bytes 0-1999/5000"));
    assert!(shelf.bytes()[2000..] == stream[2000..]);
}

#[tokio::test]
async fn a_hole_that_nobody_fills_is_waited_for_and_then_reported() {
    for manner in [continuous(Policy::All), Manner::Poll(Policy::All)] {
        let (stream, shelf) = (noise(5000), Shelf::new());
        let fake = Fake::with(&stream).await;
        fake.change(|model| model.held = set(&[(0, 1000), (2000, 5000)]));
        let mut fetch = fake.fetch();
        fetch.deadlines.silence = Duration::from_millis(300);
        let began = Instant::now();

        let (file, mut progress) = (shelf.file(), Progress::hidden());
        let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
        let taken = soon(take).await.unwrap();

        assert_eq!((taken.end, taken.assembly.holes()), (End::Holes, set(&[(1000, 2000)])));
        assert!(began.elapsed() >= Duration::from_millis(300), "it might have been filled");
    }
}

#[tokio::test]
async fn an_end_that_the_stream_has_not_reached_is_not_believed() {
    let (stream, shelf) = (noise(5000), Shelf::new());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.short = 2);

    let taken = shelf.take(&fake).await.unwrap();

    assert_eq!((taken.end, taken.effort.requests), (End::Complete, 3));
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
async fn a_connection_that_is_dead_without_a_word_is_given_up() {
    let (stream, shelf) = (noise(3000), Shelf::new());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.mute = 1);
    let mut fetch = fake.fetch();
    fetch.deadlines.silence = Duration::from_millis(50);
    fetch.deadlines.silence_grace = Duration::from_millis(50);

    let (file, mut progress) = (shelf.file(), Progress::hidden());
    let manner = continuous(Policy::All);
    let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
    let taken = soon(take).await.unwrap();

    assert_eq!((taken.end, taken.effort.cuts), (End::Complete, 1));
    assert!(shelf.bytes() == stream);
}

#[tokio::test]
async fn a_source_that_is_silent_is_left_in_peace() {
    let (stream, shelf) = (noise(3000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream[..2000]);
    let mut fetch = fake.fetch();
    fetch.deadlines.silence = Duration::from_millis(20);
    let source = async {
        // One HEAD to begin with, the others out of doubt.
        until(|| fake.asked("head").len() >= 4).await;
        fake.put(2000, &stream[2000..]);
        fake.complete(3000);
    };

    let (file, mut progress) = (shelf.file(), Progress::hidden());
    let manner = continuous(Policy::All);
    let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
    let (taken, ()) = tokio::join!(soon(take), soon(source));

    let taken = taken.unwrap();
    assert_eq!((taken.end, taken.effort.requests, taken.effort.cuts), (End::Complete, 1, 0));
}

#[tokio::test]
async fn a_stream_that_is_not_there_yet_is_waited_for() {
    let (stream, shelf) = (noise(2000), Shelf::new());
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.exists = false);

    let refused = shelf.take(&fake).await;
    assert!(matches!(refused, Err(CopyError::Fetch(FetchError::NoStream { .. }))), "{refused:?}");
    assert!(!shelf.file().exists(), "nothing is left behind");

    let mut fetch = fake.fetch();
    fetch.wait = Duration::from_secs(15);
    let (file, mut progress) = (shelf.file(), Progress::hidden());
    let manner = continuous(Policy::All);
    let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
    let source = async {
        until(|| fake.asked("head").len() >= 2).await;
        fake.change(|model| model.exists = true);
    };
    let (taken, ()) = tokio::join!(soon(take), soon(source));

    assert_eq!(taken.unwrap().end, End::Complete);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let (fake, shelf) = (Fake::with(&noise(2000)).await, Shelf::new());
    fs::write(shelf.file(), "a letter").unwrap();

    let refused = shelf.take(&fake).await;

    assert!(matches!(refused, Err(CopyError::Sink(SinkError::NotOurs { .. }))), "{refused:?}");
    assert_eq!(shelf.bytes(), b"a letter");
}

#[tokio::test]
async fn a_damaged_have_file_is_refused_whole() {
    let (stream, shelf) = (noise(2000), Shelf::new());
    let fake = Fake::with(&stream).await;
    shelf.take(&fake).await.unwrap();
    let have = shelf.folder.path().join("radio.have");
    let text = fs::read_to_string(&have).unwrap();
    fs::write(&have, text.replace("0-1999", "0-1998")).unwrap();

    let refused = shelf.take(&fake).await;
    let again = shelf.take_as(&fake, continuous(Policy::All), Existing::Replace).await;

    assert!(matches!(refused, Err(CopyError::Sink(SinkError::Have { .. }))), "{refused:?}");
    assert_eq!(again.unwrap().end, End::Complete);
    assert!(shelf.bytes() == stream);
}

#[tokio::test]
async fn two_consumers_do_not_share_a_file() {
    let (stream, shelf) = (noise(2000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream);
    let second = async {
        until(|| fs::metadata(shelf.file()).map_or(0, |file| file.len()) >= 2000).await;
        let refused = shelf.take(&fake).await;
        fake.complete(2000);
        refused
    };

    let (first, second) = tokio::join!(shelf.take(&fake), soon(second));

    assert!(matches!(second, Err(CopyError::Sink(SinkError::Busy { .. }))), "{second:?}");
    assert_eq!(first.unwrap().end, End::Complete);
}

#[tokio::test]
async fn patience_with_a_distributor_that_went_away_has_an_end() {
    let (stream, shelf) = (noise(2000), Shelf::new());
    let fake = Fake::start().await;
    fake.put(0, &stream);
    let mut fetch = fake.fetch();
    fetch.give_up = Some(Duration::from_millis(300));
    let away = async {
        until(|| fs::read(shelf.file()).is_ok_and(|file| file == stream)).await;
        drop(fake);
    };

    let (file, mut progress) = (shelf.file(), Progress::hidden());
    let manner = continuous(Policy::All);
    let take = to_file(fetch, manner, &file, Existing::Keep, &mut progress, &shelf.shutdown);
    let (taken, ()) = tokio::join!(soon(take), away);

    assert!(matches!(taken, Err(CopyError::Fetch(FetchError::Unreachable { .. }))), "{taken:?}");
    assert_eq!(shelf.have().held.to_string(), "bytes 0-1999/*", "what came is noted");
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
