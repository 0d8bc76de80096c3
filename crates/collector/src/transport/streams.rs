//! Streams: which instruments use which connection, and how connections are replaced without a gap.
//!
//! One task holds a group of instruments. It replaces its connection before the venue would close it, when the venue
//! announces a close, and when the group changes. The old connection stays open until the new one has delivered.
//! [`websocket`](super::websocket) is one connection.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crossmarket_backoff::{Backoff, Jitter, Pauses};
use crossmarket_domain::Instrument;
use crossmarket_venues::VenueError;

#[cfg(test)]
mod tests;

use crate::transport::websocket::{Connection, Phase, StreamContext};

/// A planned reconnect happens at this share of the venue's limit, less up to [`LIFE_JITTER`] of it.
const LIFE_SHARE: f64 = 0.9;
const LIFE_JITTER: f64 = 0.1;

/// Delay before a new attempt after a failure.
const BACKOFF: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(60));

/// After this long without data, a connection has failed or, if it has received anything else, serves a quiet market.
const DELIVERY_WAIT_MAX: Duration = Duration::from_secs(20);

/// Streams the wanted instruments until `stop`. An empty list means that nothing is wanted yet.
pub(crate) async fn run(
    context: StreamContext,
    mut wanted: watch::Receiver<Arc<[Instrument]>>,
    stop: CancellationToken,
) {
    let group_size = context.session.instruments_max.max(1);
    let mut groups: Vec<watch::Sender<Vec<Instrument>>> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let instruments = Arc::clone(&wanted.borrow_and_update());
        let current = groups.iter().map(|group| group.borrow().clone()).collect();
        for (index, members) in assign(current, &instruments, group_size).into_iter().enumerate() {
            match groups.get(index) {
                Some(group) => {
                    group.send_if_modified(|held| {
                        let changed = *held != members;
                        *held = members;
                        changed
                    });
                }
                None => {
                    let (group, receiver) = watch::channel(members);
                    groups.push(group);
                    let context =
                        StreamContext { seed: context.seed.wrapping_add(groups.len() as u64), ..context.clone() };
                    tasks.spawn(hold_group(context, receiver, stop.clone()));
                }
            }
        }
        context.monitor.stream_groups(groups.len());
        tokio::select! {
            () = stop.cancelled() => break,
            changed = wanted.changed() => if changed.is_err() { stop.cancelled().await; break },
        }
    }
    // Every group ends by itself and closes its connection cleanly. The caller's deadline aborts those that cannot.
    while tasks.join_next().await.is_some() {}
}

/// Distributes instruments over groups so that as few groups as possible change: instruments that are still wanted keep
/// their group.
fn assign(mut groups: Vec<Vec<Instrument>>, wanted: &[Instrument], group_size: usize) -> Vec<Vec<Instrument>> {
    for group in &mut groups {
        group.retain(|instrument| wanted.contains(instrument));
    }
    for instrument in wanted {
        if groups.iter().any(|group| group.contains(instrument)) {
            continue;
        }
        match groups.iter_mut().find(|group| group.len() < group_size) {
            Some(group) => group.push(instrument.clone()),
            None => groups.push(vec![instrument.clone()]),
        }
    }
    groups
}

/// Keeps one connection for one group.
async fn hold_group(context: StreamContext, mut members: watch::Receiver<Vec<Instrument>>, stop: CancellationToken) {
    let mut pauses = BACKOFF.seeded(context.seed);
    let mut jitter = Jitter::new(context.seed);
    let mut current: Option<Connection> = None;
    while !stop.is_cancelled() {
        let instruments = members.borrow_and_update().clone();
        let due = if instruments.is_empty() {
            close(current.take(), &context).await;
            None
        } else {
            Some(replace(&context, &mut current, instruments, (&mut pauses, &mut jitter), &stop).await)
        };
        match stay(current.as_mut(), due, &mut members, &stop).await {
            Replace::Stop => break,
            Replace::Lost(reason) => {
                current = None;
                context.monitor.stream_lost();
                context.monitor.failed(&VenueError::Transient(reason));
                context.monitor.reconnected();
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pauses.next_pause()) => {}
                }
            }
            Replace::Planned => {}
        }
    }
    close(current.take(), &context).await;
}

async fn close(connection: Option<Connection>, context: &StreamContext) {
    if let Some(connection) = connection {
        connection.close().await;
        context.monitor.stream_lost();
    }
}

/// Opens a connection and, once it has delivered, closes the current one and replaces it. Returns the time until the
/// next replacement: the planned lifetime of the new connection, or the backoff after a failure.
async fn replace(
    context: &StreamContext,
    current: &mut Option<Connection>,
    instruments: Vec<Instrument>,
    (pauses, jitter): (&mut Pauses, &mut Jitter),
    stop: &CancellationToken,
) -> Option<Duration> {
    let mut next = Connection::open(context, instruments);
    let opened = tokio::select! {
        () = stop.cancelled() => Err("stopped".into()),
        opened = delivers(&mut next) => opened,
    };
    if let Err(reason) = opened {
        next.close().await;
        if !stop.is_cancelled() {
            context.monitor.failed(&VenueError::Transient(reason));
        }
        return Some(pauses.next_pause());
    }
    match current.replace(next) {
        Some(old) => {
            old.close().await;
            context.monitor.reconnected();
        }
        None => context.monitor.stream_opened(),
    }
    pauses.reset();
    let life = context.session.life_max?;
    Some(context.clock.real(life.mul_f64(LIFE_SHARE) - jitter.share_of(life.mul_f64(LIFE_JITTER))))
}

/// Waits until a new connection has delivered; `Err` says why it will not.
async fn delivers(connection: &mut Connection) -> Result<(), SmolStr> {
    let first = connection.wait_for(|phase| matches!(phase, Phase::Delivering | Phase::Closing | Phase::Ended(_)));
    match tokio::time::timeout(DELIVERY_WAIT_MAX, first).await {
        Ok(Phase::Ended(reason)) => Err(reason),
        Ok(Phase::Closing) => Err("the venue announced a close at once".into()),
        Ok(_) => Ok(()),
        Err(_) => match connection.phase() {
            Phase::Quiet => Ok(()),
            _ => Err("no data was received".into()),
        },
    }
}

/// Why a group's connection is replaced.
#[derive(Debug)]
enum Replace {
    /// The collector stops.
    Stop,
    /// The connection is gone.
    Lost(SmolStr),
    /// A new one is due; the current one continues until then.
    Planned,
}

/// Waits, with or without a connection, until a replacement is needed.
async fn stay(
    mut current: Option<&mut Connection>,
    due: Option<Option<Duration>>,
    members: &mut watch::Receiver<Vec<Instrument>>,
    stop: &CancellationToken,
) -> Replace {
    // A connection that was already closing, and could not be replaced, is left alone until it ends.
    let closing_known = current.as_ref().is_some_and(|connection| matches!(connection.phase(), Phase::Closing));
    let phase_change = async {
        match current.as_mut() {
            Some(connection) => {
                let news = move |phase: &Phase| {
                    matches!(phase, Phase::Ended(_)) || (matches!(phase, Phase::Closing) && !closing_known)
                };
                connection.wait_for(news).await
            }
            None => std::future::pending().await,
        }
    };
    let timer = async {
        match due.flatten() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => Replace::Stop,
        phase = phase_change => match phase {
            Phase::Ended(reason) => Replace::Lost(reason),
            _ => Replace::Planned,
        },
        () = timer => Replace::Planned,
        changed = members.changed() => if changed.is_err() { Replace::Stop } else { Replace::Planned },
    }
}
