//! How often each venue is polled for long/short ratios: by market-cap rank and period, within the venue's limits.
//!
//! At every venue, a request covers only one instrument, kind and period, so the limits are decisive. Polling less
//! often loses no reading, since a response holds all rows since the previous one. Just after a period boundary the
//! most important assets come first; the others are spread over the interval.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::transport::rate_limit::planned_limit;
use crossmarket_domain::state::PlanTier;
use crossmarket_domain::time::{DAY, HOUR};
use crossmarket_domain::{Feed, Instrument, Period, Timestamp};
use crossmarket_venues::{RateLimit, RequestOptions, Venue};

/// Delay after the end of a period before its row is requested: venues need a moment.
pub(super) const SETTLE: Duration = Duration::from_secs(20);

/// Part of an interval over which the requests of a tier are spread, in per cent. The rest is headroom for late
/// requests.
const SPREAD_PERCENT: u32 = 70;

/// Rows requested beyond those of the interval: the newest may be late, and the one before it may be revised.
const ROWS_SPARE: u32 = 2;

/// An interval is not stretched beyond this to fit a limit.
const INTERVAL_MAX: Duration = DAY;

/// Jobs down to this place are urgent: those of the first tier.
const URGENT_PLACE_MAX: u32 = 50;

const MINUTE: Duration = Duration::from_secs(60);
/// The plan for the assets down to a rank.
struct TierRule {
    /// Last rank; `None` for all remaining assets.
    rank_max: Option<u32>,
    /// The collected periods, and the polling interval of each.
    periods: &'static [(Period, Duration)],
    /// Polling interval of open interest at venues that report it per instrument only.
    open_interest: Duration,
}

/// Simulated venues are polled less: all their data is made up, and the demo shares the user's machine.
const TIERS_SIMULATED: &[TierRule] = &[
    TierRule {
        rank_max: Some(20),
        periods: &[
            (Period::OneHour, HOUR),
            (Period::FiveMinutes, Duration::from_secs(5 * 60)),
            (Period::FifteenMinutes, Duration::from_secs(15 * 60)),
            (Period::ThirtyMinutes, Duration::from_secs(30 * 60)),
            (Period::FourHours, HOUR.saturating_mul(4)),
            (Period::OneDay, DAY),
        ],
        open_interest: Duration::from_secs(5 * 60),
    },
    TierRule { rank_max: None, periods: &[(Period::OneHour, HOUR)], open_interest: HOUR },
];

const TIERS: &[TierRule] = &[
    TierRule {
        rank_max: Some(50),
        periods: &[
            (Period::OneHour, HOUR),
            (Period::FiveMinutes, Duration::from_secs(5 * 60)),
            (Period::FifteenMinutes, Duration::from_secs(15 * 60)),
            (Period::ThirtyMinutes, Duration::from_secs(30 * 60)),
            (Period::FourHours, HOUR.saturating_mul(4)),
            (Period::OneDay, DAY),
        ],
        open_interest: Duration::from_secs(5 * 60),
    },
    TierRule {
        rank_max: Some(200),
        periods: &[
            (Period::OneHour, HOUR),
            (Period::FiveMinutes, Duration::from_secs(15 * 60)),
            (Period::FourHours, HOUR.saturating_mul(4)),
            (Period::OneDay, DAY),
        ],
        open_interest: Duration::from_secs(15 * 60),
    },
    TierRule { rank_max: None, periods: &[(Period::OneHour, HOUR)], open_interest: HOUR },
];

/// A series that is polled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series {
    pub symbol: smol_str::SmolStr,
    /// `None` for open interest.
    pub period: Option<Period>,
}

/// One series and its schedule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub instrument: Instrument,
    /// Period of the ratios; `None` for open interest.
    pub period: Option<Period>,
    /// Place in the order of importance, from 1.
    pub place: u32,
    /// Time between two requests.
    pub interval: Duration,
    /// Delay after the interval's boundary.
    pub offset: Duration,
}

