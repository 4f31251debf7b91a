//! `/groups`: a movie for two, one of whom leads.

use std::process::Command;

use tempfile::TempDir;

use super::{Browser, look_at, text};
use crate::command::Node;

/// Farther apart from the group than this, in seconds, is not together.
const APART: &str = "0.1";

fn movie(node: &Node) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("movie.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=20"]);
    ffmpeg.args([
        "-f",
        "lavfi",
        "-i",
        "sine=duration=20",
        "-c:v",
        "libx264",
        "-g",
        "25",
        "-c:a",
        "aac",
    ]);
    assert!(ffmpeg.args(["-movflags", "+faststart"]).arg(&file).status().unwrap().success());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-H", "Content-Type: video/mp4", "-T"]).arg(&file);
    let url = format!("http://{}/live/films/test", node.address);
    assert!(curl.arg(url).status().unwrap().success());
}

fn click(browser: &Browser, id: &str) {
    browser.wait_for(&format!(
        "(() => {{ const it = document.getElementById('{id}');
           return it.checkVisibility() && !it.disabled; }})()"
    ));
    browser.click(&format!("#{id}"));
}

/// Wait until the picture moves, where the group is.
fn wait_until_together(browser: &Browser) {
    browser.wait_for(&format!(
        "(() => {{ const apart = document.getElementById('apart').dataset.apart;
           const video = document.getElementById('video');
           return apart !== '' && Math.abs(apart) < {APART} && !video.paused && video.currentTime > 1; }})()"
    ));
}

#[test]
fn two_pages_see_a_movie_together() {
    let node = Node::with(&["--door", "groups=127.0.0.1:0", "--door-group-ports", "0"]);
    movie(&node);
    let leader = Browser::start();
    let other = leader.beside();
    leader.open(&format!("http://{}/groups", node.address));
    click(&leader, "new");
    leader.wait_for("/^\\/groups\\/\\d+$/.test(location.pathname) && location.hash.length === 33");
    let address = leader.run("return location.origin + location.pathname");
    look_at(&leader, "group-door");
    click(&leader, "join");
    leader.wait_for(
        "document.querySelector('#members [data-member=\"1\"]')?.innerText.includes('you, leads')",
    );

    other.open(&text(&address));
    click(&other, "join");
    click(&other, "ready");
    leader.wait_for(
        "document.querySelector('#members [data-member=\"2\"]')?.innerText.includes('ready')",
    );
    let can_choose = other.run("return document.getElementById('choose').checkVisibility()");
    assert_eq!(can_choose, false, "only the leader chooses");

    leader.wait_for("document.querySelectorAll('#movie option').length === 2");
    leader.run(
        "const select = document.getElementById('movie'); select.selectedIndex = 1;
         select.dispatchEvent(new Event('change')); return null",
    );
    click(&leader, "play");
    wait_until_together(&leader);
    wait_until_together(&other);
    look_at(&leader, "group");

    click(&leader, "play");
    other.wait_for("document.getElementById('video').paused");
    let there = |browser: &Browser| {
        browser.run("return document.getElementById('video').currentTime").as_f64().unwrap()
    };
    other.wait_for("document.getElementById('clock').innerText.startsWith('paused')");
    leader.wait_for("document.getElementById('clock').innerText.startsWith('paused')");
    leader.wait_for("!document.getElementById('video').seeking");
    other.wait_for("!document.getElementById('video').seeking");
    let apart = (there(&leader) - there(&other)).abs();
    assert!(apart < 0.1, "{apart} s apart where it was paused");
    click(&leader, "play");
    wait_until_together(&other);

    click(&other, "leave");
    leader.wait_for("!document.querySelector('#members [data-member=\"2\"]')");
}
