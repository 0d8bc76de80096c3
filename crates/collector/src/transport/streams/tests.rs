//! Sessions in simulated time, over channels instead of sockets.

use std::sync::Mutex;

use async_trait::async_trait;
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::event::CollectorEvent;
use crate::transport::feed_health::FeedMonitor;
use crate::transport::rate_limit::RateLimiters;
use crate::transport::streams::*;
use crate::transport::websocket::{Dial, FrameSink, FrameSource};
use crossmarket_clock::Clock;
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::{Decimal, Feed, Observation, Payload, VenueId};
use crossmarket_venues::{Frame, Parsed, Ping, SessionPolicy, StreamingVenue};

/// Frames are `SYMBOL PRICE`, `closing`, `alive` or `say TEXT`.
struct TestStream;

const SESSION: SessionPolicy = SessionPolicy {
    life_max: Some(Duration::from_secs(1_000)),
    silence_max: Duration::from_secs(60),
    ping: Ping::Text { text: "ping", every: Duration::from_secs(20) },
    instruments_max: 2,
    messages_per_second_max: 5,
};

impl StreamingVenue for TestStream {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        asked.iter().map(|instrument| format!("subscribe {}", instrument.symbol)).collect()
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let text = std::str::from_utf8(frame).map_err(|_| VenueError::Malformed("not text".into()))?;
        match text.split_once(' ') {
            None if text == "closing" => Ok(Frame::Closing),
            None if text == "alive" => Ok(Frame::Alive),
            Some(("say", reply)) => Ok(Frame::Reply(reply.to_owned())),
            Some((symbol, price)) => {
                let price = Decimal::parse(price).map_err(|_| VenueError::Malformed("no price".into()))?;
                let payload = Payload::Ticker(Ticker { last_price: Some(price), ..Ticker::default() });
                let instrument = instrument(symbol);
                let observations = vec![Observation { instrument, event_time: None, payload }];
                Ok(Frame::Data(Parsed { observations, unresolved: Vec::new() }))
            }
            None => Err(VenueError::Malformed("unknown frame".into())),
        }
    }
}

fn instrument(symbol: &str) -> Instrument {
    Instrument::spot(symbol, symbol, "USD")
}

/// The venue's end of one connection.
struct Served {
    at: Instant,
    to_client: mpsc::UnboundedSender<Result<Message, WebSocketError>>,
    from_client: mpsc::UnboundedReceiver<Message>,
}

impl Served {
    fn send(&self, text: &str) {
        self.to_client.send(Ok(Message::text(text))).expect("the client listens");
    }

    fn is_open(&self) -> bool {
        !self.to_client.is_closed()
    }

    /// The messages sent by the client so far.
    fn received(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.from_client.try_recv().ok()).map(|message| message.to_string()).collect()
    }
}

#[derive(Default)]
struct Exchange {
    served: Mutex<Vec<Served>>,
    refuses: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Dial for Exchange {
    async fn dial(&self) -> Result<(FrameSink, FrameSource), VenueError> {
        if self.refuses.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(VenueError::Transient("refused".into()));
        }
        let (to_client, source) = mpsc::unbounded_channel();
        let (to_venue, from_client) = mpsc::unbounded_channel();
        self.served.lock().expect("unpoisoned").push(Served { at: Instant::now(), to_client, from_client });
        let sink =
            futures_util::sink::unfold(to_venue, |to_venue: mpsc::UnboundedSender<Message>, message| async move {
                to_venue.send(message).map_err(|_| WebSocketError::ConnectionClosed)?;
                Ok(to_venue)
            });
        Ok((Box::pin(sink), Box::pin(tokio_stream::wrappers::UnboundedReceiverStream::new(source))))
    }
}

