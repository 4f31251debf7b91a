//! Started again, or met by another stream: what is here is kept, and nothing is mixed.

use super::*;

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
