//! What several venues' decoders share: collecting an answer's entries so that each instrument asked for ends up answered or
//! unresolved, reading the fields of a ticker, a candle and a pair of shares, and taking hints from a path.

use std::collections::HashMap;

use smol_str::SmolStr;

use crossmarket_domain::instrument::ASSET_CODE_LEN_MAX;
use crossmarket_domain::observation::{LongShort, Ticker};
use crossmarket_domain::{
    AssetCode, Candle, CandleInterval, Decimal, Instrument, InstrumentKind, LongShortKind, Observation, Payload,
    Period, Timestamp,
};

use super::json::{FieldError, JsonError, Kind, Reader, Scalar};
use super::{Parsed, Unresolved, UnresolvedReason, VenueError};

/// Why an entry gives no observation, and the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub reason: UnresolvedReason,
    pub field: &'static str,
}

/// Names the field that a [`FieldError`] is about.
pub(super) trait At<T> {
    /// The same result with the field's name in the error.
    fn at(self, field: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, FieldError> {
    fn at(self, field: &'static str) -> Result<T, Failure> {
        self.map_err(|FieldError(reason)| Failure { reason, field })
    }
}

/// What an entry turned into: the venue's time and the statement.
pub(super) type Statement = (Option<Timestamp>, Payload);

/// An instrument that an entry is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    instrument: Instrument,
    asked_index: Option<usize>,
}

/// More than the entries of the longest list of a venue (Binance has about 3,500 symbols).
const OBSERVATIONS_RESERVED_MAX: usize = 4_096;

impl Subject {
    /// The instrument.
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }
}

/// Collects an answer's entries. With nothing asked everything is kept; otherwise only what was asked for, and
/// [`Gather::finish`] adds the instruments that stayed without an observation.
pub(super) struct Gather<'a> {
    asked: &'a [Instrument],
    by_symbol: HashMap<&'a str, usize>,
    by_pair: HashMap<(&'a str, &'a str), usize>,
    answered: Vec<bool>,
    failures: Vec<Option<Failure>>,
    parsed: Parsed,
}

impl<'a> Gather<'a> {
    /// Entries are matched to `asked` by their symbol.
    pub fn new(asked: &'a [Instrument]) -> Self {
        Self {
            asked,
            by_symbol: asked.iter().enumerate().map(|(index, asked)| (asked.symbol.as_str(), index)).collect(),
            by_pair: HashMap::new(),
            answered: vec![false; asked.len()],
            failures: vec![None; asked.len()],
            parsed: Parsed::default(),
        }
    }

    /// Entries are matched by their symbol, else by base and quote: the venue has several names for one instrument.
    pub fn by_pair(asked: &'a [Instrument]) -> Self {
        let pairs = asked.iter().enumerate().map(|(index, asked)| ((asked.base.as_str(), asked.quote.as_str()), index));
        Self { by_pair: pairs.collect(), ..Self::new(asked) }
    }

    /// Makes room for as many observations as an answer of that many entries gives, within reason.
    pub fn reserve(&mut self, entry_count_max: usize) {
        let count_max = if self.asked.is_empty() { OBSERVATIONS_RESERVED_MAX } else { self.asked.len() };
        self.parsed.observations.reserve(entry_count_max.min(count_max));
    }

    /// Whom the entry with this symbol is about, or `None` when it is to be passed over. `split` takes the symbol apart.
    pub fn subject(&mut self, symbol: Scalar<'_>, split: impl Fn(&str) -> Option<Instrument>) -> Option<Subject> {
        let text = match symbol {
            Scalar::Text(_) => symbol.text().filter(|text| !text.is_empty()),
            _ => None,
        };
        let Some(text) = text else {
            self.broken(symbol);
            return None;
        };
        if self.asked.is_empty() {
            let instrument = split(&text);
            if instrument.is_none() {
                self.unresolved(symbol.label(), UnresolvedReason::UnknownSymbol, "symbol");
            }
            return instrument.map(|instrument| Subject { instrument, asked_index: None });
        }
        let index = self.by_symbol.get(text.as_ref()).copied().or_else(|| {
            if self.by_pair.is_empty() {
                return None;
            }
            let found = split(&text).filter(|found| found.kind != InstrumentKind::Other)?;
            self.by_pair.get(&(found.base.as_str(), found.quote.as_str())).copied()
        })?;
        let instrument = self.asked.get(index)?.clone();
        Some(Subject { instrument, asked_index: Some(index) })
    }

