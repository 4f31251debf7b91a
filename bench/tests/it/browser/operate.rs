//! `/operate`: who is served, and how far behind.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{Browser, look_at};
use crate::command::Node;

fn post(node: &Node, from: usize, bytes: &[u8]) {
    let mut socket = TcpStream::connect(&node.address).unwrap();
    let head = format!(
        "POST /live/town/radio HTTP/1.1\r\nHost: x\r\nContent-Range: bytes {from}-{}/*\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        from + bytes.len() - 1,
        bytes.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(bytes).unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 20"), "{reply}");
}

#[test]
fn the_page_shows_streams_and_who_is_behind() {
    let (node, browser) = (Node::start(), Browser::start());
    let chunk = vec![7; 4 << 20];
    post(&node, 0, &chunk);
    // Asks for everything, and reads nothing.
    let mut slow = TcpStream::connect(&node.address).unwrap();
    slow.write_all(b"GET /live/town/radio?from=start HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    browser.open(&format!("http://{}/operate", node.address));
    browser.wait_for("document.querySelector('#streams tr')?.innerText.includes('town/radio')");
    // Its source posts chunk by chunk, and none is under way.
    browser.wait_for("document.querySelector('#streams tr')?.innerText.includes('live')");
    browser.wait_for("document.getElementById('in-note').innerText === '1 live stream'");
    let row = "document.querySelector('#consumers tr')?.innerText ?? ''";
    let port = slow.local_addr().unwrap().port();
    browser.wait_for(&format!("({row}).includes('127.0.0.1:{port}')"));

    (1..4).for_each(|part| post(&node, part * chunk.len(), &chunk));

    browser.wait_for(&format!("/plain.*MB/s.test({row})"));
    browser.wait_for("document.getElementById('behind').innerText.includes('MB')");
    look_at(&browser, "operate");
    drop(slow);
    browser.wait_for("!document.querySelector('#consumers tr')");
}
