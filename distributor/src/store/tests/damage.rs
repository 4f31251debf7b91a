//! Cut and flipped bytes on the disk: what is sound stays, the rest is a hole, and the origin
//! fills it again.

use super::*;

/// A stream of 40 records of 3,000 bytes: two segments, of which the first is sealed.
async fn written() -> (Rig, Vec<u8>) {
    let (rig, model) = (Rig::new(3, Durability::Os), model(120_000));
    for at in 0..40u64 {
        rig.post(&model, range(at * 3_000, (at + 1) * 3_000)).await.unwrap();
    }
    (rig, model)
}

const SECOND: &str = "/data/streams/1/00000000000000065536";
const FIRST: &str = "/data/streams/1/00000000000000000000";

/// Damage a file, open, see that everything but `lost` bytes at most is served, and fill it again.
async fn damage(path: &str, lost_max: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let (mut rig, model) = written().await;
    rig.stop().await;
    overwrite(&rig.disk, path, change);
    rig.open();

    let stream = rig.stream().await.unwrap();
    let (found, _) = read_back(&stream, &model).await;
    assert_eq!(found, stream.held().set, "what failed its checksum is a hole now");
    let all = range(0, 120_000);
    let lost = found.missing(all);
    assert!(lost.bytes() <= lost_max, "lost {lost}");
    if lost_max > 0 {
        assert!(!lost.is_empty(), "the damage was not seen");
    }

    for hole in lost.iter() {
        rig.post(&model, hole).await.unwrap();
    }
    assert!(stream.held().set.covers(all));
    rig.stop().await;
    rig.open();
    let stream = rig.stream().await.unwrap();
    assert!(read_back(&stream, &model).await.1.is_empty());
    assert!(stream.held().set.covers(all), "{}", stream.held());
}

#[tokio::test]
async fn a_journal_cut_anywhere_in_its_last_records_keeps_the_records_before() {
    for cut in 1..=130 {
        // A record that is cut costs at most its 3,000 bytes, and so do the ones cut off whole.
        let records = u64::from(cut as u32).div_ceil(64);
        damage(&format!("{SECOND}.jnl"), records * 3_000, |journal| {
            journal.truncate(journal.len() - cut);
        })
        .await;
    }
}

#[tokio::test]
async fn data_cut_anywhere_in_its_last_records_keeps_the_records_before() {
    for cut in (1..=6_500).step_by(250) {
        let records = u64::from(cut as u32).div_ceil(3_000);
        damage(&format!("{SECOND}.seg"), records * 3_000, |data| {
            data.truncate(data.len() - cut);
        })
        .await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_journal_costs_one_record() {
    for at in (0..64 * 4).step_by(5) {
        damage(&format!("{SECOND}.jnl"), 3_000, |journal| journal[at] ^= 4).await;
    }
}

/// Sealed: its journal has one record for each 64 KiB.
#[tokio::test]
async fn a_flipped_bit_in_a_sealed_segment_is_found_when_it_is_read() {
    for at in (0..65_536).step_by(655) {
        damage(&format!("{FIRST}.seg"), 65_536, |data| data[at] ^= 1).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_of_a_sealed_segment_costs_that_segment_at_most() {
    for at in 0..128 {
        // A damaged seal costs nothing: the segment is verified instead.
        let lost_max = if at < 64 { 65_536 } else { 0 };
        damage(&format!("{FIRST}.jnl"), lost_max, |journal| journal[at] ^= 1).await;
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_is_a_hole() {
    damage(&format!("{FIRST}.seg"), 65_536, Vec::clear).await;
    damage(&format!("{FIRST}.jnl"), 65_536, Vec::clear).await;
}

/// Preallocated zeros, or what another file left behind, are not taken for records.
#[tokio::test]
async fn zeros_and_garbage_after_the_journal_are_not_records() {
    damage(&format!("{SECOND}.jnl"), 0, |journal| journal.extend([0; 640])).await;
    damage(&format!("{SECOND}.jnl"), 0, |journal| {
        let garbage: Vec<u8> = journal[..64].iter().map(|byte| byte ^ 0x55).collect();
        journal.extend(garbage);
    })
    .await;
}

#[tokio::test]
async fn files_that_are_not_ours_are_left_alone() {
    let (mut rig, model) = written().await;
    rig.stop().await;
    for name in ["core", "lost+found", "1.seg", "00000000000000000007.jnl", "x.jnl"] {
        rig.disk.open(format!("/data/streams/1/{name}").as_ref(), true).unwrap();
    }
    rig.open();
    let stream = rig.stream().await.unwrap();
    assert_eq!(read_back(&stream, &model).await.0.bytes(), 120_000);
    assert!(rig.disk.list("/data/streams/1".as_ref()).unwrap().contains(&"core".to_owned()));
}
