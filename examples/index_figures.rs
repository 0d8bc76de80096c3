//! Computes the figures of `analytics` for daily series and jobs given as JSON on standard input, and prints one JSON result a job.
//!
//! It takes the analytics alone, without a store, a calendar or a service in between: `tests/python/index_figures.py` checks them against a
//! calculation of its own. Days are days since 1970-01-01.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};

use crossmarket_analytics::altcoin_season::{self, SeasonCandidate};
use crossmarket_analytics::basket::{self, Constituent, RebalanceRule, Schedule, Weighting};
use crossmarket_analytics::cap_index::{self, CapIndex};
use crossmarket_analytics::comparison::{Comparer, ComparisonFigures, ComparisonParameters, Frequency, WindowStart};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_analytics::patterns::{self, Outcome};
use crossmarket_analytics::{cycles, index_level, levels};
use crossmarket_domain::registry::Registry;
use crossmarket_domain::state::AssetKind;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    series: BTreeMap<String, BTreeMap<i32, f64>>,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Job {
    Compare {
        subject: String,
        benchmark: String,
        /// The series whose days are the sessions; every day of the window when absent.
        sessions_of: Option<String>,
        weekly: bool,
        lookback: Option<usize>,
        start: i32,
        end: i32,
        periods_per_year: f64,
    },
    Level {
        series: String,
        day: i32,
        previous_session: Option<i32>,
    },
    Season {
        /// Closes by ticker; market caps are the series of the name with `:cap`.
        assets: Vec<String>,
        universe_size: usize,
        window_days: u32,
        as_of: i32,
    },
    Caps {
        assets: Vec<String>,
        from: i32,
        until: i32,
    },
    Basket {
        assets: Vec<String>,
        weight_max: Option<f64>,
        base: i32,
        until: i32,
    },
    Cycles {
        series: String,
        reversal_percent: f64,
        tolerance_percent: f64,
    },
    Patterns {
        series: String,
        reversal_percent: f64,
        tolerance_percent: f64,
    },
}

/// The id of a registered ticker; other tickers stay as they are.
fn id_of(ticker: &str) -> &str {
    Registry::shipped().find(ticker).map_or(ticker, |asset| asset.id.as_str())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let input: Input = serde_json::from_str(&text)?;
    let all: BTreeMap<&str, Daily> = input.series.iter().map(|(name, points)| (name.as_str(), daily(points))).collect();
    let nothing = Daily::default();
    let of = |name: &str| all.get(name).unwrap_or(&nothing);
    let mut out = io::stdout().lock();
    for job in &input.jobs {
        writeln!(out, "{}", run(job, &of))?;
    }
    Ok(())
}

fn daily(points: &BTreeMap<i32, f64>) -> Daily {
    Daily::new(points.iter().map(|(number, value)| (Day::from_number(*number), *value)))
}