struct Fixture {
    exchange: Arc<Exchange>,
    monitor: Arc<FeedMonitor>,
    events: mpsc::Receiver<CollectorEvent>,
    wanted: watch::Sender<Arc<[Instrument]>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(symbols: &[&str], intake_max: usize) -> Fixture {
    let clock = Clock::simulated(crossmarket_domain::Timestamp::from_seconds(1_768_478_400), 1.0);
    let venue = VenueId("test");
    let limiters = RateLimiters::new(venue, &[], 1, clock);
    let interval = Duration::from_secs(5);
    let monitor = Arc::new(FeedMonitor::new(venue, Feed::Tickers, interval, true, false, limiters, clock));
    let (intake_sender, events) = mpsc::channel(intake_max);
    let exchange = Arc::new(Exchange::default());
    let dial: Arc<dyn Dial> = Arc::clone(&exchange) as Arc<dyn Dial>;
    let context = StreamContext {
        venue_index: 0,
        stream: &TestStream,
        session: SESSION,
        dial,
        monitor: Arc::clone(&monitor),
        events: intake_sender,
        clock,
        seed: 3,
    };
    let instruments: Vec<Instrument> = symbols.iter().map(|symbol| instrument(symbol)).collect();
    let (wanted, wanted_receiver) = watch::channel(Arc::from(instruments));
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(context, wanted_receiver, stop.clone()));
    Fixture { exchange, monitor, events, wanted, stop, task }
}

impl Fixture {
    fn count(&self) -> usize {
        self.exchange.served.lock().expect("unpoisoned").len()
    }

    fn with<T>(&self, index: usize, look: impl FnOnce(&mut Served) -> T) -> T {
        look(self.exchange.served.lock().expect("unpoisoned").get_mut(index).expect("connected"))
    }

    async fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..200_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }

    /// Symbols and prices delivered so far.
    fn delivered(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(CollectorEvent::Observed(observed)) = self.events.try_recv() {
            for observation in observed.observations {
                let Payload::Ticker(ticker) = observation.payload else { panic!("a ticker") };
                let price = ticker.last_price.map(|price| price.to_string()).unwrap_or_default();
                all.push(format!("{} {price}", observation.instrument.symbol));
            }
        }
        all
    }
}

