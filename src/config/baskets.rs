//! `baskets.<name>.*`: indices of assets of one's own; `index_references.<index>.*`: dated market caps of equity indices.

use super::reader::Reader;
use super::spec::{choice, list, optional, text};
use crossmarket_domain::index::{IndexCode, IndexKind};
use crossmarket_domain::{AssetName, Decimal, Timestamp};

/// Most baskets.
const BASKETS_MAX: usize = 50;

/// Most assets that a basket names.
const MEMBERS_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasketWeighting {
    MarketCap,
    /// By market cap, with an upper limit for each constituent.
    CappedMarketCap,
    Equal,
}

impl BasketWeighting {
    const ALL: [Self; 3] = [Self::MarketCap, Self::CappedMarketCap, Self::Equal];

    fn as_str(self) -> &'static str {
        match self {
            Self::MarketCap => "market-cap",
            Self::CappedMarketCap => "capped-market-cap",
            Self::Equal => "equal",
        }
    }
}

/// When a basket's weights are set again.
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

impl BasketRebalance {
    const ALL: [Self; 4] = [Self::Never, Self::Weekly, Self::Monthly, Self::Quarterly];

    fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
        }
    }
}

/// What a basket is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasketMembers {
    /// These assets.
    Assets(Vec<AssetName>),
    /// The assets of a category, by its id.
    Category(String),
}

/// `baskets.<name>.*`: one basket, whose index is `basket:<name>`.
#[derive(Clone, Debug, PartialEq)]
pub struct BasketConfig {
    pub index: IndexCode,
    pub members: BasketMembers,
    pub weighting: BasketWeighting,
    /// Upper limit for one constituent's weight, in per cent; set exactly for capped weights.
    pub cap_percent: Option<f64>,
    pub rebalance: BasketRebalance,
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
        let allowed = "at most 500 assets such as BTC or id:bitcoin: an array in a file, elsewhere separated by commas";
        let assets = list(MEMBERS_MAX, allowed, AssetName::parse, AssetName::to_string);
        let assets = reader.read(&key("assets"), "The assets in it; or give a category.", assets);
        let parse = |text: &str| IndexCode::category(text).map(|_| text.to_lowercase());
        let category = optional("the id of a category, such as privacy-coins", parse, Clone::clone);
        let category = reader.read(&key("category"), "The category whose assets are in it.", category);
        let weighting = choice(BasketWeighting::MarketCap, &BasketWeighting::ALL, BasketWeighting::as_str);
        let weighting = reader.read(&key("weighting"), "How constituents are weighted.", weighting);
        let percent = |text: &str| text.parse().ok().filter(|percent: &f64| *percent > 0.0 && *percent <= 100.0);
        let cap_percent = optional("a number greater than 0 and at most 100", percent, f64::to_string);
        let help =
            "Upper limit for one constituent's weight when weights are set, in per cent. Capped weights need it.";
        let cap_percent = reader.read(&key("cap_percent"), help, cap_percent);
        let rebalance = choice(BasketRebalance::Monthly, &BasketRebalance::ALL, BasketRebalance::as_str);
        let rebalance = reader.read(&key("rebalance"), "When weights are set again: at the end of each.", rebalance);
        let level = |text: &str| text.parse().ok().filter(|level: &f64| level.is_finite() && *level > 0.0);
        let base_level = text(1_000.0, "a number greater than 0", level, f64::to_string);
        let base_level = reader.read(&key("base_level"), "The first level.", base_level);
        let members = members(reader, key, assets, category)?;
        match (weighting, cap_percent) {
            (BasketWeighting::CappedMarketCap, None) => {
                reader.refuse(&key("cap_percent"), "", "a number, which capped-market-cap needs");
                None
            }
            (BasketWeighting::MarketCap | BasketWeighting::Equal, Some(cap)) => {
                reader.refuse(&key("cap_percent"), &cap.to_string(), "only with weighting = \"capped-market-cap\"");
                None
            }
            _ => Some(Self { index, members, weighting, cap_percent, rebalance, base_level }),
        }
    }
}

/// Exactly one of the two must say what a basket is made of.
fn members(
    reader: &mut Reader,
    key: impl Fn(&str) -> String,
    assets: Vec<AssetName>,
    category: Option<String>,
) -> Option<BasketMembers> {
    match (assets.is_empty(), category) {
        (false, None) => Some(BasketMembers::Assets(assets)),
        (true, Some(category)) => Some(BasketMembers::Category(category)),
        (false, Some(category)) => {
            reader.refuse(&key("category"), &category, "assets or category, and not both");
            None
        }
        (true, None) => {
            reader.refuse(&key("assets"), "", "assets or category must say what the basket is made of");
            None
        }
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
            let market_cap = optional("an amount in US dollars greater than 0", positive, Decimal::to_string);
            let market_cap = reader.read(&key("market_cap"), "The published market cap in US dollars.", market_cap);
            let date = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z"));
            let date = optional("a date such as 2025-12-31", date, |date| date.civil().date().to_string());
            let date = reader.read(&key("date"), "The date of the close that it is for.", date);
            let source = |text: &str| (!text.is_empty() && text.len() <= 200).then(|| text.to_owned());
            let source = optional("who published it, in at most 200 characters", source, Clone::clone);
            let source = reader.read(&key("source"), "Who published it.", source);
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
