//! What `watch` has received so far.

use std::collections::BTreeMap;

use crossmarket_api::v1::{ItemState, PriceSnapshot, StreamState, WatchPriceSnapshotsResponse};

/// The newest state of each asset, and of the stream.
#[derive(Debug, Default)]
pub(super) struct WatchState {
    pub(super) snapshots: BTreeMap<String, PriceSnapshot>,
    pub(super) cursor: String,
    pub(super) state: StreamState,
    pub(super) conflated_count: i64,
    pub(super) publish_time: Option<prost_types::Timestamp>,
    /// The latest problem of the connection or of an item; empty when there is none.
    pub(super) notice: String,
}

impl WatchState {
    /// Applies a frame.
    pub(super) fn apply(&mut self, frame: &WatchPriceSnapshotsResponse) {
        self.state = frame.state();
        if self.state == StreamState::Resync {
            // What is not sent again no longer exists.
            self.snapshots.clear();
        }
        for snapshot in &frame.snapshots {
            self.snapshots.insert(snapshot.asset.clone(), snapshot.clone());
        }
        if !frame.cursor.is_empty() {
            self.cursor.clone_from(&frame.cursor);
        }
        self.conflated_count = self.conflated_count.saturating_add(frame.conflated_count);
        self.publish_time = frame.publish_time.or(self.publish_time);
        let refused = frame.items.iter().filter(|item| item.state() != ItemState::Ok);
        let notices: Vec<String> = refused.map(|item| format!("{}: {}", item.item, item.message)).collect();
        self.notice = notices.join("; ");
    }

    /// The rows by rank, unranked ones last.
    pub(super) fn rows(&self) -> Vec<&PriceSnapshot> {
        let mut rows: Vec<&PriceSnapshot> = self.snapshots.values().collect();
        rows.sort_by_key(|snapshot| (snapshot.market_cap_rank.unwrap_or(i32::MAX), &snapshot.asset));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::v1::ItemStatus;

    fn frame(state: StreamState, assets: &[(&str, i32)]) -> WatchPriceSnapshotsResponse {
        let snapshot = |(asset, rank): &(&str, i32)| PriceSnapshot {
            asset: (*asset).to_owned(),
            market_cap_rank: (*rank > 0).then_some(*rank),
            ..Default::default()
        };
        WatchPriceSnapshotsResponse {
            snapshots: assets.iter().map(snapshot).collect(),
            cursor: "c".to_owned(),
            state: state as i32,
            conflated_count: 2,
            ..Default::default()
        }
    }

    fn assets(state: &WatchState) -> Vec<&str> {
        state.rows().iter().map(|row| row.asset.as_str()).collect()
    }

    #[test]
    fn the_state_keeps_the_latest_states_by_rank() {
        let mut state = WatchState::default();
        state.apply(&frame(StreamState::Snapshot, &[("NEW", 0), ("ETH", 2)]));
        state.apply(&frame(StreamState::Live, &[("BTC", 1), ("ETH", 3)]));
        assert_eq!(assets(&state), ["BTC", "ETH", "NEW"]);
        assert_eq!((state.conflated_count, state.cursor.as_str()), (4, "c"));
        state.apply(&frame(StreamState::Resync, &[]));
        state.apply(&frame(StreamState::SnapshotComplete, &[("BTC", 1)]));
        assert_eq!(assets(&state), ["BTC"]);
    }

    #[test]
    fn an_unknown_item_is_told_and_costs_no_other() {
        let mut state = WatchState::default();
        let item = ItemStatus {
            item: "XYZ".to_owned(),
            state: ItemState::Unknown as i32,
            message: "unknown".to_owned(),
            ..ItemStatus::default()
        };
        let first = frame(StreamState::SnapshotComplete, &[("BTC", 1)]);
        state.apply(&WatchPriceSnapshotsResponse { items: vec![item], ..first });
        assert_eq!(state.notice, "XYZ: unknown");
        assert_eq!(assets(&state), ["BTC"]);
    }
}