    /// Whom a body is about that does not say it: the only instrument asked for, else the one that the path names.
    pub fn only_subject(&mut self, named: Option<&str>, split: impl Fn(&str) -> Option<Instrument>) -> Option<Subject> {
        if let [only] = self.asked {
            return Some(Subject { instrument: only.clone(), asked_index: Some(0) });
        }
        match named {
            Some(symbol) => self.subject(Scalar::Text(symbol.as_bytes()), split),
            None => {
                if self.asked.is_empty() {
                    self.unresolved(SmolStr::default(), UnresolvedReason::UnknownSymbol, "symbol");
                }
                None
            }
        }
    }

    /// [`Gather::only_subject`], except that where nothing tells whom a body is about it is about an instrument without a name, so
    /// that a recorded body can be read without its request.
    pub fn subject_of_path(
        &mut self,
        named: Option<&str>,
        split: impl Fn(&str) -> Option<Instrument>,
    ) -> Option<Subject> {
        if named.is_some() || !self.asked.is_empty() {
            return self.only_subject(named, split);
        }
        let nameless = SmolStr::default();
        let instrument = Instrument {
            kind: InstrumentKind::Other,
            ..Instrument::spot(nameless.clone(), nameless.clone(), nameless)
        };
        Some(Subject { instrument, asked_index: None })
    }

    /// Records what an entry turned into.
    pub fn settle(&mut self, subject: &Subject, statement: Result<Statement, Failure>) {
        match (statement, subject.asked_index) {
            (Ok((event_time, payload)), index) => {
                let instrument = subject.instrument.clone();
                self.parsed.observations.push(Observation { instrument, event_time, payload });
                if let Some(answered) = index.and_then(|index| self.answered.get_mut(index)) {
                    *answered = true;
                }
            }
            (Err(failure), None) => {
                self.unresolved(subject.instrument.symbol.clone(), failure.reason, failure.field);
            }
            (Err(failure), Some(index)) => {
                if let Some(slot) = self.failures.get_mut(index) {
                    slot.get_or_insert(failure);
                }
            }
        }
    }

    /// Records an entry that is not what the venue documents and does not say whom it is about.
    pub fn broken(&mut self, entry: Scalar<'_>) {
        if self.asked.is_empty() {
            self.unresolved(entry.label(), UnresolvedReason::Malformed, "symbol");
        }
    }

    /// What was collected, with the instruments asked for that stayed without an observation.
    pub fn finish(mut self) -> Parsed {
        for (index, asked) in self.asked.iter().enumerate() {
            // An instrument asked for twice counts once.
            let counts = self.by_symbol.get(asked.symbol.as_str()) == Some(&index);
            if counts && self.answered.get(index) == Some(&false) {
                let failure = self.failures.get(index).copied().flatten();
                let failure = failure.unwrap_or(Failure { reason: UnresolvedReason::NotAnswered, field: "" });
                self.unresolved(asked.symbol.clone(), failure.reason, failure.field);
            }
        }
        self.parsed
    }

    fn unresolved(&mut self, symbol: SmolStr, reason: UnresolvedReason, field: &'static str) {
        self.parsed.unresolved.push(Unresolved { symbol, reason, field });
    }
}

/// Calls `read` at each element that is an object; anything else is a broken entry.
pub(super) fn each_object<'b>(
    reader: &mut Reader<'b>,
    gather: &mut Gather<'_>,
    mut read: impl FnMut(&mut Reader<'b>, &mut Gather<'_>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    reader.array(|reader| {
        if reader.kind()? == Kind::Object {
            return read(reader, gather);
        }
        let entry = reader.scalar()?;
        gather.broken(entry);
        Ok(())
    })
}

/// A scalar with the key under which it stood.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a> {
    pub name: &'static str,
    pub value: Scalar<'a>,
}

impl<'a> Field<'a> {
    /// Takes the value unless another key has given one already.
    pub fn set(&mut self, name: &'static str, value: Scalar<'a>) {
        if self.value.is_absent() {
            *self = Self { name, value };
        }
    }

