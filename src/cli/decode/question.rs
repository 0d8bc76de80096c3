//! The question that a recorded answer answers: from flags, and from a file beside the recording.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde::Deserialize;

use crate::cli::error::CliError;
use crossmarket_domain::{CandleInterval, Feed, LongShortKind, Period};
use crossmarket_venues::{self as venues, Ask, REGISTRY, Venue};

/// Longest file beside a recording, in bytes.
const BESIDE_LEN_MAX: u64 = 4_096;

/// A question in words. Each part may come from a flag or from the file beside the recording.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The venue's id, such as binance-usdm.
    #[arg(long, value_name = "ID")]
    pub venue: Option<String>,
    /// What kind of data it is.
    #[arg(long, value_name = "FEED")]
    pub feed: Option<String>,
    /// Only this instrument, by the venue's own symbol. Needed where an answer does not name its instrument.
    #[arg(long, value_name = "SYMBOL")]
    pub instrument: Option<String>,
    /// The candles' length: 5m, 1h or 1d.
    #[arg(long, value_name = "LENGTH")]
    pub interval: Option<String>,
    /// The ratios' period: 5m, 15m, 30m, 1h, 4h or 1d.
    #[arg(long, value_name = "LENGTH")]
    pub period: Option<String>,
    /// Which accounts or positions the ratios count, such as global-account or taker-volume. Needed where an answer does not say it.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// The category whose members are listed, by the venue's id.
    #[arg(long, value_name = "ID")]
    pub category: Option<String>,
}

impl Question {
    /// Reads `FILE.ask.json`; no file is an empty question.
    pub(super) fn beside(file: &Path) -> Result<Self, CliError> {
        if file == Path::new("-") {
            return Ok(Self::default());
        }
        let mut name = OsString::from(file);
        name.push(".ask.json");
        let path = Path::new(&name);
        let failed = |reason: String| CliError::Failed(format!("{}: {reason}", path.display()));
        match std::fs::metadata(path) {
            Err(_) => return Ok(Self::default()),
            Ok(found) if found.len() > BESIDE_LEN_MAX => {
                return Err(failed(format!("longer than {BESIDE_LEN_MAX} bytes")));
            }
            Ok(_) => {}
        }
        let text = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
    }

    /// This question, completed by another.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            venue: self.venue.or(other.venue),
            feed: self.feed.or(other.feed),
            instrument: self.instrument.or(other.instrument),
            interval: self.interval.or(other.interval),
            period: self.period.or(other.period),
            kind: self.kind.or(other.kind),
            category: self.category.or(other.category),
        }
    }

    /// The venue and what it was asked for.
    pub(crate) fn resolve(&self, is_stream: bool) -> Result<(&'static dyn Venue, Ask), CliError> {
        let venue = venue(given("venue", self.venue.as_deref())?)?;
        let feed = feed(venue, given("feed", self.feed.as_deref())?, is_stream)?;
        let instrument = self.instrument.as_deref().map(|symbol| {
            venue.instrument(symbol).ok_or_else(|| {
                let example = venue.listing("BTC", "USDT").or_else(|| venue.listing("BTC", "USD"));
                let example = example.map(|listing| format!(", such as {}", listing.symbol)).unwrap_or_default();
                let id = venue.id();
                CliError::Usage(format!("{symbol:?} is no symbol of {id}; expected its own spelling{example}"))
            })
        });
        let kind = |text: &str| LongShortKind::ALL.into_iter().find(|kind| kind.series_word() == text);
        let kinds = LongShortKind::ALL.map(LongShortKind::series_word).join(", ");
        let ask = Ask {
            interval: word("interval", self.interval.as_deref(), CandleInterval::parse, "5m, 1h, 1d")?,
            period: word("period", self.period.as_deref(), Period::parse, "5m, 15m, 30m, 1h, 4h, 1d")?,
            kind: word("kind", self.kind.as_deref(), kind, &kinds)?,
            category: self.category.as_deref().map(Into::into),
            reports_every_entry: true,
            ..Ask::about(feed, instrument.transpose()?.into_iter().collect::<Vec<_>>())
        };
        Ok((venue, ask))
    }
}

fn given<'a>(flag: &str, value: Option<&'a str>) -> Result<&'a str, CliError> {
    value.ok_or_else(|| CliError::Usage(format!("--{flag} is needed, or FILE.ask.json with a {flag}")))
}

fn word<T>(
    flag: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    known: &str,
) -> Result<Option<T>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let unknown = || CliError::Usage(format!("--{flag} {text:?} is unknown; expected one of {known}"));
    parse(text).map(Some).ok_or_else(unknown)
}

fn venue(id: &str) -> Result<&'static dyn Venue, CliError> {
    venues::find(id).ok_or_else(|| {
        let known: Vec<&str> = REGISTRY.iter().map(|venue| venue.id().as_str()).collect();
        CliError::Usage(format!("unknown venue {id:?}; venues: {}", known.join(", ")))
    })
}

fn feed(venue: &dyn Venue, name: &str, is_stream: bool) -> Result<Feed, CliError> {
    let has = |feed: Feed| venue.profile().feed(feed).is_some() || (is_stream && feed == Feed::Tickers);
    Feed::parse(name).filter(|feed| has(*feed)).ok_or_else(|| {
        let known: Vec<&str> = Feed::ALL.into_iter().filter(|feed| has(*feed)).map(Feed::as_str).collect();
        CliError::Usage(format!("{} has no feed {name:?}; its feeds: {}", venue.id(), known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let beside: Question =
            serde_json::from_str(r#"{"venue":"okx","feed":"candles","instrument":"BTC-USDT","interval":"1h"}"#)
                .expect("a question");
        let flags = Question { interval: Some("5m".to_owned()), ..Question::default() };
        let (venue, ask) = flags.or(beside).resolve(false).expect("complete");
        assert_eq!((venue.id().as_str(), ask.feed), ("okx", Feed::Candles));
        assert_eq!(ask.interval, Some(CandleInterval::FiveMinutes));
        assert_eq!(ask.instruments[0].symbol, "BTC-USDT");
    }

    #[test]
    fn an_unknown_word_is_named_with_its_flag() {
        let question = Question {
            venue: Some("okx".to_owned()),
            feed: Some("long-short-ratios".to_owned()),
            kind: Some("everyone".to_owned()),
            ..Question::default()
        };
        let error = question.resolve(false).err().expect("refused").to_string();
        assert!(error.contains("--kind") && error.contains("top-trader-account"), "{error}");
        let error = Question::default().resolve(false).err().expect("refused").to_string();
        assert!(error.contains("--venue"), "{error}");
    }
}
