//! `/coins/{id}/market_chart`: daily prices, market caps and volumes of one asset.

use std::collections::BTreeMap;

use super::super::venue::{Ask, Parsed, Response, UnresolvedReason, VenueError};
use super::super::wire::{At, Failure, JsonError, Kind, Reader, ResponseBuilder, Scalar};
use super::refusal::error_of;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{Instrument, Payload, Timestamp};

/// Reads a chart; an object without one is an error.
///
/// ```json
/// {"prices":[[1768435200000,96700.1],[1768507200000,95391.2]],"market_caps":[[1768435200000,1.93e12],[1768507200000,1.90e12]],
///  "total_volumes":[[1768435200000,5.1e10],[1768507200000,null]]}
/// ```
/// Points are at 00:00 UTC, except the last one, which is the current value. The body does not name its asset.
pub(super) fn parse(ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
    let mut reader = Reader::new(&response.body);
    let mut points: BTreeMap<i64, Point<'_>> = BTreeMap::new();
    let mut is_chart = false;
    let mut broken = 0_usize;
    reader.object(|reader, key| {
        let column = match key {
            b"prices" => 0,
            b"market_caps" => 1,
            b"total_volumes" => 2,
            _ => return reader.skip(),
        };
        if reader.kind()? != Kind::Array {
            return reader.skip();
        }
        is_chart = true;
        column_of(reader, column, &mut points, &mut broken)
    })?;
    reader.finish()?;
    if !is_chart {
        return Err(error_of(&mut Reader::new(&response.body)));
    }
    let mut builder = ResponseBuilder::new(ask);
    let Some(about) = builder.only_instrument() else { return builder.finish() };
    for _ in 0..broken {
        builder.record(&about, Err(Failure { reason: UnresolvedReason::Malformed, field: "point" }));
    }
    for (millis, point) in points {
        let statement = point.market_cap(about.instrument());
        let statement = statement.map(|cap| (Some(Timestamp::from_millis(millis)), Payload::MarketCap(Box::new(cap))));
        builder.record(&about, statement);
    }
    builder.finish()
}

/// The values of the three columns at one time.
#[derive(Clone, Copy, Default)]
struct Point<'a>([Scalar<'a>; 3]);

impl Point<'_> {
    fn market_cap(self, instrument: &Instrument) -> Result<MarketCap, Failure> {
        let [price, market_cap, volume] = self.0;
        let (price, market_cap) = (price.price().at("prices")?, market_cap.price().at("market_caps")?);
        if price.is_none() && market_cap.is_none() {
            return Err(Failure { reason: UnresolvedReason::NoValue, field: "market_caps" });
        }
        let volume_24h = volume.quantity().at("total_volumes")?;
        Ok(MarketCap { listing_id: instrument.symbol.clone(), price, market_cap, volume_24h, ..MarketCap::default() })
    }
}

fn column_of<'a>(
    reader: &mut Reader<'a>,
    column: usize,
    points: &mut BTreeMap<i64, Point<'a>>,
    broken: &mut usize,
) -> Result<(), JsonError> {
    reader.array(|reader| {
        if reader.kind()? != Kind::Array {
            reader.skip()?;
            *broken += 1;
            return Ok(());
        }
        let [time, value] = reader.row()?;
        match time.integer() {
            Ok(Some(millis)) => {
                if let Some(slot) = points.entry(millis).or_default().0.get_mut(column) {
                    *slot = value;
                }
            }
            _ => *broken += 1,
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::CoinGecko;
    use super::*;
    use crate::{RequestOptions, Venue};
    use crossmarket_domain::Feed;

    fn read(id: &str, body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        let asked = [CoinGecko.instrument(id).expect("an id")];
        CoinGecko.parse(&Ask { reports_every_entry: true, ..Ask::about(Feed::MarketCaps, asked) }, &response)
    }

    #[test]
    fn columns_are_joined_by_their_times() {
        let body = r#"{"prices":[[1768435200000,2.5],[1768521600000,null]],"market_caps":[[1768435200000,1.9e12],[1768521600000,0]],
            "total_volumes":[[1768435200000,null],7,["soon",1]],"new":{}}"#;
        let parsed = read("alpha", body).expect("readable");
        let [observation] = &parsed.observations[..] else { panic!("{parsed:?}") };
        assert_eq!(
            (observation.instrument.symbol.as_str(), observation.event_time),
            ("alpha", Timestamp::parse("2026-01-15T00:00:00Z"))
        );
        let Payload::MarketCap(cap) = &observation.payload else { panic!("{observation:?}") };
        assert_eq!(
            (cap.market_cap.map(|cap| cap.to_string()).as_deref(), cap.volume_24h),
            (Some("1900000000000"), None)
        );
        let reasons: Vec<_> = parsed.unresolved.iter().map(|entry| entry.reason.as_str()).collect();
        assert_eq!(reasons, ["malformed", "malformed", "no_value"]);
    }

    #[test]
    fn refusals_are_told_as_before() {
        let refused = read("none", r#"{"error":"coin not found"}"#);
        assert!(matches!(refused, Err(VenueError::Rejected(_))), "{refused:?}");
        let limited = read("any", r#"{"status":{"error_code":429,"error_message":"slow down"}}"#);
        assert_eq!(limited.err(), Some(VenueError::RateLimited { retry_after: None }));
    }

    #[test]
    fn a_start_asks_for_a_year_at_most() {
        let asked = [CoinGecko.instrument("alpha").expect("an id")];
        let path = |start: &str| {
            let options = RequestOptions {
                start: Timestamp::parse(start),
                end: Timestamp::parse("2026-01-15T20:00:00Z"),
                ..RequestOptions::default()
            };
            CoinGecko.requests(Feed::MarketCaps, &asked, &options)[0].path.clone()
        };
        assert_eq!(path("2026-01-14T00:00:00Z"), "/coins/alpha/market_chart?vs_currency=usd&days=2&interval=daily");
        assert!(path("2014-01-01T00:00:00Z").contains("&days=365&"));
    }
}
