//! What list requests have in common: page size, page token, view, and the names of assets.

use prost::Message;

use super::convert;
use super::error::ServiceError;
use crossmarket_api::v1;
use crossmarket_domain::{AssetCode, Timestamp};
use crossmarket_image::{View, opaque};

/// Most assets or categories in one filter.
pub const FILTER_LEN_MAX: usize = 1_000;

/// Most items on a page of a list.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// Items on a page when the request does not say.
pub const PAGE_SIZE_DEFAULT: usize = 100;

/// A page ends before its items are longer than this together, since clients refuse messages over 4 MiB by default.
pub const PAGE_LEN_MAX: usize = 3 << 20;

/// Where a page begins, and the request that it belongs to.
pub struct Pages {
    fingerprint: u32,
    /// The position from the page token; 0 on the first page.
    pub start: i64,
    /// Whether there was a page token.
    pub continued: bool,
}

impl Pages {
    /// Reads a page token. `request` is the request without its page token and page size; another request's token is refused.
    pub fn of(request: &impl Message, token: &str) -> Result<Self, ServiceError> {
        let fingerprint = crc32fast::hash(&request.encode_to_vec());
        if token.is_empty() {
            return Ok(Self { fingerprint, start: 0, continued: false });
        }
        let refused = || {
            let allowed = "must be the next_page_token of the page before, with all other fields unchanged";
            ServiceError::invalid("page_token", token, allowed)
        };
        let content = opaque::open(token).ok_or_else(refused)?;
        let (owner, start) = content.split_first_chunk::<4>().ok_or_else(refused)?;
        let start: [u8; 8] = start.try_into().map_err(|_| refused())?;
        if u32::from_be_bytes(*owner) != fingerprint {
            return Err(refused());
        }
        Ok(Self { fingerprint, start: i64::from_be_bytes(start), continued: true })
    }

    /// The token of the page that begins at a position.
    pub fn token(&self, start: i64) -> String {
        let mut content = self.fingerprint.to_be_bytes().to_vec();
        content.extend_from_slice(&start.to_be_bytes());
        opaque::seal(&content)
    }

    /// One page of `items`, as long as `len` of its items allows, and the token of the next page.
    pub fn page<'a, T>(&self, items: &'a [T], size: usize, len: impl Fn(&T) -> usize) -> (&'a [T], String) {
        let start = usize::try_from(self.start).unwrap_or(0).min(items.len());
        let rest = items.get(start..).unwrap_or_default();
        let mut total_len = 0;
        let fitting = rest.iter().take(size).take_while(|item| {
            total_len += len(item);
            total_len <= PAGE_LEN_MAX
        });
        // An item too long for any page is a page of its own.
        let taken = fitting.count().max(1).min(rest.len());
        let end = start + taken;
        let token = if end < items.len() { self.token(i64::try_from(end).unwrap_or(0)) } else { String::new() };
        (rest.get(..taken).unwrap_or_default(), token)
    }
}

/// How many items a page holds: `size`, the default for 0, the maximum for more.
pub fn page_size(size: i32, default: usize, max: usize) -> Result<usize, ServiceError> {
    match usize::try_from(size) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(ServiceError::invalid("page_size", size, format!("must be from 0 to {}", thousands(max)))),
    }
}

/// The view of a request; BASIC when unspecified.
pub fn view(view: i32) -> Result<View, ServiceError> {
    match v1::View::try_from(view) {
        Ok(v1::View::Unspecified | v1::View::Basic) => Ok(View::Basic),
        Ok(v1::View::Full) => Ok(View::Full),
        Err(_) => Err(ServiceError::invalid("view", view, "must be VIEW_BASIC (1) or VIEW_FULL (2)")),
    }
}

/// A limit on ranks.
pub fn rank_max(field: &str, rank: Option<i32>) -> Result<Option<u32>, ServiceError> {
    let refused = |rank| ServiceError::invalid(field, rank, "must be at least 1");
    rank.map(|rank| u32::try_from(rank).ok().filter(|rank| *rank >= 1).ok_or_else(|| refused(rank))).transpose()
}

/// Refuses a filter with too many entries.
pub fn check_filter_len(field: &str, len: usize) -> Result<(), ServiceError> {
    if len <= FILTER_LEN_MAX {
        return Ok(());
    }
    let allowed = format!("at most {} may be given in one request", thousands(FILTER_LEN_MAX));
    Err(ServiceError::invalid(field, format!("{} entries", thousands(len)), allowed))
}

/// One asset's code, in any letter case.
pub fn asset(field: impl Into<String>, text: &str) -> Result<AssetCode, ServiceError> {
    AssetCode::parse(text).ok_or_else(|| {
        ServiceError::invalid(field, text, "must be a ticker of 1 to 32 characters without spaces or any of / , : *")
    })
}

/// The assets of a filter.
pub fn assets(texts: &[String]) -> Result<Vec<AssetCode>, ServiceError> {
    check_filter_len("assets", texts.len())?;
    texts.iter().enumerate().map(|(index, text)| asset(format!("assets[{index}]"), text)).collect()
}

/// A limit in time; `absent` microseconds since 1970 when there is none.
pub fn time_of(field: &str, time: Option<&prost_types::Timestamp>, absent: i64) -> Result<Timestamp, ServiceError> {
    let Some(time) = time else { return Ok(Timestamp::from_micros(absent)) };
    convert::instant(time).ok_or_else(|| {
        let value = format!("{} s {} ns", time.seconds, time.nanos);
        ServiceError::invalid(field, value, "must be an instant between the years 1 and 9999")
    })
}

/// A number with a comma between its thousands.
fn thousands(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1_000), number % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_belongs_to_its_request() {
        let request = v1::ListPriceSnapshotsRequest { order_by: "price desc".to_owned(), ..Default::default() };
        let other = v1::ListPriceSnapshotsRequest::default();
        let token = Pages::of(&request, "").map(|pages| pages.token(40)).expect("no token is fine");
        assert_eq!(Pages::of(&request, &token).ok().map(|pages| pages.start), Some(40));
        assert!(Pages::of(&other, &token).is_err());
        assert!(Pages::of(&request, &token[1..]).is_err());
    }

    #[test]
    fn pages_cover_everything_once() {
        let items: Vec<usize> = (0..10).collect();
        let request = v1::ListPriceSnapshotsRequest::default();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let pages = Pages::of(&request, &token).expect("own token");
            let (page, next) = pages.page(&items, 4, |_| 1);
            seen.extend_from_slice(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, items);
    }

    #[test]
    fn a_page_ends_before_it_is_too_long() {
        let pages = Pages::of(&v1::ListPriceSnapshotsRequest::default(), "").expect("no token is fine");
        let (page, next) = pages.page(&[1, 2, 3], 10, |_| PAGE_LEN_MAX / 2);
        assert_eq!(page, [1, 2]);
        assert!(!next.is_empty());
        let (page, _) = pages.page(&[1, 2, 3], 10, |_| PAGE_LEN_MAX * 2);
        assert_eq!(page, [1]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(2_000), "2,000");
        assert_eq!(thousands(1_002_003), "1,002,003");
    }
}
