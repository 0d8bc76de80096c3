//! The requests and frames of all streams of states, which differ in the names of their messages only.

use prost::Message;
use prost_types::Duration;

use crate::services::encoded::Encoded;
use crossmarket_api::v1;

/// One frame of any stream.
pub(crate) struct Frame {
    /// Field 1: the items, each with tag and length.
    pub(super) entries: Vec<bytes::Bytes>,
    /// The position after the frame.
    pub(super) cursor: String,
    pub(super) state: v1::StreamState,
    /// How many states were superseded.
    pub(super) conflated_count: i64,
    pub(super) publish_time: prost_types::Timestamp,
    pub(super) items: Vec<v1::ItemStatus>,
    /// The configuration as granted, in the first frame only.
    pub(super) configuration: Option<v1::StreamConfiguration>,
}

/// The fields that every request for a stream has.
pub(crate) struct StreamOptions {
    pub(super) view: i32,
    pub(super) min_interval: Option<Duration>,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) resume_cursor: String,
}

pub(crate) trait StreamRequest {
    fn take_options(&mut self) -> StreamOptions;
}

pub(crate) trait StreamResponse: Message + Default + Sized + 'static {
    /// The method that answers with it, as metrics name it.
    const RPC_METHOD: &'static str;

    fn of_frame(frame: Frame) -> Encoded<Self>;
}

macro_rules! streams {
    ($($rpc_method:literal: $request:ident => $response:ident, view $view:expr;)*) => {
        /// The methods that stream states.
        pub(super) const RPC_METHODS: &[&str] = &[$($rpc_method),*];

        $(impl StreamRequest for v1::$request {
            fn take_options(&mut self) -> StreamOptions {
                let view: fn(&Self) -> i32 = $view;
                StreamOptions {
                    view: view(self),
                    min_interval: self.min_interval.take(),
                    heartbeat_interval: self.heartbeat_interval.take(),
                    resume_cursor: std::mem::take(&mut self.resume_cursor),
                }
            }
        }

        impl StreamResponse for v1::$response {
            const RPC_METHOD: &'static str = $rpc_method;

            fn of_frame(frame: Frame) -> Encoded<Self> {
                let Frame { entries, cursor, state, conflated_count, publish_time, items, configuration } = frame;
                let (state, publish_time) = (state.into(), Some(publish_time));
                let rest =
                    Self { cursor, state, conflated_count, publish_time, items, configuration, ..Self::default() };
                Encoded { entries, rest }
            }
        })*
    };
}

streams! {
    "WatchPriceSnapshots": WatchPriceSnapshotsRequest => WatchPriceSnapshotsResponse, view |request| request.view;
    "WatchLongShortRatios": WatchLongShortRatiosRequest => WatchLongShortRatiosResponse, view |request| request.view;
    "WatchIndexSnapshots": WatchIndexSnapshotsRequest => WatchIndexSnapshotsResponse, view |request| request.view;
    "WatchComparisons": WatchComparisonsRequest => WatchComparisonsResponse, view |_| v1::View::Full.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::FILE_DESCRIPTOR_SET;

    #[test]
    fn methods_are_named_as_in_the_api() {
        let api = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("compiled in");
        let services = api.file.iter().flat_map(|file| &file.service);
        let methods: Vec<_> = services.flat_map(|service| &service.method).collect();
        for name in RPC_METHODS {
            let method = methods.iter().find(|method| method.name() == *name).expect("a method of the API");
            assert!(method.server_streaming(), "{name}");
            assert!(method.output_type().ends_with(&format!(".{name}Response")), "{name}");
        }
    }
}
