//! Walking JSON with sonic-rs, the fastest JSON crate, without making anything of it: the measure of a decoder.

use serde::de::IgnoredAny;

/// Checks the text and drops it; false when it is not JSON.
pub fn skip(text: &str) -> bool {
    sonic_rs::from_str::<IgnoredAny>(text).is_ok()
}

/// Visits every key and value of a list of flat objects without decoding the values; returns how many there are.
pub fn each_value(text: &str) -> usize {
    let mut count = 0;
    for entry in sonic_rs::to_array_iter(text).flatten() {
        for (key, value) in sonic_rs::to_object_iter(entry.as_raw_str()).flatten() {
            std::hint::black_box((key, value.as_raw_str()));
            count += 1;
        }
    }
    count
}
