//! The loop of a WebSocket session. Each venue brings its own [`StreamProtocol`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crossmarket_domain::Timestamp;

use super::exchange::{Exchange, SimulatedStream, StreamProtocol};
use super::listings::{Listing, SimulatedListings, Ticker};

/// The minimum time between two pushes in wall-clock time: a faster simulated clock does not make them more frequent.
const PUSH_INTERVAL_MIN: Duration = Duration::from_millis(50);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
const PONG_TIMEOUT: Duration = Duration::from_secs(60);
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// The subscriptions of a session, each with the last price sent.
#[derive(Default)]
pub struct Subscriptions {
    sent: BTreeMap<String, Option<f64>>,
}

impl Subscriptions {
    /// Adds a symbol; its next state is sent whole.
    pub fn add(&mut self, symbol: &str) {
        self.sent.insert(symbol.to_owned(), None);
    }

    /// Removes a symbol.
    pub fn remove(&mut self, symbol: &str) {
        self.sent.remove(symbol);
    }

    /// The subscribed listings whose last price has changed; the flag is true where nothing was sent before.
    pub fn changed<'a>(
        &mut self,
        exchange: &'a Exchange,
        listings: &'a SimulatedListings,
        now: Timestamp,
    ) -> Vec<(&'a Listing, Ticker, bool)> {
        let mut changed = Vec::new();
        for (symbol, sent) in &mut self.sent {
            let Some(listing) = listings.find(symbol).filter(|listing| listing.trades(&exchange.market, now)) else {
                continue;
            };
            let ticker = listing.ticker(&exchange.market, now);
            if *sent != Some(ticker.last) {
                changed.push((listing, ticker, sent.is_none()));
                *sent = Some(ticker.last);
            }
        }
        changed
    }
}

/// Serves a WebSocket at any path, and 404 to other requests.
pub(super) async fn accept(
    State(exchange): State<Arc<Exchange>>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (Ok(upgrade), Some(stream)) = (upgrade, exchange.venue.stream) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let protocol = (stream.open)(&uri);
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(move |socket| run(socket, exchange, stream, protocol))
}

async fn run(
    mut socket: WebSocket,
    exchange: Arc<Exchange>,
    stream: SimulatedStream,
    mut protocol: Box<dyn StreamProtocol>,
) {
    let mut pushes = interval(exchange.clock.real(Duration::from_secs(1)).max(PUSH_INTERVAL_MIN));
    pushes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut active = Instant::now();
    let (mut pinged, mut pong_due) = (Instant::now(), None);
    let (mut second, mut messages) = (Instant::now(), 0);
    loop {
        let frames = tokio::select! {
            () = exchange.stop.cancelled() => break,
            _ = pushes.tick() => {
                let is_silent = stream.silence_max.is_some_and(|max| active.elapsed() > max);
                let pong_is_late = pong_due.is_some_and(|due| Instant::now() > due);
                let now = exchange.now();
                if is_silent || pong_is_late || exchange.failing(now).is_some() {
                    break;
                }
                if stream.ping_every.is_some_and(|every| pinged.elapsed() >= every) {
                    pinged = Instant::now();
                    pong_due = Some(pinged + PONG_TIMEOUT);
                    if !send(&mut socket, Message::Ping(now.as_millis().to_string().into())).await {
                        break;
                    }
                }
                let frames = protocol.tick(&exchange, now);
                if exchange.is_garbled(now) { vec![r#"{"data":[{"s":"BTC"#.to_owned()] } else { frames }
            }
            message = socket.recv() => {
                active = Instant::now();
                if second.elapsed() >= Duration::from_secs(1) {
                    (second, messages) = (active, 0);
                }
                messages += 1;
                match message {
                    Some(Ok(Message::Text(text))) if messages <= stream.messages_per_second_max => {
                        protocol.receive(&exchange, &text)
                    }
                    Some(Ok(Message::Pong(_))) => {
                        pong_due = None;
                        Vec::new()
                    }
                    // axum answers pings itself.
                    Some(Ok(Message::Ping(_))) => Vec::new(),
                    _ => break,
                }
            }
        };
        for frame in frames {
            active = Instant::now();
            if !send(&mut socket, Message::Text(frame.into())).await {
                return;
            }
        }
    }
    let _closing = timeout(SEND_TIMEOUT, socket.send(Message::Close(None))).await;
}

/// Returns false when the client does not accept the message in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}
