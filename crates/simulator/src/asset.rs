//! A simulated asset, and how its price moved before the start.

/// One simulated asset at the simulated market's start.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Upper-case ticker, unique among the simulated assets.
    pub ticker: &'static str,
    /// The CoinGecko id; empty for a fiat currency, which that listing does not have.
    pub listing_id: &'static str,
    /// Name in full.
    pub name: &'static str,
    /// Price in USD at the start.
    pub price: f64,
    /// Market capitalization at the start, in millions of USD.
    pub market_cap_millions: f64,
    /// Volume of the 24 hours before the start over all markets, in millions of USD.
    pub volume_millions: f64,
    /// All-time high up to the start, in USD.
    pub all_time_high: f64,
    /// The UTC date of the all-time high, `YYYY-MM-DD`.
    pub all_time_high_date: &'static str,
    /// CoinGecko's category ids.
    pub categories: &'static [&'static str],
}

/// Shorthand for the table's rows.
#[expect(clippy::too_many_arguments, reason = "one row of a table, one argument a column")]
pub(super) const fn coin(
    ticker: &'static str,
    listing_id: &'static str,
    name: &'static str,
    price: f64,
    market_cap_millions: f64,
    volume_millions: f64,
    all_time_high: f64,
    all_time_high_date: &'static str,
    categories: &'static [&'static str],
) -> Asset {
    Asset {
        ticker,
        listing_id,
        name,
        price,
        market_cap_millions,
        volume_millions,
        all_time_high,
        all_time_high_date,
        categories,
    }
}

impl Asset {
    pub fn has_category(&self, category: &str) -> bool {
        self.categories.contains(&category)
    }

    /// True for a fiat currency.
    pub fn is_fiat(&self) -> bool {
        self.listing_id.is_empty()
    }

    /// Units in circulation: market cap by price.
    pub fn supply(&self) -> f64 {
        self.market_cap_millions * 1e6 / self.price
    }

    /// Maximum supply, where one is fixed.
    pub fn max_supply(&self) -> Option<f64> {
        const FIXED: &[(&str, f64)] = &[
            ("BTC", 21e6),
            ("BCH", 21e6),
            ("BSV", 21e6),
            ("ZEC", 21e6),
            ("LTC", 84e6),
            ("XRP", 100e9),
            ("ADA", 45e9),
            ("LINK", 1e9),
            ("AVAX", 720e6),
            ("HBAR", 50e9),
            ("UNI", 1e9),
            ("SUI", 10e9),
            ("TAO", 21e6),
            ("DASH", 18.92e6),
        ];
        FIXED.iter().find(|(ticker, _)| *ticker == self.ticker).map(|(_, supply)| *supply)
    }

    /// How its price moves.
    pub(super) fn behaviour(&self) -> Behaviour {
        if let Some((_, tracked)) = TRACKED.iter().find(|(ticker, _)| *ticker == self.ticker) {
            return Behaviour::Tracks(tracked);
        }
        if self.has_category("stablecoins") {
            return Behaviour::Pegged;
        }
        Behaviour::Free(Past::of(self))
    }
}

/// How a price moves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// In a fixed proportion to another asset's price.
    Tracks(&'static str),
    /// Within a few basis points of where it is.
    Pegged,
    /// On its own path.
    Free(Past),
}

/// An asset whose price follows another's.
const TRACKED: &[(&str, &str)] = &[
    ("WBTC", "BTC"),
    ("CBBTC", "BTC"),
    ("STETH", "ETH"),
    ("WSTETH", "ETH"),
    ("WEETH", "ETH"),
    ("XAUT", "PAXG"),
    ("EURC", "EUR"),
];

/// An asset's way to its price at the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Realized volatility of the last 24 hours, as a fraction; exact.
    pub volatility_24h: f64,
    /// Typical volatility of a day, as a fraction.
    pub volatility_day: f64,
    /// Share of its movement that comes from the whole market, 0 to 1.
    pub market_share: f64,
    /// Changes from [`CHANGE_DAYS`] ago to the start, as fractions; drawn at random where absent.
    pub changes: Option<[f64; CHANGE_DAYS.len()]>,
    /// The mean of the drawn change over [`CHANGE_DAYS`], as logarithms.
    pub drift: [f64; CHANGE_DAYS.len()],
    /// For a young asset: days before the start on which it began to trade.
    pub age_days: Option<i64>,
}

/// How many days before the start the known changes begin: 24 hours, a week, the new year's eve, a month, a quarter,
/// Bitcoin's high of 2025-10-06, a year.
pub(super) const CHANGE_DAYS: [i64; 7] = [1, 7, 15, 30, 90, 101, 365];

