//! The store against a disk on its worst days: kills, power cuts, full disks, failing syncs,
//! flipped bits. The model is the simplest there is: the bytes themselves.

mod crash;
mod damage;
mod faults;
mod gather;
#[cfg(target_os = "linux")]
mod haste;
mod joins;
mod retention;
mod scale;
mod seal;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use freshet_protocol::{ByteRange, RangeSet};
use tokio::time::timeout;

use super::{
    Follower, OriginKey, Publisher, Read, ReadError, Store, Stream, Who, WriteError,
    disk::{Disk, sim::SimDisk},
};
use crate::config::{Config, Durability, StoreConfig};

const SEGMENT_BYTES: u64 = 64 << 10;

/// A store on a simulated disk that can be crashed and opened again.
struct Rig {
    disk: SimDisk,
    config: StoreConfig,
    store: Option<Store>,
}

impl Rig {
    fn new(seed: u64, durability: Durability) -> Self {
        let mut config = Config::default().store;
        config.data = Some("/data".into());
        config.durability = durability;
        config.segment_bytes = SEGMENT_BYTES;
        config.ring_bytes = 8 << 10;
        config.min_free_bytes = 0;
        config.seed = Some(seed);
        let mut rig = Self { disk: SimDisk::new(seed), config, store: None };
        rig.open();
        rig
    }

    fn open(&mut self) {
        self.store =
            Some(Store::open_on(self.config.clone(), Arc::new(self.disk.clone())).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Let the disk's thread finish what it has, then end the process without a word.
    async fn stop(&mut self) {
        soon(self.store().settle()).await;
        self.store = None;
    }

    async fn publish(&self) -> Result<Publisher, WriteError> {
        let name = "s".parse().unwrap();
        let found = soon(self.store().find(&name)).await;
        let (stream, created) = match found {
            Some(stream) => (stream, false),
            None => {
                let failed =
                    |error: super::CreateError| WriteError::Disk { reason: error.to_string() };
                self.store().create(&name, None, None).map_err(failed)?
            }
        };
        Publisher::new(stream, OriginKey::Named("o".into()), created)
    }

    /// Write what `model` has at `range`, and wait until that is acknowledged.
    async fn post(&self, model: &[u8], range: ByteRange) -> Result<RangeSet, WriteError> {
        let mut publisher = self.publish().await?;
        let bytes = Bytes::copy_from_slice(slice(model, range));
        soon(publisher.write(range.start(), bytes, None)).await?;
        Ok(soon(publisher.settle()).await?.set)
    }

    async fn stream(&self) -> Option<Arc<Stream>> {
        soon(self.store().find(&"s".parse().unwrap())).await
    }
}

fn slice(model: &[u8], range: ByteRange) -> &[u8] {
    &model[usize::try_from(range.start()).unwrap()..usize::try_from(range.end()).unwrap()]
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

/// Bytes that differ from place to place.
fn model(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Read all that the stream says it has, and compare it with the model; what that was. What cannot
/// be read is given back as well.
async fn read_back(stream: &Arc<Stream>, model: &[u8]) -> (RangeSet, Vec<ReadError>) {
    let (mut follower, mut found, mut errors) =
        (Follower::new(stream, Who::SOMEBODY), RangeSet::new(), Vec::new());
    for run in stream.readable().iter() {
        let mut at = run.start();
        while at < run.end() {
            match soon(follower.read(at, 1 << 20)).await {
                Ok(Read::Bytes(bytes)) => {
                    let read = ByteRange::at(at, bytes.len() as u64).unwrap();
                    assert_eq!(&bytes[..], slice(model, read), "wrong bytes at {read}");
                    found.insert(read);
                    at = read.end();
                }
                Ok(other) => panic!("{other:?} at {at}, which is readable"),
                Err(error) => {
                    errors.push(error);
                    at = stream
                        .readable()
                        .iter()
                        .map(ByteRange::start)
                        .find(|s| *s > at)
                        .unwrap_or_else(|| run.end());
                }
            }
        }
    }
    (found, errors)
}

#[track_caller]
fn soon<F: Future>(wait: F) -> impl Future<Output = F::Output> {
    let asked = std::panic::Location::caller();
    async move {
        let Ok(output) = timeout(Duration::from_secs(20), wait).await else {
            panic!("still waiting at {asked}");
        };
        output
    }
}

fn overwrite(disk: &SimDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let file = disk.open(path.as_ref(), true).unwrap();
    let mut bytes = super::disk::read_all(file.as_ref(), u64::MAX).unwrap();
    change(&mut bytes);
    file.set_len(0).unwrap();
    file.write_at(&bytes, 0).unwrap();
}
