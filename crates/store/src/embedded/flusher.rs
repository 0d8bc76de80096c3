//! The thread that makes writes durable, one commit for all writes of an interval.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::tables::Tables;
use crate::error::StoreError;

/// Owns the thread; dropping it ends the thread, after a commit under way.
pub(super) struct Flusher {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the thread after a write.
pub(super) struct DirtyMark(Arc<Signal>);

#[derive(Default)]
struct Signal {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    flush: bool,
    stop: bool,
}

impl Flusher {
    /// Starts the thread. It holds the tables weakly, so it does not keep them open.
    pub(super) fn start(tables: &Arc<Tables>, interval: Duration) -> Result<Self, StoreError> {
        let signal = Arc::new(Signal::default());
        let thread = std::thread::Builder::new().name("store-flush".into()).spawn({
            let (signal, tables) = (Arc::clone(&signal), Arc::downgrade(tables));
            move || run(&signal, &tables, interval)
        });
        let thread = thread.map_err(|error| StoreError::Unavailable(format!("no thread to flush with: {error}")))?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// To be set after a commit.
    pub(super) fn dirty_mark(&self) -> DirtyMark {
        DirtyMark(Arc::clone(&self.signal))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.signal.lock().stop = true;
        self.signal.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // An error means a panic inside redb, which was printed when it happened.
            let _ = thread.join();
        }
    }
}

impl DirtyMark {
    pub(super) fn set(self) {
        self.0.lock().flush = true;
        self.0.changed.notify_all();
    }
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was written and an interval has passed since; false when the thread is to end.
    fn wait(&self, interval: Duration) -> bool {
        let wanted = self.lock();
        let mut wanted = self
            .changed
            .wait_while(wanted, |wanted| !wanted.flush && !wanted.stop)
            .unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        while !wanted.stop {
            let Some(rest) = interval.checked_sub(started.elapsed()).filter(|rest| !rest.is_zero()) else { break };
            (wanted, _) = self.changed.wait_timeout(wanted, rest).unwrap_or_else(PoisonError::into_inner);
        }
        // Cleared before the commit: what is written while it runs asks for another.
        wanted.flush = false;
        !wanted.stop
    }
}

fn run(signal: &Arc<Signal>, tables: &Weak<Tables>, interval: Duration) {
    let mut failing = false;
    while signal.wait(interval) {
        let Some(tables) = tables.upgrade() else { return };
        match tables.commit_durably() {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "what was written is not durable");
                }
                failing = true;
                signal.lock().flush = true;
            }
        }
    }
}
