//! HTX: spot, the long and short shares of its top traders ("elite accounts") in swaps, and the swaps' open interest.
//!
//! Documentation: <https://www.htx.com/en-us/opend/newApiPages/>. Bodies come as `{"status":"ok","ts":…,"data":…}`; figures are
//! JSON numbers, in scientific notation too.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, Timestamp, VenueId};

use super::gather::{
    self, At, Failure, Field, Gather, Statement, TickerEntry, derivative, each_object, plain_code, query_value,
    spot_instrument, url_encoded,
};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue,
    UnresolvedReason, Venue, VenueError, status, symbols,
};

/// HTX spot and swaps.
#[derive(Clone, Copy, Debug)]
pub struct Htx;

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

/// Takes apart a spot symbol (`btcusdt`), a swap's contract code (`BTC-USDT`, `BTC-USD`), a dated future's
/// (`BTC-USDT-260327`, `BTC260327`), or the coin of the coin-margined futures taken together (`BTC`).
fn instrument(symbol: &str) -> Option<Instrument> {
    if symbol.contains('-') {
        let (pair, is_dated) = match symbol.splitn(3, '-').count() {
            2 => (symbol, false),
            _ => (symbol.rsplit_once('-')?.0, true),
        };
        let (base, quote) = symbols::split_at(pair, '-')?;
        let kind = match quote {
            _ if is_dated => InstrumentKind::Other,
            "USD" => InstrumentKind::PerpetualInverse,
            _ => InstrumentKind::PerpetualLinear,
        };
        return derivative(symbol, base, quote, kind);
    }
    let upper = symbol.to_ascii_uppercase();
    if let Some((base, quote)) = symbols::split_joined(&upper) {
        return spot_instrument(symbol, base, quote);
    }
    let coin = symbol.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_coin =
        coin == upper.trim_end_matches(|c: char| c.is_ascii_digit()) && coin.bytes().all(|b| b.is_ascii_uppercase());
    if is_coin { derivative(symbol, coin, "USD", InstrumentKind::Other) } else { None }
}

/// A swap's contract code for an instrument under any of its names.
fn contract_code(asked: &Instrument) -> String {
    if asked.symbol.contains('-') { asked.symbol.to_string() } else { format!("{}-{}", asked.base, asked.quote) }
}

const LIMITS: &[RateLimit] = &[
    RateLimit { scope: MARKET, limit: 10, window: Duration::from_secs(1) },
    RateLimit { scope: SWAP_REFERENCE, limit: 240, window: Duration::from_secs(3) },
];

impl Venue for Htx {
    fn id(&self) -> VenueId {
        VenueId("htx")
    }

    fn about(&self) -> About {
        About {
            title: "HTX",
            documentation_url: "https://www.htx.com/en-us/opend/newApiPages/",
            terms_url: "https://www.htx.com/support/360000298561",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::LongShortRatios, Feed::OpenInterest]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.huobi.pro"
    }

    fn limits(&self) -> &'static [RateLimit] {
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        spot_instrument(&format!("{base}{quote}").to_ascii_lowercase(), base, quote)
    }

    fn long_short_kinds(&self) -> &'static [LongShortKind] {
        &[LongShortKind::TopTraderAccount, LongShortKind::TopTraderPosition]
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => {
                let path = match asked {
                    [only] => format!("/market/detail/merged?symbol={}", url_encoded(&only.symbol)),
                    _ => "/market/tickers".to_owned(),
                };
                vec![Request { path, host: None, scope: MARKET, weight: 1, asked: asked.to_vec() }]
            }
            Feed::LongShortRatios => {
                let period = options.period.unwrap_or(Period::FiveMinutes);
                let period = PERIODS.iter().find(|(_, known)| *known == period).map_or("5min", |(word, _)| word);
                let request = |asked: &Instrument, name: &str| Request {
                    path: format!(
                        "/{}/v1/{name}?contract_code={}&period={period}",
                        if asked.quote == "USD" { "swap-api" } else { "linear-swap-api" },
                        url_encoded(&contract_code(asked)),
                    ),
                    host: Some(SWAP_HOST),
                    scope: SWAP_REFERENCE,
                    weight: 1,
                    asked: vec![asked.clone()],
                };
                let both = ["swap_elite_account_ratio", "swap_elite_position_ratio"];
                asked.iter().flat_map(|asked| both.map(|name| request(asked, name))).collect()
            }
            Feed::OpenInterest => open_interest_requests(asked),
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        let envelope = Envelope::read(&response.body)?;
        envelope.check()?;
        match feed {
            Feed::Tickers => parse_tickers(asked, response, &envelope),
            Feed::LongShortRatios => parse_shares(asked, response, &envelope),
            Feed::OpenInterest => parse_open_interest(asked, &envelope),
            _ => Err(gather::no_such_feed()),
        }
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// One request for all swaps margined in dollars when nothing is asked; else one for each swap.
fn open_interest_requests(asked: &[Instrument]) -> Vec<Request> {
    let request = |path, asked| Request { path, host: Some(SWAP_HOST), scope: SWAP_REFERENCE, weight: 1, asked };
    if asked.is_empty() {
        return vec![request("/linear-swap-api/v1/swap_open_interest".to_owned(), Vec::new())];
    }
    let path = |asked: &Instrument| {
        let api = if asked.quote == "USD" { "swap-api" } else { "linear-swap-api" };
        format!("/{api}/v1/swap_open_interest?contract_code={}", url_encoded(&contract_code(asked)))
    };
    asked.iter().map(|asked| request(path(asked), vec![asked.clone()])).collect()
}

