//! Join points against a real decoder.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

use super::*;

/// What ffmpeg complains about when it decodes these bytes, and how many frames it got.
fn decode(parts: &[&[u8]]) -> (String, usize) {
    let arguments = ["-v", "error", "-nostdin", "-i", "pipe:0", "-f", "framecrc", "-"];
    let mut decoder = Command::new("ffmpeg")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let mut stdin = decoder.stdin.take().unwrap();
    let bytes = parts.concat();
    let writer = thread::spawn(move || stdin.write_all(&bytes));
    let done = decoder.wait_with_output().unwrap();
    let mut errors = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() || writer.join().unwrap().is_err() {
        errors += &format!("{}, or it did not read to the end", done.status);
    }
    let frames =
        String::from_utf8_lossy(&done.stdout).lines().filter(|l| !l.starts_with('#')).count();
    (errors, frames)
}

#[test]
fn every_container_is_told_by_its_beginning_and_has_its_join_points() {
    for sample in samples() {
        let seen = scan(&sample.bytes);
        assert_eq!(seen.container, Some(sample.container), "{}", sample.name);
        assert!(seen.is_ready, "{}", sample.name);
        assert!(
            seen.points.is_sorted() && seen.points.len() > 5,
            "{}: {:?}",
            sample.name,
            seen.points
        );
        if let Some(expected) = sample.points {
            assert_eq!(seen.points.len(), expected, "{}: {:?}", sample.name, seen.points);
        }
    }
}

#[test]
fn ffmpeg_decodes_from_every_join_point_without_an_error() {
    let decode_sample = |sample: &Sample| {
        let seen = scan(&sample.bytes);
        let (errors, whole) = decode(&[&sample.bytes]);
        assert_eq!(errors, "", "{}: the whole stream", sample.name);
        // At the very end too little is left for ffmpeg to tell what it is; a live stream goes on.
        let late = (sample.bytes.len() - sample.bytes.len() / 6) as u64;
        let points: Vec<_> = seen.points.iter().filter(|&&at| at < late).collect();
        for (index, &&at) in points.iter().enumerate().step_by(points.len().div_ceil(6)) {
            let rest = &sample.bytes[usize::try_from(at).unwrap()..];
            let (errors, frames) = decode(&[&seen.header, rest]);
            assert_eq!(errors, "", "{}: from {at}, point {index}", sample.name);
            // What is before the point is all that may be missing; a few frames of sound more.
            let expected = whole * rest.len() / sample.bytes.len();
            assert!(
                frames * 2 + 8 >= expected,
                "{}: {frames} of {expected} from {at}",
                sample.name
            );
            assert!(frames > 0, "{}: nothing from {at}", sample.name);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = samples()
            .chunks(10)
            .map(|some| scope.spawn(move || some.iter().for_each(decode_sample)))
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_cut_at_any_other_place_is_heard_of() {
    // The decoder that finds no error above does find them where there is no join point.
    let sample = samples().iter().find(|sample| sample.name == "ts").unwrap();
    let point = usize::try_from(scan(&sample.bytes).points[3]).unwrap();
    let (errors, _) = decode(&[&sample.bytes[point + 188 * 3 + 50..]]);
    assert_ne!(errors, "");
}

#[test]
fn what_cannot_be_joined_is_raw() {
    for (name, recipe) in RAW_RECIPES {
        let seen = scan(&encode(recipe, "160x120", 1));
        assert_eq!((seen.container, seen.points.len()), (Some(Container::Raw), 0), "{name}");
    }
    for text in ["tick", "hello world", "<html>", "get / HTTP/1.1", "\u{0}\u{0}\u{0}\u{1}ftxx"] {
        assert_eq!(scan(text.as_bytes()).container, Some(Container::Raw), "{text}");
    }
    assert_eq!(scan(b"").container, None);
    assert_eq!(scan(b"Ogg").container, None, "it may become one");
}

#[test]
fn a_scanner_that_has_its_header_from_an_earlier_life_goes_on_in_the_middle() {
    for sample in samples() {
        let whole = scan(&sample.bytes);
        let middle = sample.bytes.len() / 2 + 7;
        let mut scanner = Scanner::resume(sample.container, &whole.header);
        scanner.skip_to(middle as u64);

        scanner.push(middle as u64, &sample.bytes[middle..]);

        let resumed = seen(&mut scanner);
        assert_eq!((resumed.container, &resumed.header), (whole.container, &whole.header));
        let later: Vec<_> = whole.points.iter().filter(|&&at| at >= middle as u64).collect();
        // A unit may have begun before; then its other half is passed over.
        let found: Vec<_> = resumed.points.iter().filter(|at| whole.points.contains(at)).collect();
        assert!(found.len() + 2 >= later.len(), "{}: {found:?} of {later:?}", sample.name);
        let false_points = resumed.points.len() - found.len();
        assert!(false_points <= 1, "{}: {:?} against {later:?}", sample.name, resumed.points);
    }
}

#[test]
fn a_new_header_in_the_stream_replaces_the_old_one() {
    let named =
        |name| &samples().iter().find(|sample: &&Sample| sample.name == name).unwrap().bytes;
    for (first, second) in
        [("vorbis", "opus"), ("mp4", "cmaf"), ("webm", "matroska"), ("ts", "ts mpeg-2")]
    {
        let (one, two) = (named(first), named(second));
        let (alone, chained) = (scan(two), scan(&[one.as_slice(), two].concat()));
        assert_eq!(chained.header, alone.header, "{first}, then {second}");
        let moved: Vec<_> = alone.points.iter().map(|at| at + one.len() as u64).collect();
        assert_eq!(chained.points, moved, "{first}, then {second}");
    }
}