impl Job {
    pub(super) fn series(&self) -> Series {
        Series { symbol: self.instrument.symbol.clone(), period: self.period }
    }

    pub(super) fn feed(&self) -> Feed {
        if self.period.is_some() { Feed::LongShortRatios } else { Feed::OpenInterest }
    }

    /// True when the job runs before jobs that have been due for longer: the newest figures of the most important
    /// assets must not wait for a long round.
    pub(super) fn is_urgent(&self) -> bool {
        self.place <= URGENT_PLACE_MAX && matches!(self.period, Some(Period::FiveMinutes | Period::OneHour))
    }

    /// First due time after `now`.
    pub(super) fn due_after(&self, now: Timestamp) -> Timestamp {
        let due = now.floor_to(self.interval) + self.offset;
        if due > now { due } else { due + self.interval }
    }

    /// Requests the rows since the last answer, or those of the last day, and a few spare ones. The extra rows cost
    /// nothing.
    pub(super) fn options(&self, since: Option<Duration>) -> RequestOptions {
        let rows = self.period.map(|period| {
            let span = since.unwrap_or(DAY).max(self.interval);
            let rows = span.as_secs().div_ceil(period.duration().as_secs());
            u32::try_from(rows).unwrap_or(u32::MAX).saturating_add(ROWS_SPARE)
        });
        RequestOptions { period: self.period, limit: rows, ..RequestOptions::default() }
    }

    /// How long a reading stays fresh. The next row arrives a period later and is requested within an interval. It may
    /// also be dated at the start of its period.
    pub(super) fn budget(&self) -> Duration {
        let period = self.period.map_or(Duration::ZERO, Period::duration);
        period * 2 + self.interval + 5 * MINUTE
    }
}

/// The requests planned for one venue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Most important jobs first.
    pub jobs: Vec<Job>,
    /// The plan of the ratios as shown in the catalogue; open interest has its own.
    pub ratio_tiers: Vec<PlanTier>,
    /// The plan of open interest, if it is requested per instrument.
    pub open_interest_tiers: Vec<PlanTier>,
}

/// The jobs of one tier and period, which share an interval.
struct Group<'a> {
    tier: usize,
    period: Option<Period>,
    interval: Duration,
    instruments: Vec<&'a (u32, Instrument)>,
    /// Weight of one instrument's requests, by scope.
    weights: BTreeMap<&'static str, u32>,
}

impl Group<'_> {
    /// Average weight per window of the scope.
    fn load(&self, limit: &RateLimit) -> f64 {
        let weight = f64::from(self.weights.get(limit.scope).copied().unwrap_or(0));
        weight * self.instruments.len() as f64 * limit.window.as_secs_f64() / self.interval.as_secs_f64()
    }
}

/// Plans a venue's requests for these instruments, each with its place in the order of importance. If a limit does not
/// allow the usual intervals, those of the least important tier are stretched first.
pub(super) fn plan(
    venue: &dyn Venue,
    instruments: &[(u32, Instrument)],
    open_interest_by_instrument: bool,
    simulated: bool,
) -> Plan {
    let rules = if simulated { TIERS_SIMULATED } else { TIERS };
    let mut groups = Vec::new();
    let mut rank_min = 1;
    for (tier, rule) in rules.iter().enumerate() {
        let rank_max = rule.rank_max.unwrap_or(u32::MAX);
        let of_tier: Vec<&(u32, Instrument)> =
            instruments.iter().filter(|(place, _)| (rank_min..=rank_max).contains(place)).collect();
        rank_min = rank_max.saturating_add(1);
        let Some((_, sample)) = of_tier.first() else { continue };
        let open_interest = open_interest_by_instrument.then_some((None, rule.open_interest));
        for (period, interval) in
            rule.periods.iter().map(|(period, interval)| (Some(*period), *interval)).chain(open_interest)
        {
            let weights = weights(venue, sample, period);
            groups.push(Group { tier, period, interval, instruments: of_tier.clone(), weights });
        }
    }
    stretch(&mut groups, venue.profile().limits);
    let mut plan = Plan::default();
    for group in &groups {
        plan.jobs.extend(jobs(group));
        let tiers = if group.period.is_some() { &mut plan.ratio_tiers } else { &mut plan.open_interest_tiers };
        tiers.extend(tiers_of(group, venue, rules));
    }
    plan.jobs.sort_by_key(|job| job.place);
    plan
}

