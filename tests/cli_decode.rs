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
    // The binary may refuse its arguments and exit before it reads.
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
        for feed in venue.profile().feed_ids() {
            assert!(told(&output).contains(feed.as_str()), "{id}: {}", told(&output));
        }
    }
}

#[test]
fn what_is_no_answer_is_malformed_for_every_feed() {
    for venue in REGISTRY {
        let id = venue.id().as_str();
        for feed in venue.profile().feed_ids() {
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

/// A venue's recorded answer, and what is to come of it. The values are invented.
struct Recorded {
    arguments: &'static [&'static str],
    content: &'static str,
    /// Symbol, price and time of each observation.
    observations: &'static [(&'static str, &'static str, Option<&'static str>)],
    /// Part of what is written to standard error; `None` where all can be read.
    problem: Option<&'static str>,
}

const RECORDED: &[Recorded] = &[
    Recorded {
        arguments: &["--venue", "binance", "--feed", "tickers"],
        content: r#"[{"symbol":"BTCUSDT","lastPrice":"43000.75","bidPrice":"43000.50","askPrice":"43001.00","openPrice":"42000.00",
            "highPrice":"43500.00","lowPrice":"41900.00","volume":"100.5","quoteVolume":"4300000.0","closeTime":1704153600000},
           {"symbol":"ETHUSDT","lastPrice":"much","closeTime":1704153600000},
           {"symbol":"XYZUSDT","lastPrice":"0.0123","bidPrice":"0.0122","askPrice":"0.0124","openPrice":"0.0120",
            "highPrice":"0.0130","lowPrice":"0.0110","volume":"1000","quoteVolume":"12.3","closeTime":1704067200000}]"#,
        observations: &[
            ("BTCUSDT", "43000.75", Some("2024-01-02T00:00:00Z")),
            ("XYZUSDT", "0.0123", Some("2024-01-01T00:00:00Z")),
        ],
        problem: Some("ETHUSDT: malformed"),
    },
    Recorded {
        arguments: &["--venue", "binance", "--feed", "tickers"],
        content: r#"{"symbol":"BTCUSDT","lastPrice":"#,
        observations: &[],
        problem: Some("malformed"),
    },
    Recorded {
        arguments: &["--venue", "binance", "--feed", "tickers"],
        content: r#"{"symbol":"ADAUSDT","price":"0.6125"}"#,
        observations: &[("ADAUSDT", "0.6125", None)],
        problem: None,
    },
    Recorded {
        arguments: &["--venue", "coinbase", "--feed", "tickers", "--instrument", "BTC-USD"],
        content: r#"{"ask":"43010.02","bid":"43010.00","volume":"12.5","trade_id":1,"price":"43010.01","size":"0.1","time":"2024-01-02T00:00:05Z"}"#,
        observations: &[("BTC-USD", "43010.01", Some("2024-01-02T00:00:05Z"))],
        problem: None,
    },
    Recorded {
        arguments: &["--venue", "okx", "--feed", "tickers", "--stream"],
        content: concat!(
            r#"{"recv_ts":1704153601.5,"msg":{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}}"#,
            "\n",
            r#"{"recv_ts":1704153602.5,"msg":{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"43020.25","askPx":"43020.5","bidPx":"43020.0","open24h":"42000","high24h":"43600","low24h":"41800","volCcy24h":"500000","vol24h":"12","ts":"1704153602400"}]}}"#,
            "\n{\"arg\":\n",
        ),
        observations: &[("BTC-USDT", "43020.25", Some("2024-01-02T00:00:02.4Z"))],
        problem: Some("line 3:"),
    },
    Recorded {
        arguments: &["--venue", "coinpaprika", "--feed", "market-caps"],
        content: r#"[{"id":"abc-abcoin","name":"Abcoin","symbol":"ABC","rank":7,"last_updated":"2024-01-02T00:00:00Z",
            "quotes":{"USD":{"price":1.25,"volume_24h":1000.5,"market_cap":1250000}}}]"#,
        observations: &[("abc-abcoin", "1.25", Some("2024-01-02T00:00:00Z"))],
        problem: None,
    },
];

#[test]
fn a_recording_is_read_as_it_is_and_what_is_broken_is_named() {
    for Recorded { arguments, content, observations, problem } in RECORDED {
        let output = decode(&[arguments, &["-"][..]].concat(), content);
        let problems = told(&output);
        assert_eq!(output.status.code(), Some(i32::from(problem.is_some())), "{arguments:?}: {problems}");
        assert!(problems.contains(problem.unwrap_or_default()), "{arguments:?}: {problems}");
        assert_eq!(problems.is_empty(), problem.is_none(), "{arguments:?}: {problems}");
        let lines = std::str::from_utf8(&output.stdout).expect("UTF-8").lines();
        let read: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let read: Vec<_> = read
            .iter()
            .map(|one| {
                let price = ["last_price", "price"].iter().find_map(|field| one["fields"][field].as_str());
                let symbol = one["instrument"].as_str().expect("an instrument");
                (symbol, price.expect("a price"), one["event_time"].as_str())
            })
            .collect();
        assert_eq!(read, *observations, "{arguments:?}");
    }
}
