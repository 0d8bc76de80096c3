//! The simulated indices: known points of their past, rough closes from general knowledge, some of them guessed.

use jiff::civil::{Date, date};

/// One simulated index.
#[derive(Clone, Copy, Debug)]
pub struct EquityIndex {
    pub code: &'static str,
    /// Typical move of a day, as a fraction.
    pub noise: f64,
    /// Share of its moves that is the whole market's, -1 to 1.
    pub market_share: f64,
    /// By how much it returns each day to where it was at the start, as a share.
    pub reversion: f64,
    /// Dates and levels, oldest first; the last is the close of the session in which the simulated market starts.
    pub points: &'static [(Date, f64)],
}

impl EquityIndex {
    /// The bound on every close and high before the start: the Russell 2000 is at a record high when the market starts.
    pub fn ceiling(&self, date: Date) -> f64 {
        let scale = match self.code {
            "RUT" => 1.0,
            "IWM" => IWM_SHARE,
            _ => return f64::INFINITY,
        };
        let level = match (date.year(), date.month(), date.day()) {
            (2026.., 1, 15..) | (2026.., 2.., _) | (2027.., ..) => f64::INFINITY,
            (2026, ..) => 2_650.0,
            (2025, 9.., _) => 2_542.0,
            _ => 2_470.0,
        };
        level * scale
    }
}

/// The value of a share of the fund as a fraction of the index.
const IWM_SHARE: f64 = 0.099_2;

/// The close of 2025, and the close of 15 January 2026 that has the level 7 % above it at 15:00: see the opening's share in the way.
const RUT_2025: f64 = 2_481.91;
const RUT_START: f64 = 2_657.846_712_66;

const fn index(
    code: &'static str,
    noise: f64,
    market_share: f64,
    reversion: f64,
    points: &'static [(Date, f64)],
) -> EquityIndex {
    EquityIndex { code, noise, market_share, reversion, points }
}

#[rustfmt::skip] // one point of the past after another
const RUT: &[(Date, f64)] = &[
    (date(2014, 1, 2), 1_152.0), (date(2014, 10, 13), 1_049.0), (date(2015, 6, 23), 1_295.0), (date(2016, 2, 11), 954.0),
    (date(2016, 12, 30), 1_357.0), (date(2017, 12, 29), 1_536.0), (date(2018, 8, 31), 1_740.0), (date(2018, 12, 24), 1_267.0),
    (date(2019, 12, 31), 1_668.0), (date(2020, 3, 18), 991.0), (date(2020, 12, 31), 1_975.0), (date(2021, 11, 8), 2_443.0),
    (date(2022, 6, 16), 1_650.0), (date(2022, 12, 30), 1_761.0), (date(2023, 10, 27), 1_637.0), (date(2023, 12, 29), 2_027.0),
    (date(2024, 7, 16), 2_264.0), (date(2024, 11, 25), 2_442.0), (date(2024, 12, 31), 2_230.0), (date(2025, 4, 8), 1_761.0),
    (date(2025, 7, 31), 2_212.0), (date(2025, 9, 15), 2_405.0), (date(2025, 10, 6), 2_530.0), (date(2025, 10, 22), 2_425.0),
    (date(2025, 11, 5), 2_532.0), (date(2025, 11, 20), 2_310.0), (date(2025, 12, 11), 2_538.0), (date(2025, 12, 22), 2_432.0),
    (date(2025, 12, 31), RUT_2025), (date(2026, 1, 5), 2_536.0), (date(2026, 1, 7), 2_575.0), (date(2026, 1, 9), 2_612.0),
    (date(2026, 1, 12), 2_620.0), (date(2026, 1, 13), 2_628.0), (date(2026, 1, 14), 2_640.0), (date(2026, 1, 15), RUT_START),
];

#[rustfmt::skip] // the same in the fund's price
const IWM: &[(Date, f64)] = &[
    (date(2014, 1, 2), 1_152.0 * IWM_SHARE), (date(2015, 6, 23), 1_295.0 * IWM_SHARE), (date(2016, 2, 11), 954.0 * IWM_SHARE),
    (date(2018, 8, 31), 1_740.0 * IWM_SHARE), (date(2018, 12, 24), 1_267.0 * IWM_SHARE), (date(2020, 3, 18), 991.0 * IWM_SHARE),
    (date(2021, 11, 8), 2_443.0 * IWM_SHARE), (date(2022, 6, 16), 1_650.0 * IWM_SHARE), (date(2023, 10, 27), 1_637.0 * IWM_SHARE),
    (date(2024, 11, 25), 2_442.0 * IWM_SHARE), (date(2025, 4, 8), 1_761.0 * IWM_SHARE), (date(2025, 10, 6), 2_530.0 * IWM_SHARE),
    (date(2025, 10, 22), 2_425.0 * IWM_SHARE), (date(2025, 11, 5), 2_532.0 * IWM_SHARE), (date(2025, 11, 20), 2_310.0 * IWM_SHARE),
    (date(2025, 12, 11), 2_538.0 * IWM_SHARE), (date(2025, 12, 22), 2_432.0 * IWM_SHARE), (date(2025, 12, 31), RUT_2025 * IWM_SHARE),
    (date(2026, 1, 7), 2_575.0 * IWM_SHARE), (date(2026, 1, 14), 2_640.0 * IWM_SHARE), (date(2026, 1, 15), RUT_START * IWM_SHARE),
];