/// What every body and frame has around its data.
#[derive(Default)]
struct Envelope<'a> {
    status: Scalar<'a>,
    time: Scalar<'a>,
    channel: Scalar<'a>,
    code: Scalar<'a>,
    ping: Scalar<'a>,
    subscribed: Scalar<'a>,
    id: Scalar<'a>,
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
                b"ping" => envelope.ping = value,
                b"subbed" => envelope.subscribed = value,
                b"id" => envelope.id = value,
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
                Err(gather::transient(self.code))
            }
            (b"error", _) => Err(gather::rejected(self.code)),
            _ => Err(gather::without("status")),
        }
    }

    fn time(&self) -> Result<Option<Timestamp>, Failure> {
        self.time.millis().at("ts")
    }
}

/// `[{"symbol":"btcusdt","open":2,"high":2.3,"low":1.8,"close":2.05,"amount":9,"vol":1.8E1,"bid":2.0,"ask":2.1}]`, or one entry
/// without a symbol and with `"bid":[price,quantity]` (`/market/detail/merged`). `amount` is in the base asset.
fn parse_tickers(asked: &[Instrument], response: &Response, envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let mut gather = Gather::new(asked);
    let mut reader = Reader::new(envelope.data.ok_or(gather::without("data"))?);
    if reader.kind()? == Kind::Array {
        each_object(&mut reader, &mut gather, |reader, gather| {
            let entry = Entry::read(reader)?;
            if let Some(subject) = gather.subject(entry.symbol, instrument) {
                gather.settle(&subject, entry.ticker(envelope));
            }
            Ok(())
        })?;
        return Ok(gather.finish());
    }
    let entry = Entry::read(&mut reader)?;
    let subject = match channel_symbol(envelope.channel) {
        Some(symbol) => gather.subject(Scalar::Text(symbol.as_bytes()), instrument),
        None => gather.only_subject(query_value(&response.path, "symbol"), instrument),
    };
    if let Some(subject) = subject {
        gather.settle(&subject, entry.ticker(envelope));
    }
    Ok(gather.finish())
}

