//! A segment that is whole is sealed, and what it holds is believed from then on without a look at its bytes.

use super::*;
use crate::store::{journal::RECORD_LEN, limits::RECORD_BYTES_MAX};

const SEGMENT: u64 = 1 << 20;

/// Bytes of a piece, where few make a segment.
const FEW: u64 = RECORD_BYTES_MAX as u64 - 10_000;

/// A store with segments of 1 MiB.
async fn large(seed: u64, durability: Durability) -> Rig {
    let mut rig = Rig::new(seed, durability);
    rig.stop().await;
    rig.config.segment_bytes = SEGMENT;
    rig.open();
    rig
}

/// Write a whole segment in pieces of so many bytes.
async fn post_all(rig: &Rig, model: &[u8], piece: u64) -> Result<(), WriteError> {
    for start in (0..SEGMENT).step_by(usize::try_from(piece).unwrap()) {
        rig.post(model, range(start, SEGMENT.min(start + piece))).await?;
    }
    Ok(())
}

/// The records in the journal of a segment that was written in pieces of so many bytes.
async fn records_of_a_segment_in(piece: u64) -> u64 {
    let (mut rig, model) = (large(8, Durability::Disk).await, model(1 << 20));
    post_all(&rig, &model, piece).await.unwrap();
    rig.stop().await;
    let journal = rig.disk.open("/data/streams/1/00000000000000000000.jnl".as_ref(), false);
    let records = journal.unwrap().len().unwrap() / RECORD_LEN as u64;

    rig.disk.lose_power();
    rig.open();
    let stream = rig.stream().await.unwrap();
    let (found, errors) = read_back(&stream, &model).await;
    assert!(found.covers(range(0, SEGMENT)) && errors.is_empty(), "{errors:?}");
    records
}

#[tokio::test]
async fn one_of_few_pieces_keeps_its_journal_and_one_of_many_has_it_in_fewer_words() {
    assert_eq!(records_of_a_segment_in(FEW).await, SEGMENT.div_ceil(FEW) + 1);
    let words = SEGMENT / RECORD_BYTES_MAX as u64;
    assert_eq!(records_of_a_segment_in(8_192).await, words + 1);
}

/// The power fails when the segment is whole, and every time other blocks are lost.
#[tokio::test]
async fn what_a_seal_speaks_for_is_on_the_disk_before_it() {
    let (model, mut believed) = (model(1 << 20), 0);
    for seed in 0..200 {
        let mut rig = large(seed, Durability::Os).await;
        post_all(&rig, &model, FEW).await.unwrap();
        rig.stop().await;
        rig.disk.lose_power();
        rig.open();
        let Some(stream) = rig.stream().await else { continue };
        let (found, errors) = read_back(&stream, &model).await;
        assert!(errors.is_empty(), "seed {seed}: {errors:?}");
        believed += usize::from(found.covers(range(0, SEGMENT)));
    }
    assert!(believed > 0, "no whole segment came through");
}
