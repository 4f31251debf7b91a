//! The library: one stream through every fault.

mod capture;

use std::{io::Cursor, net::Ipv4Addr, path::Path, time::Duration};

use freshet_origin::{
    Keep, Late, Options, Push, PushError, Rate, Source, SourceError, State, Stats, Summary,
};
use freshet_protocol::{ByteRange, Placed};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpListener,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, Fault, sample, soon};

fn options(chunk: u64) -> Options {
    Options { chunk, seed: 1, ..Options::default() }
}

async fn run(fake: &Fake, source: Source, options: Options) -> Result<Summary, PushError> {
    let push = Push::new(&fake.target(), source, options).unwrap();
    soon(push.run(&CancellationToken::new())).await
}

async fn file(dir: &Path, bytes: &[u8]) -> Source {
    let path = dir.join("media");
    std::fs::write(&path, bytes).unwrap();
    Source::file(path, Rate::Max, false).await.unwrap()
}

/// A capture of `bytes` with a copy in `dir`; its input ends after them.
async fn ended(fake: &Fake, dir: &Path, bytes: &[u8]) -> Source {
    let reader = Cursor::new(bytes.to_vec());
    Source::reader(&fake.target(), Keep::Disk(dir.into()), reader).await.unwrap()
}

/// The same, but its input is silent after them.
async fn silent(fake: &Fake, dir: &Path, bytes: &[u8]) -> (Source, impl Sized) {
    let (mut writer, reader) = duplex(bytes.len() + 1);
    writer.write_all(bytes).await.unwrap();
    (Source::reader(&fake.target(), Keep::Disk(dir.into()), reader).await.unwrap(), writer)
}

/// Capture and deliver `bytes`, then be interrupted.
async fn interrupted(fake: &Fake, dir: &Path, bytes: &[u8]) {
    let (source, _open) = silent(fake, dir, bytes).await;
    let push = Push::new(&fake.target(), source, options(1000)).unwrap();
    let shutdown = CancellationToken::new();
    let end = std::fs::metadata(dir.join("t.bin")).unwrap().len() + bytes.len() as u64;
    let (ended, ()) = tokio::join!(soon(push.run(&shutdown)), async {
        fake.until(|stream| stream.held.end() == end).await;
        shutdown.cancel();
    });
    assert!(matches!(ended, Err(PushError::Interrupted { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_file_arrives_whole_in_chunks_and_is_complete() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(2500);

    let asked =
        Options { token: Some("secret".into()), content_type: "a/b".into(), ..options(1000) };
    let summary = run(&fake, file(dir.path(), &bytes).await, asked).await.unwrap();

    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
    assert_eq!(fake.posts(), ["bytes 0-999/*", "bytes 1000-1999/*", "bytes 2000-2499/2500"]);
    assert_eq!((summary.total, summary.posted), (2500, 2500));
    let posts = fake.stream().posts.clone();
    assert_eq!((posts[0].field("if-match"), posts[1].field("if-match")), (None, Some("\"0\"")));
    for (name, value) in
        [("connection-type", "origin"), ("authorization", "Bearer secret"), ("content-type", "a/b")]
    {
        assert!(posts.iter().all(|post| post.field(name) == Some(value)), "{name}");
    }
    assert!(posts.iter().all(|post| post.field("origin-time").is_some()));
    assert!(posts[0].field("origin-id").is_some_and(|id| posts[1].field("origin-id") == Some(id)));
}

#[tokio::test]
async fn an_empty_file_is_a_complete_stream_of_nothing() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    run(&fake, file(dir.path(), b"").await, options(1000)).await.unwrap();
    assert_eq!((fake.posts(), fake.stream().total), (vec!["bytes */0".to_owned()], Some(0)));
}

#[tokio::test]
async fn through_any_faults_every_byte_arrives_once() {
    // At the same time: nearly all of it is waiting for the next attempt.
    join_all((0..24).map(through_faults)).await;
}

async fn through_faults(seed: u64) {
    let (fake, dir, bytes) = (Fake::start().await, tempfile::tempdir().unwrap(), sample(6000));
    let mut random = SmallRng::seed_from_u64(seed);
    let faults: Vec<_> = (0..6).map(|_| fault(&mut random)).collect();
    fake.faults(faults.clone());

    let source = if seed.is_multiple_of(2) {
        file(dir.path(), &bytes).await
    } else {
        ended(&fake, dir.path(), &bytes).await
    };
    let late = if seed.is_multiple_of(3) { Late::Newest } else { Late::All };
    let summary = run(&fake, source, Options { late, ..options(700) }).await;

    assert!(summary.is_ok(), "seed {seed}: {summary:?} after {faults:?}");
    assert_eq!(fake.stream().whole(), Some(&bytes[..]), "seed {seed}: {faults:?}");
}

fn fault(random: &mut SmallRng) -> Fault {
    match random.random_range(0..8) {
        0 | 1 => Fault::CutAfter(random.random_range(0..700)),
        2 => Fault::LoseReply,
        3 => Fault::Say(503, "retry-after: 0\r\n"),
        4 => Fault::Say(409, "retry-after: 0\r\n"),
        5 => Fault::Forget(0, random.random_range(1..3000)),
        6 => Fault::Delete,
        _ => Fault::None,
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_sent_again() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(100_000);
    run(&fake, file(dir.path(), &bytes).await, options(50_000)).await.unwrap();
    fake.stream().posts.clear();

    let again = run(&fake, file(dir.path(), &bytes).await, options(50_000)).await.unwrap();

    assert_eq!(again.posted, 0);
    assert_eq!(fake.posts(), ["bytes 95904-99999/*", "bytes 0-4095/*"], "only the proof");
}

#[tokio::test]
async fn somebody_elses_bytes_are_never_continued() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = sample(9000);
    for theirs in [vec![7; 3000], [&bytes[..2999], b"x"].concat()] {
        let fake = Fake::start().await;
        fake.stream().hold(0, &theirs);

        let ended = run(&fake, file(dir.path(), &bytes).await, options(1000)).await;

        assert!(matches!(ended, Err(PushError::Conflict { .. })), "{ended:?}");
        assert_eq!(fake.stream().bytes, theirs);
    }
    let fake = Fake::start().await;
    fake.stream().hold(0, &sample(9001));
    let ended = run(&fake, file(dir.path(), &bytes).await, options(1000)).await;
    assert!(matches!(ended, Err(PushError::Mismatch(_))), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_succeed_stops_with_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    for status in [400, 401, 403, 413, 415] {
        let fake = Fake::start().await;
        fake.faults([Fault::Say(status, "")]);
        let ended = run(&fake, file(dir.path(), b"x").await, options(1000)).await;
        let Err(error @ PushError::Refused { .. }) = ended else { panic!("{ended:?}") };
        assert!(error.to_string().contains(&format!("said {status}")), "{error}");
        assert_eq!(fake.posts().len(), 1);
    }
}

#[tokio::test]
async fn it_gives_up_when_it_is_told_to() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.faults(vec![Fault::Say(507, ""); 100]);
    let asked = Options { give_up: Some(Duration::from_millis(300)), ..options(1000) };

    let ended = run(&fake, file(dir.path(), b"x").await, asked).await;

    let Err(error @ PushError::GaveUp { .. }) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("507"), "{error}");
    assert!(fake.posts().len() > 1);
}

#[tokio::test]
async fn a_distributor_that_is_not_there_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Fake::start().await;
    let target = gone.target();
    let port = target.authority().port_u16().unwrap();
    drop(gone);
    let push = Push::new(&target, file(dir.path(), b"x").await, options(1000)).unwrap();
    let (mut stats, shutdown) = (push.stats(), CancellationToken::new());

    let (ended, ()) = tokio::join!(soon(push.run(&shutdown)), async {
        let retrying = |stats: &Stats| matches!(&stats.state, State::Retrying { why } if why.contains("refused"));
        soon(stats.wait_for(retrying)).await.unwrap();
        shutdown.cancel();
    });

    assert!(matches!(ended, Err(PushError::Interrupted { acknowledged: 0 })), "{port}: {ended:?}");
}

/// On a clock that jumps to the next deadline whenever nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_distributor_that_says_nothing_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/live/a", listener.local_addr().unwrap());
    let source = file(dir.path(), b"x").await;
    let push = Push::new(&url.parse().unwrap(), source, options(1000)).unwrap();
    let (mut stats, shutdown) = (push.stats(), CancellationToken::new());
    let begun = Instant::now();

    let (ended, _open) = tokio::join!(push.run(&shutdown), async {
        let silent = listener.accept().await.unwrap();
        let late = |stats: &Stats| matches!(&stats.state, State::Retrying { why } if why.contains("no reply within 30 s"));
        stats.wait_for(late).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(30));
        stats.wait_for(|stats| stats.handshakes == 2).await.unwrap();
        shutdown.cancel();
        silent
    });

    assert!(matches!(ended, Err(PushError::Interrupted { .. })), "{ended:?}");
}