#[rustfmt::skip]
const SPX: &[(Date, f64)] = &[
    (date(2014, 1, 2), 1_832.0), (date(2016, 2, 11), 1_829.0), (date(2018, 1, 26), 2_873.0), (date(2018, 12, 24), 2_351.0),
    (date(2020, 2, 19), 3_386.0), (date(2020, 3, 23), 2_237.0), (date(2022, 1, 3), 4_797.0), (date(2022, 10, 12), 3_577.0),
    (date(2023, 12, 29), 4_770.0), (date(2024, 12, 31), 5_882.0), (date(2025, 4, 8), 4_983.0), (date(2025, 10, 29), 6_891.0),
    (date(2025, 12, 31), 6_846.0), (date(2026, 1, 14), 6_927.0), (date(2026, 1, 15), 6_945.0),
];

#[rustfmt::skip]
const NDX: &[(Date, f64)] = &[
    (date(2014, 1, 2), 3_563.0), (date(2016, 2, 11), 3_963.0), (date(2018, 8, 29), 7_660.0), (date(2018, 12, 24), 5_900.0),
    (date(2020, 2, 19), 9_718.0), (date(2020, 3, 23), 7_006.0), (date(2021, 11, 19), 16_573.0), (date(2022, 12, 28), 10_679.0),
    (date(2023, 12, 29), 16_826.0), (date(2024, 12, 31), 21_012.0), (date(2025, 4, 8), 17_090.0), (date(2025, 10, 29), 26_120.0),
    (date(2025, 12, 31), 25_250.0), (date(2026, 1, 14), 25_466.0), (date(2026, 1, 15), 25_560.0),
];

#[rustfmt::skip]
const IXIC: &[(Date, f64)] = &[
    (date(2014, 1, 2), 4_143.0), (date(2016, 2, 11), 4_267.0), (date(2018, 8, 29), 8_110.0), (date(2018, 12, 24), 6_193.0),
    (date(2020, 2, 19), 9_817.0), (date(2020, 3, 23), 6_861.0), (date(2021, 11, 19), 16_057.0), (date(2022, 12, 28), 10_213.0),
    (date(2023, 12, 29), 15_011.0), (date(2024, 12, 31), 19_311.0), (date(2025, 4, 8), 15_268.0), (date(2025, 10, 29), 23_958.0),
    (date(2025, 12, 31), 23_242.0), (date(2026, 1, 14), 23_472.0), (date(2026, 1, 15), 23_545.0),
];

#[rustfmt::skip]
const DJI: &[(Date, f64)] = &[
    (date(2014, 1, 2), 16_441.0), (date(2016, 2, 11), 15_660.0), (date(2018, 1, 26), 26_617.0), (date(2018, 12, 24), 21_792.0),
    (date(2020, 2, 12), 29_551.0), (date(2020, 3, 23), 18_592.0), (date(2022, 1, 4), 36_800.0), (date(2022, 9, 30), 28_726.0),
    (date(2023, 12, 29), 37_690.0), (date(2024, 12, 31), 42_544.0), (date(2025, 4, 8), 37_646.0), (date(2025, 12, 31), 48_063.0),
    (date(2026, 1, 14), 49_150.0), (date(2026, 1, 15), 49_440.0),
];

#[rustfmt::skip]
const VIX: &[(Date, f64)] = &[
    (date(2014, 1, 2), 14.2), (date(2015, 8, 21), 28.0), (date(2015, 8, 24), 40.7), (date(2016, 2, 11), 28.1), (date(2017, 11, 3), 9.1),
    (date(2018, 2, 5), 37.3), (date(2018, 8, 9), 11.3), (date(2018, 12, 24), 36.1), (date(2020, 2, 19), 14.4), (date(2020, 3, 16), 82.7),
    (date(2020, 8, 25), 22.0), (date(2021, 11, 3), 15.1), (date(2022, 3, 7), 36.5), (date(2023, 12, 12), 12.1), (date(2024, 8, 5), 38.6),
    (date(2024, 12, 31), 17.4), (date(2025, 4, 8), 52.3), (date(2025, 8, 22), 14.2), (date(2025, 11, 20), 26.4), (date(2025, 12, 31), 14.9),
    (date(2026, 1, 14), 16.7), (date(2026, 1, 15), 15.9),
];

#[rustfmt::skip]
const DXY: &[(Date, f64)] = &[
    (date(2014, 1, 2), 80.6), (date(2015, 3, 13), 100.3), (date(2016, 5, 2), 92.6), (date(2017, 1, 3), 103.2), (date(2018, 2, 1), 88.7),
    (date(2020, 3, 20), 102.8), (date(2021, 1, 5), 89.4), (date(2022, 9, 27), 114.1), (date(2023, 7, 13), 99.8), (date(2024, 6, 26), 106.1),
    (date(2024, 9, 27), 100.4), (date(2025, 1, 10), 109.6), (date(2025, 7, 1), 96.8), (date(2025, 12, 31), 98.3), (date(2026, 1, 14), 99.1),
    (date(2026, 1, 15), 99.3),
];

/// Every simulated index.
pub(super) const INDICES: &[EquityIndex] = &[
    index("RUT", 0.0105, 0.85, 0.0, RUT),
    index("SPX", 0.0080, 0.95, 0.0, SPX),
    index("NDX", 0.0105, 0.90, 0.0, NDX),
    index("IXIC", 0.0100, 0.92, 0.0, IXIC),
    index("DJI", 0.0075, 0.88, 0.0, DJI),
    index("VIX", 0.0550, -0.75, 0.02, VIX),
    index("DXY", 0.0035, -0.15, 0.005, DXY),
    index("IWM", 0.0105, 0.85, 0.0, IWM),
];
