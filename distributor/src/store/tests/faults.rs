//! Disks that are full, that fail to sync, that fail to read; and who may write.

use super::*;
use crate::store::disk::sim::Faults;

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_keeps_what_was_acknowledged() {
    let (rig, model) = (Rig::new(5, Durability::Os), model(200_000));
    let first = range(0, 30_000);
    rig.post(&model, first).await.unwrap();
    rig.disk.set_capacity(40_000);

    let refused = rig.post(&model, range(30_000, 90_000)).await;

    assert_eq!(refused, Err(WriteError::Full));
    let stream = rig.stream().await.unwrap();
    assert!(stream.held().set.covers(first));
    assert_eq!(stream.readable(), stream.held().set, "nothing of what was refused can be read");
    assert!(read_back(&stream, &model).await.1.is_empty());

    rig.disk.set_capacity(u64::MAX);
    assert!(rig.post(&model, range(30_000, 90_000)).await.unwrap().covers(range(0, 90_000)));
}

/// Manifest, data and journal are hit in turn; then the roll to the next segment.
#[tokio::test]
async fn a_disk_that_fills_up_at_any_byte_leaves_a_sound_stream() {
    for room in (0..9_000).step_by(61) {
        fill_up(room, 500).await;
    }
    for room in (65_000..72_000).step_by(97) {
        fill_up(room, 4_000).await;
    }
}

/// Post 20 pieces to a disk with `room` bytes, then restart it with more.
async fn fill_up(room: u64, len: u64) {
    let (mut rig, model) = (Rig::new(room, Durability::Os), model(100_000));
    rig.disk.set_capacity(room);
    let mut acknowledged = RangeSet::new();
    for at in 0..20u64 {
        let piece = range(at * len, (at + 1) * len);
        if rig.post(&model, piece).await.is_ok() {
            acknowledged.insert(piece);
        }
    }
    rig.stop().await;
    rig.disk.set_capacity(u64::MAX);
    rig.open();
    if let Some(stream) = rig.stream().await {
        assert!(read_back(&stream, &model).await.1.is_empty());
        assert!(acknowledged.difference(&stream.held().set).is_empty(), "room {room}");
    } else {
        assert!(acknowledged.is_empty(), "room {room}");
    }
    let all = range(0, 20 * len);
    assert!(rig.post(&model, all).await.unwrap().covers(all));
}

#[tokio::test]
async fn a_sync_that_fails_once_acknowledges_nothing_and_is_not_believed_later() {
    for fails_at in 0..30 {
        let (mut rig, model) = (Rig::new(fails_at, Durability::Disk), model(200_000));
        rig.disk.set_faults(Faults { sync_fails_at: Some(fails_at), ..Faults::default() });
        let (mut acknowledged, mut refused) = (RangeSet::new(), 0);
        for at in 0..20u64 {
            let piece = range(at * 9_000, (at + 1) * 9_000);
            // The origin sends again what was not acknowledged.
            for _ in 0..2 {
                match rig.post(&model, piece).await {
                    Ok(_) => acknowledged.insert(piece),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused <= 1, "one failed sync, {refused} refusals");
        assert!(acknowledged.covers(range(0, 180_000)));
        rig.stop().await;
        rig.disk.lose_power();
        rig.open();
        let stream = rig.stream().await.unwrap();
        let (found, errors) = read_back(&stream, &model).await;
        assert!(errors.is_empty(), "sync {fails_at}: {errors:?}");
        assert!(found.covers(range(0, 180_000)), "sync {fails_at}: {found}");
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_fails_that_reader_and_no_other() {
    let (rig, model) = (Rig::new(9, Durability::Os), model(100_000));
    rig.post(&model, range(0, 50_000)).await.unwrap();
    rig.post(&model, range(50_000, 100_000)).await.unwrap();
    rig.disk.set_faults(Faults { reads_fail: true, ..Faults::default() });
    let stream = rig.stream().await.unwrap();
    let mut follower = Follower::new(&stream, Who::SOMEBODY);

    assert!(matches!(soon(follower.read(0, 100)).await, Err(ReadError::Io(_))));
    assert!(matches!(soon(follower.read(99_999, 100)).await, Ok(Read::Bytes(_))), "from the ring");

    rig.disk.set_faults(Faults::default());
    assert!(matches!(soon(follower.read(0, 100)).await, Ok(Read::Bytes(_))), "nothing was lost");
}

#[tokio::test]
async fn bytes_that_differ_are_refused_wherever_the_old_ones_are() {
    let (rig, model) = (Rig::new(2, Durability::Os), model(100_000));
    rig.post(&model, range(0, 100_000)).await.unwrap();
    for at in [0, 50_000, 99_999] {
        let mut other = model.clone();
        other[at] ^= 1;
        let again = rig.post(&other, range(0, 100_000)).await;
        assert_eq!(again, Err(WriteError::Conflict { at: at as u64 }));
    }
    assert!(rig.post(&model, range(20_000, 80_000)).await.is_ok(), "equal bytes are welcome");
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let rig = Rig::new(2, Durability::Os);
    let second = Store::open_on(rig.config.clone(), Arc::new(rig.disk.clone()));
    assert!(matches!(second, Err(super::super::OpenError::InUse { .. })));
}

#[tokio::test]
async fn numbers_are_never_used_again() {
    let mut rig = Rig::new(2, Durability::Os);
    rig.post(&[1], range(0, 1)).await.unwrap();
    let first = rig.stream().await.unwrap().etag().clone();
    assert!(soon(rig.store().delete(&"s".parse().unwrap())).await.unwrap());
    rig.stop().await;
    rig.open();
    assert!(rig.stream().await.is_none());
    rig.post(&[2], range(0, 1)).await.unwrap();
    let stream = rig.stream().await.unwrap();
    assert_eq!(stream.id(), 2);
    assert_ne!(*stream.etag(), first);
}

#[tokio::test]
async fn memory_is_bounded_by_the_ring_however_long_the_stream_is() {
    let mut rig = Rig::new(2, Durability::Os);
    rig.config.retain_bytes = Some(200_000);
    rig.stop().await;
    rig.open();
    let piece = model(50_000);
    for at in 0..100u64 {
        let mut publisher = rig.publish().await.unwrap();
        soon(publisher.write(at * 50_000, Bytes::from(piece.clone()), None)).await.unwrap();
        soon(publisher.settle()).await.unwrap();
        rig.store().tend();
        assert!(rig.store().shared().memory_bytes() <= (8 << 10) + 51_000);
    }
    soon(rig.store().settle()).await;
    let files = rig.disk.list("/data/streams/1".as_ref()).unwrap().len();
    assert!(files < 16, "{files} files are left");
}