#[tokio::test]
async fn the_limit_of_the_distributor_and_its_retention_are_kept() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(1000);
    fake.stream().hold(300, &bytes[300..400]);
    fake.stream().retained_from = 300;
    fake.stream().chunk_max = Some(350);

    run(&fake, file(dir.path(), &bytes).await, options(5000)).await.unwrap();

    let posts = fake.posts();
    assert_eq!(posts, ["bytes 300-399/*", "bytes 400-749/*", "bytes 750-999/1000"]);
}

#[tokio::test]
async fn a_loop_goes_round_and_on_after_a_restart() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("media");
    std::fs::write(&path, sample(700)).unwrap();
    for end in [10_000, 20_000] {
        let source = Source::file(&path, Rate::Max, true).await.unwrap();
        let push = Push::new(&fake.target(), source, options(1000)).unwrap();
        let shutdown = CancellationToken::new();
        let (ended, ()) = tokio::join!(soon(push.run(&shutdown)), async {
            fake.until(|stream| stream.held.end() >= end).await;
            shutdown.cancel();
        });
        assert!(matches!(ended, Err(PushError::Interrupted { .. })));
    }

    let stream = fake.stream();
    assert_eq!((stream.total, stream.held.runs()), (None, 1));
    assert!(stream.bytes.iter().zip(sample(700).iter().cycle()).all(|(here, there)| here == there));
}

#[tokio::test]
async fn a_rate_is_kept_and_each_chunk_says_when_it_was_due() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("media");
    std::fs::write(&path, sample(50_000)).unwrap();
    let source = Source::file(&path, Rate::Bytes(100_000), false).await.unwrap();
    let begun = Instant::now();

    run(&fake, source, options(64 << 10)).await.unwrap();

    assert!(begun.elapsed() >= Duration::from_millis(480), "{:?}", begun.elapsed());
    let posts = fake.stream().posts.clone();
    let due: Vec<(u64, f64)> = posts
        .iter()
        .map(|post| {
            let place: Placed = post.place.parse().unwrap();
            (place.range.start(), post.field("origin-time").unwrap().parse().unwrap())
        })
        .collect();
    let (first, last) = (due[0], due[due.len() - 1]);
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let expected = (last.0 - first.0) as f64 / 100_000.0;
    assert!((last.1 - first.1 - expected).abs() < 0.05, "{due:?}");
}
