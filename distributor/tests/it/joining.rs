//! Players that come in the middle: the container's header, and the stream from a join point on.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use freshet_distributor::Durability;
use tokio::io::AsyncWriteExt;

use crate::node::{Node, soon, until};

/// What ffmpeg makes of a recipe: some seconds with a key picture in each half.
fn encode(recipe: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let picture = "-f lavfi -i testsrc2=s=320x240:r=25 -f lavfi -i sine=frequency=440";
    let line = format!("-v error -nostdin {picture} -t 6 -g 12 -pix_fmt yuv420p {recipe}");
    let mut command = Command::new("ffmpeg");
    command.args(line.split(' ')).arg(&path);
    let done = command.output().expect("ffmpeg is installed");
    assert!(done.status.success(), "{recipe}: {}", String::from_utf8_lossy(&done.stderr));
    fs::read(path).unwrap()
}

/// ffmpeg decodes `input` to nowhere, and says what it did not like.
fn decoder(input: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i", input, "-f", "null", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[track_caller]
fn assert_no_errors(done: &Output, what: &str) {
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && errors.is_empty(), "{what}: {} {errors}", done.status);
}

#[tokio::test]
async fn a_player_that_comes_in_the_middle_decodes_without_an_error() {
    let codecs = "-c:v libx264 -preset ultrafast -c:a aac";
    let fragments = "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4";
    let node = Node::start().await;
    for (name, recipe, has_header) in [
        ("mp4", format!("{codecs} {fragments}"), true),
        ("ts", format!("{codecs} -f mpegts"), true),
        ("flv", format!("{codecs} -ar 44100 -f flv"), true),
        ("mp3", "-map 1 -c:a libmp3lame -f mp3".to_owned(), false),
    ] {
        let media = encode(&recipe);
        let (first, later) = media.split_at(media.len() * 2 / 3);
        node.post(name, &format!("bytes 0-{}/*", first.len() - 1), first).await;
        let mut consumer = node.connect().await;
        consumer.request("GET", &format!("/live/{name}"), &[], b"").await;
        let mut reply = consumer.head().await;
        let player = decoder(&format!("http://{}/live/{name}", node.address)).spawn().unwrap();
        until(async || node.metric("freshet_consumers").await == 2).await;

        let range = format!("bytes {}-{}/{}", first.len(), media.len() - 1, media.len());
        node.post(name, &range, later).await;
        consumer.drain(&mut reply).await;

        assert_no_errors(&soon(player.wait_with_output()).await.unwrap(), name);
        assert!(reply.ended, "{name}");
        let join: usize = reply.field("stream-join").unwrap().parse().unwrap();
        assert!(join > 0 && join < first.len(), "{name}: {join} of {}", first.len());
        assert!(first.len() - join < media.len() / 5, "{name}: the newest, not {join}");
        assert!(reply.body.ends_with(&media[join..]), "{name}");
        let header = &reply.body[..reply.body.len() + join - media.len()];
        assert_eq!(!header.is_empty(), has_header, "{name}");
        let mut decoder = decoder("pipe:0").spawn().unwrap();
        let mut stdin = decoder.stdin.take().unwrap();
        soon(stdin.write_all(&reply.body)).await.unwrap();
        drop(stdin);
        assert_no_errors(&soon(decoder.wait_with_output()).await.unwrap(), name);
    }
}

#[tokio::test]
async fn the_beginning_is_a_join_point_until_there_is_another() {
    let node = Node::start().await;
    let media = encode("-c:v libx264 -f flv");
    node.post("x", "bytes 0-299/*", &media[..300]).await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x", &[], b"").await;
    let reply = consumer.head().await;
    assert_eq!(reply.field("stream-join"), Some("0"));
    assert_eq!(consumer.take(300).await, &media[..300]);
}

#[tokio::test]
async fn the_header_and_the_join_points_outlive_the_process() {
    let media = encode("-c:v libx264 -c:a aac -f mpegts");
    let node = Node::start().await;
    node.post("x", &format!("bytes 0-{}/*", media.len() - 1), &media).await;
    let begin = async |node: &Node| {
        let mut consumer = node.connect().await;
        consumer.request("GET", "/live/x", &[], b"").await;
        let join = consumer.head().await.field("stream-join").unwrap().to_owned();
        (join, consumer.take(188 * 4).await[..188 * 4].to_vec())
    };
    let before = begin(&node).await;
    assert_ne!(before.0, "0");

    let node = Node::on(node.stop().await, |_| {}).await;

    assert_eq!(begin(&node).await, before);
}

/// A frame of MPEG audio that carries its number.
pub(crate) const FRAME: usize = 417;

pub(crate) fn frames(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let frame = |number: u32| {
        let mut frame = [0_u8; FRAME];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
        frame[4..8].copy_from_slice(&number.to_be_bytes());
        frame
    };
    numbers.flat_map(frame).collect()
}

