//! Kills and power cuts at every moment: what was acknowledged is there, nothing is ever wrong,
//! and the stream can be finished afterwards.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::store::disk::sim::Faults;

/// Post random pieces, in and out of order, until the machine stops; crash it; check; go on.
async fn crash_and_finish(seed: u64, durability: Durability, power: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed, durability);
    let model = model(400_000);
    let mut acknowledged = RangeSet::new();
    for _ in 0..6 {
        rig.disk
            .set_faults(Faults { stop_at: Some(random.random_range(1..120)), ..Faults::default() });
        for _ in 0..60 {
            let start = random.random_range(0..model.len() as u64 - 1);
            let len = random.random_range(1..30_000).min(model.len() as u64 - start);
            let piece = ByteRange::at(start, len).unwrap();
            match rig.post(&model, piece).await {
                Ok(held) => {
                    assert!(held.covers(piece), "seed {seed}: acknowledged {piece} is not held");
                    acknowledged.insert(piece);
                }
                Err(_) => assert!(rig.disk.has_stopped(), "seed {seed}: refused without a fault"),
            }
        }
        rig.stop().await;
        if power {
            rig.disk.lose_power()
        } else {
            rig.disk.restart()
        }
        rig.open();
        check(&rig, &model, &acknowledged, seed).await;
    }
    let all = ByteRange::new(0, model.len() as u64).unwrap();
    assert!(rig.post(&model, all).await.unwrap().covers(all), "seed {seed}: cannot be finished");
    rig.publish().await.unwrap().complete(all.end()).await.unwrap();
    rig.stop().await;
    rig.open();
    check(&rig, &model, &[all].into_iter().collect(), seed).await;
}

async fn check(rig: &Rig, model: &[u8], acknowledged: &RangeSet, seed: u64) {
    let Some(stream) = rig.stream().await else {
        return assert!(acknowledged.is_empty(), "seed {seed}: the stream is gone");
    };
    let (found, errors) = read_back(&stream, model).await;
    assert!(errors.is_empty(), "seed {seed}: {errors:?}");
    assert_eq!(found, stream.readable(), "seed {seed}");
    let missing = acknowledged.difference(&stream.held().set);
    assert!(missing.is_empty(), "seed {seed}: acknowledged and gone: {missing}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    for seed in 0..40 {
        crash_and_finish(seed, Durability::Os, false).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    for seed in 100..140 {
        crash_and_finish(seed, Durability::Disk, true).await;
    }
}

/// With `os` a power cut may take what was not synced; it never makes wrong bytes of it.
#[tokio::test]
async fn a_power_cut_under_os_loses_bytes_but_invents_none() {
    for seed in 200..220 {
        let (mut rig, model) = (Rig::new(seed, Durability::Os), model(300_000));
        for at in 0..60u64 {
            rig.post(&model, range(at * 5_000, (at + 1) * 5_000)).await.unwrap();
        }
        rig.stop().await;
        rig.disk.lose_power();
        rig.open();
        if let Some(stream) = rig.stream().await {
            let (found, _) = read_back(&stream, &model).await;
            assert_eq!(found, stream.readable(), "seed {seed}: what failed is a hole now");
        }
    }
}

#[tokio::test]
async fn a_kill_during_recovery_changes_nothing() {
    let (mut rig, model) = (Rig::new(7, Durability::Os), model(200_000));
    for at in 0..40u64 {
        rig.post(&model, range(at * 5_000, (at + 1) * 5_000)).await.unwrap();
    }
    rig.stop().await;
    overwrite(&rig.disk, "/data/streams/1/00000000000000131072.jnl", |journal| {
        journal[70] ^= 1;
        journal.truncate(journal.len() - 5);
    });
    let mut expected = None;
    for stop_at in 1..21 {
        rig.disk.set_faults(Faults { stop_at: Some(stop_at), ..Faults::default() });
        rig.open();
        rig.stream().await;
        rig.stop().await;
        rig.disk.restart();
        rig.open();
        let held = rig.stream().await.unwrap().held();
        assert_eq!(*expected.get_or_insert_with(|| held.clone()), held);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_kill_during_retention_moves_the_oldest_end_up_only() {
    for stop_at in 1..25 {
        let mut rig = Rig::new(stop_at, Durability::Os);
        let model = model(500_000);
        rig.config.retain_bytes = Some(150_000);
        rig.post(&model, range(0, 500_000)).await.unwrap();
        rig.stop().await;
        rig.disk.set_faults(Faults { stop_at: Some(stop_at), ..Faults::default() });
        rig.open();
        rig.stream().await;
        rig.store().tend();
        rig.stop().await;
        rig.disk.restart();
        rig.open();

        let stream = rig.stream().await.unwrap();
        let held = stream.held().set;
        assert_eq!((held.runs(), held.end()), (1, 500_000), "no gap in the middle: {held}");
        assert!(read_back(&stream, &model).await.1.is_empty());
        rig.store().tend();
        assert_eq!(stream.retained_from(), 5 * SEGMENT_BYTES);
    }
}
