//! HTX: spot, the long and short shares of the top traders ("elite accounts") in swaps, and the open interest of swaps.
//!
//! Documentation: <https://www.htx.com/en-us/opend/newApiPages/>. The envelope is `{"status":"ok","ts":…,"data":…}`.
//! Figures are JSON numbers, some in scientific notation.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, UnresolvedReason, Venue, VenueError};
use super::wire::{self, At, Failure, Field, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement, TickerEntry};
use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, Timestamp, VenueId};

/// HTX spot and swaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Htx;

const MARKET: &str = "market";
const SWAP_REFERENCE: &str = "swap-reference";

const SWAP_HOST: &str = "https://api.hbdm.com";

const PERIODS: &[(&str, Period)] = &[
    ("5min", Period::FiveMinutes),
    ("15min", Period::FifteenMinutes),
    ("30min", Period::ThirtyMinutes),
    ("60min", Period::OneHour),
    ("4hour", Period::FourHours),
    ("1day", Period::OneDay),
];

/// Parses a spot symbol (`btcusdt`), a swap's contract code (`BTC-USDT`, `BTC-USD`), a dated future's code
/// (`BTC-USDT-260327`, `BTC260327`), or the coin of all coin-margined futures taken together (`BTC`).
fn instrument(symbol: &str) -> Option<Instrument> {
    if symbol.contains('-') {
        let (pair, is_dated) = match symbol.splitn(3, '-').count() {
            2 => (symbol, false),
            _ => (symbol.rsplit_once('-')?.0, true),
        };
        let (base, quote) = wire::split_at(pair, '-')?;
        let kind = match quote {
            _ if is_dated => InstrumentKind::Other,
            "USD" => InstrumentKind::PerpetualInverse,
            _ => InstrumentKind::PerpetualLinear,
        };
        return wire::derivative(symbol, base, quote, kind);
    }
    let upper = symbol.to_ascii_uppercase();
    if let Some((base, quote)) = wire::split_joined(&upper) {
        return wire::spot_instrument(symbol, base, quote);
    }
    let coin = symbol.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_coin =
        coin == upper.trim_end_matches(|c: char| c.is_ascii_digit()) && coin.bytes().all(|b| b.is_ascii_uppercase());
    if is_coin { wire::derivative(symbol, coin, "USD", InstrumentKind::Other) } else { None }
}

/// The contract code of an instrument's swap, under any of the instrument's names.
fn contract_code(asked: &Instrument) -> String {
    if asked.symbol.contains('-') { asked.symbol.to_string() } else { format!("{}-{}", asked.base, asked.quote) }
}

const PROFILE: Profile = Profile {
    id: VenueId("htx"),
    title: "HTX",
    documentation_url: "https://www.htx.com/en-us/opend/newApiPages/",
    terms_url: "https://www.htx.com/support/360000298561",
    rest_url: "https://api.huobi.pro",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        FeedProfile::of(Feed::LongShortRatios),
        FeedProfile::of(Feed::OpenInterest),
    ],
    limits: &[RateLimit::of(MARKET, 10, 1), RateLimit::of(SWAP_REFERENCE, 240, 3)],
    long_short_kinds: &[LongShortKind::TopTraderAccount, LongShortKind::TopTraderPosition],
    codes: &[
        ("BIFI", "BITCOINFILE"),
        ("FUD", "FTX Users Debt"),
        ("GET", "THEMIS"),
        ("HIT", "HITCHAIN"),
        ("NGL", "GFNGL"),
        ("PNT", "PENTA"),
        ("SBTC", "SUPERBITCOIN"),
        ("SOUL", "SOULSAVER"),
    ],
    ..Profile::NONE
};

impl Venue for Htx {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        wire::spot_instrument(&format!("{base}{quote}").to_ascii_lowercase(), base, quote)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => {
                let path = match asked {
                    [only] => format!("/market/detail/merged?symbol={}", wire::url_encoded(&only.symbol)),
                    _ => "/market/tickers".to_owned(),
                };
                vec![Request::of(Ask::about(feed, asked), MARKET, path)]
            }
            Feed::LongShortRatios => {
                asked.iter().flat_map(|asked| ratio_requests(asked, options.period_or_default())).collect()
            }
            Feed::OpenInterest => open_interest_requests(asked),
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let envelope = Envelope::read(&response.body)?;
        envelope.check()?;
        match ask.feed {
            Feed::Tickers => parse_tickers(ask, &envelope),
            Feed::LongShortRatios => parse_shares(ask, &envelope),
            Feed::OpenInterest => parse_open_interest(ask, &envelope),
            _ => Err(wire::no_such_feed()),
        }
    }
}

/// One request for all dollar-margined swaps when no instrument is given; otherwise one per swap.
fn open_interest_requests(asked: &[Instrument]) -> Vec<Request> {
    if asked.is_empty() {
        return vec![swap_request(Ask::all(Feed::OpenInterest), "/linear-swap-api/v1/swap_open_interest".to_owned())];
    }
    let request = |asked: &Instrument| {
        let ask = Ask::about(Feed::OpenInterest, [asked.clone()]);
        swap_request(ask, format!("/{}", contract_path(asked, "swap_open_interest")))
    };
    asked.iter().map(request).collect()
}

