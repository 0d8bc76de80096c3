//! Counts a connection's HTTP/2 frames as their bytes pass: a peer that keeps the server busy with frames without calls
//! is cut off.
//!
//! Some frames cost the peer nothing but cost the server work. Such frames are free up to a burst, then limited in
//! proportion to what the server sends and to time: clients do answer data with pings and window updates, and cancel
//! calls.

use std::time::Duration;

use tokio::time::Instant;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_LEN: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;

const END_STREAM: u8 = 0x1;

/// Data frames of fewer bytes count as overhead: a gRPC message with its prefix is rarely smaller, and never often.
const TINY_DATA_LEN: u32 = 16;

/// How many frames of a kind may pass.
struct Allowance {
    /// The burst.
    burst: u64,
    /// Additional frames per second.
    per_second: u64,
    /// Additional frames for each frame of headers or data that the server has sent.
    per_sent: u64,
}

/// Frames that carry nothing.
const OVERHEAD: Allowance = Allowance { burst: 2_000, per_second: 200, per_sent: 4 };

/// Calls that the peer itself has cancelled.
const RESETS: Allowance = Allowance { burst: 1_000, per_second: 200, per_sent: 1 };

impl Allowance {
    fn covers(&self, seen: u64, sent: u64, elapsed: Duration) -> bool {
        seen <= self.burst + sent * self.per_sent || {
            let seconds = elapsed.as_millis() as u64 / 1_000;
            seen <= self.burst + sent * self.per_sent + seconds * self.per_second
        }
    }
}

/// One frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    len: u32,
    kind: u8,
    flags: u8,
}

/// Finds frames in a stream of bytes that arrives in pieces.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// Bytes left of the payload.
    payload: usize,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8], mut frame: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_LEN - self.header_len).min(bytes.len());
            self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
            self.header_len += taken;
            bytes = &bytes[taken..];
            if self.header_len == HEADER_LEN {
                self.header_len = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                let len = u32::from_be_bytes([0, high, middle, low]);
                self.payload = len as usize;
                frame(Frame { len, kind, flags });
            }
        }
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct FrameMeter {
    opened: Instant,
    /// Number of preface bytes seen; `None` on an HTTP/1.1 connection.
    preface: Option<usize>,
    received: Frames,
    written: Frames,
    overhead: u64,
    resets: u64,
    sent: u64,
}

impl FrameMeter {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            preface: Some(0),
            received: Frames::default(),
            written: Frames::default(),
            overhead: 0,
            resets: 0,
            sent: 0,
        }
    }

    /// True once the peer's HTTP version is known: either the whole HTTP/2 preface was seen, or something else.
    pub(super) fn is_version_known(&self) -> bool {
        self.preface.is_none_or(|seen| seen == PREFACE.len())
    }

    /// Counts received bytes; returns false when the peer must be cut off.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> bool {
        let Some(seen) = self.preface else { return true };
        if seen < PREFACE.len() {
            let len = (PREFACE.len() - seen).min(bytes.len());
            if PREFACE[seen..seen + len] != bytes[..len] {
                self.preface = None;
                return true;
            }
            self.preface = Some(seen + len);
            bytes = &bytes[len..];
        }
        let (mut overhead, mut resets) = (0, 0);
        self.received.pass(bytes, |frame| match frame.kind {
            RST_STREAM => resets += 1,
            HEADERS => {}
            DATA if frame.len >= TINY_DATA_LEN || frame.flags & END_STREAM != 0 => {}
            // The server skips frames of unknown kinds, which costs work too.
            _ => overhead += 1,
        });
        self.overhead += overhead;
        self.resets += resets;
        let elapsed = self.opened.elapsed();
        OVERHEAD.covers(self.overhead, self.sent, elapsed) && RESETS.covers(self.resets, self.sent, elapsed)
    }

    /// Counts bytes that the server has sent.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.preface.is_some() {
            let mut sent = 0;
            self.written.pass(bytes, |frame| sent += u64::from(matches!(frame.kind, DATA | HEADERS)));
            self.sent += sent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: u8 = 0x4;
    const PING: u8 = 0x6;
    const WINDOW_UPDATE: u8 = 0x8;
    const CONTINUATION: u8 = 0x9;
    /// An undefined frame type, which every server skips.
    const UNKNOWN: u8 = 0xbe;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[high, middle, low, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_cut() {
        let bytes = [frame(DATA, 0, &[7; 300]), frame(PING, 1, &[0; 8]), frame(HEADERS, 4, &[])].concat();
        let expected = [(300, DATA, 0), (8, PING, 1), (0, HEADERS, 4)];
        for piece_len in 1..=bytes.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(piece_len) {
                frames.pass(piece, |frame| found.push((frame.len, frame.kind, frame.flags)));
            }
            assert_eq!(found, expected, "pieces of {piece_len}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_off_and_a_slow_drip_is_not() {
        for kind in [PING, SETTINGS, RST_STREAM, CONTINUATION, DATA, UNKNOWN] {
            let mut meter = FrameMeter::new();
            assert!(meter.receive(PREFACE));
            let flood = (0..10_000).position(|_| !meter.receive(&frame(kind, 0, &[0; 8])));
            assert!(flood.is_some_and(|count| count >= 1_000), "{kind}: {flood:?}");
            let mut meter = FrameMeter::new();
            assert!(meter.receive(PREFACE));
            for _ in 0..10_000 {
                assert!(meter.receive(&frame(kind, 0, &[0; 8])), "{kind}");
                tokio::time::advance(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_answer_what_it_is_sent() {
        let mut meter = FrameMeter::new();
        assert!(meter.receive(PREFACE));
        for _ in 0..100_000 {
            meter.send(&frame(DATA, 0, &[0; 100]));
            let answer = [frame(PING, 0, &[0; 8]), frame(WINDOW_UPDATE, 0, &[0; 4]), frame(WINDOW_UPDATE, 0, &[0; 4])];
            assert!(meter.receive(&answer.concat()));
        }
    }

    #[test]
    fn the_version_is_known_once_the_preface_is_whole_or_is_none() {
        let mut meter = FrameMeter::new();
        for (count, byte) in PREFACE.iter().enumerate() {
            assert!(!meter.is_version_known(), "after {count} bytes");
            assert!(meter.receive(&[*byte]));
        }
        assert!(meter.is_version_known());
        let mut meter = FrameMeter::new();
        assert!(meter.receive(b"P") && !meter.is_version_known());
        assert!(meter.receive(b"OST / HTTP/1.1\r\n") && meter.is_version_known());
    }

    #[test]
    fn http_1_is_not_looked_into() {
        let mut meter = FrameMeter::new();
        assert!(meter.receive(b"POST /crossmarket.v1.PriceService/GetPriceSnapshot HTTP/1.1\r\n"));
        assert!((0..10_000).all(|_| meter.receive(&[0; 90])));
    }
}