pub(crate) fn numbers(bytes: &[u8]) -> Vec<u32> {
    let number = |frame: &[u8]| {
        assert_eq!(frame[..4], [0xff, 0xfb, 0x90, 0], "a frame begins here");
        u32::from_be_bytes(frame[4..8].try_into().unwrap())
    };
    bytes.chunks_exact(FRAME).map(number).collect()
}

#[tokio::test]
async fn a_consumer_that_skips_is_never_left_in_the_middle_of_a_frame() {
    let node = Node::with(|config| config.store.ring_bytes = 1 << 20).await;
    const BATCH: u32 = 2_500;
    const BATCHES: u32 = 32;
    node.post("x", &format!("bytes 0-{}/*", FRAME * 10 - 1), &frames(0..10)).await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?behind=skip", &[], b"").await;
    consumer.head().await;
    let mut taken = consumer.take(FRAME).await;
    for batch in 0..BATCHES {
        let first = 10 + batch * BATCH;
        let bytes = frames(first..first + BATCH);
        let at = FRAME * first as usize;
        node.post("x", &format!("bytes {at}-{}/*", at + bytes.len() - 1), &bytes).await;
    }

    let last = 10 + BATCHES * BATCH - 1;
    while numbers(&taken).last() != Some(&last) {
        taken.extend(consumer.next().await.unwrap().unwrap());
    }

    let numbers = numbers(&taken);
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(numbers.len() < (last as usize) * 9 / 10, "{} of {last}: it skipped", numbers.len());
}

#[tokio::test]
async fn a_native_consumer_that_is_far_behind_goes_on_at_a_join_point_or_anywhere_as_asked() {
    let node = Node::start().await;
    let bytes = frames(0..2_500);
    node.post("x", &format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len()), &bytes).await;
    for (query, at_frame) in [("", true), ("?skip=join", true), ("?skip=any", false)] {
        let fields = [("Have", "bytes */*"), ("Accept", "multipart/byteranges")];
        let reply = node.ask("GET", &format!("/live/x{query}"), &fields).await;
        let (parts, ended) = reply.parts();
        assert!(ended);
        let first = parts[0].0.placed.range.start();
        assert!(first + (128 << 10) > bytes.len() as u64, "{query}: the newest comes first");
        assert_eq!(first % FRAME as u64 == 0, at_frame, "{query}: {first}");
        assert_eq!(parts.iter().map(|(_, part)| part.len()).sum::<usize>(), bytes.len(), "{query}");
    }
    node.ask("GET", "/live/x?skip=never", &[]).await.refused(400);
}

/// A distributor that keeps no more than its ring.
async fn forgetful(upstream: Option<&Node>) -> Node {
    Node::with(|config| {
        (config.store.data, config.store.ring_bytes) = (None, 1 << 20);
        config.store.durability = Durability::Memory;
        let urls = upstream.map(|node| format!("http://{}", node.address).parse().unwrap());
        config.upstream.upstream = urls.into_iter().collect();
    })
    .await
}

#[tokio::test]
async fn an_edge_that_comes_after_the_beginning_is_gone_has_the_header_all_the_same() {
    let codecs = "-c:v mpeg2video -q:v 1 -c:a mp2";
    let fragments = "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4";
    let root = forgetful(None).await;
    let edge = forgetful(Some(&root)).await;
    let leaf = forgetful(Some(&edge)).await;
    for (name, media, has_header) in [
        ("mp4", encode(&format!("{codecs} {fragments}")), true),
        ("ts", encode(&format!("{codecs} -f mpegts")), true),
        ("mp3", frames(0..4_000), false),
    ] {
        let (first, later) = media.split_at(media.len() - 100_000);
        root.post(name, &format!("bytes 0-{}/*", first.len() - 1), first).await;
        let path = format!("/live/{name}");
        let gone = root.ask("HEAD", &path, &[]).await;
        assert!(gone.field("retained-from").is_some(), "{name}: {} bytes", first.len());
        let begin = async |node: &Node| {
            let mut viewer = node.connect().await;
            viewer.request("GET", &path, &[], b"").await;
            let reply = viewer.head().await;
            let join: usize = reply.field("stream-join").unwrap().parse().unwrap();
            let header = reply.field("stream-header").map_or(0, |bytes| bytes.parse().unwrap());
            let begun = header + (media.len() - join).min(100);
            (join, header, viewer, begun)
        };
        let (_, header, mut viewer, _) = begin(&leaf).await;
        assert_eq!(header > 0, has_header, "{name}");

        root.post(name, &format!("bytes {}-{}/*", first.len(), media.len() - 1), later).await;
        until(async || leaf.held(name).await.contains(&format!("-{}/", media.len() - 1))).await;

        let (join, header, mut at_root, first) = begin(&root).await;
        let expected = at_root.take(first).await[..first].to_vec();
        assert!(media[join..].starts_with(&expected[header..]), "{name}");
        for node in [&edge, &leaf] {
            // The scanner looks at what has come once it is on its way.
            until(async || begin(node).await.0 == join).await;
            let (_, _, mut viewer, _) = begin(node).await;
            assert_eq!(viewer.take(first).await[..first], expected, "{name}");
        }
        viewer.take(100).await;
    }
}