fn weights(venue: &dyn Venue, sample: &Instrument, period: Option<Period>) -> BTreeMap<&'static str, u32> {
    let feed = if period.is_some() { Feed::LongShortRatios } else { Feed::OpenInterest };
    let options = RequestOptions { period, ..RequestOptions::default() };
    let mut weights: BTreeMap<&'static str, u32> = BTreeMap::new();
    for request in venue.requests(feed, std::slice::from_ref(sample), &options) {
        *weights.entry(request.scope).or_default() += request.weight.max(1);
    }
    weights
}

/// Doubles intervals until every scope's load fits its planned limit. Starts with the last tier, and within it with the
/// most expensive group.
fn stretch(groups: &mut [Group<'_>], limits: &[RateLimit]) {
    for limit in limits {
        let allowed = f64::from(planned_limit(limit));
        while groups.iter().map(|group| group.load(limit)).sum::<f64>() > allowed {
            let stretchable = |group: &&mut Group<'_>| group.load(limit) > 0.0 && group.interval < INTERVAL_MAX;
            let by_cost = |left: &&mut Group<'_>, right: &&mut Group<'_>| {
                left.tier.cmp(&right.tier).then(left.load(limit).total_cmp(&right.load(limit)))
            };
            let Some(group) = groups.iter_mut().filter(stretchable).max_by(by_cost) else { break };
            group.interval = (group.interval * 2).min(INTERVAL_MAX);
        }
    }
}

fn jobs<'g>(group: &'g Group<'_>) -> impl Iterator<Item = Job> + 'g {
    let count = u32::try_from(group.instruments.len()).unwrap_or(u32::MAX).max(1);
    let spread = group.interval * SPREAD_PERCENT / 100 / count;
    group.instruments.iter().zip(0u32..).map(move |((place, instrument), index)| Job {
        instrument: instrument.clone(),
        period: group.period,
        place: *place,
        interval: group.interval,
        offset: SETTLE + spread * index,
    })
}

fn tiers_of<'g>(group: &'g Group<'_>, venue: &dyn Venue, rules: &[TierRule]) -> impl Iterator<Item = PlanTier> + 'g {
    let rank_min = group.tier.checked_sub(1).and_then(|before| rules.get(before)?.rank_max).map_or(1, |rank| rank + 1);
    let rank_max = rules.get(group.tier).and_then(|rule| rule.rank_max);
    let limits: Vec<RateLimit> = venue.profile().limits.to_vec();
    let id = venue.id();
    group.weights.keys().map(move |scope| {
        let of_scope = limits.iter().find(|limit| limit.scope == *scope);
        let per_minute = of_scope.map_or(0.0, |limit| group.load(&RateLimit { window: MINUTE, ..*limit }));
        PlanTier {
            rank_min,
            rank_max,
            instrument_count: u32::try_from(group.instruments.len()).unwrap_or(u32::MAX),
            interval: group.interval,
            milliweight_per_minute: (per_minute * 1_000.0).round() as u64,
            scope: smol_str::format_smolstr!("{id}:{scope}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::InstrumentKind;
    use crossmarket_venues as venues;

    const VENUES: [&str; 6] = ["binance-usdm", "bybit", "okx", "bitget", "gate", "htx"];

    fn instruments(count: u32) -> Vec<(u32, Instrument)> {
        let perpetual = |place: u32| Instrument {
            kind: InstrumentKind::PerpetualLinear,
            ..Instrument::spot(format!("A{place}-USDT"), format!("A{place}"), "USDT")
        };
        (1..=count).map(|place| (place, perpetual(place))).collect()
    }

    #[test]
    fn five_hundred_assets_fit_into_every_venue_s_limits() {
        for id in VENUES {
            let venue = venues::find(id).expect("registered");
            let plan = plan(venue, &instruments(500), true, false);
            for limit in venue.profile().limits {
                let scope = format!("{id}:{}", limit.scope);
                let of_scope =
                    plan.ratio_tiers.iter().chain(&plan.open_interest_tiers).filter(|tier| tier.scope == scope);
                let per_minute: u64 = of_scope.map(|tier| tier.milliweight_per_minute).sum();
                let in_window = per_minute as f64 / 1_000.0 * limit.window.as_secs_f64() / 60.0;
                assert!(
                    in_window <= f64::from(planned_limit(limit)) * 1.001,
                    "{scope}: {in_window} of {}",
                    limit.limit
                );
            }
        }
    }

    #[test]
    fn the_top_two_hundred_keep_their_intervals_in_every_kind() {
        for id in VENUES {
            let venue = venues::find(id).expect("registered");
            let plan = plan(venue, &instruments(500), false, false);
            let interval = |place: u32, period: Period| {
                let job = plan.jobs.iter().find(|job| job.place == place && job.period == Some(period));
                job.map(|job| job.interval.as_secs() / 60)
            };
            assert_eq!(interval(1, Period::FiveMinutes), Some(5), "{id}");
            assert_eq!(interval(200, Period::FiveMinutes), Some(15), "{id}");
            assert_eq!(interval(200, Period::OneHour), Some(60), "{id}");
            assert_eq!(interval(201, Period::FiveMinutes), None, "{id}");
            assert_eq!(interval(50, Period::FifteenMinutes), Some(15), "{id}");
            assert_eq!(interval(50, Period::ThirtyMinutes), Some(30), "{id}");
            assert_eq!(interval(51, Period::FifteenMinutes), None, "{id}");
            assert!(interval(500, Period::OneHour).is_some_and(|minutes| minutes >= 60), "{id}");
        }
    }

    #[test]
    fn a_narrow_limit_stretches_the_last_tier_first() {
        let venue = venues::find("bitget").expect("registered");
        let plan = plan(venue, &instruments(4_000), false, false);
        let interval = |place: u32| {
            plan.jobs
                .iter()
                .find(|job| job.place == place && job.period == Some(Period::OneHour))
                .map(|job| job.interval)
        };
        assert_eq!(interval(1), Some(HOUR));
        assert!(interval(3_000) > Some(HOUR), "{:?}", interval(3_000));
    }

    #[test]
    fn a_job_is_due_once_in_each_interval_after_its_boundary() {
        let venue = venues::find("okx").expect("registered");
        let plan = plan(venue, &instruments(50), false, false);
        let mut last = Duration::ZERO;
        for job in plan.jobs.iter().filter(|job| job.period == Some(Period::FiveMinutes)) {
            let boundary = Timestamp::from_seconds(1_768_478_400);
            let due = job.due_after(boundary);
            let after = due.since(boundary);
            assert!(after >= SETTLE && after < job.interval && after >= last, "{after:?}");
            assert_eq!(job.due_after(due), due + job.interval);
            last = after;
        }
    }

    #[test]
    fn rows_cover_the_interval() {
        let venue = venues::find("okx").expect("registered");
        let plan = plan(venue, &instruments(200), false, false);
        let of =
            |place: u32| plan.jobs.iter().find(|job| job.place == place && job.period == Some(Period::FiveMinutes));
        assert_eq!(of(1).and_then(|job| job.options(Some(Duration::ZERO)).limit), Some(3));
        assert_eq!(of(1).and_then(|job| job.options(Some(HOUR)).limit), Some(14), "an outage is made up for");
        assert_eq!(of(1).and_then(|job| job.options(None).limit), Some(290), "a day at the start");
        assert_eq!(of(100).and_then(|job| job.options(Some(Duration::ZERO)).limit), Some(5));
    }
}
