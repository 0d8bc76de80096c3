//! CoinPaprika: market capitalization, rank and all-time highs.
//!
//! Documentation: <https://api.coinpaprika.com/>. One call lists up to 2,000 assets, which are refreshed every 5
//! minutes.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use smol_str::ToSmolStr;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, Unresolved, UnresolvedReason, Venue, VenueError};
use super::wire::{self, FieldError, JsonError, Kind, Reader, Scalar, listings};
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{Decimal, Feed, Instrument, Observation, VenueId};

/// CoinPaprika's public API v1, without a key.
pub(crate) struct CoinPaprika;

const PROFILE: Profile = Profile {
    id: VenueId("coinpaprika"),
    title: "CoinPaprika",
    documentation_url: "https://api.coinpaprika.com/",
    terms_url: "https://coinpaprika.com/terms-of-service/",
    rest_url: "https://api.coinpaprika.com/v1",
    feeds: &[FeedProfile::of(Feed::MarketCaps).ranked(2)],
    limits: &[
        // The free plan allows 10 calls a second and 20,000 a month. The monthly limit is the one that matters here.
        RateLimit::of("calls", 20_000, 30 * 86_400),
    ],
    ..Profile::NONE
};

impl Venue for CoinPaprika {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    /// A CoinPaprika symbol is an id such as `btc-bitcoin`, whose first part is the ticker.
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (ticker, _) = symbol.split_once('-')?;
        Some(listings::instrument(symbol, ticker))
    }

    fn listing(&self, _base: &str, _quote: &str) -> Option<Instrument> {
        None
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], _options: &RequestOptions) -> Vec<Request> {
        let path = match (feed, asked) {
            (Feed::MarketCaps, [only]) => format!("/tickers/{}?quotes=USD", wire::url_encoded(&only.symbol)),
            (Feed::MarketCaps, _) => "/tickers?quotes=USD".to_owned(),
            _ => return Vec::new(),
        };
        vec![Request::of(Ask::about(feed, asked), "calls", path)]
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let mut parsed = Parsed::default();
        let mut reader = Reader::new(&response.body);
        if reader.kind()? == Kind::Object {
            let row = Row::read(&mut reader)?;
            if !row.error.is_absent() {
                return Err(VenueError::Rejected("the listing refuses the request".into()));
            }
            row.put(&mut parsed);
        } else {
            reader.array(|reader| {
                if reader.kind()? == Kind::Object {
                    Row::read(reader)?.put(&mut parsed);
                } else {
                    let symbol = reader.scalar()?.label();
                    parsed.unresolved.push(Unresolved { symbol, reason: UnresolvedReason::Malformed, field: "" });
                }
                Ok(())
            })?;
        }
        reader.finish()?;
        listings::keep_asked(&mut parsed, &ask.instruments);
        Ok(parsed)
    }
}

/// A row. A market cap of 0 means unknown. `circulating_supply` has been missing since 2024, so it is computed as cap ÷
/// price.
///
/// ```json
/// {"id":"btc-bitcoin","name":"Bitcoin","symbol":"BTC","rank":1,"total_supply":19975000,"max_supply":21000000,
///  "last_updated":"2026-01-15T12:00:00Z","quotes":{"USD":{"price":95391.25,"volume_24h":5.264e10,"market_cap":1900000000000,
///  "ath_price":126000.5,"ath_date":"2025-10-06T18:00:00Z","percent_from_price_ath":-24.3}}}
/// ```
#[derive(Default)]
struct Row<'a> {
    id: Scalar<'a>,
    symbol: Scalar<'a>,
    name: Scalar<'a>,
    rank: Scalar<'a>,
    supply: Scalar<'a>,
    updated: Scalar<'a>,
    error: Scalar<'a>,
    price: Scalar<'a>,
    volume: Scalar<'a>,
    market_cap: Scalar<'a>,
    all_time_high: Scalar<'a>,
    all_time_high_time: Scalar<'a>,
}

