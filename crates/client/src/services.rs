//! A handle for each service: its unary RPCs, complete lists over all pages, its watch streams, and the generated client.

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

/// Defines the handle of one service. A `list` method requests pages until there are no more, or until it has `limit` items.
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
            /// The generated client on the next endpoint, without retries.
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
                /// Requests all pages, up to `limit` items; the page size of the request is ignored.
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
                        // A server that repeats a token would cause an endless loop.
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
                /// A cursor in the request resumes a stream.
                ///
                /// # Errors
                ///
                /// When the stream cannot be opened within the deadline. Events report what happens later.
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
        /// One page of matching snapshots.
        list_price_snapshots(ListPriceSnapshotsRequest) -> ListPriceSnapshotsResponse;
        /// One page of candles.
        list_candles(ListCandlesRequest) -> ListCandlesResponse;
    }
    lists {
        /// All matching snapshots.
        all_price_snapshots = list_price_snapshots(ListPriceSnapshotsRequest) -> snapshots: PriceSnapshot;
        /// The candles of an asset, oldest first.
        all_candles = list_candles(ListCandlesRequest) -> candles: Candle;
    }
    watches {
        /// The full state of all matching assets, then every change.
        watch(WatchPriceSnapshotsRequest) -> WatchPriceSnapshotsResponse;
    }
}

impl Prices {
    /// The current snapshot of one asset, in the view BASIC.
    ///
    /// # Errors
    ///
    /// As [`Client::call`]; NOT_FOUND for an unknown asset, or one without a price.
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
        /// One page of matching ratios.
        list_long_short_ratios(ListLongShortRatiosRequest) -> ListLongShortRatiosResponse;
        /// One page of a ratio's history.
        list_long_short_ratio_history(ListLongShortRatioHistoryRequest) -> ListLongShortRatioHistoryResponse;
        /// How ratios are distributed over tiers of market-cap rank.
        get_long_short_breadth(GetLongShortBreadthRequest) -> GetLongShortBreadthResponse;
    }
    lists {
        /// All matching ratios.
        all_long_short_ratios = list_long_short_ratios(ListLongShortRatiosRequest) -> ratios: LongShortRatio;
        /// The history of a ratio, oldest first.
        all_long_short_ratio_history =
            list_long_short_ratio_history(ListLongShortRatioHistoryRequest) -> points: LongShortPoint;
    }
    watches {
        /// The full state of all matching ratios, then every change.
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
        /// One page of an index's history.
        list_index_history(ListIndexHistoryRequest) -> ListIndexHistoryResponse;
        /// Comparisons of subjects with a benchmark over a window.
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
        /// The history of an index, oldest first.
        all_index_history = list_index_history(ListIndexHistoryRequest) -> points: IndexPoint;
        /// The altcoin season score of past days, oldest first.
        all_altcoin_season_history =
            list_altcoin_season_history(ListAltcoinSeasonHistoryRequest) -> points: AltcoinSeasonPoint;
    }
    watches {
        /// The full state of the named indices, then every change.
        watch(WatchIndexSnapshotsRequest) -> WatchIndexSnapshotsResponse;
        /// Comparisons with a benchmark over a window that ends now.
        watch_comparisons(WatchComparisonsRequest) -> WatchComparisonsResponse;
    }
}

service! {
    /// Signals.
    Signals = SignalServiceClient.signals;
    calls {
        /// One page of matching signals.
        list_signals(ListSignalsRequest) -> ListSignalsResponse;
    }
    lists {
        /// All matching signals.
        all_signals = list_signals(ListSignalsRequest) -> signals: Signal;
    }
    watches {
        /// The active matching signals, then every change.
        watch(WatchSignalsRequest) -> WatchSignalsResponse;
    }
}

service! {
    /// The state of the market in one call.
    Overview = OverviewServiceClient.overview;
    calls {
        /// The market overview in figures.
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
        /// One page of instruments.
        list_instruments(ListInstrumentsRequest) -> ListInstrumentsResponse;
        /// One page of venues.
        list_venues(ListVenuesRequest) -> ListVenuesResponse;
        /// One page of feeds.
        list_feeds(ListFeedsRequest) -> ListFeedsResponse;
    }
    lists {
        /// All matching assets.
        all_assets = list_assets(ListAssetsRequest) -> assets: Asset;
        /// All matching instruments.
        all_instruments = list_instruments(ListInstrumentsRequest) -> instruments: Instrument;
        /// All matching venues.
        all_venues = list_venues(ListVenuesRequest) -> venues: Venue;
        /// All matching feeds.
        all_feeds = list_feeds(ListFeedsRequest) -> feeds: Feed;
    }
    watches {}
}
