//! Targets for what claims to be media, of which no byte may be believed.

use bytes::Bytes;

/// The scanners know nothing of the rest of the distributor; their source is taken in as it is.
#[allow(dead_code, unreachable_pub)]
#[path = "../../distributor/src/join/mod.rs"]
mod join;

use join::{Container, Scanner};

/// Bytes of any kind, with holes, repetitions and in any slices: the scanner says the same as for the
/// same bytes one by one, and no join point lies where nothing was seen. The first byte says what
/// is known before, the second how the rest is cut.
pub fn join_points(data: &[u8]) {
    let [kind, cut, media @ ..] = data else { return };
    let names = ["mp4", "mpegts", "webm", "ogg", "frames", "flac", "wav", "flv"];
    let known = names.get(usize::from(*kind)).and_then(|name| Container::named(name));
    let begin = || {
        let Some(container) = known else { return Scanner::new() };
        let head = media.len() / 2;
        let mut scanner = Scanner::resume(container, &media[..head]);
        scanner.skip_to(head as u64 + u64::from(kind % 2));
        scanner
    };
    let (mut sliced, mut single) = (begin(), begin());
    let slice = 1 + usize::from(cut % 64) * 17;
    for (index, piece) in media.chunks(slice).enumerate() {
        // Now and then a piece is missing, and now and then one comes again.
        if cut / 64 == 1 && index % 5 == 3 {
            continue;
        }
        let at = (index * slice) as u64;
        sliced.push(at, piece);
        for (offset, byte) in piece.iter().enumerate() {
            single.push(at + offset as u64, &[*byte]);
        }
        if cut / 64 == 2 {
            sliced.push(at / 2, piece);
        }
    }
    assert_eq!(said(&mut sliced), said(&mut single));
    let (end, newest) = (sliced.next(), sliced.newest(u64::MAX));
    assert!(newest.is_none_or(|at| at < end), "{newest:?} of {end}");
    assert!(sliced.header().len() <= media.len() + media.len() / 2);
}

/// All that can be asked.
fn said(scanner: &mut Scanner) -> (Option<Container>, bool, Bytes, Vec<u64>) {
    let mut points = Vec::new();
    while let Some(at) = scanner.first_from(points.last().map_or(0, |last| last + 1)) {
        points.push(at);
    }
    (scanner.container(), scanner.is_ready(), scanner.header(), points)
}
