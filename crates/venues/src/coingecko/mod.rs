//! CoinGecko: market capitalization, supply, rank, all-time highs and categories.
//!
//! Documentation: <https://docs.coingecko.com/reference/coins-markets>. Ids are unique, symbols are not.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use smol_str::{SmolStr, ToSmolStr};

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, Unresolved, UnresolvedReason, Venue, VenueError};
use super::wire::{self, FieldError, JsonError, Kind, Reader, Scalar, listings};
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{Feed, Instrument, Observation, Timestamp, VenueId};

mod chart;
mod refusal;

const SCOPE: &str = "calls";

/// Maximum number of rows on one page of `/coins/markets`.
const PAGE_SIZE_MAX: u32 = 250;

/// The categories whose members are requested, as CoinGecko ids.
const CATEGORIES: &[&str] = &[
    "layer-1",
    "layer-2",
    "stablecoins",
    "meme-token",
    "privacy-coins",
    "decentralized-finance-defi",
    "exchange-based-tokens",
    "artificial-intelligence",
    "wrapped-tokens",
    "liquid-staking-tokens",
    "tokenized-gold",
];

/// CoinGecko's public API v3, without a key.
pub(crate) struct CoinGecko;

const PROFILE: Profile = Profile {
    id: VenueId("coingecko"),
    title: "CoinGecko",
    documentation_url: "https://docs.coingecko.com/reference/coins-markets",
    terms_url: "https://www.coingecko.com/en/api_terms",
    rest_url: "https://api.coingecko.com/api/v3",
    feeds: &[FeedProfile::of(Feed::MarketCaps).every(60).ranked(1).with_history(), FeedProfile::of(Feed::Categories)],
    limits: &[
        // Without a key, CoinGecko allows 5 to 15 calls a minute, depending on the load.
        RateLimit::of(SCOPE, 5, 60),
    ],
    ..Profile::NONE
};

impl Venue for CoinGecko {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    /// A CoinGecko symbol is an id; only the answer contains the ticker.
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        (!symbol.is_empty()).then(|| listings::instrument(symbol, ""))
    }

    fn listing(&self, _base: &str, _quote: &str) -> Option<Instrument> {
        None
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::MarketCaps if asked.is_empty() => {
                let row_count = options.limit.unwrap_or(PAGE_SIZE_MAX).max(1);
                let page = |page| markets(Ask::all(feed), &format!("page={page}"));
                (1..=row_count.div_ceil(PAGE_SIZE_MAX)).map(page).collect()
            }
            // A start requests history, which CoinGecko serves for one asset at a time.
            Feed::MarketCaps if options.start.is_some() => asked.iter().map(|one| market_chart(one, options)).collect(),
            Feed::MarketCaps => asked
                .chunks(PAGE_SIZE_MAX as usize)
                .map(|chunk| {
                    let ids: Vec<String> =
                        chunk.iter().map(|instrument| wire::url_encoded(&instrument.symbol)).collect();
                    markets(Ask::about(feed, chunk), &format!("page=1&ids={}", ids.join("%2C")))
                })
                .collect(),
            Feed::Categories => {
                let members = |category: &&'static str| {
                    let ask = Ask { category: Some(SmolStr::new_static(category)), ..Ask::all(feed) };
                    markets(ask, &format!("page=1&category={category}"))
                };
                CATEGORIES.iter().map(members).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        // The edge reports a rate limit with the status alone or with a text; the API reports it in its own body.
        wire::check_status(response)?;
        let mut parsed = Parsed::default();
        let mut reader = Reader::new(&response.body);
        if reader.kind()? == Kind::Object {
            return match ask.feed {
                Feed::MarketCaps => chart::parse(ask, response),
                _ => Err(refusal::error_of(&mut reader)),
            };
        }
        reader.array(|reader| {
            if reader.kind()? != Kind::Object {
                let label = reader.scalar()?.label();
                parsed.unresolved.push(Unresolved { symbol: label, reason: UnresolvedReason::Malformed, field: "" });
                return Ok(());
            }
            let row = Row::read(reader)?;
            match row.market_cap(ask.category.clone()) {
                Ok(observation) => parsed.observations.push(observation),
                Err((field, FieldError(reason))) => {
                    parsed.unresolved.push(Unresolved { symbol: row.id.label(), reason, field });
                }
            }
            Ok(())
        })?;
        reader.finish()?;
        listings::keep_asked(&mut parsed, &ask.instruments);
        Ok(parsed)
    }
}

