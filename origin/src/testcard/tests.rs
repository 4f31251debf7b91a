//! What comes out of the studio, looked at box by box.

use std::time::Duration;

use super::*;

fn card() -> TestCard {
    TestCard {
        size: "160x90".parse().unwrap(),
        fps: 50,
        gop: 5,
        seconds: Some(Duration::from_millis(400)),
        ..TestCard::default()
    }
}

fn all(card: TestCard) -> Vec<Captured> {
    let mut pieces = Vec::new();
    card.run(|piece| {
        pieces.push(piece);
        true
    })
    .unwrap();
    pieces
}

/// The kinds of the boxes in a piece.
fn boxes(mut bytes: &[u8]) -> Vec<&str> {
    let mut kinds = Vec::new();
    while let [a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        kinds.push(std::str::from_utf8(&rest[..4]).unwrap());
        bytes = &bytes[length..];
    }
    kinds
}

#[test]
fn the_header_comes_first_and_each_piece_is_whole() {
    let pieces = all(card());
    assert_eq!(boxes(&pieces[0].bytes), ["ftyp", "moov", "moof", "mdat"]);
    for piece in &pieces[1..] {
        assert_eq!(boxes(&piece.bytes), ["moof", "mdat"]);
    }
    // 20 frames, and 20 packets of sound less the one that was not over; on a busy machine fewer.
    assert!((2..=40).contains(&pieces.len()), "{} pieces", pieces.len());
}

#[test]
fn without_sound_there_are_frames_alone() {
    let pieces = all(TestCard { sound: false, ..card() });
    assert!(pieces.len() <= 20, "{} pieces", pieces.len());
    assert!(!pieces[0].bytes.windows(4).any(|word| word == b"Opus"));
}

#[test]
fn frames_are_as_large_as_the_bit_rate_says() {
    const FRAMES: usize = 150;
    for video_bitrate in [400_000, 1_500_000] {
        let size = "320x180".parse().unwrap();
        let card = TestCard { size, gop: 50, video_bitrate, ..card() };
        let mut studio = Studio::new(card).unwrap();
        let bytes: usize = (0..FRAMES).map(|_| studio.frame().unwrap().bytes.len()).sum();
        let rate = bytes * 8 * card.fps as usize / FRAMES;
        let share = rate as f64 / f64::from(video_bitrate);
        assert!((0.8..1.3).contains(&share), "{rate} of {video_bitrate}");
    }
}

#[test]
fn it_ends_when_nobody_takes_its_pieces() {
    let mut taken = 0;
    let endless = TestCard { seconds: None, ..card() };
    endless
        .run(|_| {
            taken += 1;
            taken < 3
        })
        .unwrap();
    assert_eq!(taken, 3);
}

#[test]
fn what_nobody_takes_in_time_is_left_out() {
    let mut studio = Studio::new(card()).unwrap();
    studio.begun.0 = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
    studio.leave_out_what_is_late();
    assert!((500..600).contains(&studio.frames), "{} frames at 50 a second", studio.frames);
    assert!(studio.sound.unwrap().due() >= Duration::from_secs(10));
}

#[test]
fn a_size_that_cannot_be_drawn_is_refused_with_what_can() {
    for size in ["126x90", "160x70", "4096x90", "3840x2162"] {
        let card = TestCard { size: size.parse().unwrap(), ..card() };
        let told = card.check().unwrap_err().to_string();
        assert!(told.contains(size) && told.contains("128x72"), "{told}");
    }
}
