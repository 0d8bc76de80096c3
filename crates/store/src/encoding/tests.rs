use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use smol_str::{SmolStr, format_smolstr};

use super::*;
use crossmarket_domain::index::*;
use crossmarket_domain::long_short::*;
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::state::*;
use crossmarket_domain::{AssetCode, Decimal, Instrument, InstrumentKind, LongShortKind, Period};

/// States with everything in them, each optional part there or not, from a seed.
struct Maker(SmallRng);

impl Maker {
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.random_bool(0.5).then(|| make(self))
    }

    fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.random_range(0..4)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> SmolStr {
        let texts = ["", "binance", "BTC/USDT:perpetual", "ünï çødé", "a text too long to be kept inline: 0123456789"];
        texts[self.0.random_range(0..texts.len())].into()
    }

    fn id(&mut self) -> AssetId {
        AssetId::parse(&format!("a{}", self.0.random_range(0..1000))).expect("an id")
    }

    fn code(&mut self) -> AssetCode {
        AssetCode::parse(&format!("A{}", self.0.random_range(0..1000))).expect("a code")
    }

    fn decimal(&mut self) -> Decimal {
        let bits = self.0.random_range(0..=96);
        let mantissa = i128::from_be_bytes(self.0.random()) & ((1 << bits) - 1);
        let sign = if self.0.random_bool(0.3) { -1 } else { 1 };
        Decimal::from_parts(sign * mantissa, self.0.random_range(0..=28)).expect("96 bits fit")
    }

    fn float(&mut self) -> f64 {
        let special = [0.0, -0.0, f64::MIN_POSITIVE / 2.0, f64::MAX, f64::INFINITY, 1.3];
        if self.0.random_bool(0.3) { special[self.0.random_range(0..special.len())] } else { self.0.random() }
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.0.random_range(-62_000_000_000_000_000..253_000_000_000_000_000))
    }

    fn duration(&mut self) -> Duration {
        Duration::new(self.0.random::<u64>() >> self.0.random_range(0..64), self.0.random_range(0..1_000_000_000))
    }

    fn state(&mut self, body: Body) -> State {
        State {
            event_time: self.time(),
            receive_time: self.time(),
            publish_time: self.time(),
            budget: self.duration(),
            simulated: self.0.random(),
            body,
        }
    }

    fn price(&mut self) -> PriceSnapshot {
        PriceSnapshot {
            asset_id: self.id(),
            asset: self.code(),
            name: self.maybe(Self::text),
            price: self.maybe(Self::decimal),
            change_1h_percent: self.maybe(Self::float),
            change_24h_percent: self.maybe(Self::float),
            change_7d_percent: self.maybe(Self::float),
            change_30d_percent: self.maybe(Self::float),
            change_ytd_percent: self.maybe(Self::float),
            high_24h: self.maybe(Self::decimal),
            low_24h: self.maybe(Self::decimal),
            high_7d: self.maybe(Self::decimal),
            low_7d: self.maybe(Self::decimal),
            range_24h_percent: self.maybe(Self::float),
            volatility_24h_percent: self.maybe(Self::float),
            volatility_30d_annualized_percent: self.maybe(Self::float),
            rsi_14d: self.maybe(Self::float),
            volume_24h: self.maybe(Self::decimal),
            market_cap: self.maybe(Self::decimal),
            market_cap_rank: self.maybe(|maker| maker.0.random()),
            circulating_supply: self.maybe(Self::decimal),
            all_time_high: self.maybe(|maker| AllTimeHigh {
                price: maker.decimal(),
                time: maker.maybe(Self::time),
                drawdown_percent: maker.maybe(Self::float),
                source: maker.text(),
            }),
            categories: self.some(Self::text),
            aggregation: self.aggregation(),
            derivations: self.some(Self::derivation),
        }
    }

    fn aggregation(&mut self) -> Aggregation {
        use AggregationMethod::*;
        Aggregation {
            method: [VolumeWeightedMedian, Median, SingleVenue, LastKnown, Listing][self.0.random_range(0..5)],
            venue_count: self.0.random(),
            candidate_count: self.0.random(),
            required_venue_count: self.0.random(),
            dispersion_percent: self.maybe(Self::float),
            outlier_limit_percent: self.maybe(Self::float),
            contributions: self.some(Self::contribution),
        }
    }

    fn contribution(&mut self) -> Contribution {
        use ContributionStatus::*;
        Contribution {
            venue: self.text(),
            instrument: self.text(),
            venue_symbol: self.text(),
            quote_asset: self.text(),
            observed_price: self.maybe(Self::decimal),
            conversion_rate: self.maybe(Self::decimal),
            price: self.maybe(Self::decimal),
            weight: self.float(),
            volume_24h: self.maybe(Self::decimal),
            deviation_percent: self.maybe(Self::float),
            event_time: self.time(),
            receive_time: self.time(),
            status: [Used, Stale, Outlier, UnpricedQuote, NoPrice, NoVolume, Carried][self.0.random_range(0..7)],
            simulated: self.0.random(),
        }
    }

    fn derivation(&mut self) -> Derivation {
        Derivation {
            field: self.text(),
            method: self.text(),
            parameters: self.some(|maker| (maker.text(), maker.text())),
            inputs: self.some(|maker| (maker.text(), maker.decimal())),
            observation_count: self.0.random(),
            missing_count: self.0.random(),
            start_time: self.time(),
            end_time: self.time(),
            source: self.text(),
        }
    }

    fn asset(&mut self) -> AssetInfo {
        use AssetKind::*;
        use InstrumentKind::*;
        AssetInfo {
            asset_id: self.id(),
            asset: self.code(),
            name: self.maybe(Self::text),
            kind: [Coin, Stablecoin, Wrapped, Staked, AssetBacked, Fiat][self.0.random_range(0..6)],
            market_cap_rank: self.maybe(|maker| maker.0.random()),
            categories: self.some(Self::text),
            listing_ids: self.some(|maker| (maker.text(), maker.text())),
            instruments: self.some(|maker| {
                let kinds = [Spot, PerpetualLinear, PerpetualInverse, Other, Listing, Index];
                let instrument = Instrument {
                    symbol: maker.text(),
                    base: maker.text(),
                    quote: maker.text(),
                    kind: kinds[maker.0.random_range(0..6)],
                    multiplier: maker.0.random(),
                };
                let rules = [
                    MappingRule::Ticker,
                    MappingRule::Registry,
                    MappingRule::Configuration,
                    MappingRule::FormerTicker,
                    MappingRule::Price,
                ];
                let states = [MappingState::Provisional, MappingState::Confirmed, MappingState::Conflict];
                InstrumentMapping {
                    venue: maker.text(),
                    instrument,
                    rule: rules[maker.0.random_range(0..5)],
                    state: states[maker.0.random_range(0..3)],
                    price_ratio: maker.maybe(Self::float),
                    since: maker.time(),
                }
            }),
            history_start: self.maybe(Self::time),
            history_day_count: self.0.random(),
            aliases: self.some(Self::text),
        }
    }

    fn index_code(&mut self) -> IndexCode {
        let texts = ["RUT", "BTC.D", "category:privacy-coins", "basket:ai"];
        IndexCode::parse(texts[self.0.random_range(0..texts.len())]).expect("a code")
    }

    fn index(&mut self) -> IndexSnapshot {
        use MarketSession::*;
        let methodology = self.methodology();
        let session = [Open, Closed, Pre, Post, Continuous][self.0.random_range(0..5)];
        IndexSnapshot {
            title: self.text(),
            level: self.maybe(Self::decimal),
            change_1d_percent: self.maybe(Self::float),
            change_7d_percent: self.maybe(Self::float),
            change_30d_percent: self.maybe(Self::float),
            change_ytd_percent: self.maybe(Self::float),
            all_time_high: self.maybe(|maker| IndexHigh {
                level: maker.decimal(),
                time: maker.time(),
                drawdown_percent: maker.maybe(Self::float),
                is_new: maker.0.random(),
                closes_only: maker.0.random(),
                history_start: maker.maybe(Self::time),
            }),
            market_cap: self.maybe(Self::decimal),
            market_cap_change_ytd: self.maybe(Self::decimal),
            market_cap_reference: self.maybe(|maker| MarketCapReference {
                market_cap: maker.decimal(),
                level: maker.decimal(),
                time: maker.time(),
                source: maker.text(),
            }),
            closed_until: self.maybe(Self::time),
            constituents: self.some(|maker| IndexConstituent {
                asset_id: maker.id(),
                asset: maker.code(),
                weight: maker.float(),
                market_cap: maker.maybe(Self::decimal),
                price: maker.maybe(Self::decimal),
                units: maker.maybe(Self::decimal),
                contribution_1d_percent: maker.maybe(Self::float),
                stale: maker.0.random(),
            }),
            sources: self.some(|maker| IndexSource {
                venue: maker.text(),
                venue_symbol: maker.text(),
                level: maker.maybe(Self::decimal),
                event_time: maker.maybe(Self::time),
                deviation_percent: maker.maybe(Self::float),
                status: [ContributionStatus::Disagrees, ContributionStatus::Standby][maker.0.random_range(0..2)],
                adjusted: maker.0.random(),
            }),
            derivations: self.some(Self::derivation),
            ..IndexSnapshot::empty(self.index_code(), methodology, session)
        }
    }

    fn methodology(&mut self) -> IndexMethodology {
        use ExclusionReason::*;
        use IndexWeighting::*;
        IndexMethodology {
            weighting: self.maybe(|maker| [MarketCap, CappedMarketCap, Equal][maker.0.random_range(0..3)]),
            constituent_count: self.maybe(|maker| maker.0.random()),
            weight_cap_percent: self.maybe(Self::float),
            divisor: self.maybe(Self::decimal),
            base_level: self.maybe(Self::decimal),
            base_time: self.maybe(Self::time),
            last_rebalance: self.maybe(Self::time),
            next_rebalance: self.maybe(Self::time),
            proxy_for: self.maybe(Self::text),
            operands: self.some(Self::text),
            excluded: self.some(|maker| Exclusion {
                asset_id: maker.id(),
                asset: maker.code(),
                reason: [Stablecoin, InsufficientHistory, NoMarketCap][maker.0.random_range(0..3)],
                message: maker.text(),
            }),
            ..IndexMethodology::observed(self.text(), self.text(), IndexCalendar::NewYork)
        }
    }

    fn feed(&mut self) -> FeedStatus {
        use FeedErrorKind::*;
        let states = [FeedState::Starting, FeedState::Ok, FeedState::Degraded, FeedState::Down, FeedState::Disabled];
        let errors = [RateLimited, Transient, Malformed, Rejected, CircuitOpen];
        FeedStatus {
            venue: self.text(),
            feed: Feed::ALL[self.0.random_range(0..7)],
            streaming: self.0.random(),
            state: states[self.0.random_range(0..5)],
            state_time: self.time(),
            last_success: self.maybe(Self::time),
            last_error: self.maybe(|maker| (maker.time(), errors[maker.0.random_range(0..5)], maker.text())),
            request_count: self.0.random(),
            error_count: self.0.random(),
            observation_count: self.0.random(),
            rejections: self.some(|maker| (maker.text(), maker.0.random())),
            instrument_count: self.0.random(),
            resolved_count: self.0.random(),
            interval: self.duration(),
            reconnect_count: self.0.random(),
            rate_budgets: self.some(|maker| RateBudget {
                scope: maker.text(),
                limit: maker.0.random(),
                used: maker.0.random(),
                window: maker.duration(),
                planned: maker.0.random(),
            }),
            plan: self.some(|maker| PlanTier {
                rank_min: maker.0.random(),
                rank_max: maker.maybe(|maker| maker.0.random()),
                instrument_count: maker.0.random(),
                interval: maker.duration(),
                milliweight_per_minute: maker.0.random(),
                scope: maker.text(),
            }),
        }
    }

    fn long_short_key(&mut self) -> LongShortKey {
        LongShortKey {
            asset: self.id(),
            kind: LongShortKind::ALL[self.0.random_range(0..5)],
            period: Period::ALL[self.0.random_range(0..6)],
            venue: self.maybe(Self::text),
        }
    }

    fn shares(&mut self) -> Shares {
        Shares { long_share: self.float(), ratio: self.float() }
    }

    fn long_short(&mut self) -> LongShortRatio {
        use LongShortMethod::*;
        LongShortRatio {
            key: self.long_short_key(),
            shares: self.maybe(Self::shares),
            open_interest: self.maybe(Self::decimal),
            market_cap_rank: self.maybe(|maker| maker.0.random()),
            rsi_14d: self.maybe(Self::float),
            day_before: self.maybe(|maker| DayBefore { time: maker.time(), ratio: maker.float() }),
            method: [OpenInterestWeightedMean, Mean, SingleVenue, LastKnown][self.0.random_range(0..4)],
            contributions: self.some(Self::long_short_contribution),
            ticker: self.code(),
        }
    }

    fn long_short_contribution(&mut self) -> LongShortContribution {
        use LongShortStatus::*;
        let statuses = [Used, Stale, NoOpenInterest, NotOffered, NoValue, NotPooled, Carried];
        let units = [OpenInterestUnit::Base, OpenInterestUnit::Quote, OpenInterestUnit::Contracts];
        LongShortContribution {
            venue: self.text(),
            instrument: self.text(),
            venue_symbol: self.text(),
            shares: self.maybe(Self::shares),
            weight: self.float(),
            status: statuses[self.0.random_range(0..7)],
            open_interest: self.maybe(Self::decimal),
            observed_open_interest: self.maybe(|maker| (maker.decimal(), units[maker.0.random_range(0..3)])),
            times: self.maybe(|maker| (maker.time(), maker.time())),
            simulated: self.0.random(),
        }
    }

    fn entry(&mut self) -> Entry {
        let (key, body) = match self.0.random_range(0..5) {
            0 => (Key::Price(self.id()), Body::Price(Box::new(self.price()))),
            1 => (Key::Asset(self.id()), Body::Asset(Box::new(self.asset()))),
            2 => (Key::LongShort(self.long_short_key()), Body::LongShort(Box::new(self.long_short()))),
            3 => (Key::Index(self.index_code()), Body::Index(Box::new(self.index()))),
            _ => (Key::Feed(self.text(), Feed::ALL[self.0.random_range(0..7)]), Body::Feed(Box::new(self.feed()))),
        };
        let state = self.maybe(|maker| maker.state(body));
        let trace = self.0.random_bool(0.5).then(|| TraceContext {
            trace_id: self.0.random_range(1..=u128::MAX),
            span_id: self.0.random_range(1..=u64::MAX),
        });
        Entry { key, revision: self.0.random(), state, trace }
    }
}

