//! Headers and join points over restarts, retention and damage.

use super::*;

/// The header of a WAV whose length is not known: 16-bit stereo.
fn wav(samples: usize) -> Vec<u8> {
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    wav.extend(44_100_u32.to_le_bytes());
    wav.extend(176_400_u32.to_le_bytes());
    wav.extend(b"\x04\0\x10\0data\xff\xff\xff\xff");
    wav.extend(model(samples * 4));
    wav
}

const HEADER: usize = 44;

async fn post_all(rig: &Rig, bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(10_000).enumerate() {
        let at = index as u64 * 10_000;
        rig.post(bytes, range(at, at + chunk.len() as u64)).await.unwrap();
    }
}

#[tokio::test]
async fn the_header_outlives_the_segment_that_it_came_in() {
    let mut rig = Rig::new(1, Durability::Os);
    rig.config.retain_bytes = Some(2 * SEGMENT_BYTES);
    rig.stop().await;
    rig.open();
    let bytes = wav(100_000);
    post_all(&rig, &bytes).await;
    let before = rig.stream().await.unwrap().join();
    assert_eq!(&before.header[..], &bytes[..HEADER]);
    assert_eq!((before.at - HEADER as u64) % 4, 0);
    assert!(before.at + 10_000 > bytes.len() as u64, "{}", before.at);
    rig.store().tend();
    rig.stop().await;

    rig.open();

    let stream = rig.stream().await.unwrap();
    assert!(stream.retained_from() > 0, "the beginning is gone");
    assert_eq!(stream.join(), before);
}

#[tokio::test]
async fn a_damaged_header_file_is_no_header() {
    let mut rig = Rig::new(2, Durability::Disk);
    let bytes = wav(10_000);
    post_all(&rig, &bytes).await;
    let before = rig.stream().await.unwrap().join();
    rig.stop().await;
    overwrite(&rig.disk, "/data/streams/1/header", |file| {
        let last = file.len() - 1;
        file[last] ^= 1;
    });

    rig.open();

    assert_eq!(rig.stream().await.unwrap().join(), before, "it is found in the stream itself");
}

#[tokio::test]
async fn a_header_that_comes_after_newer_bytes_is_found_all_the_same() {
    let rig = Rig::new(3, Durability::Os);
    let bytes = wav(5_000);
    let end = bytes.len() as u64;
    rig.post(&bytes, range(0, 20)).await.unwrap();
    rig.post(&bytes, range(10_000, end)).await.unwrap();
    let stream = rig.stream().await.unwrap();
    assert_eq!((stream.join().header.len(), stream.join().at), (0, end), "half a header is none");

    rig.post(&bytes, range(20, 9_000)).await.unwrap();

    let join = stream.join();
    assert_eq!(&join.header[..], &bytes[..HEADER]);
    assert!(join.at > 10_000, "{}", join.at);
}

#[tokio::test]
async fn what_follows_a_hole_is_joined_at_without_waiting_for_it() {
    let rig = Rig::new(4, Durability::Os);
    let bytes = wav(20_000);
    rig.post(&bytes, range(0, 20_000)).await.unwrap();
    rig.post(&bytes, range(40_000, 60_000)).await.unwrap();
    let join = rig.stream().await.unwrap().join();
    assert!(join.at >= 40_000, "{}", join.at);
    assert_eq!((join.at - HEADER as u64) % 4, 0);
}

#[tokio::test]
async fn what_finding_join_points_costs_is_counted_and_given_back() {
    let rig = Rig::new(5, Durability::Os);
    let before = rig.store().shared().memory_bytes();
    // A chunk before the samples that has most of a header's room, and comes bit by bit.
    let mut bytes = wav(0);
    bytes.truncate(HEADER - 8);
    bytes.extend(b"LIST\0\0\x0c\0");
    bytes.extend(model(600 << 10));
    post_all(&rig, &bytes).await;
    let cost = rig.store().shared().memory_bytes() - before;
    assert!(cost > 600 << 10, "{cost}: that is more than the ring");

    soon(rig.store().delete(&"s".parse().unwrap())).await.unwrap();

    // The disk's thread had the last handle.
    soon(rig.store().settle()).await;
    assert_eq!(rig.store().shared().memory_bytes(), before);
}

#[tokio::test]
async fn without_memory_for_a_large_header_a_stream_is_raw() {
    let mut rig = Rig::new(6, Durability::Os);
    rig.config.memory_bytes = 200 << 10;
    rig.stop().await;
    rig.open();
    let mut bytes = wav(0);
    bytes.truncate(HEADER - 8);
    bytes.extend(b"LIST\0\0\x0c\0");
    bytes.extend(model(600 << 10));
    post_all(&rig, &bytes).await;
    assert_eq!(rig.stream().await.unwrap().join().at, bytes.len() as u64);
    let cost = rig.store().shared().memory_bytes();
    assert!(cost < 200 << 10, "{cost}");
}