#[derive(Default)]
struct Entry<'a> {
    symbol: Scalar<'a>,
    quote_time: Scalar<'a>,
    figures: TickerEntry<'a>,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut entry = Self::default();
        reader.object(|reader, key| {
            let figures = &mut entry.figures;
            match key {
                b"symbol" => entry.symbol = reader.scalar()?,
                b"quoteTime" => entry.quote_time = reader.scalar()?,
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

    fn stream_ticker(&self, envelope: &Envelope<'_>) -> Result<Statement, Failure> {
        let time = match self.quote_time.millis().at("quoteTime")? {
            None => envelope.time()?,
            quote_time => quote_time,
        };
        Ok((time, Payload::Ticker(self.figures.partial()?)))
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
/// Accounts with both sides are locked, so the sides alone do not add to 1 and each is taken of their sum.
fn parse_shares(asked: &[Instrument], response: &Response, envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let (mut symbol, mut contract_code) = (Scalar::Missing, Scalar::Missing);
    let mut rows: Option<&[u8]> = None;
    Reader::new(envelope.data.ok_or(gather::without("data"))?).object(|reader, key| {
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
    let rows = rows.ok_or(gather::without("list"))?;
    let kind = if response.path.contains("elite_position") {
        LongShortKind::TopTraderPosition
    } else {
        LongShortKind::TopTraderAccount
    };
    let period = gather::period_in_path(&response.path, "period", PERIODS);
    // A spot instrument asked for is answered by the swap of its pair.
    let mut gather = Gather::by_pair(asked);
    let is_the_coin_asked = matches!(asked, [only] if only.quote == "USD" && only.base.as_bytes() == symbol.bytes());
    let subject = if !contract_code.is_absent() {
        gather.subject(contract_code, instrument)
    } else if !symbol.is_absent() && !is_the_coin_asked {
        gather.subject(symbol, instrument)
    } else {
        let in_path = query_value(&response.path, "contract_code").or(query_value(&response.path, "symbol"));
        gather.only_subject(in_path, instrument)
    };
    let Some(subject) = subject else { return Ok(gather.finish()) };
    each_object(&mut Reader::new(rows), &mut gather, |reader, gather| {
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
        gather.settle(&subject, shares(kind, period, buy, sell, time));
        Ok(())
    })?;
    Ok(gather.finish())
}

/// `[{"contract_code":"BTC-USDT","symbol":"BTC","volume":1234,"amount":1.234,"value":61700}]`: contracts, units of the asset and, of a
/// swap margined in dollars, dollars. A coin-margined swap has no `value`, and counts contracts of some dollars each.
fn parse_open_interest(asked: &[Instrument], envelope: &Envelope<'_>) -> Result<Parsed, VenueError> {
    let mut gather = Gather::by_pair(asked);
    let mut reader = Reader::new(envelope.data.ok_or(gather::without("data"))?);
    each_object(&mut reader, &mut gather, |reader, gather| {
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
        if let Some(subject) = gather.subject(contract, instrument) {
            gather.settle(&subject, open_interest(amount, value, envelope));
        }
        Ok(())
    })?;
    Ok(gather.finish())
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
    let long_short = gather::long_short_of_shares(kind, period, buy, sell).ok_or(no_value("sell_ratio"))?;
    let time = time.millis().at("ts")?.ok_or(no_value("ts"))?;
    Ok((Some(time), Payload::LongShort(long_short)))
}

/// The symbol in `market.btcusdt.detail`.
fn channel_symbol(channel: Scalar<'_>) -> Option<&str> {
    std::str::from_utf8(channel.bytes()).ok()?.strip_prefix("market.")?.split('.').next()
}

impl StreamingVenue for Htx {
    fn ws_url(&self) -> &'static str {
        "wss://api.huobi.pro"
    }

    /// Frames on the wire are compressed with gzip.
    fn connects(&self) -> bool {
        false
    }

    fn path(&self) -> &'static str {
        "/ws"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Answer,
            instruments_max: 100,
            messages_per_second_max: 10,
        }
    }

    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |asked: &Instrument| {
            let channel = format!("market.{}.detail", asked.symbol);
            serde_json::json!({"sub": channel, "id": asked.symbol.as_str()}).to_string()
        };
        asked.iter().map(frame).collect()
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let envelope = Envelope::read(frame)?;
        if !envelope.ping.is_absent() {
            let number = envelope.ping.integer().ok().flatten().ok_or(gather::without("ping"))?;
            return Ok(Frame::Reply(format!(r#"{{"pong":{number}}}"#)));
        }
        if envelope.status.bytes() == b"error" {
            return Ok(Frame::Refused { symbol: envelope.id.label(), reason: plain_code(envelope.code) });
        }
        if !envelope.subscribed.is_absent() {
            return Ok(Frame::Subscribed);
        }
        let channel = envelope.channel.bytes();
        let is_ticker = [&b".detail"[..], b".bbo", b".ticker"].iter().any(|ending| channel.ends_with(ending));
        let (true, Some(data)) = (is_ticker, envelope.data) else { return Ok(Frame::Ignored) };
        let mut reader = Reader::new(data);
        let mut gather = Gather::new(&[]);
        let symbol = channel_symbol(envelope.channel).map_or(Scalar::Missing, |symbol| Scalar::Text(symbol.as_bytes()));
        if reader.kind()? != Kind::Object {
            gather.broken(symbol);
        } else {
            let entry = Entry::read(&mut reader)?;
            if let Some(subject) = gather.subject(symbol, instrument) {
                gather.settle(&subject, entry.stream_ticker(&envelope));
            }
        }
        Ok(Frame::Data(gather.finish()))
    }
}
