//! `baskets.<name>.*`: indices of assets of one's own; `index_references.<index>.*`: dated market caps of equity indices.

use super::Reader;
use crossmarket_domain::index::{IndexCode, IndexKind};
use crossmarket_domain::{AssetCode, Decimal, Timestamp};

/// Most baskets.
const BASKETS_MAX: usize = 50;

/// Most assets that a basket names.
const MEMBERS_MAX: usize = 500;

/// How weights within a basket are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasketWeighting {
    /// By market cap.
    MarketCap,
    /// By market cap with a cap for each.
    CappedMarketCap,
    /// The same for each.
    Equal,
}

/// When a basket's weights are set anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasketRebalance {
    /// Only at the start.
    Never,
    /// At the end of each week.
    Weekly,
    /// At the end of each month.
    Monthly,
    /// At the end of each quarter.
    Quarterly,
}

/// What a basket is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasketMembers {
    /// These assets.
    Assets(Vec<AssetCode>),
    /// The assets of a category, by its id.
    Category(String),
}

/// `baskets.<name>.*`: one basket, whose index is `basket:<name>`.
#[derive(Clone, Debug, PartialEq)]
pub struct BasketConfig {
    /// The index's code.
    pub index: IndexCode,
    /// What it is made of: `assets` or `category`, and not both.
    pub members: BasketMembers,
    /// How weights are set, default by market cap.
    pub weighting: BasketWeighting,
    /// The most that one constituent may weigh when weights are set, in per cent; only for capped weights, which need it.
    pub cap_percent: Option<f64>,
    /// When weights are set anew, default monthly.
    pub rebalance: BasketRebalance,
    /// The first level, default 1000.
    pub base_level: f64,
}

/// `baskets.*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasketsConfig(pub Vec<BasketConfig>);

/// `index_references.<index>.*`: a market cap that somebody has published of an equity index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexReference {
    /// The index.
    pub index: IndexCode,
    /// The market cap in US dollars.
    pub market_cap: Decimal,
    /// The date on whose close it was.
    pub date: Timestamp,
    /// Who published it.
    pub source: String,
}

/// `index_references.*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexReferencesConfig(pub Vec<IndexReference>);

impl BasketsConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let names = reader.names_under("baskets");
        let mut baskets = Vec::new();
        for name in names {
            let section = format!("baskets.{name}");
            let Some(index) = IndexCode::basket(&name) else {
                reader.refuse(&section, &name, "a name of at most 64 letters, digits, hyphens, underscores and dots");
                continue;
            };
            if baskets.len() >= BASKETS_MAX {
                reader.refuse(&section, &name, "at most 50 baskets");
                continue;
            }
            baskets.extend(BasketConfig::read(reader, &section, index));
        }
        Self(baskets)
    }
}

impl BasketConfig {
    fn read(reader: &mut Reader, section: &str, index: IndexCode) -> Option<Self> {
        let key = |name: &str| format!("{section}.{name}");
        let allowed = "at most 500 asset codes such as BTC: an array in a file, elsewhere separated by commas";
        let assets = reader.list(&key("assets"), MEMBERS_MAX, allowed, AssetCode::parse, AssetCode::to_string);
        let category = reader.optional(
            &key("category"),
            "the id of a category, such as privacy-coins",
            |text| IndexCode::category(text).map(|_| text.to_lowercase()),
            Clone::clone,
        );
        let weighting = reader.parsed(
            &key("weighting"),
            BasketWeighting::MarketCap,
            "market-cap, capped-market-cap or equal",
            |text| match text {
                "market-cap" => Some(BasketWeighting::MarketCap),
                "capped-market-cap" => Some(BasketWeighting::CappedMarketCap),
                "equal" => Some(BasketWeighting::Equal),
                _ => None,
            },
            |weighting| {
                match weighting {
                    BasketWeighting::MarketCap => "market-cap",
                    BasketWeighting::CappedMarketCap => "capped-market-cap",
                    BasketWeighting::Equal => "equal",
                }
                .to_owned()
            },
        );
        let percent = |text: &str| text.parse().ok().filter(|percent: &f64| *percent > 0.0 && *percent <= 100.0);
        let cap_percent =
            reader.optional(&key("cap_percent"), "a number greater than 0 and at most 100", percent, f64::to_string);
        let rebalance = reader.parsed(
            &key("rebalance"),
            BasketRebalance::Monthly,
            "never, weekly, monthly or quarterly",
            |text| match text {
                "never" => Some(BasketRebalance::Never),
                "weekly" => Some(BasketRebalance::Weekly),
                "monthly" => Some(BasketRebalance::Monthly),
                "quarterly" => Some(BasketRebalance::Quarterly),
                _ => None,
            },
            |rebalance| format!("{rebalance:?}").to_lowercase(),
        );
        let level = |text: &str| text.parse().ok().filter(|level: &f64| level.is_finite() && *level > 0.0);
        let base_level = reader.parsed(&key("base_level"), 1_000.0, "a number greater than 0", level, f64::to_string);
        let members = match (assets.is_empty(), category) {
            (false, None) => BasketMembers::Assets(assets),
            (true, Some(category)) => BasketMembers::Category(category),
            (false, Some(category)) => {
                reader.refuse(&key("category"), &category, "assets or category, and not both");
                return None;
            }
            (true, None) => {
                reader.refuse(&key("assets"), "", "assets or category must say what the basket is made of");
                return None;
            }
        };
        match (weighting, cap_percent) {
            (BasketWeighting::CappedMarketCap, None) => {
                reader.refuse(&key("cap_percent"), "", "a number, which capped-market-cap needs");
                return None;
            }
            (BasketWeighting::MarketCap | BasketWeighting::Equal, Some(cap)) => {
                reader.refuse(&key("cap_percent"), &cap.to_string(), "only with weighting = \"capped-market-cap\"");
                return None;
            }
            _ => {}
        }
        Some(Self { index, members, weighting, cap_percent, rebalance, base_level })
    }
}

impl IndexReferencesConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut references = Vec::new();
        for name in reader.names_under("index_references") {
            let section = format!("index_references.{name}");
            let kinds = [IndexKind::Equity];
            let Some(index) = IndexCode::parse(&name).filter(|index| kinds.contains(&index.kind())) else {
                reader.refuse(&section, &name, "an index of shares: RUT, SPX, NDX, IXIC, DJI");
                continue;
            };
            let key = |name: &str| format!("{section}.{name}");
            let positive = |text: &str| Decimal::parse(text).ok().filter(|value| value.is_positive());
            let market_cap = reader.optional(
                &key("market_cap"),
                "an amount in US dollars greater than 0",
                positive,
                Decimal::to_string,
            );
            let date = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z"));
            let date = reader
                .optional(&key("date"), "a date such as 2025-12-31", date, |date| date.civil().date().to_string());
            let source = reader.optional(
                &key("source"),
                "who published it, in at most 200 characters",
                |text| (!text.is_empty() && text.len() <= 200).then(|| text.to_owned()),
                Clone::clone,
            );
            match (market_cap, date, source) {
                (Some(market_cap), Some(date), Some(source)) => {
                    references.push(IndexReference { index, market_cap, date, source });
                }
                _ => reader.refuse(&section, "", "market_cap, date and source, all three"),
            }
        }
        Self(references)
    }
}
