//! Splitting venue symbols into base and quote, shared by the venues.

use smol_str::SmolStr;

/// Quote assets that symbols without a separator may end in, by their last letter, the longer before the shorter.
fn quotes_ending_in(last: u8) -> &'static [&'static str] {
    match last {
        b'C' => &["USDC", "EURC", "BTC"],
        b'D' => &["FDUSD", "BFUSD", "RLUSD", "PYUSD", "BUSD", "TUSD", "USDD", "BVND", "HUSD", "USD", "AUD", "CAD"],
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

/// Splits `BTCUSDT` into `BTC` and `USDT` at a known quote asset. `None` when no known quote ends it or nothing is left in front.
/// Among several quotes that fit, the longest wins: `ABCFDUSD` is quoted in `FDUSD`.
#[inline]
pub fn split_joined(symbol: &str) -> Option<(&str, &'static str)> {
    let quotes = quotes_ending_in(*symbol.as_bytes().last()?);
    quotes
        .iter()
        .find_map(|quote| symbol.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))
}

/// Splits `BTC-USDT` at a separator that occurs once. `None` when it does not or a side is empty.
pub fn split_at(symbol: &str, separator: char) -> Option<(&str, &str)> {
    let (base, quote) = symbol.split_once(separator)?;
    (!base.is_empty() && !quote.is_empty() && !quote.contains(separator)).then_some((base, quote))
}

/// Takes the multiplier of a perpetual's base apart: `1000PEPE` is 1000 × `PEPE`, `SHIB1000` is 1000 × `SHIB`, `1MBABYDOGE` is
/// 1,000,000 × `BABYDOGE`. Only powers of ten from 1000 to 1,000,000 count, so `1INCH` and `C98` stay whole.
pub fn split_multiplier(base: &str) -> (SmolStr, u32) {
    for (text, multiplier) in
        [("1000000", 1_000_000), ("100000", 100_000), ("10000", 10_000), ("1000", 1_000), ("1M", 1_000_000)]
    {
        let rest =
            base.strip_prefix(text).or_else(|| base.strip_suffix(text).filter(|_| multiplier >= 1_000 && text != "1M"));
        // What is left must be a ticker of its own: letters in front, at least two.
        if let Some(rest) = rest
            && rest.len() >= 2
            && rest.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            return (SmolStr::new(rest), multiplier);
        }
    }
    (SmolStr::new(base), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_joined_symbols() {
        assert_eq!(split_joined("BTCUSDT"), Some(("BTC", "USDT")));
        assert_eq!(split_joined("ETHBTC"), Some(("ETH", "BTC")));
        assert_eq!(split_joined("BTCFDUSD"), Some(("BTC", "FDUSD")));
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
                assert_eq!(split_joined(&format!("XX{quote}")), Some(("XX", *quote)));
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
            ("1MBABYDOGE", "BABYDOGE", 1_000_000),
            ("10000SATS", "SATS", 10_000),
            ("1INCH", "1INCH", 1),
            ("C98", "C98", 1),
            ("BTC", "BTC", 1),
        ] {
            assert_eq!(split_multiplier(base), (SmolStr::new(rest), multiplier), "{base}");
        }
    }
}
