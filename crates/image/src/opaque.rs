//! Opaque texts for clients: bytes with a checksum, in URL-safe base64. Changed texts are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Maximum length of a text, in bytes. A cursor of 256 shards is about 5,500.
const OPAQUE_LEN_MAX: usize = 16_384;

const CHECK_SUM_LEN: usize = 4;

/// Encodes bytes as a text.
pub fn seal(content: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(content.len() + CHECK_SUM_LEN);
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a text from [`seal`]; `None` for anything else.
pub fn open(text: &str) -> Option<Vec<u8>> {
    if text.len() > OPAQUE_LEN_MAX {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let content_len = bytes.len().checked_sub(CHECK_SUM_LEN)?;
    let check_sum = bytes.split_off(content_len);
    (crc32fast::hash(&bytes).to_be_bytes().as_slice() == check_sum).then_some(bytes)
}
