//! A restart over very many segments, on the real disk.

use std::fs::{self, File};

use freshet_protocol::{ETag, Stamp};

use super::*;
use crate::store::{
    disk::RealDisk,
    journal::{Kind, Record},
    manifest::Manifest,
};

const STREAMS: u64 = 10;
const SEGMENTS: u64 = 10_000;

/// Ten streams of ten thousand sealed segments each, their data one hole: a seal is believed until
/// its bytes are read.
fn lay_out(data: &std::path::Path) {
    for id in 1..=STREAMS {
        let folder = data.join(format!("streams/{id}"));
        fs::create_dir_all(&folder).unwrap();
        let (name, etag) = (format!("s{id}").parse().unwrap(), ETag::new("x").unwrap());
        let manifest = Manifest::new(id, name, etag, 9, SEGMENT_BYTES, Stamp::from_nanos(1));
        manifest.write(&RealDisk, &folder, false).unwrap();
        for start in (0..SEGMENTS).map(|number| number * SEGMENT_BYTES) {
            let data = File::create(folder.join(format!("{start:020}.seg"))).unwrap();
            data.set_len(SEGMENT_BYTES).unwrap();
            let record = |kind| Record {
                kind,
                range: ByteRange::at(start, SEGMENT_BYTES).unwrap(),
                crc: 0,
                captured: None,
                received: Stamp::from_nanos(1),
            };
            let journal = [record(Kind::Data).encode(9), record(Kind::Sealed).encode(9)].concat();
            fs::write(folder.join(format!("{start:020}.jnl")), journal).unwrap();
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_segments_are_served_soon_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path());
    let mut config = Config::default().store;
    config.data = Some(folder.path().into());

    let (started, opening) = (tokio::time::Instant::now(), tokio::time::Instant::now());
    let store = Store::open(config).unwrap();
    assert!(opening.elapsed() < Duration::from_secs(2), "it listens at once");
    for id in 1..=STREAMS {
        let name = format!("s{id}").parse().unwrap();
        let stream = soon(store.find(&name)).await.unwrap();
        assert_eq!(stream.held().set.bytes(), SEGMENTS * SEGMENT_BYTES);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "all are served");
}
