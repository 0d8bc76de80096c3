//! `decode`: prints what a venue's recorded answer, or recorded stream messages, mean.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use super::table::printable;
use crossmarket_domain::{Feed, Instrument, Observation};
use crossmarket_venues::{self as venues, Frame, REGISTRY, Response, Unresolved, UnresolvedReason, Venue, envelope};

mod observation;

use observation::{feed_of, observation_json};

/// Maximum length of an answer, and of a stream message, in bytes.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Prints what a venue's recorded answer means: one JSON observation per line; problems on standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
FEED is one of tickers, candles, long-short-ratios, open-interest, market-caps, index-levels, categories.
Exit code: 0 when all could be read, 1 when anything was malformed or the venue refused, 2 for an unknown venue, feed or instrument.

Examples:
  crossmarket decode --venue binance --feed tickers ticker_24hr.json
  crossmarket decode --venue bybit --feed candles --instrument BTCUSDT kline.json
  curl -s URL | crossmarket decode --venue kraken --feed tickers -
  crossmarket decode --venue okx --feed tickers --stream frames.jsonl")]
pub(super) struct DecodeArguments {
    /// The venue's id, such as binance-usdm.
    #[arg(long, value_name = "ID")]
    venue: String,
    /// The kind of data.
    #[arg(long, value_name = "FEED")]
    feed: String,
    /// Only this instrument, by the venue's own symbol. Needed where an answer does not name its instrument.
    #[arg(long, value_name = "SYMBOL")]
    instrument: Option<String>,
    /// The input is WebSocket messages, one per line, bare or in a recording's envelope ({"recv_ts": …, "msg": …}).
    #[arg(long)]
    stream: bool,
    /// The HTTP status of the answer.
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "stream")]
    status: u16,
    /// The recording; - reads standard input.
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

/// The resolved arguments.
struct Asked {
    venue: &'static dyn Venue,
    feed: Feed,
    instrument: Option<Instrument>,
}

/// Whether everything was readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Malformed,
}

pub(super) fn run(arguments: &DecodeArguments) -> Result<(), CliError> {
    let asked = resolve(arguments)?;
    let input = open(&arguments.file)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let verdict = if arguments.stream {
        decode_stream(&asked, BufReader::new(input), &mut out)
    } else {
        decode_answer(&asked, arguments, input, &mut out)
    }?;
    out.flush()?;
    if verdict == Verdict::Clean { Ok(()) } else { Err(CliError::AlreadyTold) }
}

fn resolve(arguments: &DecodeArguments) -> Result<Asked, CliError> {
    let venue = venues::find(&arguments.venue).ok_or_else(|| {
        let known: Vec<&str> = REGISTRY.iter().map(|venue| venue.id().as_str()).collect();
        CliError::Usage(format!("unknown venue {:?}; venues: {}", arguments.venue, known.join(", ")))
    })?;
    let has = |feed: Feed| {
        venue.feeds().contains(&feed) || (arguments.stream && feed == Feed::Tickers && venue.stream().is_some())
    };
    let feed = Feed::parse(&arguments.feed).filter(|feed| has(*feed)).ok_or_else(|| {
        let known: Vec<&str> = Feed::ALL.into_iter().filter(|feed| has(*feed)).map(Feed::as_str).collect();
        let id = venue.id();
        CliError::Usage(format!("{id} has no feed {:?}; its feeds: {}", arguments.feed, known.join(", ")))
    })?;
    if arguments.stream && venue.stream().is_none() {
        return Err(CliError::Usage(format!("{} has no stream to decode", venue.id())));
    }
    let instrument = match &arguments.instrument {
        Some(symbol) => Some(venue.instrument(symbol).ok_or_else(|| {
            let example = venue.listing("BTC", "USDT").or_else(|| venue.listing("BTC", "USD"));
            let example = example.map(|listing| format!(", such as {}", listing.symbol)).unwrap_or_default();
            CliError::Usage(format!("{symbol:?} is not a symbol of {}; expected its own spelling{example}", venue.id()))
        })?),
        None => None,
    };
    Ok(Asked { venue, feed, instrument })
}

fn open(path: &Path) -> Result<Box<dyn Read>, CliError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = std::fs::File::open(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    Ok(Box::new(file))
}

