//! One recorded venue on loopback.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ReplayEndpoint;
use super::recording::RecordedVenue;
use crate::VenueEndpoint;
use crossmarket_domain::Feed;

/// Frames are sent after the bodies, so that the outcome does not depend on who is faster; but no later than this after the connection.
const BODIES_WAIT_MAX: Duration = Duration::from_secs(3);
const BODIES_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Time for the last body to be taken in before the first frame.
const BODIES_SETTLE: Duration = Duration::from_millis(250);

/// Shorter than every venue's limit of silence.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The bodies of one request, answered in turn.
#[derive(Default)]
struct Answers {
    files: Vec<String>,
    bodies: Vec<Bytes>,
    asked_count: AtomicUsize,
}

impl Answers {
    /// The next body, and whether it had not been answered before.
    fn next(&self) -> Option<(Bytes, bool)> {
        let turn = self.asked_count.fetch_add(1, Ordering::Relaxed);
        let body = self.bodies.get(turn.checked_rem(self.bodies.len())?)?;
        Some((body.clone(), turn < self.bodies.len()))
    }
}

/// Candles, which are asked for with a range: `pairs` must be in the query, others may be.
struct CandleAnswer {
    path: String,
    pairs: Vec<(String, String)>,
    body: Bytes,
}

struct Played {
    /// By path and query.
    answers: HashMap<String, Answers>,
    candles: Vec<CandleAnswer>,
    /// Until the first connection takes them.
    frames: Mutex<Vec<String>>,
    /// Bodies that come before the frames and were not answered yet.
    waiting_count: AtomicUsize,
    stop: CancellationToken,
}

/// Starts one venue.
pub(super) async fn start(
    recorded: RecordedVenue,
    stop: CancellationToken,
) -> io::Result<(ReplayEndpoint, JoinHandle<()>)> {
    let venue = recorded.venue.id().as_str();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let endpoint = ReplayEndpoint {
        endpoint: VenueEndpoint {
            venue,
            rest_url: format!("http://{address}"),
            ws_url: (!recorded.frames.is_empty()).then(|| format!("ws://{address}")),
        },
        requests: recorded.bodies.iter().map(|body| (body.feed, body.request.clone())).collect(),
        streamed: recorded.streamed.clone(),
    };
    let played = Arc::new(played(recorded, stop.clone()));
    let router = Router::new().fallback(answer).with_state(played);
    let task = tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::warn!(venue, %error, "replayed venue stopped");
        }
    });
    Ok((endpoint, task))
}

fn played(recorded: RecordedVenue, stop: CancellationToken) -> Played {
    let mut answers: HashMap<String, Answers> = HashMap::new();
    let mut candles = Vec::new();
    // Only what the collector asks for at once is waited for.
    let waiting_count = recorded.bodies.iter().filter(|body| body.feed == Feed::Tickers).count();
    for body in recorded.bodies {
        let Some(url) = parsed(&body.request.path) else { continue };
        if body.feed == Feed::Candles {
            candles.push(CandleAnswer { path: url.path().to_owned(), pairs: pairs(&url), body: body.content.clone() });
        }
        let held = answers.entry(key(&url)).or_default();
        // A body may be the answer for two feeds.
        if !held.files.contains(&body.file) {
            held.files.push(body.file);
            held.bodies.push(body.content);
        }
    }
    Played {
        answers,
        candles,
        frames: Mutex::new(recorded.frames),
        waiting_count: AtomicUsize::new(waiting_count),
        stop,
    }
}

/// The address of a request in the spelling that an HTTP client gives it.
fn parsed(path: &str) -> Option<Url> {
    Url::parse(&format!("http://replay{path}")).ok()
}

fn key(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn pairs(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

impl Played {
    fn body(&self, uri: &Uri) -> Option<Bytes> {
        let url = parsed(uri.path_and_query()?.as_str())?;
        if let Some((body, first)) = self.answers.get(&key(&url)).and_then(Answers::next) {
            if first {
                let less = |count: usize| count.checked_sub(1);
                // It is 0 already when the body was not waited for.
                let _ = self.waiting_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            return Some(body);
        }
        let asked = pairs(&url);
        let fits =
            |candle: &&CandleAnswer| candle.path == url.path() && candle.pairs.iter().all(|pair| asked.contains(pair));
        self.candles.iter().find(fits).map(|candle| candle.body.clone())
    }
}

/// A recorded body, a stream, or 404.
async fn answer(
    State(played): State<Arc<Played>>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return upgrade.on_upgrade(move |socket| stream(socket, played));
    }
    match played.body(&uri) {
        Some(body) => {
            let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            ([content_type], HttpBody::from(body)).into_response()
        }
        None => (StatusCode::NOT_FOUND, "not recorded").into_response(),
    }
}

/// Sends every frame to the first connection, then keeps it, and every later one, open.
async fn stream(mut socket: WebSocket, played: Arc<Played>) {
    let opened = Instant::now();
    while played.waiting_count.load(Ordering::Relaxed) > 0 && opened.elapsed() < BODIES_WAIT_MAX {
        sleep(BODIES_CHECK_INTERVAL).await;
    }
    sleep(BODIES_SETTLE).await;
    let frames = std::mem::take(&mut *played.frames.lock().unwrap_or_else(PoisonError::into_inner));
    for frame in frames {
        if !send(&mut socket, Message::Text(frame.into())).await {
            return;
        }
    }
    let mut pings = interval(PING_INTERVAL);
    loop {
        tokio::select! {
            () = played.stop.cancelled() => break,
            _ = pings.tick() => {
                if !send(&mut socket, Message::Ping(Bytes::new())).await {
                    return;
                }
            }
            // What the client says is of no matter: there is one recording, and it was sent.
            message = socket.recv() => match message {
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
    let _closing = timeout(SEND_TIMEOUT, socket.send(Message::Close(None))).await;
}

/// False when the client does not take it.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}
