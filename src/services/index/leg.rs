//! One leg of a comparison, or the subject of a request: an index, an asset or a quotient, with its history and newest state.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::services::context::Services;
use crate::services::error::ServiceError;
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_domain::index::{Expression, IndexCalendar, IndexSnapshot, Subject};
use crossmarket_domain::state::{Body, Key, PriceSnapshot};
use crossmarket_domain::{AssetName, Timestamp, calendar};
use crossmarket_image::histories::History;
use crossmarket_image::{Freshness, Item};

/// When a leg that trades around the clock is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Alignment {
    /// At the close of the New York session.
    SessionClose,
    /// At the end of the UTC day.
    UtcDailyClose,
}

pub(crate) struct Leg {
    /// As it was named.
    pub expression: Expression<AssetName>,
    /// One subject, or the numerator and the denominator.
    pub operands: Vec<Operand>,
}

/// An index or an asset with its history and newest state.
pub(crate) struct Operand {
    pub subject: Subject,
    /// Empty when there is none.
    pub history: Arc<History>,
    /// Its newest state.
    pub item: Option<Arc<Item>>,
}

/// The newest level of a leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Live {
    pub level: f64,
    /// The older of the operands' event times.
    pub event_time: Timestamp,
    /// The newest revision that entered.
    pub revision: u64,
    pub freshness: Freshness,
}

/// The key of a subject's state.
pub(crate) fn key_of(subject: &Subject) -> Key {
    match subject {
        Subject::Index(code) => Key::Index(code.clone()),
        Subject::Asset(code) => Key::Price(code.clone()),
    }
}

impl Leg {
    /// Reads a name of a request and finds its history and state.
    pub(crate) fn resolve(services: &Services, field: &str, name: &str) -> Result<Self, ServiceError> {
        let expression = parse(field, name)?;
        let operands: Vec<Operand> =
            expression.subjects().map(|subject| Operand::named(services, subject)).collect::<Result<_, _>>()?;
        Ok(Self { expression, operands })
    }

    /// Whether it has trading sessions.
    pub(crate) fn is_exchange_traded(&self) -> bool {
        self.operands.iter().any(Operand::is_exchange_traded)
    }

    /// Whether any of it trades around the clock, as one leg of a quotient with an exchange-traded index does.
    pub(crate) fn is_around_the_clock(&self) -> bool {
        self.operands.iter().any(|operand| !operand.is_exchange_traded())
    }

    /// The days on which it has a close.
    pub(crate) fn calendar(&self) -> IndexCalendar {
        if self.is_exchange_traded() { IndexCalendar::NewYork } else { IndexCalendar::UtcDays }
    }

    /// Its daily values.
    pub(crate) fn column(&self, alignment: Alignment) -> Cow<'_, Daily> {
        match self.operands.as_slice() {
            [numerator, denominator] => Cow::Owned(numerator.column(alignment).over(denominator.column(alignment))),
            [single] => Cow::Borrowed(single.column(alignment)),
            _ => Cow::Owned(Daily::default()),
        }
    }

    /// Its newest level.
    pub(crate) fn live(&self) -> Option<Live> {
        let of = |operand: &Operand| operand.live();
        match self.operands.as_slice() {
            [single] => of(single),
            [numerator, denominator] => {
                let (above, below) = (of(numerator)?, of(denominator)?);
                Some(Live {
                    level: above.level / below.level,
                    event_time: above.event_time.min(below.event_time),
                    revision: above.revision.max(below.revision),
                    freshness: worse(above.freshness, below.freshness),
                })
            }
            _ => None,
        }
        .filter(|live| live.level.is_finite() && live.level > 0.0)
    }

    /// The value on a day that may still be going on: the close where it is known, otherwise the newest level where that is of the day.
    pub(crate) fn value_on(&self, day: Day, alignment: Alignment, now: Timestamp) -> Option<f64> {
        let value = match self.operands.as_slice() {
            [single] => single.value_on(day, alignment, now),
            [numerator, denominator] => {
                Some(numerator.value_on(day, alignment, now)? / denominator.value_on(day, alignment, now)?)
            }
            _ => None,
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }

    /// Where its values come from.
    pub(crate) fn sources(&self) -> Vec<String> {
        let sources: BTreeSet<String> = self.operands.iter().map(Operand::source).collect();
        sources.into_iter().collect()
    }
}

impl Operand {
    /// Finds what a request names; an error when nobody knows it.
    fn named(services: &Services, name: &Subject<AssetName>) -> Result<Self, ServiceError> {
        let unknown = || ServiceError::unknown_index(&name.to_string());
        let subject = name.resolve(|asset| services.find_asset(asset)).ok_or_else(unknown)?;
        Self::find(services, &subject).map_err(|_| unknown())
    }

    /// Finds a subject; an error when nobody knows it.
    pub(crate) fn find(services: &Services, subject: &Subject) -> Result<Self, ServiceError> {
        let item = services.image.get(&key_of(subject));
        let history = services.histories.get(subject);
        let in_catalogue = match subject {
            Subject::Asset(code) => services.image.get(&Key::Asset(code.clone())).is_some(),
            Subject::Index(code) => code.known().is_some(),
        };
        if item.is_none() && history.is_none() && !in_catalogue {
            return Err(ServiceError::unknown_index(&subject.to_string()));
        }
        Ok(Self { subject: subject.clone(), history: history.unwrap_or_default(), item })
    }

