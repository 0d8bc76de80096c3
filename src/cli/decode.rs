//! `decode`: prints what a venue's recorded answer, or recorded stream messages, mean.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use super::table::printable;
use crossmarket_domain::Observation;
use crossmarket_venues::{Ask, Frame, Response, Unresolved, UnresolvedReason, Venue, VenueError, envelope};

mod observation;
mod question;

use observation::{feed_of, observation_json};
use question::Question;

/// Maximum length of an answer, and of a stream message, in bytes.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Prints what a venue's recorded answer means: one JSON observation per line; problems on standard error.
#[derive(Args, Debug)]
#[command(after_help = "\
FEED is one of tickers, candles, long-short-ratios, open-interest, market-caps, index-levels, categories.

Many answers do not repeat their question: candles do not say their interval, some ratios not which accounts they count. What an answer
does not say comes from the flags, or from FILE.ask.json beside the file, a JSON object whose keys are the flags' names:

  {\"venue\": \"okx\", \"feed\": \"candles\", \"instrument\": \"BTC-USDT\", \"interval\": \"1h\"}

Flags win over the file. Ratios have \"period\" and \"kind\", members of a category have \"category\".

Exit code: 0 when all could be read, 1 when anything was malformed or the venue refused, 2 for an unknown venue, feed or instrument, or
when a part of the question is missing.

Examples:
  crossmarket decode --venue binance --feed tickers ticker_24hr.json
  crossmarket decode --venue bybit --feed candles --instrument BTCUSDT --interval 1h kline.json
  crossmarket decode --venue okx --feed long-short-ratios --instrument BTC-USDT-SWAP --kind top-trader-account ratio.json
  curl -s URL | crossmarket decode --venue kraken --feed tickers -
  crossmarket decode --venue okx --feed tickers --stream frames.jsonl")]
pub(super) struct DecodeArguments {
    #[command(flatten)]
    question: Question,
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

/// The venue and what it was asked for.
struct Asked {
    venue: &'static dyn Venue,
    ask: Ask,
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
    let beside = Question::beside(&arguments.file)?;
    let (venue, ask) = arguments.question.clone().or(beside).resolve(arguments.stream)?;
    if arguments.stream && venue.stream().is_none() {
        return Err(CliError::Usage(format!("{} has no stream to decode", venue.id())));
    }
    Ok(Asked { venue, ask })
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
    let response = Response { status: arguments.status, body: body.into(), ..Response::default() };
    let parsed = asked.venue.parse(&asked.ask, &response).map_err(|error| match error {
        VenueError::Unasked(part) => {
            let part = part.as_str();
            CliError::Usage(format!("the answer does not say its {part}: pass --{part}, or put it into FILE.ask.json"))
        }
        error => CliError::Failed(printable(&error.to_string())),
    })?;
    print(asked, &parsed.observations, out)?;
    Ok(tell(&parsed.unresolved, None))
}

/// Prints the observations of the feed asked for (and the instrument, if one was).
fn print(asked: &Asked, observations: &[Observation], out: &mut impl Write) -> io::Result<()> {
    let wanted = |observation: &&Observation| {
        let instrument = asked.ask.instruments.first();
        feed_of(&observation.payload) == asked.ask.feed
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
            question: Question {
                venue: Some("nowhere".to_owned()),
                feed: Some("tickers".to_owned()),
                ..Question::default()
            },
            stream: false,
            status: 200,
            file: PathBuf::from("-"),
        };
        let error = resolve(&arguments).err().expect("refused");
        assert!(matches!(&error, CliError::Usage(text) if text.contains("nowhere")), "{error}");
    }
}