fn decode_answer(
    asked: &Asked,
    arguments: &DecodeArguments,
    input: impl Read,
    out: &mut impl Write,
) -> Result<Verdict, CliError> {
    let mut body = Vec::new();
    input
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut body)
        .map_err(|source| CliError::Read { path: arguments.file.clone(), source })?;
    if body.len() as u64 > INPUT_BYTES_MAX {
        return Err(CliError::Failed(format!("the answer is longer than {INPUT_BYTES_MAX} bytes")));
    }
    let name = arguments.file.file_name().filter(|_| arguments.file != Path::new("-"));
    let response = Response {
        status: arguments.status,
        path: name.map(OsStr::to_string_lossy).unwrap_or_default().into_owned(),
        body: body.into(),
        ..Default::default()
    };
    let instruments: Vec<Instrument> = asked.instrument.iter().cloned().collect();
    let parsed = asked
        .venue
        .parse(asked.feed, &instruments, &response)
        .map_err(|error| CliError::Failed(printable(&error.to_string())))?;
    print(asked, &parsed.observations, out)?;
    Ok(tell(&parsed.unresolved, None))
}

/// Prints the observations of the feed asked for (and the instrument, if one was).
fn print(asked: &Asked, observations: &[Observation], out: &mut impl Write) -> io::Result<()> {
    let wanted = |observation: &&Observation| {
        let instrument = asked.instrument.as_ref();
        feed_of(&observation.payload) == asked.feed
            && instrument.is_none_or(|instrument| instrument.symbol == observation.instrument.symbol)
    };
    for observation in observations.iter().filter(wanted) {
        writeln!(out, "{}", observation_json(asked.venue.id(), observation))?;
    }
    Ok(())
}

/// Reports what could not be read, one line each. An entry without a value, or with a symbol that cannot be split, is not a fault.
fn tell(unresolved: &[Unresolved], line: Option<u64>) -> Verdict {
    let mut verdict = Verdict::Clean;
    for entry in unresolved {
        let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let field = if entry.field.is_empty() { String::new() } else { format!(" (field {})", entry.field) };
        eprintln!("{at}{}: {}{field}", printable(&entry.symbol), entry.reason.as_str());
        if !matches!(entry.reason, UnresolvedReason::NoValue | UnresolvedReason::UnknownSymbol) {
            verdict = Verdict::Malformed;
        }
    }
    verdict
}

fn decode_stream(asked: &Asked, mut input: impl BufRead, out: &mut impl Write) -> Result<Verdict, CliError> {
    let Some(stream) = asked.venue.stream() else { return Ok(Verdict::Clean) };
    let mut verdict = Verdict::Clean;
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if (&mut input).take(INPUT_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 >= INPUT_BYTES_MAX {
            return Err(CliError::Failed(format!("line {number} is longer than {INPUT_BYTES_MAX} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let told = match stream.parse_frame(envelope::open(line.trim_ascii()).message.trim_ascii()) {
            Ok(Frame::Data(parsed)) => {
                print(asked, &parsed.observations, out)?;
                tell(&parsed.unresolved, Some(number))
            }
            Ok(Frame::Refused { symbol, reason }) => {
                eprintln!("line {number}: {}: subscription refused: {}", printable(&symbol), printable(&reason));
                Verdict::Clean
            }
            Ok(Frame::Alive | Frame::Subscribed | Frame::Reply(_) | Frame::Closing | Frame::Ignored) => Verdict::Clean,
            Err(error) => {
                eprintln!("line {number}: {}", printable(&error.to_string()));
                Verdict::Malformed
            }
        };
        if told == Verdict::Malformed {
            verdict = told;
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_broken_is_malformed() {
        let entry = |reason| [Unresolved { symbol: "X".into(), reason, field: "" }];
        assert_eq!(tell(&entry(UnresolvedReason::NoValue), None), Verdict::Clean);
        assert_eq!(tell(&entry(UnresolvedReason::UnknownSymbol), None), Verdict::Clean);
        assert_eq!(tell(&entry(UnresolvedReason::Malformed), Some(3)), Verdict::Malformed);
        assert_eq!(tell(&entry(UnresolvedReason::NotAnswered), None), Verdict::Malformed);
        assert_eq!(tell(&[], None), Verdict::Clean);
    }

    #[test]
    fn an_unknown_venue_is_wrong_usage() {
        let arguments = DecodeArguments {
            venue: "nowhere".to_owned(),
            feed: "tickers".to_owned(),
            instrument: None,
            stream: false,
            status: 200,
            file: PathBuf::from("-"),
        };
        let error = resolve(&arguments).err().expect("refused");
        assert!(matches!(&error, CliError::Usage(text) if text.contains("nowhere")), "{error}");
    }
}