fn entry_of(seed: u64) -> Entry {
    Maker(SmallRng::seed_from_u64(seed)).entry()
}

proptest! {
    // Debug output tells -0.0 from 0.0 and 1.50 from 1.5, which equality does not.
    #[test]
    fn entries_come_back_exactly(seed in any::<u64>(), epoch in any::<u64>()) {
        let entry = entry_of(seed);
        let bytes = encode_entry(&entry, epoch);
        let (read, read_epoch) = decode_entry(&bytes).expect("what was written can be read");
        prop_assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        prop_assert_eq!(read_epoch, epoch);
        let receive_time = decode_receive_time(&bytes).expect("readable");
        prop_assert_eq!(receive_time, entry.state.map(|state| (state.receive_time, epoch)));
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(seed in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let bytes = encode_entry(&entry_of(seed), 1);
        let index = at.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[index] ^= 1u8 << bit;
        for damaged in [&flipped[..], &bytes[..index]] {
            for result in [decode_entry(damaged).err(), decode_receive_time(damaged).err()] {
                prop_assert!(matches!(result, None | Some(StoreError::Corrupt(_))));
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_but_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode_entry(&bytes);
        bytes.insert(0, FORMAT);
        let _ = decode_entry(&bytes);
    }

    #[test]
    fn series_names_are_read_back_whatever_is_in_them(subject in ".{0,20}", name in ".{0,20}", interval in 0usize..3) {
        let kinds = [
            SeriesKind::Candles(CandleInterval::ALL[interval]),
            SeriesKind::DailyMarketCap,
            SeriesKind::Sampled(name.into()),
        ];
        for kind in kinds {
            let series = SeriesKey { subject: subject.as_str().into(), kind };
            prop_assert_eq!(parse_series(&series_name(&series)).expect("readable"), series);
        }
    }

    #[test]
    fn any_text_is_a_name_or_refused(text in ".{0,40}") {
        let prefixed = ["", "sampled:", "feed:", "candles:", "long-short:", "long-short:taker-volume:1h:"];
        for name in prefixed.map(|prefix| format!("{prefix}{text}")) {
            for error in [parse_key(&name).err(), parse_series(&name).err()].into_iter().flatten() {
                prop_assert!(matches!(error, StoreError::Corrupt(_)));
            }
        }
    }
}

#[test]
fn names_are_these() {
    let btc = AssetId::parse("bitcoin").expect("an id");
    assert_eq!(key_name(&Key::Price(btc.clone())), "price:bitcoin");
    assert_eq!(key_name(&Key::Asset(btc.clone())), "asset:bitcoin");
    let (kind, period) = (LongShortKind::TakerVolume, Period::FourHours);
    for (venue, name) in
        [(None, "long-short:taker-volume:4h:bitcoin"), (Some("okx"), "long-short:taker-volume:4h:okx:bitcoin")]
    {
        let key = Key::LongShort(LongShortKey { asset: btc.clone(), kind, period, venue: venue.map(SmolStr::from) });
        assert_eq!(key_name(&key), name);
        assert_eq!(parse_key(name).expect("a key"), key);
    }
    let feed = Key::Feed("binance-usdm".into(), Feed::LongShortRatios);
    assert_eq!(key_name(&feed), "feed:long-short-ratios:binance-usdm");
    assert_eq!(parse_key("feed:long-short-ratios:binance-usdm").expect("a key"), feed);
    let category = Key::Index(IndexCode::parse("category:privacy-coins").expect("a code"));
    assert_eq!(key_name(&category), "index:category:privacy-coins");
    assert_eq!(parse_key("index:category:privacy-coins").expect("a key"), category);
    let check =
        |kind, expected: &str| assert_eq!(series_name(&SeriesKey { subject: "id:bitcoin".into(), kind }), expected);
    check(SeriesKind::Candles(CandleInterval::OneHour), "candles:1h:id:bitcoin");
    check(SeriesKind::DailyMarketCap, "market-cap:1d:id:bitcoin");
    check(
        SeriesKind::Sampled("global-account:aggregate:1h".into()),
        "sampled:27:global-account:aggregate:1h:id:bitcoin",
    );
}

type WriteState<'a> = &'a dyn Fn(&mut Encoder<&mut Vec<u8>>);

/// An entry with a state written by hand; `None` for null.
fn encoded(key: &str, state: Option<WriteState<'_>>, added: bool) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    let mut encoder = Encoder::new(&mut bytes);
    let header = encoder.array(ENTRY_PARTS + u64::from(added)).and_then(|encoder| encoder.str(key)?.u64(7)?.u64(1));
    header.expect("encoded");
    match state {
        Some(write) => write(&mut encoder),
        None => encoder.null().and_then(Encoder::ok).expect("encoded"),
    }
    encoder.bytes(b"of another kind").expect("encoded");
    if added {
        encoder.str("new").expect("encoded");
    }
    bytes
}

/// Fields added by a later version are skipped, at the top level and nested.
#[test]
fn unknown_fields_are_skipped() {
    let state = |encoder: &mut Encoder<&mut Vec<u8>>| {
        // Three times, a budget, whether simulated, the body with its kind, and something new.
        encoder.array(7).expect("encoded").i64(1).expect("encoded").i64(2).expect("encoded").i64(3).expect("encoded");
        encoder.encode(Duration::from_secs(1)).expect("encoded").bool(false).expect("encoded");
        encoder.array(2).expect("encoded").u8(1).expect("encoded");
        let mut asset = Vec::new();
        let made = Maker(SmallRng::seed_from_u64(1)).asset();
        minicbor::encode(AssetInfo { kind: AssetKind::Coin, history_day_count: 9, ..made }, &mut asset)
            .expect("encoded");
        // The asset's array gets three more elements.
        assert_eq!(asset[0], 0x80 + 11, "an array of eleven");
        asset[0] += 3;
        encoder.writer_mut().extend_from_slice(&asset);
        encoder.array(3).expect("encoded").u8(1).expect("encoded").u8(2).expect("encoded").u8(3).expect("encoded");
        encoder.null().expect("encoded").str("added").expect("encoded").f64(1.5).expect("encoded");
    };
    let bytes = encoded("asset:bitcoin", Some(&state), true);
    let (entry, _) = decode_entry(&bytes).expect("readable");
    let is_coin = |asset: &AssetInfo| asset.kind == AssetKind::Coin && asset.history_day_count == 9;
    assert!(matches!(entry.state.expect("a state").body, Body::Asset(asset) if is_coin(&asset)));
    let receive_time = decode_receive_time(&bytes).expect("readable");
    assert_eq!(receive_time, Some((Timestamp::from_micros(2), 1)));
}

/// Fields unknown to an earlier version are absent.
#[test]
fn optional_fields_may_be_missing() {
    let mut bytes = Vec::new();
    let made = Maker(SmallRng::seed_from_u64(1)).asset();
    minicbor::encode(AssetInfo { name: None, market_cap_rank: None, ..made.clone() }, &mut bytes).expect("encoded");
    assert_eq!(minicbor::decode::<AssetInfo>(&bytes).expect("readable").name, None);
    minicbor::encode(Shares { long_share: 0.5, ratio: 1.0 }, &mut bytes).expect("encoded");
    let cut = [0x81, 0xfb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0];
    assert!(minicbor::decode::<Shares>(&cut).expect_err("incomplete").is_missing_value());
    let high = AllTimeHigh { price: Decimal::ONE, time: None, drawdown_percent: None, source: "history".into() };
    let mut bytes = Vec::new();
    minicbor::encode(&high, &mut bytes).expect("encoded");
    assert_eq!(minicbor::decode::<AllTimeHigh>(&bytes).expect("readable"), high);
}

#[test]
fn a_trace_that_is_none_is_passed_over() {
    let (entry, _) = decode_entry(&encoded("price:bitcoin", None, false)).expect("readable");
    assert_eq!((entry.revision, entry.trace), (7, None));
}

#[test]
fn what_is_missing_or_unknown_is_corrupt() {
    let refused = |bytes: &[u8], text: &str| {
        let error = decode_entry(bytes).expect_err("refused").to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(&[], "without bytes");
    refused(&[FORMAT + 1], "format");
    refused(&[1, 10, 9], "entry of format 1");
    refused(&[FORMAT], "end of input");
    refused(&encoded("something", None, false), "key");
    let empty = |encoder: &mut Encoder<&mut Vec<u8>>| {
        encoder.array(0).expect("encoded");
    };
    refused(&encoded("price:bitcoin", Some(&empty), false), "missing value");
    // A kind of body that is not known must not look like a removal.
    let unknown_body = |encoder: &mut Encoder<&mut Vec<u8>>| {
        let times = encoder.array(6).and_then(|encoder| encoder.i64(1)?.i64(2)?.i64(3));
        times.and_then(|encoder| encoder.encode(Duration::ZERO)?.bool(false)).expect("encoded");
        encoder.array(2).and_then(|encoder| encoder.u8(99)?.null()).expect("encoded");
    };
    refused(&encoded("price:bitcoin", Some(&unknown_body), false), "unknown");
}

/// An unknown value of an optional enum is no reason to misread what follows.
#[test]
fn unknown_values_of_enums_are_refused() {
    let mut methodology = Maker(SmallRng::seed_from_u64(1)).methodology();
    methodology.weighting = Some(IndexWeighting::Equal);
    methodology.definition = "".into();
    let mut bytes = Vec::new();
    minicbor::encode(&methodology, &mut bytes).expect("encoded");
    // The array's header, the empty text, the weighting.
    assert_eq!(&bytes[1..3], &[0x60, 2]);
    bytes[2] = 9;
    let error = minicbor::decode::<IndexMethodology>(&bytes).expect_err("refused").to_string();
    assert!(error.contains("unknown IndexWeighting 9"), "{error}");
}

/// Seeds of another format would teach the fuzzer nothing. `UPDATE_SEEDS=1` writes them again.
#[test]
fn the_fuzzer_s_seeds_are_entries_of_this_format() {
    for seed in ["price", "asset", "long-short", "index", "feed", "removal"] {
        let path = format!("{}/../../fuzz/corpus/store-encoding/{seed}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            let is_it = |entry: &Entry| match seed {
                "removal" => entry.state.is_none(),
                kind => entry.state.is_some() && key_name(&entry.key).starts_with(&format!("{kind}:")),
            };
            let entry = (0..).map(entry_of).find(is_it).expect("each kind comes up");
            std::fs::write(&path, encode_entry(&entry, 7)).expect("fuzz/ is writable");
        }
        let bytes = std::fs::read(&path).expect("a seed");
        let (entry, epoch) = decode_entry(&bytes).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_eq!(encode_entry(&entry, epoch), bytes, "{seed}");
    }
}

/// The 100 MB for 1,000 assets of 10 venues depends on this.
#[test]
fn a_snapshot_of_ten_venues_is_compact() {
    let mut maker = Maker(SmallRng::seed_from_u64(1));
    let mut price = maker.price();
    price.derivations.clear();
    price.aggregation.contributions = (0..10)
        .map(|index| Contribution {
            venue: format_smolstr!("venue-{index}"),
            instrument: "BTC/USDT".into(),
            venue_symbol: "BTCUSDT".into(),
            quote_asset: "USDT".into(),
            ..maker.contribution()
        })
        .collect();
    let body = Body::Price(Box::new(price));
    let entry = Entry {
        key: Key::Price(AssetId::parse("bitcoin").expect("an id")),
        revision: 1,
        state: Some(maker.state(body)),
        trace: None,
    };
    let len = encode_entry(&entry, 1).len();
    assert!(len < 2_500, "{len} bytes");
}
