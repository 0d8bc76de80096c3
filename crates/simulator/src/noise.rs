//! Stateless randomness: every draw is a hash of the seed and of what is drawn. So any value of the model can be
//! computed in any order, by any replica, after any restart.

/// Mixes a word into a hash (the finalizer of splitmix64 over both).
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let mut z = hash.wrapping_add(word.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Mixes a text into a hash.
pub(super) fn mix_text(hash: u64, text: &str) -> u64 {
    text.bytes().fold(mix(hash, text.len() as u64), |hash, byte| mix(hash, u64::from(byte)))
}

/// A number from 0 (inclusive) to 1 (exclusive), evenly distributed.
pub(super) fn uniform(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// A number with mean 0 and variance 1, nearly normal and never beyond ±3.5: the sum of four uniform draws. Unlike the
/// exact transforms it needs no logarithm, and it cannot crash a market.
pub(super) fn normal(hash: u64) -> f64 {
    let sum = (hash & 0xFFFF) + (hash >> 16 & 0xFFFF) + (hash >> 32 & 0xFFFF) + (hash >> 48);
    (sum as f64 / 65_535.0 - 2.0) * 1.732_050_807_568_877_2
}

/// A number from -1 to 1 that varies smoothly: uniform draws at whole `position`s, with cosine interpolation.
pub(super) fn wander(hash: u64, position: f64) -> f64 {
    let whole = position.floor();
    let at = |knot: f64| uniform(mix(hash, knot as i64 as u64)) * 2.0 - 1.0;
    let weight = (1.0 - ((position - whole) * std::f64::consts::PI).cos()) / 2.0;
    at(whole) * (1.0 - weight) + at(whole + 1.0) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let draws: Vec<f64> = (0..20_000).map(|index| normal(mix(7, index))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.03, "variance {variance}");
        assert!(draws.iter().all(|draw| draw.abs() <= 3.5));
    }

    #[test]
    fn wandering_is_continuous_and_seeded() {
        assert!((wander(1, 2.999_999) - wander(1, 3.0)).abs() < 1e-5);
        assert_ne!(wander(1, 2.5), wander(2, 2.5));
    }
}
