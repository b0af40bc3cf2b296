//! An nginx.conf with mistakes: what its owner is told.

use std::process::Command;

use super::support::{Directory, program};

#[test]
fn a_wrong_file_is_told_its_notices_and_then_its_mistakes() {
    let directory = Directory::new("notices");
    let text =
        "events {}\nhttp {\npush_stream_shared_memory_size 10m;\nserver {\npush_stream_store_messages maybe;\nproxy_buffering on; } }";
    let file = directory.write("nginx.conf", text);
    let output = Command::new(program()).arg("serve").arg("--nginx-conf").arg(file).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let notice = stderr.find(":6: directive \"proxy_buffering\" is not served by pushctl").expect(&stderr);
    let mistake = stderr.find(":5: invalid value \"maybe\"").expect(&stderr);
    assert!(!output.status.success() && notice < mistake, "{stderr}");
}