/// Changes of the assets whose January 2026 the documentation describes, and of those that led.
const KNOWN: &[(&str, f64, f64, [f64; CHANGE_DAYS.len()])] = &[
    ("BTC", 0.013, 0.021, [-0.0182, 0.0483, 0.0889, 0.0865, -0.104, -0.24411, -0.041]),
    ("ETH", 0.005, 0.030, [-0.0101, 0.0614, 0.1114, 0.1152, -0.140, -0.2970, -0.029]),
    ("BNB", 0.004, 0.024, [-0.0082, 0.0499, 0.0827, 0.0765, -0.143, -0.2380, 0.305]),
    ("SOL", 0.013, 0.036, [-0.0213, 0.0445, 0.1494, 0.1180, -0.214, -0.3870, -0.295]),
    ("XRP", 0.016, 0.034, [-0.0251, 0.0121, 0.1230, 0.0710, -0.117, -0.3080, -0.338]),
    ("DOGE", 0.021, 0.041, [-0.0401, -0.0152, 0.1910, 0.0690, -0.244, -0.4690, -0.640]),
    ("ADA", 0.020, 0.039, [-0.0411, 0.0031, 0.1720, 0.0010, -0.381, -0.5460, -0.640]),
    ("XMR", 0.041, 0.043, [0.0051, 0.5612, 0.6510, 0.7420, 1.310, 1.1900, 2.310]),
    ("ZEC", 0.047, 0.075, [-0.0410, 0.0151, -0.2100, -0.0310, 0.740, 1.3400, 6.300]),
    ("DASH", 0.068, 0.070, [0.0210, 1.1910, 1.0800, 1.1100, 0.790, 1.4100, 1.180]),
    ("DCR", 0.044, 0.060, [0.0110, 0.1910, 0.2300, 0.0700, 0.450, 0.2500, 0.480]),
    ("ZEN", 0.052, 0.065, [0.0090, 0.3110, 0.4100, 0.4800, -0.080, 0.5200, -0.520]),
    ("DUSK", 0.083, 0.080, [0.1510, 0.7110, 0.9100, 1.0800, 0.900, 0.7200, -0.460]),
    ("TRX", 0.006, 0.014, [0.0081, 0.0402, 0.0830, 0.1010, -0.022, -0.1010, 0.372]),
    ("LEO", 0.005, 0.011, [0.0021, -0.0102, 0.0310, -0.0420, -0.061, -0.0650, 0.001]),
    ("PAXG", 0.006, 0.010, [-0.0041, 0.0301, 0.0620, 0.0710, 0.098, 0.1640, 0.712]),
    ("EUR", 0.002, 0.004, [-0.0021, -0.0041, -0.0123, -0.0131, -0.0051, -0.0081, 0.127]),
];

impl Past {
    /// The history of an asset with a constant price.
    pub(crate) const PEGGED: Self = Self {
        volatility_24h: 0.0002,
        volatility_day: 0.0001,
        market_share: 0.0,
        changes: Some([0.0; CHANGE_DAYS.len()]),
        drift: [0.0; CHANGE_DAYS.len()],
        age_days: None,
    };

    /// The known history of an asset, and how to generate the rest.
    fn of(asset: &Asset) -> Self {
        let market_share = match asset.ticker {
            "BTC" => 0.95,
            "PAXG" | "EUR" => 0.0,
            _ if asset.has_category("privacy-coins") => 0.35,
            _ => 0.7,
        };
        let age_days = YOUNG.iter().find(|(ticker, _)| *ticker == asset.ticker).map(|(_, days)| *days);
        if let Some((_, volatility_24h, volatility_day, changes)) =
            KNOWN.iter().copied().find(|(ticker, ..)| *ticker == asset.ticker)
        {
            let drift = [0.0; CHANGE_DAYS.len()];
            return Self { volatility_24h, volatility_day, market_share, changes: Some(changes), drift, age_days };
        }
        let (volatility_day, drift) = if asset.has_category("exchange-based-tokens") {
            (0.022, [-0.008, 0.015, 0.04, 0.0, -0.20, -0.28, -0.15])
        } else if asset.has_category("privacy-coins") {
            (0.050, [0.012, 0.22, 0.32, 0.28, 0.30, 0.25, 0.20])
        } else if asset.has_category("meme-token") {
            (0.052, [-0.028, 0.01, 0.19, 0.02, -0.48, -0.62, -1.20])
        } else {
            (0.042, [-0.022, 0.02, 0.12, -0.02, -0.42, -0.55, -0.95])
        };
        Self { volatility_24h: volatility_day * 0.7, volatility_day, market_share, changes: None, drift, age_days }
    }
}

/// Assets, and how many days before the start they began to trade.
const YOUNG: &[(&str, i64)] = &[
    ("LIT", 16),
    ("NIGHT", 37),
    ("MON", 52),
    ("CC", 66),
    ("2Z", 105),
    ("XPL", 112),
    ("ASTER", 120),
    ("LINEA", 127),
    ("WLFI", 136),
    ("M", 196),
    ("PUMP", 185),
    ("SYRUP", 280),
    ("WAL", 294),
    ("ZORA", 267),
    ("A", 242),
    ("SKY", 480),
    ("S", 380),
    ("KAITO", 329),
    ("BERA", 343),
    ("IP", 336),
];
