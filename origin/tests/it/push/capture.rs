//! What has no file behind it: captured, kept, and delivered after whatever happens.

use super::*;

#[tokio::test]
async fn a_restarted_capture_delivers_the_copy_and_then_what_comes_next() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(5000);
    interrupted(&fake, dir.path(), &bytes[..2000]).await;
    interrupted(&fake, dir.path(), &bytes[2000..3000]).await;
    fake.stream().held.remove(ByteRange::new(500, 700).unwrap());
    let posts = fake.posts().len();

    let source = ended(&fake, dir.path(), &bytes[3000..]).await;
    let summary = run(&fake, source, options(1000)).await.unwrap();

    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
    assert_eq!(std::fs::read(dir.path().join("t.bin")).unwrap(), bytes, "the copy is the media");
    assert_eq!((summary.total, summary.posted), (5000, 2200));
    assert_eq!(fake.posts()[posts], "bytes 500-699/*", "its own incarnation needs no proof");
    let ids: Vec<_> = fake
        .stream()
        .posts
        .iter()
        .map(|post| post.field("origin-id").unwrap().to_owned())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one lease through all restarts");
}

#[tokio::test]
async fn a_deleted_stream_is_sent_anew_from_the_copy() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(3000);
    interrupted(&fake, dir.path(), &bytes[..2000]).await;
    fake.stream().delete();

    run(&fake, ended(&fake, dir.path(), &bytes[2000..]).await, options(1000)).await.unwrap();

    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
}

#[tokio::test]
async fn a_finished_copy_is_delivered_and_takes_nothing_more() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(3000);
    run(&fake, ended(&fake, dir.path(), &bytes).await, options(1000)).await.unwrap();
    fake.stream().delete();

    let more = run(&fake, ended(&fake, dir.path(), b"more").await, options(1000)).await;
    assert!(matches!(more, Err(PushError::Source(SourceError::Finished { .. }))), "{more:?}");
    assert!(!fake.stream().exists, "nothing was posted");

    run(&fake, ended(&fake, dir.path(), b"").await, options(1000)).await.unwrap();
    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
}

#[tokio::test]
async fn the_newest_goes_first_and_the_older_when_it_can() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let bytes = sample(5000);
    std::fs::write(dir.path().join("t.bin"), &bytes).unwrap();
    fake.stream().hold(0, &bytes[..1000]);

    let source = ended(&fake, dir.path(), b"").await;
    run(&fake, source, Options { late: Late::Newest, ..options(1000) }).await.unwrap();

    let posts: Vec<_> =
        fake.posts().into_iter().filter(|post| !post.starts_with("bytes 0-")).collect();
    assert!(posts[0].starts_with("bytes 4000-4999/"), "{posts:?}");
    assert_eq!(posts[1..4], ["bytes 3000-3999/*", "bytes 2000-2999/*", "bytes 1000-1999/*"]);
    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
}

#[tokio::test]
async fn a_distributor_that_allows_small_gaps_is_brought_to_the_newest_in_steps() {
    for (gap, first_taken) in [(0, "bytes 0-999/*"), (1500, "bytes 750-1749/*")] {
        let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
        let bytes = sample(10_000);
        std::fs::write(dir.path().join("t.bin"), &bytes).unwrap();
        fake.stream().gap_max = Some(gap);

        let source = ended(&fake, dir.path(), b"").await;
        run(&fake, source, Options { late: Late::Newest, ..options(1000) }).await.unwrap();

        let posts = fake.posts();
        let taken = posts.iter().position(|post| post == first_taken).unwrap();
        let edge = posts.iter().rposition(|post| post.starts_with("bytes 9000-9999/")).unwrap();
        assert!(taken <= 4, "found in a few tries: {posts:?}");
        assert!(gap == 0 || edge < posts.len() - 3, "the newest before the older ones: {posts:?}");
        assert_eq!(fake.stream().whole(), Some(&bytes[..]), "{gap}");
    }
}

#[tokio::test]
async fn without_a_copy_it_goes_on_at_the_end_of_what_is_held() {
    let fake = Fake::start().await;
    let bytes = sample(200_000);
    fake.stream().hold(0, &bytes[..50_000]);
    fake.faults([Fault::CutAfter(100), Fault::LoseReply]);

    let reader = Cursor::new(bytes[50_000..].to_vec());
    let source = Source::reader(&fake.target(), Keep::Memory, reader).await.unwrap();
    run(&fake, source, options(64 << 10)).await.unwrap();

    assert_eq!(fake.stream().whole(), Some(&bytes[..]));
}

#[tokio::test]
async fn what_is_no_longer_in_memory_is_said_to_be_lost() {
    let fake = Fake::start().await;
    let (mut writer, reader) = duplex(200);
    let source = Source::reader(&fake.target(), Keep::Memory, reader).await.unwrap();
    writer.write_all(&sample(100)).await.unwrap();

    let (ended, ()) = tokio::join!(run(&fake, source, options(1000)), async {
        fake.until(|stream| stream.held.end() == 100).await;
        fake.faults([Fault::Forget(0, 50)]);
        writer.write_all(b"next").await.unwrap();
    });

    assert!(matches!(ended, Err(PushError::Mismatch(_))), "{ended:?}");
}

/// A twin that is faster, or a copy whose end a power cut took.
#[tokio::test]
async fn where_more_is_held_than_is_here_the_source_catches_up_and_is_proved() {
    let bytes = sample(30_000);
    let shifted = [&bytes[..10_000], &bytes[15_000..]].concat();
    for (source, goes_on) in [(&bytes, true), (&shifted, false)] {
        let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
        interrupted(&fake, dir.path(), &bytes[..10_000]).await;
        fake.stream().hold(10_000, &bytes[10_000..15_000]);
        let (mut writer, reader) = duplex(100);
        let captured = Source::reader(&fake.target(), Keep::Disk(dir.path().into()), reader).await;

        let (ended, ()) = tokio::join!(run(&fake, captured.unwrap(), options(1000)), async {
            for piece in source[10_000..].chunks(700) {
                if writer.write_all(piece).await.is_err() {
                    return;
                }
            }
            drop(writer);
        });

        if goes_on {
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(fake.stream().whole(), Some(&bytes[..]));
        } else {
            assert!(matches!(ended, Err(PushError::Conflict { .. })), "{ended:?}");
            assert_eq!(fake.stream().bytes, bytes[..15_000], "nothing was mixed in");
        }
    }
}

#[tokio::test]
async fn a_failing_source_delivers_what_it_gave_and_then_says_why() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let reader = Cursor::new(b"some".to_vec()).chain(Broken);
    let source =
        Source::reader(&fake.target(), Keep::Disk(dir.path().into()), reader).await.unwrap();

    let ended = run(&fake, source, options(1000)).await;

    assert!(matches!(ended, Err(PushError::Source(SourceError::Read { .. }))), "{ended:?}");
    let stream = fake.stream();
    assert_eq!((stream.bytes.as_slice(), stream.total), (&b"some"[..], None));
}

struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("unplugged")))
    }
}