#[tokio::test(start_paused = true)]
async fn splits_instruments_subscribes_in_time_and_pings() {
    let fixture = start(&["A", "B", "C"], 100);
    fixture.wait_until("two connections", |fixture| fixture.count() == 2).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(fixture.with(0, Served::received).len(), 1, "five messages a second are allowed, not two at once");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fixture.with(0, Served::received), ["subscribe B"]);
    assert_eq!(fixture.with(1, Served::received), ["subscribe C"]);
    fixture.with(0, |served| served.send("say pong 7"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.with(0, Served::received), ["pong 7"]);
    tokio::time::sleep(Duration::from_secs(19)).await;
    assert_eq!(fixture.with(0, Served::received), ["ping"]);
    fixture.stop.cancel();
    fixture.task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_planned_reconnect_overlaps_and_loses_nothing() {
    let mut fixture = start(&["A"], 10_000);
    fixture.wait_until("connected", |fixture| fixture.count() == 1).await;
    let mut sent = 0;
    let mut overlapped = false;
    // The venue sends on every open connection, from the first subscription on.
    while sent < 9_500 {
        sent += 1;
        for index in 0..fixture.count() {
            fixture.with(index, |served| {
                if served.is_open() && served.at.elapsed() > Duration::from_secs(2) {
                    served.send(&format!("A {sent}"));
                }
            });
        }
        let open = (0..fixture.count()).filter(|index| fixture.with(*index, |served| served.is_open())).count();
        overlapped |= open == 2;
        assert!((1..=2).contains(&open), "{open} connections at {sent}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(overlapped);
    assert!((2..=4).contains(&fixture.count()), "{} connections in 1,900 s", fixture.count());
    let age = fixture.with(1, |served| served.at) - fixture.with(0, |served| served.at);
    assert!((800..=905).contains(&age.as_secs()), "replaced after {age:?} of 1,000 s");
    let delivered = fixture.delivered();
    for number in 12..sent {
        assert!(delivered.contains(&format!("A {number}")), "{number} was lost");
    }
    assert_eq!(fixture.monitor.status().reconnect_count as usize, fixture.count() - 1);
    assert!(fixture.monitor.stream_is_up());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_replaced() {
    let fixture = start(&["A"], 100);
    fixture.wait_until("connected", |fixture| fixture.count() == 1).await;
    fixture.with(0, |served| served.send("A 1"));
    fixture.wait_until("up", |fixture| fixture.monitor.stream_is_up()).await;
    let since = Instant::now();
    fixture.wait_until("given up", |fixture| !fixture.with(0, |served| served.is_open())).await;
    assert!((60..63).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    fixture.wait_until("replaced", |fixture| fixture.count() == 2).await;
    let last_error = fixture.monitor.status().last_error.map(|(_, _, text)| text);
    assert_eq!(last_error, Some(SmolStr::new("transient: silent for too long")));
    assert!(!fixture.monitor.stream_is_up());
}

#[tokio::test(start_paused = true)]
async fn an_announced_close_is_answered_at_once() {
    let fixture = start(&["A"], 100);
    fixture.wait_until("connected", |fixture| fixture.count() == 1).await;
    fixture.with(0, |served| served.send("A 1"));
    fixture.wait_until("up", |fixture| fixture.monitor.stream_is_up()).await;
    let since = Instant::now();
    fixture.with(0, |served| served.send("closing"));
    fixture.wait_until("another", |fixture| fixture.count() == 2).await;
    assert!(since.elapsed() < Duration::from_millis(100));
    assert!(fixture.with(0, |served| served.is_open()), "the old one goes on until the new one delivers");
    fixture.with(1, |served| served.send("A 2"));
    fixture.wait_until("closed", |fixture| !fixture.with(0, |served| served.is_open())).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_are_retried_ever_more_slowly() {
    let fixture = start(&["A"], 100);
    fixture.exchange.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let errors = fixture.monitor.status().error_count;
    assert!((10..200).contains(&errors), "{errors} attempts in 10 minutes");
    fixture.exchange.refuses.store(false, std::sync::atomic::Ordering::Relaxed);
    fixture.wait_until("connected", |fixture| fixture.count() >= 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_pipeline_gets_the_latest_of_each() {
    let mut fixture = start(&["A", "B"], 1);
    fixture.wait_until("connected", |fixture| fixture.count() == 1).await;
    for number in 0..1_000 {
        fixture.with(0, |served| {
            served.send(&format!("A {number}"));
            served.send(&format!("B {number}"));
        });
        tokio::task::yield_now().await;
    }
    fixture.with(0, |served| served.send("not_a_frame"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut delivered = fixture.delivered();
    tokio::time::sleep(Duration::from_secs(1)).await;
    delivered.extend(fixture.delivered());
    assert!(delivered.len() < 100, "{} were handed on", delivered.len());
    assert!(delivered.contains(&"A 999".to_owned()) && delivered.contains(&"B 999".to_owned()), "{delivered:?}");
    let rejections = fixture.monitor.status().rejections;
    assert_eq!(rejections, [(SmolStr::new("malformed_frame"), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_instruments_replaces_only_the_groups_concerned() {
    let fixture = start(&["A", "B", "C"], 100);
    fixture.wait_until("two connections", |fixture| fixture.count() == 2).await;
    for index in 0..2 {
        fixture.with(index, |served| served.send("A 1"));
    }
    fixture.wait_until("up", |fixture| fixture.monitor.stream_is_up()).await;
    let wanted: Vec<Instrument> = ["D", "C", "A", "B"].map(instrument).to_vec();
    fixture.wanted.send_replace(wanted.into());
    fixture.wait_until("a third", |fixture| fixture.count() == 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.with(2, Served::received), ["subscribe C", "subscribe D"]);
    assert_eq!(fixture.count(), 3);
}

#[tokio::test]
async fn a_real_socket_delivers_and_refuses_what_is_too_large() {
    use axum::extract::ws::{Message as Sent, WebSocketUpgrade};
    use futures_util::StreamExt;

    let talk = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move {
            let _ = socket.send(Sent::Text("A 1".into())).await;
            let _ = socket.send(Sent::Text("x".repeat(5 << 20).into())).await;
            // The client closes first.
            while let Some(Ok(_)) = socket.recv().await {}
        })
    };
    let router = axum::Router::new().route("/ws", axum::routing::any(talk));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dial = crate::transport::websocket::WebSocketDial { url: format!("ws://{address}/ws") };
    let (_sink, mut source) = dial.dial().await.expect("connected");
    let first = source.next().await.expect("open").expect("a frame");
    assert_eq!(first.to_string(), "A 1");
    let second = source.next().await.expect("an answer");
    assert!(matches!(second, Err(WebSocketError::Capacity(_))), "{second:?}");
    let nobody = crate::transport::websocket::WebSocketDial { url: format!("ws://{address}/other?key=SECRET") };
    let error = nobody.dial().await.err().expect("refused");
    assert_eq!(error, VenueError::Transient("the WebSocket handshake was refused".into()));
}
