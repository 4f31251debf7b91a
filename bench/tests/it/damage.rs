//! A byte goes bad on the disk while the distributor runs: a consumer gets a cut and never a wrong
//! byte, HEAD shows a hole, and the origin fills it by itself.

use std::{fs, process::Command};

use freshet_protocol::{ByteRange, Held};
use tempfile::TempDir;

use crate::{command::command, disk::started};

const BYTES: usize = 400_000;

/// What curl says: its exit code, and the body or head that it wrote.
fn curl(args: &[&str]) -> (Option<i32>, Vec<u8>) {
    let output = Command::new("curl").args(["-sS"]).args(args).output().unwrap();
    (output.status.code(), output.stdout)
}

fn held(url: &str) -> Held {
    let (_, head) = curl(&["-I", url]);
    let head = String::from_utf8(head).unwrap().to_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap().parse().unwrap()
}

fn post(file: &std::path::Path, url: &str) {
    let status = command("origin").arg("file").arg(file).args(["--quiet", "--to", url]).status();
    assert!(status.unwrap().success());
}

#[test]
fn what_goes_bad_on_the_disk_is_cut_out_shown_and_filled_again() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("file.bin"));
    let original: Vec<u8> = (0..BYTES).map(|at| (at * at % 251) as u8).collect();
    fs::write(&file, &original).unwrap();
    let mut distributor = command("distributor");
    distributor.args(["--listen", "127.0.0.1:0", "--ring-bytes", "64KiB", "--data"]).arg(&data);
    let (_guard, address) = started(distributor);
    let url = format!("http://{address}/live/s");
    post(&file, &url);
    let all = ByteRange::new(0, BYTES as u64).unwrap();
    assert!(held(&url).set.covers(all));

    let segment = data.join("streams/1/00000000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let (code, body) = curl(&[&url]);
    assert_eq!(code, Some(18), "curl: the transfer ended with bytes outstanding");
    assert!(original.starts_with(&body) && body.len() <= 100_000, "no wrong byte was given");
    let hole = held(&url).set.missing(all);
    assert!(hole.contains(100_000) && hole.bytes() <= 64 << 10, "{hole}");
    let (_, after) = curl(&["-r", "300000-399999", &url]);
    assert_eq!(after, original[300_000..], "what follows the damage is served");

    post(&file, &url);

    assert!(held(&url).set.covers(all));
    assert_eq!(curl(&[&url]), (Some(0), original));
}
