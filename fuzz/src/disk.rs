//! Targets for what comes from the disk, where any byte may be damaged.

use freshet_protocol::ByteRange;

/// The journal is the distributor's own affair; its source is pure and is taken in as it is.
#[allow(dead_code, unreachable_pub)]
#[path = "../../distributor/src/store/journal.rs"]
mod journal;

use journal::{RECORD_LEN, Record, replay};

/// The salt of the stream whose journal is read.
const SALT: u64 = 7;

/// A journal of any bytes is read without a panic, and no record is taken for more than it proves:
/// what is read is written as the very bytes that were there, and in the next journal it is read again.
/// Since no random bytes have a right checksum, the input also says what to write and what to damage.
pub fn journal_replay(data: &[u8]) {
    let found = replay(data, SALT);
    assert!(found.index.len() <= data.len() / RECORD_LEN);
    assert_eq!(found.torn_bytes, data.len() % RECORD_LEN);

    let (mut journal, mut written) = (Vec::new(), Vec::new());
    for record in data.chunks_exact(RECORD_LEN).take(64).filter_map(forged) {
        assert_eq!(Record::decode(&record.encode(SALT), SALT), Some(record));
        assert_eq!(Record::decode(&record.encode(SALT + 1), SALT), None, "another stream's record");
        journal.extend(record.encode(SALT));
        written.push(record);
    }
    let whole = replay(&journal, SALT);
    assert_eq!((whole.damaged, whole.torn_bytes), (0, 0));

    let Some(at) = data.first().map(|at| usize::from(*at) * 3).filter(|at| *at < journal.len())
    else {
        return;
    };
    journal[at] ^= 1 << (at % 8);
    let damaged = replay(&journal, SALT);
    assert_eq!(damaged.damaged, 1, "one flipped bit costs one record");
    written.remove(at / RECORD_LEN);
    let rest: Vec<u8> = written.iter().flat_map(|record| record.encode(SALT)).collect();
    assert_eq!(damaged.index.covered(), replay(&rest, SALT).index.covered());
}

/// A record with the numbers of `bytes`, where they make one.
fn forged(bytes: &[u8]) -> Option<Record> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let kinds = [journal::Kind::Data, journal::Kind::Dropped];
    Some(Record {
        kind: kinds[usize::from(bytes[4] & 1)],
        range: ByteRange::at(number(8) >> 8, number(16) & 0xffff)?,
        crc: u32::from_le_bytes(bytes[24..28].try_into().expect("4 bytes")),
        captured: Some(number(28))
            .filter(|nanos| *nanos > 0)
            .map(freshet_protocol::Stamp::from_nanos),
        received: freshet_protocol::Stamp::from_nanos(number(36)),
    })
}
