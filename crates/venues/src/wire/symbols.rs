//! Venue symbols: splitting them into base and quote, and the instruments behind them.

use smol_str::SmolStr;

use crossmarket_domain::instrument::ASSET_CODE_LEN_MAX;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::{AssetCode, Instrument, InstrumentKind};

/// Quote assets of symbols without a separator, by their last letter, longest first.
fn quotes_ending_in(last: u8) -> &'static [&'static str] {
    match last {
        b'C' => &["USDC", "EURC", "BTC"],
        b'D' => &["FDUSD", "BFUSD", "RLUSD", "PYUSD", "BUSD", "TUSD", "USDD", "BVND", "HUSD", "USD", "AUD", "CAD"],
        // Too short to be told from the end of a ticker: it needs a known base.
        b'U' => &["U"],
        b'T' => &["USDT", "IDRT", "UST", "DOT", "MNT", "BIT", "HT"],
        b'1' => &["USD1"],
        b'B' => &["RUB", "BNB"],
        b'E' => &["USDE", "DOGE"],
        b'F' => &["CHF"],
        b'H' => &["UAH", "ETH"],
        b'I' => &["EURI", "DAI", "VAI"],
        b'K' => &["CZK"],
        b'L' => &["BRL", "SOL"],
        b'N' => &["NGN", "PLN", "RON", "MXN"],
        b'P' => &["USDP", "GBP", "COP", "XRP"],
        b'R' => &["BIDR", "EUR", "ZAR", "IDR"],
        b'S' => &["ARS", "KCS"],
        b'W' => &["KRW"],
        b'X' => &["PAX", "TRX", "MX"],
        b'Y' => &["JPY", "TRY"],
        b'Z' => &["BRZ"],
        _ => &[],
    }
}

/// Splits `BTCUSDT` into `BTC` and `USDT` at a known quote asset. `None` when the symbol does not end in one, or
/// nothing is left before it. Where several quotes fit, the one whose base is a known asset wins, the longest first:
/// `USDTUSD` is `USDT` in `USD`, not `USD` in `TUSD`. Without a known base the longest quote wins: `ABCFDUSD` is quoted
/// in `FDUSD`.
#[inline]
pub(crate) fn split_joined(symbol: &str) -> Option<(&str, &'static str)> {
    let quotes = quotes_ending_in(*symbol.as_bytes().last()?);
    let split =
        |quote: &&'static str| symbol.strip_suffix(*quote).filter(|base| !base.is_empty()).map(|base| (base, *quote));
    let mut splits = quotes.iter().filter_map(split);
    let longest = splits.next()?;
    // Nearly every symbol fits one quote, and needs no look at the registry.
    let is_certain = longest.1.len() > 1 && !splits.clone().any(|_| true);
    if is_certain {
        return Some(longest);
    }
    let known = std::iter::once(longest).chain(splits).find(|(base, _)| is_known(base));
    known.or_else(|| (longest.1.len() > 1 && longest.0.len() > 1).then_some(longest))
}

/// True for the ticker of a registered asset, of now or before, with or without a multiplier.
fn is_known(base: &str) -> bool {
    Registry::shipped().find(&split_multiplier(base).0).is_some()
}

/// Splits `BTC-USDT` at a separator that occurs exactly once. `None` when it does not or a side is empty.
pub(crate) fn split_at(symbol: &str, separator: char) -> Option<(&str, &str)> {
    let (base, quote) = symbol.split_once(separator)?;
    (!base.is_empty() && !quote.is_empty() && !quote.contains(separator)).then_some((base, quote))
}

/// Splits the multiplier off a base: `1000PEPE` is 1000 × `PEPE`, `SHIB1000` is 1000 × `SHIB`, `1MBABYDOGE`
/// is 1,000,000 × `BABYDOGE`. Only powers of ten from 1000 to 10,000,000 count, so `1INCH` and `C98` are not split.
pub(crate) fn split_multiplier(base: &str) -> (SmolStr, u32) {
    if !base.contains("1000") && !base.starts_with("1M") {
        return (SmolStr::new(base), 1);
    }
    for (text, multiplier) in [
        ("10000000", 10_000_000),
        ("1000000", 1_000_000),
        ("100000", 100_000),
        ("10000", 10_000),
        ("1000", 1_000),
        ("1M", 1_000_000),
    ] {
        let rest =
            base.strip_prefix(text).or_else(|| base.strip_suffix(text).filter(|_| multiplier >= 1_000 && text != "1M"));
        // The rest must be a ticker of its own: at least two characters, beginning with a letter.
        if let Some(rest) = rest
            && rest.len() >= 2
            && rest.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            return (SmolStr::new(rest), multiplier);
        }
    }
    (SmolStr::new(base), 1)
}

/// Encodes a symbol for a URL.
pub(crate) fn url_encoded(symbol: &str) -> String {
    url::form_urlencoded::byte_serialize(symbol.as_bytes()).collect()
}

/// The spot instrument of a symbol, its assets in upper case, with the multiplier removed from the base. A leveraged
/// token becomes [`InstrumentKind::Other`]. `None` when base or quote is not a valid asset code.
pub(crate) fn spot_instrument(symbol: &str, base: &str, quote: &str) -> Option<Instrument> {
    let kind = if is_leveraged(base) { InstrumentKind::Other } else { InstrumentKind::Spot };
    derivative(symbol, base, quote, kind)
}

