//! Decoders that are built in where somebody wants them, against ffmpeg's own.

use crate::pictures::{encoded, raw, shown};

/// What is wrong with the pictures, of 60: how many differ at all, and the least peak signal to noise of any, in dB.
fn difference(film: &[u8], piece: usize) -> (usize, f64) {
    let (pictures, dropped) = shown(film, piece);
    assert_eq!((pictures.len(), dropped), (60, 0));
    let raw = raw(film);
    let apart = pictures.iter().zip(raw.chunks_exact(raw.len() / 60)).map(|(picture, expected)| {
        let planes = picture.y.iter().chain(&picture.u).chain(&picture.v);
        let squares =
            planes.zip(expected).map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2));
        squares.sum::<f64>() / f64::from(u32::try_from(expected.len()).unwrap())
    });
    let apart: Vec<_> = apart.collect();
    let most = apart.iter().copied().fold(0.0, f64::max);
    let noise = if most > 0.0 { 10.0 * (255.0_f64.powi(2) / most).log10() } else { f64::INFINITY };
    (apart.iter().filter(|&&apart| apart > 0.0).count(), noise)
}

fn is_exact(film: &[u8]) -> bool {
    [1_316, 100_000].iter().all(|&piece| difference(film, piece).0 == 0)
}

/// What follows on the first third of a stream and its header, and how many pictures of 60 there are.
#[cfg(any(feature = "av1", feature = "vp9"))]
fn joined(film: &[u8]) -> usize {
    let all = shown(film, 1_316).0;
    let mut media = freshet_player::Media::new();
    let (first, later) = film.split_at(film.len() / 3);
    let push = |media: &mut freshet_player::Media, bytes: &[u8]| {
        media.push(bytes, crate::pictures::ARRIVAL).unwrap().pictures
    };
    let mut pictures = push(&mut media, &first[..first.len() / 2]);
    media.lose();
    pictures.extend(push(&mut media, later));
    pictures.extend(media.finish().pictures);
    assert!(
        pictures.iter().all(|picture| all.contains(picture)),
        "some are made from what is lost"
    );
    pictures.len()
}

/// A fragment for each key frame, its header told once the encoder has said what it must say of AV1; and what
/// browsers record.
#[cfg(any(feature = "av1", feature = "vp9"))]
const CONTAINERS: [&str; 2] =
    ["-movflags frag_keyframe+delay_moov+default_base_moof -f mp4", "-live 1 -f webm"];

#[cfg(feature = "vp9")]
#[test]
fn vp9_is_that_of_ffmpeg_to_the_bit() {
    // The second with frames that are never shown, which come in one packet with one that is.
    let kinds = [
        "-deadline realtime -cpu-used 8 -lag-in-frames 0 -g 15",
        "-deadline good -cpu-used 5 -lag-in-frames 16 -auto-alt-ref 1 -g 30",
    ];
    for (kind, size) in kinds.iter().zip(["320x240", "638x358"]) {
        for container in CONTAINERS {
            let film = encoded(size, &format!("-c:v libvpx-vp9 -b:v 500k {kind} {container}"), 2);
            assert!(is_exact(&film), "{kind}, {container}");
        }
    }
    let film = encoded("320x240", &format!("-c:v libvpx-vp9 {} {}", kinds[0], CONTAINERS[0]), 2);
    assert!((15..60).contains(&joined(&film)));
}

#[cfg(feature = "av1")]
#[test]
fn av1_is_that_of_ffmpeg_to_the_bit() {
    let libaom = "-c:v libaom-av1 -usage realtime -cpu-used 8 -b:v 500k -g 15";
    let svt = "-c:v libsvtav1 -preset 10 -b:v 500k -g 30";
    let kinds = [
        (libaom, "320x240", CONTAINERS[0]),
        (svt, "638x358", CONTAINERS[0]),
        (svt, "320x240", CONTAINERS[1]),
    ];
    for (kind, size, container) in kinds {
        assert!(is_exact(&encoded(size, &format!("{kind} {container}"), 2)), "{kind}, {container}");
    }
    let film = encoded("320x240", &format!("{libaom} {}", CONTAINERS[0]), 2);
    assert!((15..60).contains(&joined(&film)));
}

#[cfg(feature = "openh264")]
#[test]
fn openh264_differs_from_ffmpeg_by_next_to_nothing() {
    let containers = ["-movflags frag_keyframe+empty_moov+default_base_moof -f mp4", "-f mpegts"];
    for (kind, apart) in [
        ("-profile:v baseline -g 30", 0),
        ("-profile:v high -bf 0 -g 30", 0),
        // Made from pictures before and after them, in weights of its own.
        ("-profile:v high -bf 3 -g 30", 30),
    ] {
        for container in containers {
            let options = format!("-c:v libx264 -preset veryfast {kind} {container}");
            let (differ, decibels) = difference(&encoded("320x240", &options, 2), 1_316);
            eprintln!(
                "{kind}, {container}: {differ} of 60 differ, by {decibels:.0} dB at the worst"
            );
            assert!(differ <= apart && decibels > 60.0, "{kind}, {container}");
        }
    }
}