    pub fn price(self) -> Result<Option<Decimal>, Failure> {
        self.value.price().at(self.name)
    }

    pub fn quantity(self) -> Result<Option<Decimal>, Failure> {
        self.value.quantity().at(self.name)
    }
}

/// The scalars of a ticker entry, whatever the venue calls them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TickerEntry<'a> {
    pub last: Field<'a>,
    pub bid: Field<'a>,
    pub ask: Field<'a>,
    pub high: Field<'a>,
    pub low: Field<'a>,
    pub base_volume: Field<'a>,
    pub quote_volume: Field<'a>,
}

impl TickerEntry<'_> {
    /// The entry of a snapshot, which must have a last price.
    pub fn full(&self) -> Result<Ticker, Failure> {
        let ticker = self.read()?;
        if ticker.last_price.is_none() {
            return Err(Failure { reason: UnresolvedReason::NoValue, field: or_else(self.last.name, "last_price") });
        }
        Ok(ticker)
    }

    /// The entry of a stream, which must have any figure.
    pub fn partial(&self) -> Result<Ticker, Failure> {
        let ticker = self.read()?;
        if ticker == Ticker::default() {
            return Err(Failure { reason: UnresolvedReason::NoValue, field: self.price_field() });
        }
        Ok(ticker)
    }

    /// The field to name when there is no price: the venue's own key, if it sent one.
    pub fn price_field(&self) -> &'static str {
        or_else(self.last.name, "last_price")
    }

    fn read(&self) -> Result<Ticker, Failure> {
        Ok(Ticker {
            last_price: self.last.price()?,
            bid_price: self.bid.price()?,
            ask_price: self.ask.price()?,
            high_24h: self.high.price()?,
            low_24h: self.low.price()?,
            base_volume_24h: self.base_volume.quantity()?,
            quote_volume_24h: self.quote_volume.quantity()?,
        })
    }
}

fn or_else(name: &'static str, otherwise: &'static str) -> &'static str {
    if name.is_empty() { otherwise } else { name }
}

/// Which column of a candle row is what. The time is the candle's start in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandleColumns {
    pub time: usize,
    pub open: usize,
    pub high: usize,
    pub low: usize,
    pub close: usize,
    pub base_volume: usize,
    pub quote_volume: Option<usize>,
}

/// A candle row's first columns.
pub(super) type CandleRow<'a> = [Scalar<'a>; 8];