/// Without a paid key, the history goes back one year.
const CHART_DAYS_MAX: u64 = 365;

fn market_chart(instrument: &Instrument, options: &RequestOptions) -> Request {
    let span = options.start.zip(options.end).map(|(start, end)| end.since(start).as_secs().div_ceil(86_400));
    let days = span.unwrap_or(CHART_DAYS_MAX).clamp(1, CHART_DAYS_MAX);
    let id = wire::url_encoded(&instrument.symbol);
    let path = format!("/coins/{id}/market_chart?vs_currency=usd&days={days}&interval=daily");
    Request::of(Ask::about(Feed::MarketCaps, [instrument.clone()]), SCOPE, path)
}

fn markets(ask: Ask, rest: &str) -> Request {
    let path = format!("/coins/markets?vs_currency=usd&order=market_cap_desc&per_page={PAGE_SIZE_MAX}&{rest}");
    Request::of(ask, SCOPE, path)
}

/// A row of `/coins/markets`; every number may be null, integers and floats mix.
///
/// ```json
/// {"id":"bitcoin","symbol":"btc","name":"Bitcoin","current_price":95391,"market_cap":1900000000000,"market_cap_rank":1,
///  "total_volume":52640000000,"high_24h":97010,"low_24h":95010,"circulating_supply":19975000.0,"ath":126000,
///  "ath_date":"2025-10-06T18:00:00.000Z","last_updated":"2026-01-15T12:00:00.000Z"}
/// ```
#[derive(Default)]
struct Row<'a> {
    id: Scalar<'a>,
    symbol: Scalar<'a>,
    name: Scalar<'a>,
    price: Scalar<'a>,
    market_cap: Scalar<'a>,
    rank: Scalar<'a>,
    supply: Scalar<'a>,
    volume: Scalar<'a>,
    high: Scalar<'a>,
    low: Scalar<'a>,
    all_time_high: Scalar<'a>,
    all_time_high_time: Scalar<'a>,
    updated: Scalar<'a>,
}

