//! The load notices what is wrong with a stream, and only that.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use freshet_bench::{
    chunk::Chunk,
    clock::Moment,
    fanout,
    load::{Load, Report, Window},
    publish::{Body, Schedule},
    scenario::Delivery,
    target::{Scheme, Target},
};
use tokio_util::sync::CancellationToken;

const CONSUMERS: usize = 3;

fn load(address: SocketAddr, window: &Window, joined: impl FnOnce()) -> Report {
    let load = Load {
        from: target(address),
        streams: 1,
        consumers: CONSUMERS,
        slow: 0,
        slow_rate: 0,
        delivery: Delivery::Plain,
        stored: 0,
        threads: 2,
        is_traced: false,
    };
    load.run(window, None, joined).unwrap()
}

fn target(address: SocketAddr) -> Target {
    Target::new(Scheme::Http, address, "/live/x")
}

fn everything() -> Window {
    let window = Window::default();
    window.open(Moment::from_nanos(0), Moment::from_nanos(u64::MAX));
    window
}

/// Chunks of 1,000 bytes, all due now.
fn chunks(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let due = Moment::now();
        Chunk { number, due, length: 1_000 }.write_to(&mut bytes);
    }
    bytes
}

/// What consumers report whose server gives `body` in one piece, and `end` after it.
fn report_on(body: &[u8], end: &str) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CONSUMERS {
                let (mut socket, _) = listener.accept().unwrap();
                let lines = BufReader::new(socket.try_clone().unwrap()).lines();
                lines.take_while(|line| !line.as_ref().unwrap().is_empty()).for_each(drop);
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                write!(socket, "{head}{:x}\r\n", body.len()).unwrap();
                socket.write_all(body).unwrap();
                write!(socket, "\r\n{end}").unwrap();
            }
        });
        load(address, &everything(), || ())
    })
}

const END: &str = "0\r\n\r\n";

#[test]
fn a_sound_stream_is_sound() {
    let report = report_on(&chunks(5..9), END);
    assert_eq!((report.consumers, report.cut, report.gaps, report.wrong), (3, 0, 0, 0));
    assert_eq!((report.chunks, report.bytes), (3 * 4, 3 * 4_000));
    assert!(report.ages.latency().max_us > 0);
}

#[test]
fn a_missing_chunk_is_a_gap_at_each_consumer() {
    let report = report_on(&chunks([5, 6, 8]), END);
    assert_eq!((report.gaps, report.wrong, report.cut), (3, 0, 0));
}

#[test]
fn a_wrong_byte_is_noticed_by_each_consumer() {
    let mut bytes = chunks(5..9);
    bytes[1_500] ^= 1;
    let report = report_on(&bytes, END);
    assert_eq!((report.wrong, report.gaps, report.cut), (3, 3, 0));
    assert_eq!(report.chunks, 3 * 3);
}

#[test]
fn a_stream_that_breaks_off_is_cut() {
    let whole = report_on(&chunks(5..9), "");
    assert_eq!((whole.cut, whole.chunks), (3, 12));
    assert!(whole.why.unwrap().contains("ended before the stream"));
    let inside = report_on(&chunks(5..9)[..3_500], END);
    assert_eq!((inside.cut, inside.chunks), (3, 9));
    assert!(inside.why.unwrap().contains("inside a chunk"));
}

#[test]
fn chunks_that_are_not_due_in_the_window_do_not_count() {
    let window = Window::default();
    let (address, shutdown) = serve_fanout();
    let schedule = Schedule { start: Moment::now(), chunk_bytes: 500, bits_per_second: 4_000_000 };
    let (from, to) = (schedule.chunk(20).due, schedule.chunk(30).due);
    let report = load(address, &window, || {
        window.open(from, to);
        let mut body = Body::open(&target(address)).unwrap();
        for number in 0..40 {
            body.send(&schedule.chunk(number)).unwrap();
        }
        body.end().unwrap();
    });
    shutdown.cancel();
    assert_eq!(schedule.chunks_between(from, to), 10);
    assert_eq!((report.chunks, report.gaps, report.wrong, report.cut), (3 * 10, 0, 0, 0));
}

/// A bare fan-out in a thread of its own, until the token is cancelled.
fn serve_fanout() -> (SocketAddr, CancellationToken) {
    let shutdown = CancellationToken::new();
    let (tell, told) = std::sync::mpsc::channel();
    let until = shutdown.clone();
    thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            fanout::serve(listener, &until).await;
        });
    });
    (told.recv_timeout(super::command::DEADLINE).unwrap(), shutdown)
}
