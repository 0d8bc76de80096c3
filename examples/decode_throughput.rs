//! How fast a `ticker/24hr` list of 2,000 symbols becomes observations, beside what sonic-rs takes to walk the same bytes.
//!
//! `cargo run --release --example decode_throughput [-- BODY_FILE]` prints one figure a line as `name value`; with a file's name, it writes
//! the bytes there, so that other programs can be timed on them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossmarket_domain::Feed;
use crossmarket_venues::{self as venues, Ask, Response};
use sonic_rs::Value;

#[path = "../benches/decode/bodies.rs"]
mod bodies;
#[path = "../benches/decode/walk.rs"]
mod walk;

/// The best of the rounds: other programs on the machine only ever make one slower.
const ROUNDS: usize = 9;
const ROUND_TIME: Duration = Duration::from_millis(250);

/// A name, what to run, and the best time of it so far.
type Job<'a> = (&'static str, Box<dyn FnMut() + 'a>, Duration);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = Bytes::from(bodies::binance_tickers(bodies::TICKER_COUNT));
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, &body)?;
    }
    let venue = venues::find("binance").ok_or("binance is in the registry")?;
    let response = Response { status: 200, body: body.clone(), ..Response::default() };
    let ask = Ask::all(Feed::Tickers);
    let decoded = venue.parse(&ask, &response)?;
    assert_eq!((decoded.observations.len(), decoded.unresolved.len()), (bodies::TICKER_COUNT, 0));

    let text = std::str::from_utf8(&body)?;
    let mut jobs: [Job<'_>; 4] = [
        ("decode", Box::new(|| drop(black_box(venue.parse(&ask, &response)))), Duration::MAX),
        ("sonic_skip", Box::new(|| assert!(walk::skip(black_box(text)))), Duration::MAX),
        ("sonic_walk", Box::new(|| assert!(walk::each_value(black_box(text)) > 0)), Duration::MAX),
        ("sonic_value", Box::new(|| drop(black_box(sonic_rs::from_str::<Value>(text)))), Duration::MAX),
    ];
    // The jobs take turns, so that a slow spell of the machine meets them all.
    for _ in 0..ROUNDS {
        for (_, job, best) in &mut jobs {
            *best = (*best).min(time(job));
        }
    }
    println!("body_bytes {}", body.len());
    for (name, _, best) in &jobs {
        println!("{name}_mb_per_s {:.0}", body.len() as f64 / best.as_secs_f64() / 1e6);
    }
    println!("decode_tickers_per_s {:.0}", bodies::TICKER_COUNT as f64 / jobs[0].2.as_secs_f64());
    Ok(())
}

/// The time of one run, over a round.
fn time(job: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < ROUND_TIME {
        job();
        count += 1;
    }
    start.elapsed() / count
}