/// Reads an array of candle rows; an element that is no array becomes a row of compounds, which no column accepts.
pub(super) fn candle_rows<'b>(reader: &mut Reader<'b>) -> Result<Vec<CandleRow<'b>>, JsonError> {
    let mut rows = Vec::new();
    reader.array(|reader| {
        if reader.kind()? == Kind::Array {
            rows.push(reader.row()?);
        } else {
            reader.skip()?;
            rows.push([Scalar::Compound; 8]);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Settles each row. Without an interval none can be read, since a candle's length is not in the row.
pub(super) fn settle_candles(
    gather: &mut Gather<'_>,
    subject: &Subject,
    columns: CandleColumns,
    interval: Option<CandleInterval>,
    rows: &[CandleRow<'_>],
) {
    for row in rows {
        let statement = interval
            .ok_or(Failure { reason: UnresolvedReason::Malformed, field: "interval" })
            .and_then(|interval| candle(row, columns, interval));
        gather.settle(subject, statement);
    }
}

fn candle(row: &CandleRow<'_>, columns: CandleColumns, interval: CandleInterval) -> Result<Statement, Failure> {
    let column = |index: usize| row.get(index).copied().unwrap_or_default();
    let price =
        |index, field| column(index).price().at(field)?.ok_or(Failure { reason: UnresolvedReason::NoValue, field });
    let implausible = |field| Failure { reason: UnresolvedReason::Implausible, field };
    let start = column(columns.time).seconds().at("time")?;
    let start = start.ok_or(Failure { reason: UnresolvedReason::NoValue, field: "time" })?;
    if start.floor_to(interval.duration()) != start {
        return Err(implausible("time"));
    }
    let candle = Candle {
        start,
        open: price(columns.open, "open")?,
        high: price(columns.high, "high")?,
        low: price(columns.low, "low")?,
        close: price(columns.close, "close")?,
        base_volume: column(columns.base_volume).quantity().at("volume")?,
        quote_volume: match columns.quote_volume {
            Some(index) => column(index).quantity().at("turnover")?,
            None => None,
        },
    };
    if candle.high < candle.open.max(candle.close) {
        return Err(implausible("high"));
    }
    if candle.low > candle.open.min(candle.close) {
        return Err(implausible("low"));
    }
    Ok((Some(start), Payload::Candle(interval, candle)))
}

/// The candle interval of a body that does not say it: what the query's `key` says in the venue's words, else a word of a
/// recorded body's file name, else the rows' smallest distance.
pub(super) fn candle_interval(
    path: &str,
    key: &str,
    words: &[(&str, CandleInterval)],
    time_column: usize,
    rows: &[CandleRow<'_>],
) -> Option<CandleInterval> {
    let word = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, interval)| *interval);
    if let Some(text) = query_value(path, key) {
        return word(text);
    }
    if let Some(interval) = path_words(path).find_map(CandleInterval::parse) {
        return Some(interval);
    }
    let mut starts: Vec<i64> = rows.iter().filter_map(|row| row.get(time_column)?.integer().ok().flatten()).collect();
    starts.sort_unstable();
    starts.dedup();
    let distance = starts.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).min()?;
    CandleInterval::ALL.into_iter().find(|interval| i64::try_from(interval.duration().as_secs()) == Ok(distance))
}

/// Long and short from two shares, of which a part may be missing (locked): each is taken of their sum. `None` when a side
/// is 0, as no ratio exists then.
pub(super) fn long_short_of_shares(
    kind: LongShortKind,
    period: Option<Period>,
    long: Decimal,
    short: Decimal,
) -> Option<LongShort> {
    if !long.is_positive() || !short.is_positive() {
        return None;
    }
    let (long, short) = (long.to_f64(), short.to_f64());
    let sum = long + short;
    let ratio = long / short;
    normal_form(LongShort { kind, period, long_share: long / sum, short_share: short / sum, ratio })
}

/// Long and short from their ratio alone. `None` for 0, which venues write when there was nothing to compare.
pub(super) fn long_short_of_ratio(kind: LongShortKind, period: Option<Period>, ratio: Decimal) -> Option<LongShort> {
    let ratio = Some(ratio.to_f64()).filter(|ratio| ratio.is_finite() && *ratio > 0.0)?;
    let short_share = 1.0 / (1.0 + ratio);
    let long_share = ratio / (1.0 + ratio);
    normal_form(LongShort { kind, period, long_share, short_share, ratio })
}

/// A pair whose shares are above 0 and below 1; `None` when one side is so small that the other rounds to the whole.
fn normal_form(pair: LongShort) -> Option<LongShort> {
    let within = |share: f64| share > 0.0 && share < 1.0;
    let ratio_is_usable = pair.ratio.is_finite() && pair.ratio > 0.0;
    (ratio_is_usable && within(pair.long_share) && within(pair.short_share)).then_some(pair)
}

/// The value of a path's query parameter, as it stands there.
pub(super) fn query_value<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key)).map(|(_, value)| value)
}

/// The words of a path or of a recorded body's file name, parted at anything but letters, digits and hyphens.
pub(super) fn path_words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| !word.is_empty())
}

/// The words for the periods that most venues use, which are ours too.
pub(super) const COMMON_PERIODS: &[(&str, Period)] = &[
    ("5m", Period::FiveMinutes),
    ("15m", Period::FifteenMinutes),
    ("30m", Period::ThirtyMinutes),
    ("1h", Period::OneHour),
    ("4h", Period::FourHours),
    ("1d", Period::OneDay),
];

/// The period that the query's `key` or a word of a file name gives, in the venue's words.
pub(super) fn period_in_path(path: &str, key: &str, words: &[(&str, Period)]) -> Option<Period> {
    let word = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, period)| *period);
    query_value(path, key).and_then(word).or_else(|| path_words(path).find_map(word))
}

/// A symbol as it may stand in a URL.
pub(super) fn url_encoded(symbol: &str) -> String {
    url::form_urlencoded::byte_serialize(symbol.as_bytes()).collect()
}

