//! A handle for each service: its unary RPCs, whole lists over all pages, its watch streams, and the generated client.

use super::call::Client;
use super::error::Error;
use super::pool::Connection;
use super::watch::Watch;
use crossmarket_api::v1::catalog_service_client::CatalogServiceClient;
use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_api::v1::long_short_service_client::LongShortServiceClient;
use crossmarket_api::v1::overview_service_client::OverviewServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::signal_service_client::SignalServiceClient;
use crossmarket_api::v1::*;

/// Defines the handle of one service. A `list` method asks for page after page, until there is none or `limit` items are there.
macro_rules! service {
    (
        $(#[$docs:meta])* $handle:ident = $client:ident.$accessor:ident;
        calls { $($(#[$call_docs:meta])* $call:ident($request:ident) -> $response:ident;)* }
        lists { $($(#[$list_docs:meta])* $list:ident = $list_call:ident($list_request:ident) -> $items:ident: $item:ident;)* }
        watches { $($(#[$watch_docs:meta])* $watch:ident($watch_request:ident) -> $frame:ident;)* }
    ) => {
        $(#[$docs])*
        #[derive(Clone, Debug)]
        pub struct $handle {
            client: Client,
        }

        impl Client {
            $(#[$docs])*
            pub fn $accessor(&self) -> $handle {
                $handle { client: self.clone() }
            }
        }

        impl $handle {
            /// The generated client on the endpoint that is next, without retries.
            pub fn raw(&self) -> $client<Connection> {
                $client::new(self.client.connection()).max_decoding_message_size(self.client.settings.answer_bytes_max)
            }

            $(
                $(#[$call_docs])*
                ///
                /// # Errors
                ///
                /// As [`Client::call`].
                pub async fn $call(&self, request: $request) -> Result<$response, Error> {
                    let answer_bytes_max = self.client.settings.answer_bytes_max;
                    let attempt = move |connection, request| async move {
                        let mut client = $client::new(connection).max_decoding_message_size(answer_bytes_max);
                        client.$call(request).await
                    };
                    Ok(self.client.call(request, attempt).await?.into_inner())
                }
            )*

            $(
                $(#[$list_docs])*
                /// Page after page, at most `limit` items; the page size of the request is not used.
                ///
                /// # Errors
                ///
                /// As [`Client::call`].
                pub async fn $list(&self, mut request: $list_request, limit: usize) -> Result<Vec<$item>, Error> {
                    let mut all: Vec<$item> = Vec::new();
                    request.page_size = i32::try_from(limit).unwrap_or(i32::MAX);
                    while all.len() < limit {
                        let page = self.$list_call(request.clone()).await?;
                        all.extend(page.$items);
                        // A server that repeated a token would be asked for ever.
                        if page.next_page_token.is_empty() || page.next_page_token == request.page_token {
                            break;
                        }
                        request.page_token = page.next_page_token;
                    }
                    all.truncate(limit);
                    Ok(all)
                }
            )*

            $(
                $(#[$watch_docs])*
                /// A cursor in the request is continued from.
                ///
                /// # Errors
                ///
                /// When the stream cannot be opened within the deadline. What happens to it later, the events tell.
                pub async fn $watch(&self, request: $watch_request) -> Result<Watch<$frame>, Error> {
                    Watch::open(self.client.clone(), request).await
                }
            )*
        }
    };
}

service! {
    /// Prices of crypto assets.
    Prices = PriceServiceClient.prices;
    calls {
        /// The current snapshot of one asset.
        get_price_snapshot(GetPriceSnapshotRequest) -> GetPriceSnapshotResponse;
        /// The current snapshots of several assets.
        batch_get_price_snapshots(BatchGetPriceSnapshotsRequest) -> BatchGetPriceSnapshotsResponse;
        /// One page of the snapshots that match.
        list_price_snapshots(ListPriceSnapshotsRequest) -> ListPriceSnapshotsResponse;
        /// One page of candles.
        list_candles(ListCandlesRequest) -> ListCandlesResponse;
    }
    lists {
        /// The snapshots that match.
        all_price_snapshots = list_price_snapshots(ListPriceSnapshotsRequest) -> snapshots: PriceSnapshot;
        /// The candles of an asset, oldest first.
        all_candles = list_candles(ListCandlesRequest) -> candles: Candle;
    }
    watches {
        /// The full state of all matching assets, then every change of it.
        watch(WatchPriceSnapshotsRequest) -> WatchPriceSnapshotsResponse;
    }
}

impl Prices {
    /// The current snapshot of one asset, without the venues' parts.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; NOT_FOUND for an asset that the service does not know, or that has no price yet.
    pub async fn get(&self, asset: impl Into<String>) -> Result<PriceSnapshot, Error> {
        let request = GetPriceSnapshotRequest { asset: asset.into(), view: View::Basic.into() };
        let snapshot = self.get_price_snapshot(request).await?.snapshot;
        snapshot.ok_or_else(|| Error::Status(Box::new(tonic::Status::data_loss("the answer holds no snapshot"))))
    }
}

service! {
    /// Long/short ratios of derivatives venues.
    LongShort = LongShortServiceClient.long_short;
    calls {
        /// The current ratio of one asset.
        get_long_short_ratio(GetLongShortRatioRequest) -> GetLongShortRatioResponse;
        /// One page of the ratios that match.
        list_long_short_ratios(ListLongShortRatiosRequest) -> ListLongShortRatiosResponse;
        /// One page of the past of a ratio.
        list_long_short_ratio_history(ListLongShortRatioHistoryRequest) -> ListLongShortRatioHistoryResponse;
        /// How ratios are distributed over tiers of market-cap rank.
        get_long_short_breadth(GetLongShortBreadthRequest) -> GetLongShortBreadthResponse;
    }
    lists {
        /// The ratios that match.
        all_long_short_ratios = list_long_short_ratios(ListLongShortRatiosRequest) -> ratios: LongShortRatio;
        /// The past of a ratio, oldest first.
        all_long_short_ratio_history =
            list_long_short_ratio_history(ListLongShortRatioHistoryRequest) -> points: LongShortPoint;
    }
    watches {
        /// The full state of all matching ratios, then every change of it.
        watch(WatchLongShortRatiosRequest) -> WatchLongShortRatiosResponse;
    }
}

service! {
    /// Indices, comparisons, altcoin season and cycles.
    Indices = IndexServiceClient.indices;
    calls {
        /// One page of the indices of the catalogue.
        list_indices(ListIndicesRequest) -> ListIndicesResponse;
        /// The current snapshot of one index, asset or quotient.
        get_index_snapshot(GetIndexSnapshotRequest) -> GetIndexSnapshotResponse;
        /// The current snapshots of several.
        batch_get_index_snapshots(BatchGetIndexSnapshotsRequest) -> BatchGetIndexSnapshotsResponse;
        /// One page of the past of an index.
        list_index_history(ListIndexHistoryRequest) -> ListIndexHistoryResponse;
        /// Subjects against a benchmark over a window.
        compare_indices(CompareIndicesRequest) -> CompareIndicesResponse;
        /// Whether it is altcoin season, now or on a past date.
        get_altcoin_season(GetAltcoinSeasonRequest) -> GetAltcoinSeasonResponse;
        /// One page of the altcoin season score of past days.
        list_altcoin_season_history(ListAltcoinSeasonHistoryRequest) -> ListAltcoinSeasonHistoryResponse;
        /// The cycles and levels in the history of an index.
        get_cycles(GetCyclesRequest) -> GetCyclesResponse;
    }
    lists {
        /// The indices of the catalogue.
        all_indices = list_indices(ListIndicesRequest) -> snapshots: IndexSnapshot;
        /// The past of an index, oldest first.
        all_index_history = list_index_history(ListIndexHistoryRequest) -> points: IndexPoint;
        /// The altcoin season score of past days, oldest first.
        all_altcoin_season_history =
            list_altcoin_season_history(ListAltcoinSeasonHistoryRequest) -> points: AltcoinSeasonPoint;
    }
    watches {
        /// The full state of the indices named, then every change of it.
        watch(WatchIndexSnapshotsRequest) -> WatchIndexSnapshotsResponse;
        /// Comparisons with a benchmark over a window that ends now.
        watch_comparisons(WatchComparisonsRequest) -> WatchComparisonsResponse;
    }
}

service! {
    /// Signals.
    Signals = SignalServiceClient.signals;
    calls {
        /// One page of the signals that match.
        list_signals(ListSignalsRequest) -> ListSignalsResponse;
    }
    lists {
        /// The signals that match.
        all_signals = list_signals(ListSignalsRequest) -> signals: Signal;
    }
    watches {
        /// The active signals that match, then every change of them.
        watch(WatchSignalsRequest) -> WatchSignalsResponse;
    }
}

service! {
    /// The state of the market in one call.
    Overview = OverviewServiceClient.overview;
    calls {
        /// The market note in figures.
        get_market_overview(GetMarketOverviewRequest) -> GetMarketOverviewResponse;
    }
    lists {}
    watches {}
}

service! {
    /// Assets, venues and feeds.
    Catalog = CatalogServiceClient.catalog;
    calls {
        /// One page of assets.
        list_assets(ListAssetsRequest) -> ListAssetsResponse;
        /// One page of venues.
        list_venues(ListVenuesRequest) -> ListVenuesResponse;
        /// One page of feeds.
        list_feeds(ListFeedsRequest) -> ListFeedsResponse;
    }
    lists {
        /// The assets that match.
        all_assets = list_assets(ListAssetsRequest) -> assets: Asset;
        /// The venues that match.
        all_venues = list_venues(ListVenuesRequest) -> venues: Venue;
        /// The feeds that match.
        all_feeds = list_feeds(ListFeedsRequest) -> feeds: Feed;
    }
    watches {}
}
