//! Sound against that of ffmpeg's own decoders, over what ffmpeg makes.

use freshet_player::{Media, Sound};

use crate::pictures::{ARRIVAL, ffmpeg};

/// What the encoder is told, and the container; rate and channels of what comes out.
const SOUNDS: [(&str, &str, u32, usize); 15] = [
    ("-c:a aac -ac 2", "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4", 48_000, 2),
    ("-c:a aac -ac 1 -ar 44100", "-movflags frag_every_frame+empty_moov -f mp4", 44_100, 1),
    (
        "-c:a libopus -ac 2",
        "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4",
        48_000,
        2,
    ),
    ("-c:a libmp3lame -ac 2", "-movflags frag_keyframe+empty_moov -f mp4", 48_000, 2),
    ("-c:a aac -ac 2", "-f mpegts", 48_000, 2),
    ("-c:a libmp3lame -ac 2", "-f mpegts", 48_000, 2),
    ("-c:a libopus -ac 2", "-live 1 -f webm", 48_000, 2),
    ("-c:a libvorbis -ac 2", "-live 1 -f webm", 48_000, 2),
    ("-c:a aac -ac 2", "-f matroska", 48_000, 2),
    ("-c:a aac -ac 2", "-f adts", 48_000, 2),
    ("-c:a libmp3lame -ac 2", "-f mp3", 48_000, 2),
    ("-c:a libvorbis -ac 2", "-f ogg", 48_000, 2),
    ("-c:a libopus -ac 1", "-f ogg", 48_000, 1),
    ("-c:a flac -ac 2", "-f flac", 48_000, 2),
    ("-c:a pcm_s16le -ac 2", "-f wav", 48_000, 2),
];

/// Least distance of an error from what it is an error of.
const DECIBELS: f64 = 60.0;

/// What a decoder may have before the sound itself, or leave out there.
const ASIDE: usize = 4_096;

fn source(seconds: u32) -> String {
    format!(
        "-f lavfi -i aevalsrc=exprs=0.4*sin(2*PI*t*(200+300*t))|0.4*sin(2*PI*t*440):s=48000:d={seconds}"
    )
}

fn sounds(film: &[u8]) -> Vec<Sound> {
    let mut media = Media::with_sound();
    let mut sounds: Vec<_> =
        film.chunks(1_316).flat_map(|bytes| media.push(bytes, ARRIVAL).unwrap().sounds).collect();
    sounds.extend(media.finish().sounds);
    sounds
}

/// The samples of one channel.
fn channel(samples: &[f32], channels: usize) -> Vec<f64> {
    samples.iter().step_by(channels).map(|&sample| f64::from(sample)).collect()
}

/// How far `ours` is from `theirs` in decibels, where they fit best.
fn distance(ours: &[f64], theirs: &[f64]) -> f64 {
    let error = |by: usize, (early, late): (&[f64], &[f64]), count: usize| {
        let pairs = early.iter().skip(by + ASIDE).zip(late.iter().skip(ASIDE)).take(count);
        pairs.fold((0.0, 0.0), |(signal, noise), (one, other)| {
            (signal + one * one, noise + (one - other) * (one - other))
        })
    };
    let decibels = |(signal, noise): (f64, f64)| 10.0 * (signal / noise.max(1e-12)).log10();
    [(ours, theirs), (theirs, ours)]
        .into_iter()
        .map(|pair| {
            let near = |by: &usize| decibels(error(*by, pair, 1_000));
            let best = (0..ASIDE).max_by(|one, other| near(one).total_cmp(&near(other)));
            decibels(error(best.unwrap(), pair, usize::MAX))
        })
        .fold(f64::MIN, f64::max)
}

#[test]
fn samples_are_those_of_ffmpeg_within_60_decibels_and_each_at_its_time() {
    for (options, container, rate, channels) in SOUNDS {
        let what = format!("{options} {container}");
        let film = ffmpeg(&format!("{} {options} {container} pipe:1", source(3)), &[]);
        let theirs = ffmpeg("-i pipe:0 -f f32le pipe:1", &film);
        let theirs: Vec<_> =
            theirs.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap())).collect();
        let ours = sounds(&film);

        assert!(ours.iter().all(|it| (it.rate, it.channels) == (rate, channels)), "{what}");
        let samples = ours.iter().flat_map(|sound| sound.samples.clone()).collect::<Vec<_>>();
        let seconds = samples.len() as f64 / f64::from(rate) / channels as f64;
        assert!((2.9..3.2).contains(&seconds), "{what}: {seconds} s");
        let apart = distance(&channel(&samples, channels), &channel(&theirs, channels));
        println!("{what}: {apart:.1} dB");
        assert!(apart >= DECIBELS, "{what}: {apart} dB");
        // The first may begin before the time that the container can tell, and be cut there.
        for pair in ours.windows(2).skip(1) {
            let lasts =
                pair[0].samples.len() as u64 / channels as u64 * 1_000_000_000 / u64::from(rate);
            let gap = pair[1].time_ns.abs_diff(pair[0].time_ns + lasts);
            assert!(gap < 1_000_000, "{what}: {gap} ns between {:?}", pair[0].time_ns);
        }
    }
}

#[test]
fn sound_alone_is_decoded_and_is_nothing_where_it_is_not_wanted() {
    let film = ffmpeg(
        &format!("{} -c:a aac -movflags frag_keyframe+empty_moov -f mp4 pipe:1", source(1)),
        &[],
    );
    assert!(!sounds(&film).is_empty());
    let error = Media::new().push(&film, ARRIVAL).unwrap_err().to_string();
    assert!(error.contains("no video"), "{error}");
}