/// The spot instrument of that symbol, its assets in upper case; a leveraged token becomes [`InstrumentKind::Other`]. `None`
/// when base or quote cannot be an asset's code.
pub(super) fn spot_instrument(symbol: &str, base: &str, quote: &str) -> Option<Instrument> {
    let kind = if is_leveraged(base) { InstrumentKind::Other } else { InstrumentKind::Spot };
    instrument(symbol, base, quote, kind, 1)
}

/// A derivative of that symbol, its multiplier taken off the base.
pub(super) fn derivative(symbol: &str, base: &str, quote: &str, kind: InstrumentKind) -> Option<Instrument> {
    let (base, multiplier) = super::symbols::split_multiplier(base);
    instrument(symbol, &base, quote, kind, multiplier)
}

fn instrument(symbol: &str, base: &str, quote: &str, kind: InstrumentKind, multiplier: u32) -> Option<Instrument> {
    Some(Instrument {
        symbol: SmolStr::new(symbol),
        base: asset_code(base)?,
        quote: asset_code(quote)?,
        kind,
        multiplier,
    })
}

/// An asset's code in upper case, `None` when it cannot be one.
fn asset_code(text: &str) -> Option<SmolStr> {
    // Nearly every code is plain, and a list has thousands of them.
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if (1..=ASSET_CODE_LEN_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Some(SmolStr::new(text));
    }
    AssetCode::parse(text).map(|code| SmolStr::new(code.as_str()))
}

/// Assets whose `…UP` and `…DOWN` tokens exist: the endings alone would catch `JUP` and `SYRUP`.
const UP_DOWN_ASSETS: &[&str] = &[
    "BTC", "ETH", "BNB", "XRP", "ADA", "LTC", "DOT", "LINK", "EOS", "TRX", "XLM", "XTZ", "UNI", "FIL", "SUSHI", "YFI",
    "AAVE", "BCH", "SXP", "DOGE", "SOL", "ATOM", "AVAX", "NEAR", "VET", "MATIC", "APT", "SAND", "AXS",
];

/// True for `BTC3L`, `ETH5S`, `BTCUP`: tokens that follow a multiple of an asset's moves, not its price.
pub(super) fn is_leveraged(base: &str) -> bool {
    if !base.ends_with(['P', 'p', 'N', 'n', 'L', 'l', 'S', 's']) {
        return false;
    }
    let base = base.to_ascii_uppercase();
    let up_down = base.strip_suffix("UP").or_else(|| base.strip_suffix("DOWN"));
    if up_down.is_some_and(|asset| UP_DOWN_ASSETS.contains(&asset)) {
        return true;
    }
    let Some(factor) = base.strip_suffix(['L', 'S']) else { return false };
    let Some(asset) = factor.strip_suffix(['1', '2', '3', '4', '5']) else { return false };
    asset.len() >= 2
        && asset.starts_with(|c: char| c.is_ascii_alphabetic())
        && !asset.ends_with(|c: char| c.is_ascii_digit())
}

/// A venue's error code as it may stand in a text of ours: at most 48 plain characters of it.
pub(super) fn plain_code(code: Scalar<'_>) -> SmolStr {
    let text = code.text().unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | ' ');
    let code: SmolStr = text.chars().filter(plain).take(48).collect();
    if code.is_empty() { SmolStr::new_static("unnamed") } else { code }
}

/// A refusal with the venue's error code.
pub(super) fn rejected(code: Scalar<'_>) -> VenueError {
    VenueError::Rejected(smol_str::format_smolstr!("venue error {}", plain_code(code)))
}

/// A passing trouble with the venue's error code.
pub(super) fn transient(code: Scalar<'_>) -> VenueError {
    VenueError::Transient(smol_str::format_smolstr!("venue error {}", plain_code(code)))
}

/// The answer when a venue is asked to read a feed that it has not.
pub(super) fn no_such_feed() -> VenueError {
    VenueError::Rejected(SmolStr::new_static("the venue does not have this feed"))
}

