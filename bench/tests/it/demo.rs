//! The demo, as a library: the whole chain in this process.

use std::net::TcpStream;

use freshet_bench::demo::{self, News, Options};
use tokio::{runtime::Runtime, time::timeout};
use tokio_util::sync::CancellationToken;

use super::command::DEADLINE;

fn run(options: &Options, stop: &CancellationToken) -> (demo::Summary, u16, Vec<demo::Live>) {
    let (mut port, mut seconds) = (0, Vec::new());
    let tell = |news: News<'_>| match news {
        News::Open(url) => port = url.port(),
        News::Second(live) => seconds.push(*live),
    };
    let run = async { timeout(DEADLINE, demo::run(options, stop, tell)).await };
    let summary = Runtime::new().unwrap().block_on(run).expect("in time").unwrap();
    (summary, port, seconds)
}

#[test]
fn the_whole_chain_runs_for_its_time_and_every_byte_comes_through() {
    let options = Options { seconds: Some(2), rate: 2_000_000, chunk: 3_000, port: 0 };
    let (summary, port, seconds) = run(&options, &CancellationToken::new());

    assert!(summary.is_equal(), "{summary:?}");
    assert_eq!(summary.distributor_agrees, Some(true));
    assert!(summary.made.0 >= 490_000, "two seconds of 2 Mbit/s: {summary:?}");
    assert_eq!(summary.made.0, summary.tally.bytes, "every chunk was seen whole");
    assert_eq!((summary.tally.gaps, summary.tally.wrong), (0, 0));
    assert_eq!(summary.played_bytes, summary.made.0);
    assert!(summary.latency.p50_us > 0 && summary.latency.p50_us <= summary.latency.p99_us);

    let live = seconds.first().expect("a line for the first second");
    assert!(live.held_bytes > 0 && live.second.bytes > 0, "{live:?}");
    assert_eq!(live.consumers, 2, "the consumer and the player");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nothing listens any more");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let stop = CancellationToken::new();
    stop.cancel();
    let options = Options { seconds: None, rate: 1_000_000, chunk: 4_096, port: 0 };
    let (summary, ..) = run(&options, &stop);

    assert!(summary.is_equal(), "{summary:?}");
    assert_eq!(summary.made.0, 4_096, "one chunk, to the end of it");
}

#[test]
fn a_copy_that_differs_is_not_equal() {
    let stop = CancellationToken::new();
    stop.cancel();
    let options = Options { seconds: None, rate: 1_000_000, chunk: 4_096, port: 0 };
    let (mut summary, ..) = run(&options, &stop);
    summary.taken.1.0[0] ^= 1;
    assert!(!summary.is_equal());
}
