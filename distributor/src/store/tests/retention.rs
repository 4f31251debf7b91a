//! What retention lets go beside bytes by number: what is too old, and what the disk has no space for.

use std::time::Duration;

use super::*;

/// Bytes of five segments and a part of a sixth, one acknowledgement each.
async fn post_all(rig: &Rig, model: &[u8]) {
    for (at, piece) in (0..).step_by(50_000).zip(model.chunks(50_000)) {
        rig.post(model, range(at, at + piece.len() as u64)).await.unwrap();
    }
}

/// Look after the store once; where the stream begins then, and how many segments are on the disk.
async fn tend(rig: &Rig) -> (u64, usize) {
    rig.store().tend();
    soon(rig.store().settle()).await;
    // This disk gives space back once a removal can no more be undone, and it is asked to look.
    rig.disk.sync_dir("/data/streams/1".as_ref()).unwrap();
    rig.disk.remove("/data/nothing".as_ref()).unwrap();
    let files = rig.disk.list("/data/streams/1".as_ref()).unwrap();
    let segments = files.iter().filter(|name| name.ends_with(".seg")).count();
    (rig.stream().await.unwrap().retained_from(), segments)
}

#[tokio::test]
async fn what_is_too_old_goes_segment_by_segment_and_the_live_edge_stays() {
    let model = model(5 * SEGMENT_BYTES as usize + 1000);
    for (age, kept_from) in [(Duration::from_secs(10_000_000_000), 0), (Duration::ZERO, 5)] {
        let mut rig = Rig::new(1, Durability::Os);
        rig.config.retain_age = Some(age);
        rig.stop().await;
        rig.open();
        post_all(&rig, &model).await;

        let mut last = (0, 0);
        for _ in 0..8 {
            let now = tend(&rig).await;
            assert!(last.0 <= now.0 && now.0 <= last.0 + SEGMENT_BYTES, "one a round: {now:?}");
            last = now;
        }

        assert_eq!(last, (kept_from * SEGMENT_BYTES, 6 - kept_from as usize), "{age:?}");
        let stream = rig.stream().await.unwrap();
        let (read, errors) = read_back(&stream, &model).await;
        assert_eq!((read.bytes(), errors.len()), (model.len() as u64 - last.0, 0));
        rig.stop().await;
        rig.open();
        assert_eq!(rig.stream().await.unwrap().retained_from(), last.0, "after a restart as well");
    }
}

#[tokio::test]
async fn what_the_disk_has_no_space_for_goes_the_oldest_first_and_no_more_than_that() {
    let model = model(5 * SEGMENT_BYTES as usize + 1000);
    let mut rig = Rig::new(1, Durability::Os);
    rig.config.retain_free_bytes = Some(3 * SEGMENT_BYTES);
    rig.stop().await;
    rig.open();
    post_all(&rig, &model).await;
    assert_eq!(tend(&rig).await, (0, 6), "there is space");
    // All that is written, and a little more than one segment.
    let used = u64::MAX - rig.disk.free_bytes("/data".as_ref()).unwrap();
    rig.disk.set_capacity(used + SEGMENT_BYTES + SEGMENT_BYTES / 2);

    let mut last = (0, 6);
    for _ in 0..8 {
        last = tend(&rig).await;
    }

    assert_eq!(last, (2 * SEGMENT_BYTES, 4), "two segments make it three and a half");
    let counters = &rig.store().shared().counters;
    let gone = counters.retained_away_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(gone, last.0);
}
