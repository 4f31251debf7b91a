//! The demo, as a library: the whole chain in this process.

use std::{net::TcpStream, time::Duration};

use freshet_bench::demo::{self, News, Options};
use tokio::{runtime::Runtime, time::timeout};
use tokio_util::sync::CancellationToken;

use super::command::DEADLINE;

fn run(options: &Options, stop: &CancellationToken) -> (demo::Summary, u16, Vec<demo::Live>) {
    let (mut port, mut seconds) = (0, Vec::new());
    let tell = |news: News<'_>| match news {
        News::Open(url) => port = url.port(),
        News::Second(live) => {
            seconds.push(*live);
            // Without an end of its own it ends as soon as there is something to end.
            options.seconds.is_none().then(|| stop.cancel());
        }
    };
    let run = async { timeout(DEADLINE, demo::run(options, stop, tell)).await };
    let summary = Runtime::new().unwrap().block_on(run).expect("in time").unwrap();
    (summary, port, seconds)
}

fn options(seconds: Option<u64>) -> Options {
    Options { seconds, size: "320x180".parse().unwrap(), rate: 30, port: 0 }
}

#[test]
fn the_whole_chain_runs_for_its_time_and_every_byte_and_picture_comes_through() {
    let (summary, port, seconds) = run(&options(Some(4)), &CancellationToken::new());

    assert!(summary.is_equal(), "{summary:?}");
    assert_eq!(summary.distributor_agrees, Some(true));
    let shown = summary.shown;
    assert!(shown.pictures > 60 && shown.pictures + shown.lost <= 4 * 30 + 30, "{shown:?}");
    let is_right = |(p50, p99): (Duration, Duration)| !p50.is_zero() && p50 <= p99;
    assert!(is_right(shown.age) && is_right(shown.travel), "{shown:?}");
    assert!(shown.travel.0 < shown.age.0, "drawn before it is posted: {shown:?}");

    let live = seconds.last().expect("a line for each second");
    assert!(live.held_bytes > 0 && live.shown.pictures > 0, "{live:?}");
    assert!(live.consumers >= 2, "the consumer and the player");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nothing listens any more");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let (summary, _, seconds) = run(&options(None), &CancellationToken::new());

    assert!(!seconds.is_empty());
    assert!(summary.is_equal() && summary.made_bytes > 0, "{summary:?}");
}

#[test]
fn a_copy_that_differs_is_not_equal() {
    let (mut summary, ..) = run(&options(Some(1)), &CancellationToken::new());
    assert!(summary.is_equal());
    summary.taken.0 += 1;
    assert!(!summary.is_equal());
    summary.taken.0 -= 1;
    summary.distributor_agrees = Some(false);
    assert!(!summary.is_equal());
}