/// The derivative of a symbol, with the multiplier removed from the base.
pub(crate) fn derivative(symbol: &str, base: &str, quote: &str, kind: InstrumentKind) -> Option<Instrument> {
    let (base, multiplier) = split_multiplier(base);
    instrument(symbol, &base, quote, kind, multiplier)
}

fn instrument(symbol: &str, base: &str, quote: &str, kind: InstrumentKind, multiplier: u32) -> Option<Instrument> {
    Some(Instrument {
        symbol: SmolStr::new(symbol),
        base: asset_code(base)?,
        quote: asset_code(quote)?,
        kind,
        multiplier,
    })
}

/// An asset code in upper case, `None` when it is not valid.
fn asset_code(text: &str) -> Option<SmolStr> {
    // Fast path: nearly every code is plain, and a list has thousands of them.
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if (1..=ASSET_CODE_LEN_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Some(SmolStr::new(text));
    }
    AssetCode::parse(text).map(|code| SmolStr::new(code.as_str()))
}

/// Assets that have `…UP` and `…DOWN` tokens. Matching the suffix alone would catch `JUP` and `SYRUP`.
const UP_DOWN_ASSETS: &[&str] = &[
    "BTC", "ETH", "BNB", "XRP", "ADA", "LTC", "DOT", "LINK", "EOS", "TRX", "XLM", "XTZ", "UNI", "FIL", "SUSHI", "YFI",
    "AAVE", "BCH", "SXP", "DOGE", "SOL", "ATOM", "AVAX", "NEAR", "VET", "MATIC", "APT", "SAND", "AXS",
];

/// True for `BTC3L`, `ETH5S`, `BTCUP`: tokens that track a multiple of an asset's moves, not its price.
pub(crate) fn is_leveraged(base: &str) -> bool {
    if !base.ends_with(['P', 'p', 'N', 'n', 'L', 'l', 'S', 's']) {
        return false;
    }
    let base = base.to_ascii_uppercase();
    let up_down = base.strip_suffix("UP").or_else(|| base.strip_suffix("DOWN"));
    if up_down.is_some_and(|asset| UP_DOWN_ASSETS.contains(&asset)) {
        return true;
    }
    let Some(factor) = base.strip_suffix(['L', 'S']) else { return false };
    let Some(asset) = factor.strip_suffix(['1', '2', '3', '4', '5']) else { return false };
    asset.len() >= 2
        && asset.starts_with(|c: char| c.is_ascii_alphabetic())
        && !asset.ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_joined_symbols() {
        assert_eq!(split_joined("BTCUSDT"), Some(("BTC", "USDT")));
        assert_eq!(split_joined("ETHBTC"), Some(("ETH", "BTC")));
        assert_eq!(split_joined("BTCFDUSD"), Some(("BTC", "FDUSD")));
        assert_eq!(split_joined("USDTUSD"), Some(("USDT", "USD")));
        assert_eq!(split_joined("BNBUSD"), Some(("BNB", "USD")));
        assert_eq!(split_joined("ETHUSD"), Some(("ETH", "USD")));
        assert_eq!(split_joined("BTCTUSD"), Some(("BTC", "TUSD")));
        assert_eq!(split_joined("BTCU"), Some(("BTC", "U")));
        assert_eq!(split_joined("QQQU"), None);
        assert_eq!(split_joined("USDT"), None);
        assert_eq!(split_joined("币安人生USDT"), Some(("币安人生", "USDT")));
        assert_eq!(split_joined("QQQ"), None);
    }

    #[test]
    fn lists_quotes_by_their_last_letter_and_longest_first() {
        for last in 0..=u8::MAX {
            let quotes = quotes_ending_in(last);
            assert!(quotes.iter().all(|quote| quote.as_bytes().last() == Some(&last)), "{quotes:?}");
            assert!(quotes.is_sorted_by_key(|quote| std::cmp::Reverse(quote.len())), "{quotes:?}");
            for quote in quotes {
                assert_eq!(split_joined(&format!("BTC{quote}")), Some(("BTC", *quote)));
            }
        }
    }

    #[test]
    fn splits_at_a_separator() {
        assert_eq!(split_at("BTC-USDT", '-'), Some(("BTC", "USDT")));
        assert_eq!(split_at("BTC-USDT-SWAP", '-'), None);
        assert_eq!(split_at("-USDT", '-'), None);
    }

    #[test]
    fn takes_multipliers_apart() {
        for (base, rest, multiplier) in [
            ("1000PEPE", "PEPE", 1_000),
            ("SHIB1000", "SHIB", 1_000),
            ("1000000MOG", "MOG", 1_000_000),
            ("10000000AIDOGE", "AIDOGE", 10_000_000),
            ("1MBABYDOGE", "BABYDOGE", 1_000_000),
            ("10000SATS", "SATS", 10_000),
            ("1INCH", "1INCH", 1),
            ("C98", "C98", 1),
            ("BTC", "BTC", 1),
        ] {
            assert_eq!(split_multiplier(base), (SmolStr::new(rest), multiplier), "{base}");
        }
    }

    #[test]
    fn knows_leveraged_tokens() {
        for base in ["BTC3L", "eth5s", "BTC1S", "BTCUP", "SOLDOWN", "DOGE2L"] {
            assert!(is_leveraged(base), "{base}");
        }
        for base in ["JUP", "SYRUP", "BTC", "SOL", "A3S", "SOLS", "1INCH", "UP", "L3", "C98L"] {
            assert!(!is_leveraged(base), "{base}");
        }
    }
}
