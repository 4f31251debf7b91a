//! Bytes that nobody waits for gather on their way to the disk; those that somebody waits for do not.

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::*;
use crate::store::{journal::RECORD_LEN, limits::DISK_GATHER_TIME};

const PIECES: u64 = 64;

#[tokio::test]
async fn bytes_that_nobody_waits_for_are_written_together_and_by_themselves() {
    let (rig, model) = (Rig::new(5, Durability::Os), model(6_400));
    let mut publisher = rig.publish().await.unwrap();
    for number in 0..PIECES {
        let piece = range(number * 100, (number + 1) * 100);
        let bytes = Bytes::copy_from_slice(slice(&model, piece));
        soon(publisher.write(piece.start(), bytes, None)).await.unwrap();
    }

    let all = range(0, PIECES * 100);
    let stream = Arc::clone(publisher.stream());
    soon(async {
        while !stream.held().set.covers(all) {
            yield_now().await;
        }
    })
    .await;

    let journal = rig.disk.open("/data/streams/1/00000000000000000000.jnl".as_ref(), false);
    let records = journal.unwrap().len().unwrap() / RECORD_LEN as u64;
    assert!((1..PIECES / 2).contains(&records), "{records} records");
    let (found, errors) = read_back(&stream, &model).await;
    assert!(found.covers(all) && errors.is_empty());
}

#[tokio::test]
async fn whoever_waits_is_not_kept_until_more_has_gathered() {
    let (rig, model) = (Rig::new(6, Durability::Os), model(4_000));
    let begun = Instant::now();
    for number in 0..40 {
        let piece = range(number * 100, (number + 1) * 100);
        assert!(rig.post(&model, piece).await.unwrap().covers(piece));
    }
    assert!(begun.elapsed() < DISK_GATHER_TIME * 20, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn one_who_comes_to_wait_while_bytes_gather_ends_that() {
    let (rig, model) = (Rig::new(7, Durability::Os), model(4_000));
    let mut publisher = rig.publish().await.unwrap();
    let mut waited = Duration::ZERO;
    for number in 0..20 {
        let piece = range(number * 100, (number + 1) * 100);
        let bytes = Bytes::copy_from_slice(slice(&model, piece));
        soon(publisher.write(piece.start(), bytes, None)).await.unwrap();
        // The disk's thread has taken it, and lets more gather.
        sleep(DISK_GATHER_TIME / 10).await;
        let asked = Instant::now();
        assert!(soon(publisher.settle()).await.unwrap().set.covers(piece));
        waited += asked.elapsed();
    }
    assert!(waited < DISK_GATHER_TIME * 10, "{waited:?}");
}