fn run<'a>(job: &'a Job, of: &impl Fn(&str) -> &'a Daily) -> Value {
    match job {
        Job::Compare { subject, benchmark, sessions_of, weekly, lookback, start, end, periods_per_year } => {
            let sessions: Vec<Day> = match sessions_of {
                Some(name) => of(name).iter().map(|(day, _)| day).collect(),
                None => (*start..=*end).map(Day::from_number).collect(),
            };
            let parameters = ComparisonParameters {
                frequency: if *weekly { Frequency::Weekly } else { Frequency::Daily },
                start: lookback.map_or(WindowStart::From(Day::from_number(*start)), WindowStart::Lookback),
                end: Day::from_number(*end),
                periods_per_year: *periods_per_year,
            };
            let comparer = Comparer::new(of(benchmark), &sessions, parameters);
            match comparer.compare(of(subject)) {
                Ok(found) => figures(&found),
                Err(error) => json!({ "error": error.to_string() }),
            }
        }
        Job::Level { series, day, previous_session } => level(of(series), *day, *previous_session),
        Job::Season { assets, universe_size, window_days, as_of } => {
            let candidate = |name: &'a String| SeasonCandidate {
                asset: name,
                kind: AssetKind::Coin,
                closes: of(name),
                market_caps: of(&format!("{name}:cap")),
                current_rank: None,
            };
            let candidates: Vec<SeasonCandidate<'_>> = assets.iter().map(candidate).collect();
            let parameters = altcoin_season::SeasonParameters {
                universe_size: *universe_size,
                window_days: *window_days,
                as_of: Day::from_number(*as_of),
            };
            let btc = assets.iter().position(|name| name == "BTC");
            let found = altcoin_season::season(&candidates, btc, parameters);
            let name = |index: usize| assets.get(index);
            json!({
                "score": found.score,
                "btc_return_percent": found.btc_return_percent,
                "constituents": found.constituents.iter().map(|one| {
                    json!([name(one.candidate), one.market_cap_rank, one.return_percent, one.beat_btc])
                }).collect::<Vec<_>>(),
                "excluded": found.excluded.iter().map(|one| {
                    json!([name(one.candidate), format!("{:?}", one.reason)])
                }).collect::<Vec<_>>(),
            })
        }
        Job::Caps { assets, from, until } => {
            let caps: Vec<(&str, &Daily)> =
                assets.iter().map(|name| (id_of(name), of(&format!("{name}:cap")))).collect();
            let found = cap_index::histories(&caps, Day::from_number(*from), Day::from_number(*until));
            let mut result = serde_json::Map::new();
            for index in CapIndex::ALL {
                result.insert(index.as_str().into(), points(found.of(index)));
            }
            result.insert("BTC.D".into(), points(&found.btc_dominance));
            Value::Object(result)
        }
        Job::Basket { assets, weight_max, base, until } => {
            let caps: Vec<&Daily> = assets.iter().map(|name| of(&format!("{name}:cap"))).collect();
            let member = |(name, market_caps): (&'a String, &&'a Daily)| Constituent { closes: of(name), market_caps };
            let members: Vec<Constituent<'_>> = assets.iter().zip(&caps).map(member).collect();
            let rule = RebalanceRule {
                weighting: weight_max.map_or(Weighting::Equal, |weight_max| Weighting::CappedMarketCap { weight_max }),
                schedule: Schedule::Monthly,
                base_day: Day::from_number(*base),
                base_level: 1_000.0,
                constituent_count_max: None,
            };
            points(&basket::history(&members, &rule, Day::from_number(*until)).levels)
        }
        Job::Cycles { series, reversal_percent, tolerance_percent } => {
            let closes = of(series);
            let (first, last) = (Day::from_number(i32::MIN), Day::from_number(i32::MAX));
            let found = cycles::find(closes, first, last, *reversal_percent);
            let current = closes.last().map(|(_, level)| level);
            let around = levels::find(&found.turning_points, current, *tolerance_percent);
            json!({
                "turning_points": found.turning_points.iter().map(|point| {
                    json!([point.day.number(), point.level, point.is_trough])
                }).collect::<Vec<_>>(),
                "rallies": found.completed.iter().map(|cycle| cycle.rally_percent).collect::<Vec<_>>(),
                "extension_percent": found.extension_percent,
                "supports": around.supports.iter().map(|level| json!([level.level, level.touch_count])).collect::<Vec<_>>(),
                "resistances": around.resistances.iter().map(|level| json!([level.level, level.touch_count])).collect::<Vec<_>>(),
            })
        }
        Job::Patterns { series, reversal_percent, tolerance_percent } => {
            let (first, last) = (Day::from_number(i32::MIN), Day::from_number(i32::MAX));
            let found =
                patterns::inverse_heads_and_shoulders(of(series), first, last, *reversal_percent, *tolerance_percent);
            found.iter().map(pattern).collect()
        }
    }
}

fn pattern(found: &patterns::InverseHeadAndShoulders) -> Value {
    let (outcome, decided) = match found.outcome {
        Outcome::Forming => ("forming", None),
        Outcome::BrokenOut((day, _)) => ("broken out", Some(day.number())),
        Outcome::Failed((day, _)) => ("failed", Some(day.number())),
        Outcome::Expired => ("expired", None),
    };
    let points = [found.left_shoulder, found.left_peak, found.head, found.right_peak, found.right_shoulder];
    json!({
        "points": points.map(|(day, _)| day.number()),
        "outcome": outcome,
        "decided": decided,
        "neckline": found.neckline,
        "target": found.target(),
    })
}

fn points(series: &Daily) -> Value {
    series.iter().map(|(day, value)| json!([day.number(), value])).collect()
}

fn level(closes: &Daily, day: i32, previous_session: Option<i32>) -> Value {
    let day = Day::from_number(day);
    let Some(level) = closes.get(day) else { return Value::Null };
    let changes = index_level::session_changes(level, day, previous_session.map(Day::from_number), closes);
    let around_the_clock = index_level::continuous_changes(level, day.end(), closes, &[]);
    let record = index_level::record_high(closes, Some((day, level)));
    let percent = |change: Option<index_level::Change>| change.map(|change| change.percent);
    json!({
        "session": [percent(changes.day), percent(changes.week), percent(changes.month), percent(changes.year_to_date)],
        "continuous": [
            percent(around_the_clock.day),
            percent(around_the_clock.week),
            percent(around_the_clock.month),
            percent(around_the_clock.year_to_date),
        ],
        "record": record.map(|high| json!([high.level, high.day.number(), high.drawdown_percent, high.is_new])),
    })
}

fn figures(found: &ComparisonFigures) -> Value {
    json!({
        "start": found.start_day.number(),
        "end": found.end_day.number(),
        "observation_count": found.observation_count,
        "missing_count": found.missing_count,
        "subject_return_percent": found.subject_return_percent,
        "benchmark_return_percent": found.benchmark_return_percent,
        "relative_strength_percent": found.relative_strength_percent,
        "correlation": found.correlation,
        "beta": found.beta,
        "alpha_annualized_percent": found.alpha_annualized_percent,
        "tracking_error_percent": found.tracking_error_percent,
        "volatility_subject_annualized_percent": found.volatility_subject_annualized_percent,
        "volatility_benchmark_annualized_percent": found.volatility_benchmark_annualized_percent,
        "max_drawdown_subject_percent": found.max_drawdown_subject_percent,
        "max_drawdown_benchmark_percent": found.max_drawdown_benchmark_percent,
    })
}
