//! `decode` of the real binary, for every venue of the registry.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crossmarket_venues::REGISTRY;

fn decode(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crossmarket"))
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // The binary may refuse its arguments and be gone before it reads.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the binary ends")
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn what_does_not_exist_is_told_with_what_does() {
    let output = decode(&["--venue", "nowhere", "--feed", "tickers", "-"], "");
    assert_eq!(output.status.code(), Some(2));
    for venue in REGISTRY {
        let id = venue.id().as_str();
        assert!(told(&output).contains(id), "{}", told(&output));
        let output = decode(&["--venue", id, "--feed", "weather", "-"], "");
        assert_eq!(output.status.code(), Some(2), "{id}");
        for feed in venue.feeds() {
            assert!(told(&output).contains(feed.as_str()), "{id}: {}", told(&output));
        }
    }
}

#[test]
fn what_is_no_answer_is_malformed_for_every_feed() {
    for venue in REGISTRY {
        let id = venue.id().as_str();
        for feed in venue.feeds() {
            let output = decode(&["--venue", id, "--feed", feed.as_str(), "-"], "<html>");
            assert_eq!(output.status.code(), Some(1), "{id} {feed}: {}", told(&output));
            assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{id} {feed}");
        }
    }
}

#[test]
fn a_broken_frame_costs_its_line_and_no_other() {
    for venue in REGISTRY.iter().filter(|venue| venue.stream().is_some()) {
        let id = venue.id().as_str();
        let output = decode(&["--venue", id, "--feed", "tickers", "--stream", "-"], "{\"a\":\n\n{\"b\":\n");
        assert_eq!(output.status.code(), Some(1), "{id}");
        assert!(told(&output).contains("line 1:") && told(&output).contains("line 3:"), "{id}: {}", told(&output));
    }
}
