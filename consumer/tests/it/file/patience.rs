//! What is waited for, and for how long.

use super::*;

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
