//! Bytes in order, exactly once.

use std::time::Duration;

use freshet_consumer::{CopyError, End, FetchError, Manner, Progress, Start, Summary, to_writer};
use freshet_protocol::{ByteRange, From};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, noise, soon};

async fn take(fake: &Fake, start: Start) -> (Result<Summary, CopyError>, Vec<u8>) {
    let (mut out, mut hash, mut progress) = (Vec::new(), Sha256::new(), Progress::hidden());
    let shutdown = CancellationToken::new();
    let fetch = fake.fetch();
    let taken = to_writer(fetch, start, &mut out, &mut hash, &mut progress, &shutdown);
    let taken = soon(taken).await;
    assert_eq!(hash.finalize(), Sha256::digest(&out), "what is hashed is what is written");
    (taken, out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_are_the_streams_through_any_cuts(
        length in 0..9000usize, cuts in prop::collection::vec(1..4000usize, 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = noise(length);
            let fake = Fake::with(&stream).await;
            fake.change(|model| model.cuts = cuts.into());

            let (taken, out) = take(&fake, Start::Beginning).await;

            assert_eq!(taken.unwrap().end, End::Complete);
            assert!(out == stream);
        });
    }
}

#[tokio::test]
async fn a_hole_is_waited_for_and_never_jumped_over() {
    let stream = noise(5000);
    let fake = Fake::start().await;
    fake.put(0, &stream[..1000]);
    fake.put(3000, &stream[3000..]);
    fake.complete(5000);
    let mut follow =
        soon(fake.fetch().open(Manner::InOrder(Start::Beginning), None)).await.unwrap();
    let mut out = Vec::new();

    while out.len() < 1000 {
        out.extend(soon(follow.next()).await.unwrap().unwrap().bytes);
    }
    assert_eq!((out.len(), follow.position()), (1000, 1000));
    fake.put(1000, &stream[1000..3000]);
    while let Some(piece) = soon(follow.next()).await.unwrap() {
        assert_eq!(piece.offset, out.len() as u64);
        out.extend(piece.bytes);
    }

    assert!(out == stream);
}

#[tokio::test]
async fn the_live_edge_is_where_it_begins() {
    let stream = noise(3000);
    let fake = Fake::start().await;
    fake.put(0, &stream[..2000]);
    let source = async {
        fake.until_asked(1).await;
        fake.put(2000, &stream[2000..]);
        fake.complete(3000);
    };

    let ((taken, out), ()) = tokio::join!(take(&fake, Start::Live), source);

    assert_eq!(taken.unwrap().end, End::Complete);
    assert!(out == stream[2000..]);
}

#[tokio::test]
async fn a_beginning_that_is_gone_makes_it_a_copy_with_holes() {
    let stream = noise(3000);
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.retained_from = 1000);

    let (taken, out) = take(&fake, Start::Beginning).await;

    assert_eq!(taken.unwrap().end, End::Holes);
    assert!(out == stream[1000..]);
}

#[tokio::test]
async fn falling_out_of_retention_is_told_and_not_jumped_over() {
    let stream = noise(3000);
    let fake = Fake::start().await;
    fake.put(0, &stream);
    fake.change(|model| model.cuts = [1100].into());
    let retention = async {
        fake.until_asked(1).await;
        fake.change(|model| {
            model.held.remove(ByteRange::new(0, 2500).unwrap());
            (model.retained_from, model.total) = (2500, Some(3000));
            model.etag = "\"one\"".into();
            model.cuts = [1].into();
        });
    };

    let mut follow =
        soon(fake.fetch().open(Manner::InOrder(Start::Beginning), None)).await.unwrap();
    let lost = async {
        loop {
            match follow.next().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    };
    let (lost, ()) = tokio::join!(soon(lost), retention);

    assert!(matches!(lost, Err(FetchError::Lost { oldest: 2500, .. })), "{lost:?}");
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_error() {
    let fake = Fake::with(&noise(9000)).await;
    let (mut out, mut reader) = tokio::io::duplex(1000);
    let (mut hash, mut progress) = (Sha256::new(), Progress::hidden());
    let shutdown = CancellationToken::new();
    let fetch = fake.fetch();
    let taken = to_writer(fetch, Start::Beginning, &mut out, &mut hash, &mut progress, &shutdown);
    let reading = async {
        reader.read_exact(&mut [0; 100]).await.unwrap();
        drop(reader);
    };

    let (taken, ()) = tokio::join!(soon(taken), reading);

    assert_eq!(taken.unwrap().end, End::Closed);
}

#[tokio::test]
async fn a_hole_that_nobody_fills_ends_it_short() {
    let stream = noise(3000);
    let fake = Fake::with(&stream).await;
    fake.change(|model| model.held.remove(ByteRange::new(1000, 2000).unwrap()));
    let (mut out, mut hash, mut progress) = (Vec::new(), Sha256::new(), Progress::hidden());
    let shutdown = CancellationToken::new();
    let mut fetch = fake.fetch();
    fetch.deadlines.silence = Duration::from_millis(100);

    let taken = to_writer(fetch, Start::Beginning, &mut out, &mut hash, &mut progress, &shutdown);
    let taken = soon(taken).await.unwrap();

    assert_eq!(taken.end, End::Holes);
    assert!(out == stream[..1000]);
}

#[tokio::test]
async fn from_a_time_on_it_is_the_header_once_and_the_stream_from_the_join_point_through_any_cuts()
{
    let stream = noise(20_000);
    for cuts in [vec![], vec![300], vec![900, 40], vec![700, 5_000, 1]] {
        let fake = Fake::with(&stream).await;
        let header = noise(800);
        fake.change(|model| {
            (model.join, model.cuts) = ((header.clone(), 4000), cuts.clone().into());
        });
        let back = From::Ago(Duration::from_secs(30));

        let (taken, out) = take(&fake, Start::Join(back)).await;

        assert_eq!(taken.unwrap().end, End::Complete, "{cuts:?}");
        assert!(out == [&header, &stream[4000..]].concat(), "{cuts:?}: {} bytes", out.len());
        let followed = fake.asked("get /live/radio http").len();
        assert_eq!(followed > 0, cuts.iter().any(|&cut| cut > 810), "goes on in order: {cuts:?}");
    }
}
