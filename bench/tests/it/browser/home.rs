//! `/`: what there is, as it changes.

use std::{io::Write, net::TcpStream};

use super::{Browser, look_at, text};
use crate::command::Node;

/// A stream that is live for as long as the socket is there.
fn live(node: &Node, name: &str) -> TcpStream {
    let mut socket = TcpStream::connect(&node.address).unwrap();
    let head = format!(
        "POST /live/{name} HTTP/1.1\r\nHost: {}\r\nContent-Type: video/mp2t\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        node.address
    );
    socket.write_all(head.as_bytes()).unwrap();
    say(&mut socket, &[0x47; 188]);
    socket
}

fn say(socket: &mut TcpStream, bytes: &[u8]) {
    let head = format!("{:x}\r\n", bytes.len());
    socket.write_all(&[head.as_bytes(), bytes, b"\r\n"].concat()).unwrap();
}

#[test]
fn the_page_shows_what_is_live_as_it_changes() {
    let (node, browser) = (Node::start(), Browser::start());
    browser.open(&format!("http://{}/", node.address));
    browser.wait_for("document.querySelector('#live .empty')");
    look_at(&browser, "empty");

    let mut radio = live(&node, "town/radio");
    browser.wait_for("document.querySelector('#live [data-stream=\"town/radio\"]')");
    let link = browser.run("return document.querySelector('#live a').getAttribute('href')");
    assert_eq!(text(&link), "/watch/town/radio");
    browser.wait_for("document.title === '1 live · Freshet'");

    // More bytes are a greater length, and a rate.
    say(&mut radio, &[0x47; 188_000]);
    browser.wait_for("document.querySelector('#live li')?.innerText.includes('188 kB')");
    browser.wait_for("/[1-9].*bit\\/s/.test(document.querySelector('#live li')?.innerText)");
    let film = TcpStream::connect(&node.address).unwrap();
    write!(&film, "PUT /live/film HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    browser.wait_for("document.querySelector('#complete [data-stream=film]')");
    look_at(&browser, "home");

    // Its source leaves: it waits for it.
    drop(radio);
    browser.wait_for("document.querySelector('#waiting [data-stream=\"town/radio\"]')");
}
