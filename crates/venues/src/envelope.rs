//! The envelope that a recording may put around a stream frame: `{"recv_ts": 1618677817.06, "msg": …}` or `{"case":
//! "ack", "msg": …}`. `msg` is the frame itself or its text.

use serde::Deserialize;
use serde_json::value::RawValue;

use crossmarket_domain::Timestamp;

/// A line of a recording, without its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame {
    /// The frame as the venue sent it; the digits of its numbers are unchanged.
    pub message: Vec<u8>,
    /// The receive time, if the envelope has it.
    pub receive_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    msg: &'a RawValue,
    #[serde(borrow)]
    recv_ts: Option<&'a RawValue>,
    #[serde(borrow)]
    case: Option<&'a RawValue>,
}

/// Returns the content of the envelope if the line is one, else the line itself.
pub fn open(line: &[u8]) -> RecordedFrame {
    match serde_json::from_slice::<Envelope<'_>>(line) {
        Ok(envelope) if envelope.recv_ts.is_some() || envelope.case.is_some() => {
            let text = envelope.msg.get();
            let message = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()).into_bytes();
            RecordedFrame { message, receive_time: envelope.recv_ts.and_then(receive_time) }
        }
        _ => RecordedFrame { message: line.to_vec(), receive_time: None },
    }
}

/// Seconds since 1970, with a fraction.
fn receive_time(text: &RawValue) -> Option<Timestamp> {
    let seconds: f64 = text.get().trim_matches('"').parse().ok()?;
    // An out-of-range float becomes the nearest integer, which is then clamped.
    seconds.is_finite().then(|| Timestamp::from_micros((seconds * 1e6) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_opened_and_digits_kept() {
        let check = |line: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&open(line.as_bytes()).message), expected, "{line}");
        };
        check(r#"{"recv_ts":1,"msg":{"p":1.50000000000000000001}}"#, r#"{"p":1.50000000000000000001}"#);
        check(r#"{"case":"ack","msg":"{\"id\":1}"}"#, r#"{"id":1}"#);
        check(r#"{"recv_ts":1,"msg":[1,"a"]}"#, r#"[1,"a"]"#);
        check(r#"{"msg":{"p":1}}"#, r#"{"msg":{"p":1}}"#);
        check("[1,2]", "[1,2]");
        check("pong", "pong");
    }

    #[test]
    fn the_receive_time_is_in_seconds() {
        let time = |line: &str| open(line.as_bytes()).receive_time;
        assert_eq!(time(r#"{"recv_ts":1618677817.5,"msg":1}"#), Timestamp::parse("2021-04-17T16:43:37.5Z"));
        assert_eq!(time(r#"{"case":"ack","msg":1}"#), None);
        assert_eq!(time(r#"{"recv_ts":"soon","msg":1}"#), None);
    }
}