impl<'a> Row<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut row = Self::default();
        reader.object(|reader, key| {
            let slot = match key {
                b"id" => &mut row.id,
                b"symbol" => &mut row.symbol,
                b"name" => &mut row.name,
                b"rank" => &mut row.rank,
                b"circulating_supply" => &mut row.supply,
                b"last_updated" => &mut row.updated,
                b"error" => &mut row.error,
                b"quotes" if reader.kind()? == Kind::Object => {
                    return reader.object(|reader, currency| {
                        if currency == b"USD" && reader.kind()? == Kind::Object {
                            row.read_quote(reader)
                        } else {
                            reader.skip()
                        }
                    });
                }
                _ => return reader.skip(),
            };
            *slot = reader.scalar()?;
            Ok(())
        })?;
        Ok(row)
    }

    fn read_quote(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            let slot = match key {
                b"price" => &mut self.price,
                b"volume_24h" => &mut self.volume,
                b"market_cap" => &mut self.market_cap,
                b"ath_price" => &mut self.all_time_high,
                b"ath_date" => &mut self.all_time_high_time,
                _ => return reader.skip(),
            };
            *slot = reader.scalar()?;
            Ok(())
        })
    }

    fn put(&self, parsed: &mut Parsed) {
        match self.observation() {
            Ok(observation) => parsed.observations.push(observation),
            Err((field, FieldError(reason))) => {
                parsed.unresolved.push(Unresolved { symbol: self.id.label(), reason, field });
            }
        }
    }

    fn observation(&self) -> Result<Observation, (&'static str, FieldError)> {
        let id = listings::text(self.id, "id")?;
        let symbol = listings::text(self.symbol, "symbol")?;
        let at = |field| move |error| (field, error);
        let price = self.price.price().map_err(at("price"))?;
        let market_cap = self.market_cap.price().map_err(at("market_cap"))?;
        let circulating_supply = match self.supply.price().map_err(at("circulating_supply"))? {
            Some(supply) => Some(supply),
            None => market_cap.zip(price).and_then(|(cap, price)| cap.checked_div(price)).map(whole_units),
        };
        let row = MarketCap {
            listing_id: id.clone(),
            name: self.name.text().unwrap_or_default().to_smolstr(),
            price,
            market_cap,
            market_cap_rank: listings::rank(self.rank).map_err(at("rank"))?,
            circulating_supply,
            volume_24h: self.volume.quantity().map_err(at("volume_24h"))?,
            all_time_high: self.all_time_high.price().map_err(at("ath_price"))?,
            all_time_high_time: self.all_time_high_time.iso_time().map_err(at("ath_date"))?,
            ..MarketCap::default()
        };
        let event_time = self.updated.iso_time().map_err(at("last_updated"))?;
        listings::observation(listings::instrument(&id, &symbol), event_time, row)
    }
}

/// The quotient of two rounded numbers has no more significant digits than they have.
fn whole_units(supply: Decimal) -> Decimal {
    supply.rounded_to_significant(8).normalized()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::Payload;

    fn parse(body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        CoinPaprika.parse(&Ask::all(Feed::MarketCaps), &response)
    }

    #[test]
    fn derives_a_missing_supply() {
        let parsed = parse(
            r#"[{"id":"alp-alpha","symbol":"ALP","name":"Alpha","rank":7,"quotes":{"EUR":{"price":9},"USD":{"price":2.5,"market_cap":1000,
                "ath_price":null,"ath_date":null}}},
               {"id":"bet-beta","symbol":"BET","rank":0,"quotes":{"USD":{"price":3,"market_cap":0}}},
               {"id":"gam-gamma","symbol":"GAM","quotes":{"USD":{"price":0,"market_cap":0}}}]"#,
        )
        .expect("readable");
        let caps: Vec<_> = parsed
            .observations
            .iter()
            .map(|observation| match &observation.payload {
                Payload::MarketCap(cap) => (cap.circulating_supply, cap.market_cap_rank, cap.market_cap),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(caps, [(Some(Decimal::from(400)), Some(7), Some(Decimal::from(1000))), (None, None, None)]);
        assert_eq!(parsed.unresolved[0].reason, UnresolvedReason::NoValue);
    }

    #[test]
    fn an_error_body_is_a_rejection() {
        assert!(matches!(parse(r#"{"error":"id not found"}"#), Err(VenueError::Rejected(_))));
        assert!(matches!(parse("<html>"), Err(VenueError::Malformed(_))));
    }
}