impl<'a> Row<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut row = Self::default();
        reader.object(|reader, key| {
            let slot = match key {
                b"id" => &mut row.id,
                b"symbol" => &mut row.symbol,
                b"name" => &mut row.name,
                b"current_price" => &mut row.price,
                b"market_cap" => &mut row.market_cap,
                b"market_cap_rank" => &mut row.rank,
                b"circulating_supply" => &mut row.supply,
                b"total_volume" => &mut row.volume,
                b"high_24h" => &mut row.high,
                b"low_24h" => &mut row.low,
                b"ath" => &mut row.all_time_high,
                b"ath_date" => &mut row.all_time_high_time,
                b"last_updated" => &mut row.updated,
                _ => return reader.skip(),
            };
            *slot = reader.scalar()?;
            Ok(())
        })?;
        Ok(row)
    }

    fn market_cap(&self, category: Option<SmolStr>) -> Result<Observation, (&'static str, FieldError)> {
        let id = listings::text(self.id, "id")?;
        let symbol = listings::text(self.symbol, "symbol")?;
        let at = |field| move |error| (field, error);
        let row = MarketCap {
            listing_id: id.clone(),
            name: self.name.text().unwrap_or_default().to_smolstr(),
            price: self.price.price().map_err(at("current_price"))?,
            market_cap: self.market_cap.price().map_err(at("market_cap"))?,
            market_cap_rank: listings::rank(self.rank).map_err(at("market_cap_rank"))?,
            circulating_supply: self.supply.price().map_err(at("circulating_supply"))?,
            volume_24h: self.volume.quantity().map_err(at("total_volume"))?,
            high_24h: self.high.price().map_err(at("high_24h"))?,
            low_24h: self.low.price().map_err(at("low_24h"))?,
            all_time_high: self.all_time_high.price().map_err(at("ath"))?,
            all_time_high_time: self.all_time_high_time.iso_time().map_err(at("ath_date"))?,
            category,
        };
        listings::observation(listings::instrument(&id, &symbol), self.event_time()?, row)
    }

    fn event_time(&self) -> Result<Option<Timestamp>, (&'static str, FieldError)> {
        self.updated.iso_time().map_err(|error| ("last_updated", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::{Decimal, Payload};

    fn parse(ask: &Ask, body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        CoinGecko.parse(ask, &response)
    }

    fn caps() -> Ask {
        Ask::all(Feed::MarketCaps)
    }

    #[test]
    fn reads_rows_and_passes_over_broken_ones() {
        let parsed = parse(
            &caps(),
            r#"[{"id":"alpha","symbol":"alp","name":"Alpha","current_price":1.5e-6,"market_cap":0,"market_cap_rank":null,
                 "total_volume":null,"circulating_supply":10.50,"ath":2,"ath_date":"2025-01-02T03:04:05.678Z","roi":{"times":1},
                 "last_updated":"2026-01-15T12:00:00.000Z"},
                {"id":"beta","symbol":"bet","current_price":-1},
                {"symbol":"x"}, 7]"#,
        )
        .expect("readable");
        let [row] = &parsed.observations[..] else { panic!("{parsed:?}") };
        assert_eq!((row.instrument.symbol.as_str(), row.instrument.base.as_str()), ("alpha", "ALP"));
        let Payload::MarketCap(cap) = &row.payload else { panic!("{row:?}") };
        assert_eq!(cap.price, Decimal::parse("0.0000015").ok());
        assert_eq!((cap.market_cap, cap.market_cap_rank, cap.volume_24h), (None, None, None));
        assert_eq!(cap.circulating_supply.map(|supply| supply.to_string()).as_deref(), Some("10.50"));
        assert_eq!(cap.all_time_high_time, Timestamp::parse("2025-01-02T03:04:05.678Z"));
        let reasons: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.reason, entry.field)).collect();
        assert_eq!(
            reasons,
            [
                (UnresolvedReason::Implausible, "current_price"),
                (UnresolvedReason::Malformed, "id"),
                (UnresolvedReason::Malformed, "")
            ]
        );
    }

    #[test]
    fn a_category_page_marks_its_rows() {
        let body = r#"[{"id":"alpha","symbol":"alp","current_price":2}]"#;
        let members = Ask { category: Some("meme-token".into()), ..Ask::all(Feed::Categories) };
        let parsed = parse(&members, body).expect("readable");
        let Payload::MarketCap(cap) = &parsed.observations[0].payload else { panic!("{parsed:?}") };
        assert_eq!(cap.category.as_deref(), Some("meme-token"));
    }

    #[test]
    fn errors_in_a_body_are_errors() {
        let limited = parse(&caps(), r#"{"status":{"error_code":429,"error_message":"slow down"}}"#);
        assert_eq!(limited.err(), Some(VenueError::RateLimited { retry_after: None }));
        let refused = parse(&caps(), r#"{"error":"coin not found"}"#);
        assert!(matches!(refused, Err(VenueError::Rejected(_))));
        assert!(matches!(parse(&caps(), "Throttled"), Err(VenueError::Malformed(_))));
    }

    #[test]
    fn pages_cover_the_rows_wanted() {
        let options = RequestOptions { limit: Some(600), ..RequestOptions::default() };
        let paths: Vec<_> =
            CoinGecko.requests(Feed::MarketCaps, &[], &options).into_iter().map(|request| request.path).collect();
        assert_eq!(paths.len(), 3);
        assert!(paths[2].contains("&page=3"), "{paths:?}");
    }
}