    /// Whether it has trading sessions.
    pub(crate) fn is_exchange_traded(&self) -> bool {
        matches!(&self.subject, Subject::Index(code) if code.kind().is_exchange_traded())
    }

    /// Its snapshot, when it is an index with a state.
    pub(crate) fn index(&self) -> Option<&IndexSnapshot> {
        match &self.item.as_ref()?.state.body {
            Body::Index(index) => Some(index),
            _ => None,
        }
    }

    /// Its snapshot, when it is an asset with a state.
    pub(crate) fn price(&self) -> Option<&PriceSnapshot> {
        match &self.item.as_ref()?.state.body {
            Body::Price(price) => Some(price),
            _ => None,
        }
    }

    fn column(&self, alignment: Alignment) -> &Daily {
        match alignment {
            Alignment::SessionClose if !self.is_exchange_traded() => &self.history.session_closes,
            _ => &self.history.closes,
        }
    }

    /// Its short name: an index's code, an asset's ticker.
    pub(crate) fn name(&self, services: &Services) -> String {
        match &self.subject {
            Subject::Index(code) => code.as_str().to_owned(),
            Subject::Asset(id) => services.ticker(id).to_string(),
        }
    }

    /// Its name for people.
    pub(crate) fn title(&self, services: &Services) -> String {
        let known = match &self.subject {
            Subject::Index(code) => Some(code.title().to_string()),
            Subject::Asset(_) => self.price().and_then(|price| price.name.as_ref()).map(ToString::to_string),
        };
        known.unwrap_or_else(|| self.name(services))
    }

    /// Its change of one day, in per cent.
    pub(crate) fn change_1d_percent(&self) -> Option<f64> {
        self.index()
            .and_then(|index| index.change_1d_percent)
            .or(self.price().and_then(|price| price.change_24h_percent))
    }

    /// Its newest level.
    pub(crate) fn live(&self) -> Option<Live> {
        let item = self.item.as_ref()?;
        let level = match &item.state.body {
            Body::Index(index) => index.level,
            Body::Price(price) => price.price,
            _ => None,
        };
        let level = level?.to_f64();
        (level.is_finite() && level > 0.0).then_some(Live {
            level,
            event_time: item.state.event_time,
            revision: item.position.revision,
            freshness: item.freshness,
        })
    }

    fn value_on(&self, day: Day, alignment: Alignment, now: Timestamp) -> Option<f64> {
        if let Some(close) = self.column(alignment).get(day) {
            return Some(close);
        }
        let live = self.live()?;
        if self.is_exchange_traded() {
            // Sources that are delayed give the close of a session that ended a while ago.
            let session = calendar::latest_session(live.event_time)?;
            return (Day::of(session.day_start()) == day).then_some(live.level);
        }
        let is_going_on = match alignment {
            Alignment::UtcDailyClose => day == Day::of(now),
            Alignment::SessionClose => {
                calendar::session_of_day(day.start()).is_some_and(|session| session.open <= now && now < session.close)
            }
        };
        is_going_on.then_some(live.level)
    }

    fn source(&self) -> String {
        match (self.index(), self.price()) {
            (Some(index), _) => index.methodology.source.to_string(),
            (None, Some(price)) => {
                // The figures that rest on daily candles name the candles' source.
                let daily = ["volatility_30d_annualized_percent", "rsi_14d", "change_30d_percent"];
                let derivation =
                    daily.iter().find_map(|field| price.derivations.iter().find(|one| one.field == *field));
                match derivation.map(|derivation| derivation.source.as_str()) {
                    Some("collected") | None => COMPUTED_HERE.to_owned(),
                    Some(source) => source.trim_start_matches("venue:").to_owned(),
                }
            }
            (None, None) => IMPORTED.to_owned(),
        }
    }
}

/// The source of values that are computed or sampled here.
pub(crate) const COMPUTED_HERE: &str = "crossmarket";

/// The source of histories that no venue of this process provides.
pub(crate) const IMPORTED: &str = "import";

/// Reads the name of an index, an asset or a quotient.
pub(crate) fn parse(field: &str, name: &str) -> Result<Expression<AssetName>, ServiceError> {
    let allowed =
        "must be an index (RUT, TOTAL, category:meme, basket:NAME), an asset (BTC) or a quotient of two (OTHERS/BTC)";
    Expression::parse(name).ok_or_else(|| ServiceError::invalid(field, name, allowed))
}

/// The keys of the states that a name of a request rests on; none where nobody knows the name yet.
pub(crate) fn keys_of(services: &Services, name: &str) -> Vec<Key> {
    let expression = Expression::parse(name);
    let subjects = expression.iter().flat_map(Expression::subjects);
    subjects
        .filter_map(|name| name.resolve(|asset| services.find_asset(asset)))
        .map(|subject| key_of(&subject))
        .collect()
}

/// A quotient is as current as the worse of its legs.
pub(crate) fn worse(one: Freshness, other: Freshness) -> Freshness {
    match (one, other) {
        (Freshness::Stale, _) | (_, Freshness::Stale) => Freshness::Stale,
        (Freshness::Closed, _) | (_, Freshness::Closed) => Freshness::Closed,
        _ => Freshness::Fresh,
    }
}