/// Both statistics of the elite accounts.
fn ratio_requests(asked: &Instrument, period: Period) -> [Request; 2] {
    let word = PERIODS.iter().find(|(_, known)| *known == period).map_or("5min", |(word, _)| word);
    [
        ("swap_elite_account_ratio", LongShortKind::TopTraderAccount),
        ("swap_elite_position_ratio", LongShortKind::TopTraderPosition),
    ]
    .map(|(endpoint, kind)| {
        let path = format!("/{}&period={word}", contract_path(asked, endpoint));
        swap_request(Ask::ratios(asked, period, Some(kind)), path)
    })
}

fn contract_path(asked: &Instrument, endpoint: &str) -> String {
    let api = if asked.quote == "USD" { "swap-api" } else { "linear-swap-api" };
    format!("{api}/v1/{endpoint}?contract_code={}", wire::url_encoded(&contract_code(asked)))
}

fn swap_request(ask: Ask, path: String) -> Request {
    Request { host: Some(SWAP_HOST), ..Request::of(ask, SWAP_REFERENCE, path) }
}

/// The envelope around every body's data.
#[derive(Default)]
struct Envelope<'a> {
    status: Scalar<'a>,
    time: Scalar<'a>,
    channel: Scalar<'a>,
    code: Scalar<'a>,
    data: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<Self, JsonError> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(body);
        reader.object(|reader, key| {
            if matches!(key, b"data" | b"tick") && reader.kind()? != Kind::Scalar {
                envelope.data = Some(reader.raw()?);
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"status" => envelope.status = value,
                b"ts" => envelope.time = value,
                b"ch" => envelope.channel = value,
                b"err-code" | b"err_code" => envelope.code = value,
                _ => {}
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(envelope)
    }

    fn check(&self) -> Result<(), VenueError> {
        match (self.status.bytes(), self.code.bytes()) {
            (b"ok", _) => Ok(()),
            (b"error", b"1032" | b"too-many-requests" | b"api-limit-exceeded") => {
                Err(VenueError::RateLimited { retry_after: None })
            }
            (b"error", b"1000" | b"1001" | b"1003" | b"1004" | b"system-error" | b"internal-error") => {
                Err(wire::transient(self.code))
            }
            (b"error", _) => Err(wire::rejected(self.code)),
            _ => Err(wire::without("status")),
        }
    }

    fn time(&self) -> Result<Option<Timestamp>, Failure> {
        self.time.millis().at("ts")
    }
}

/// `[{"symbol":"btcusdt","open":2,"high":2.3,"low":1.8,"close":2.05,"amount":9,"vol":1.8E1,"bid":2.0,"ask":2.1}]`, or one entry
/// without a symbol and with `"bid":[price,quantity]` (`/market/detail/merged`). `amount` is in the base asset.
fn parse_tickers(ask: &Ask, envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::new(ask);
    let mut reader = Reader::new(envelope.data.ok_or(wire::without("data"))?);
    if reader.kind()? == Kind::Array {
        wire::each_object(&mut reader, &mut builder, |reader, builder| {
            let entry = Entry::read(reader)?;
            if let Some(about) = builder.resolve(entry.symbol, instrument) {
                builder.record(&about, entry.ticker(envelope));
            }
            Ok(())
        })?;
        return builder.finish();
    }
    let entry = Entry::read(&mut reader)?;
    let about = match channel_symbol(envelope.channel) {
        Some(symbol) => builder.resolve(Scalar::Text(symbol.as_bytes()), instrument),
        None => builder.only_instrument(),
    };
    if let Some(about) = about {
        builder.record(&about, entry.ticker(envelope));
    }
    builder.finish()
}

#[derive(Default)]
struct Entry<'a> {
    symbol: Scalar<'a>,
    figures: TickerEntry<'a>,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut entry = Self::default();
        reader.object(|reader, key| {
            let figures = &mut entry.figures;
            match key {
                b"symbol" => entry.symbol = reader.scalar()?,
                b"close" => figures.last.set("close", reader.scalar()?),
                b"bid" => figures.bid.set("bid", quote(reader)?),
                b"ask" => figures.ask.set("ask", quote(reader)?),
                b"high" => figures.high.set("high", reader.scalar()?),
                b"low" => figures.low.set("low", reader.scalar()?),
                b"amount" => figures.base_volume.set("amount", reader.scalar()?),
                b"vol" => figures.quote_volume.set("vol", reader.scalar()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(entry)
    }

    fn ticker(&self, envelope: &Envelope<'_>) -> Result<Statement, Failure> {
        Ok((envelope.time()?, Payload::Ticker(self.figures.full()?)))
    }
}

/// A price, or `[price, quantity]`.
fn quote<'a>(reader: &mut Reader<'a>) -> Result<Scalar<'a>, JsonError> {
    if reader.kind()? == Kind::Array {
        let [price] = reader.row()?;
        return Ok(price);
    }
    reader.scalar()
}

/// `{"list":[{"buy_ratio":0.5,"sell_ratio":0.4,"locked_ratio":0.1,"ts":1700000100000}],"symbol":"BTC","contract_code":"BTC-USDT"}`.
/// Accounts with positions on both sides are locked. The two sides alone do not add up to 1, so each is divided by
/// their sum.
fn parse_shares(ask: &Ask, envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let (mut symbol, mut contract_code) = (Scalar::Missing, Scalar::Missing);
    let mut rows: Option<&[u8]> = None;
    Reader::new(envelope.data.ok_or(wire::without("data"))?).object(|reader, key| {
        if key == b"list" && reader.kind()? == Kind::Array {
            rows = Some(reader.raw()?);
            return Ok(());
        }
        let value = reader.scalar()?;
        match key {
            b"symbol" => symbol = value,
            b"contract_code" => contract_code = value,
            _ => {}
        }
        Ok(())
    })?;
    let rows = rows.ok_or(wire::without("list"))?;
    let kind = ask.required_kind()?;
    // For a spot instrument, the swap of its pair is used.
    let mut builder = ResponseBuilder::by_pair(ask);
    let is_the_coin_asked =
        matches!(&ask.instruments[..], [only] if only.quote == "USD" && only.base.as_bytes() == symbol.bytes());
    let about = if !contract_code.is_absent() {
        builder.resolve(contract_code, instrument)
    } else if !symbol.is_absent() && !is_the_coin_asked {
        builder.resolve(symbol, instrument)
    } else {
        builder.only_instrument()
    };
    let Some(about) = about else { return builder.finish() };
    wire::each_object(&mut Reader::new(rows), &mut builder, |reader, builder| {
        let (mut buy, mut sell, mut time) = (Field::default(), Field::default(), Scalar::Missing);
        reader.object(|reader, key| {
            let value = reader.scalar()?;
            match key {
                b"buy_ratio" => buy.set("buy_ratio", value),
                b"sell_ratio" => sell.set("sell_ratio", value),
                b"ts" => time = value,
                _ => {}
            }
            Ok(())
        })?;
        builder.record(&about, shares(kind, ask.period, buy, sell, time));
        Ok(())
    })?;
    builder.finish()
}

/// `[{"contract_code":"BTC-USDT","symbol":"BTC","volume":1234,"amount":1.234,"value":61700}]`: contracts, units of the asset and, of a
/// swap margined in dollars, dollars. A coin-margined swap has no `value`, and counts contracts of some dollars each.
fn parse_open_interest(ask: &Ask, envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::by_pair(ask);
    let mut reader = Reader::new(envelope.data.ok_or(wire::without("data"))?);
    wire::each_object(&mut reader, &mut builder, |reader, builder| {
        let (mut contract, mut amount, mut value) = (Scalar::Missing, Field::default(), Field::default());
        reader.object(|reader, key| {
            let scalar = reader.scalar()?;
            match key {
                b"contract_code" => contract = scalar,
                b"amount" => amount.set("amount", scalar),
                b"value" => value.set("value", scalar),
                _ => {}
            }
            Ok(())
        })?;
        if let Some(about) = builder.resolve(contract, instrument) {
            builder.record(&about, open_interest(amount, value, envelope));
        }
        Ok(())
    })?;
    builder.finish()
}

fn open_interest(amount: Field<'_>, value: Field<'_>, envelope: &Envelope<'_>) -> Result<Statement, Failure> {
    let no_value = Failure { reason: UnresolvedReason::NoValue, field: "amount" };
    let open_interest = amount.quantity()?.ok_or(no_value)?;
    let usd = value.price()?;
    let payload = OpenInterest { open_interest, unit: OpenInterestUnit::Base, open_interest_usd: usd };
    Ok((envelope.time()?, Payload::OpenInterest(payload)))
}

fn shares(
    kind: LongShortKind,
    period: Option<Period>,
    buy: Field<'_>,
    sell: Field<'_>,
    time: Scalar<'_>,
) -> Result<Statement, Failure> {
    let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
    let buy = buy.quantity()?.ok_or(no_value("buy_ratio"))?;
    let sell = sell.quantity()?.ok_or(no_value("sell_ratio"))?;
    let long_short = wire::long_short_of_shares(kind, period, buy, sell).ok_or(no_value("sell_ratio"))?;
    let time = time.millis().at("ts")?.ok_or(no_value("ts"))?;
    Ok((Some(time), Payload::LongShort(long_short)))
}

/// The symbol in `market.btcusdt.detail`.
fn channel_symbol(channel: Scalar<'_>) -> Option<&str> {
    std::str::from_utf8(channel.bytes()).ok()?.strip_prefix("market.")?.split('.').next()
}