/// The answer when the part of a body that holds the data is missing.
pub(super) fn without(part: &'static str) -> VenueError {
    VenueError::Malformed(smol_str::format_smolstr!("the answer has no {part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a number")
    }

    #[test]
    fn knows_leveraged_tokens() {
        for base in ["BTC3L", "eth5s", "BTC1S", "BTCUP", "SOLDOWN", "DOGE2L"] {
            assert!(is_leveraged(base), "{base}");
        }
        for base in ["JUP", "SYRUP", "BTC", "SOL", "A3S", "SOLS", "1INCH", "UP", "L3", "C98L"] {
            assert!(!is_leveraged(base), "{base}");
        }
    }

    #[test]
    fn takes_hints_from_paths() {
        let path = "/x/candles?granularity=300&symbol=BTC-USD";
        assert_eq!(query_value(path, "granularity"), Some("300"));
        assert_eq!(query_value(path, "ranularity"), None);
        assert_eq!(query_value("no_query", "symbol"), None);
        assert_eq!(path_words("rest/a_1h_BTC-USD.json").collect::<Vec<_>>(), ["rest", "a", "1h", "BTC-USD", "json"]);
    }

    #[test]
    fn turns_shares_and_ratios_into_the_normal_form() {
        let kind = LongShortKind::GlobalAccount;
        let both = long_short_of_shares(kind, None, decimal("0.48"), decimal("0.32")).expect("a ratio");
        assert!((both.long_share - 0.6).abs() < 1e-12 && (both.short_share - 0.4).abs() < 1e-12);
        assert!((both.ratio - 1.5).abs() < 1e-12);
        let one = long_short_of_ratio(kind, None, decimal("3")).expect("a ratio");
        assert_eq!((one.long_share, one.short_share, one.ratio), (0.75, 0.25, 3.0));
        assert_eq!(long_short_of_ratio(kind, None, Decimal::ZERO), None);
        assert_eq!(long_short_of_shares(kind, None, Decimal::ONE, Decimal::ZERO), None);
        let (tiny, huge) = (decimal("0.00000000000000000001"), decimal("100000000000000000000"));
        assert_eq!(long_short_of_shares(kind, None, tiny, Decimal::ONE), None);
        assert_eq!(long_short_of_shares(kind, None, Decimal::ONE, tiny), None);
        assert_eq!(long_short_of_ratio(kind, None, tiny), None);
        assert_eq!(long_short_of_ratio(kind, None, huge), None);
    }

    #[test]
    fn finds_the_interval_of_rows() {
        let rows = candle_rows(&mut Reader::new(b"[[7200,1],[3600,1],[\"0\"],3]")).expect("rows");
        let words = [("60", CandleInterval::OneHour)];
        assert_eq!(candle_interval("", "interval", &words, 0, &rows), Some(CandleInterval::OneHour));
        assert_eq!(candle_interval("/c?interval=60", "interval", &words, 0, &[]), Some(CandleInterval::OneHour));
        assert_eq!(candle_interval("/c?interval=7", "interval", &words, 0, &rows), None);
        assert_eq!(candle_interval("a_5m.json", "interval", &words, 0, &rows), Some(CandleInterval::FiveMinutes));
        assert_eq!(candle_interval("", "interval", &words, 0, &[]), None);
    }

    #[test]
    fn answers_each_instrument_asked_for_once() {
        let spot = |symbol: &str| Instrument::spot(symbol, "BTC", "USD");
        let asked = [spot("A"), spot("B"), spot("C"), spot("A")];
        let mut gather = Gather::new(&asked);
        let statement = || Ok((None, Payload::Ticker(Ticker::default())));
        let failure = Failure { reason: UnresolvedReason::NoValue, field: "last" };
        for (symbol, outcome) in [("A", Err(failure)), ("A", statement()), ("B", Err(failure)), ("Z", statement())] {
            if let Some(subject) = gather.subject(Scalar::Text(symbol.as_bytes()), |_| None) {
                gather.settle(&subject, outcome);
            }
        }
        gather.broken(Scalar::Null);
        let parsed = gather.finish();
        assert_eq!(parsed.observations.len(), 1);
        let unresolved: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.symbol.as_str(), entry.reason)).collect();
        assert_eq!(unresolved, [("B", UnresolvedReason::NoValue), ("C", UnresolvedReason::NotAnswered)]);
    }
}
