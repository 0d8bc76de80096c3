//! The fields that list requests share: page size, page token, view, times, and the names of assets.

use prost::Message;
use prost_types::Timestamp as WireTime;

use super::convert;
use super::error::ServiceError;
use crossmarket_api::v1;
use crossmarket_domain::{AssetName, Timestamp};
use crossmarket_image::{View, opaque};

/// Most assets or categories in one filter.
pub(super) const FILTER_LEN_MAX: usize = 1_000;

/// A page ends before its items are longer than this together, since clients refuse messages over 4 MiB by default.
pub(super) const PAGE_LEN_MAX: usize = 3 << 20;

/// A request for one page of a list.
pub(super) trait PageRequest: Message {
    /// Takes the page size and the page token out, which leaves what all pages of one list have in common.
    fn take_page(&mut self) -> (i32, String);
}

macro_rules! page_requests {
    ($($request:ident),* $(,)?) => {
        $(impl PageRequest for v1::$request {
            fn take_page(&mut self) -> (i32, String) {
                (std::mem::take(&mut self.page_size), std::mem::take(&mut self.page_token))
            }
        })*
    };
}

page_requests!(
    ListPriceSnapshotsRequest,
    ListCandlesRequest,
    ListLongShortRatiosRequest,
    ListLongShortRatioHistoryRequest,
    ListAssetsRequest,
    ListInstrumentsRequest,
    ListVenuesRequest,
    ListFeedsRequest,
    ListIndicesRequest,
    ListIndexHistoryRequest,
    ListAltcoinSeasonHistoryRequest,
);

/// How many items a page may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSizes {
    /// When the request does not say.
    pub(super) default: usize,
    pub(super) max: usize,
}

impl PageSizes {
    /// Of lists of states.
    pub(super) const STATES: Self = Self { default: 100, max: 1_000 };
}

/// Where a page begins, how large it is, and the request that it belongs to.
pub(super) struct Pages {
    fingerprint: u32,
    /// The position from the page token; 0 on the first page.
    pub(super) start: i64,
    /// Whether there was a page token.
    pub(super) continued: bool,
    /// The most items on a page.
    pub(super) size: usize,
}

impl Pages {
    /// Reads page size and page token. A token of another request is refused.
    pub(super) fn of(request: &mut impl PageRequest, sizes: PageSizes) -> Result<Self, ServiceError> {
        let (size, token) = request.take_page();
        let size = page_size(size, sizes)?;
        let fingerprint = crc32fast::hash(&request.encode_to_vec());
        if token.is_empty() {
            return Ok(Self { fingerprint, start: 0, continued: false, size });
        }
        let refused = || {
            let allowed = "must be the next_page_token of the page before, with all other fields unchanged";
            ServiceError::invalid("page_token", token.as_str(), allowed)
        };
        let content = opaque::open(&token).ok_or_else(refused)?;
        let (owner, start) = content.split_first_chunk::<4>().ok_or_else(refused)?;
        let start: [u8; 8] = start.try_into().map_err(|_| refused())?;
        if u32::from_be_bytes(*owner) != fingerprint {
            return Err(refused());
        }
        Ok(Self { fingerprint, start: i64::from_be_bytes(start), continued: true, size })
    }

    /// The token of the page that begins at a position.
    pub(super) fn token(&self, start: i64) -> String {
        let mut content = self.fingerprint.to_be_bytes().to_vec();
        content.extend_from_slice(&start.to_be_bytes());
        opaque::seal(&content)
    }

    /// One page of `items`, which ends early when its items are too long together, and the token of the next page.
    pub(super) fn page<'a, T>(&self, items: &'a [T], len: impl Fn(&T) -> usize) -> (&'a [T], String) {
        let start = usize::try_from(self.start).unwrap_or(0).min(items.len());
        let rest = items.get(start..).unwrap_or_default();
        let mut total_len = 0;
        let fitting = rest.iter().take(self.size).take_while(|item| {
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
fn page_size(size: i32, PageSizes { default, max }: PageSizes) -> Result<usize, ServiceError> {
    match usize::try_from(size) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(ServiceError::invalid("page_size", size, format!("must be from 0 to {}", thousands(max)))),
    }
}

/// The view of a request; BASIC when unspecified.
pub(super) fn view(view: i32) -> Result<View, ServiceError> {
    match v1::View::try_from(view) {
        Ok(v1::View::Unspecified | v1::View::Basic) => Ok(View::Basic),
        Ok(v1::View::Full) => Ok(View::Full),
        Err(_) => Err(ServiceError::invalid("view", view, "must be VIEW_BASIC (1) or VIEW_FULL (2)")),
    }
}

/// A limit on ranks.
pub(super) fn rank_max(field: &str, rank: Option<i32>) -> Result<Option<u32>, ServiceError> {
    let refused = |rank| ServiceError::invalid(field, rank, "must be at least 1");
    rank.map(|rank| u32::try_from(rank).ok().filter(|rank| *rank >= 1).ok_or_else(|| refused(rank))).transpose()
}

/// Refuses a filter with too many entries.
pub(super) fn check_filter_len(field: &str, len: usize) -> Result<(), ServiceError> {
    if len <= FILTER_LEN_MAX {
        return Ok(());
    }
    let allowed = format!("at most {} may be given in one request", thousands(FILTER_LEN_MAX));
    Err(ServiceError::invalid(field, format!("{} entries", thousands(len)), allowed))
}

/// The name of an asset, in any letter case.
pub(super) fn asset(field: impl Into<String>, text: &str) -> Result<AssetName, ServiceError> {
    AssetName::parse(text).ok_or_else(|| {
        let allowed =
            "must be a ticker of 1 to 32 characters without spaces or any of / , : *, or an id such as id:bitcoin";
        ServiceError::invalid(field, text, allowed)
    })
}

/// An instant of a request.
pub(super) fn instant(field: &str, time: Option<&WireTime>) -> Result<Option<Timestamp>, ServiceError> {
    let read = |time: &WireTime| {
        convert::instant(time).ok_or_else(|| {
            let value = format!("{} s {} ns", time.seconds, time.nanos);
            ServiceError::invalid(field, value, "must be an instant between the years 1 and 9999")
        })
    };
    time.map(read).transpose()
}

/// The fields `start_time` and `end_time`, of which either may be absent.
pub(super) fn span(
    start: Option<&WireTime>,
    end: Option<&WireTime>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), ServiceError> {
    let (start, end) = (instant("start_time", start)?, instant("end_time", end)?);
    match (start, end) {
        (Some(start), Some(end)) if end < start => {
            Err(ServiceError::invalid("end_time", end, "must not be before start_time"))
        }
        _ => Ok((start, end)),
    }
}

/// [`span`], open where a field is absent, from the position of the page token on.
pub(super) fn page_span(
    pages: &Pages,
    start: Option<&WireTime>,
    end: Option<&WireTime>,
) -> Result<(Timestamp, Timestamp), ServiceError> {
    let (start, end) = span(start, end)?;
    let from = match pages.continued {
        true => Timestamp::from_micros(pages.start),
        false => start.unwrap_or(Timestamp::from_micros(i64::MIN)),
    };
    Ok((from, end.unwrap_or(Timestamp::from_micros(i64::MAX))))
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
        let pages = |order_by: &str, page_token: &str| {
            let (order_by, page_token) = (order_by.to_owned(), page_token.to_owned());
            let mut request = v1::ListPriceSnapshotsRequest { order_by, page_token, ..Default::default() };
            Pages::of(&mut request, PageSizes::STATES)
        };
        let token = pages("price desc", "").map(|pages| pages.token(40)).expect("no token is fine");
        assert_eq!(pages("price desc", &token).ok().map(|pages| pages.start), Some(40));
        assert!(pages("", &token).is_err());
        assert!(pages("price desc", &token[1..]).is_err());
    }

    #[test]
    fn pages_cover_everything_once() {
        let items: Vec<usize> = (0..10).collect();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let mut request = v1::ListPriceSnapshotsRequest { page_size: 4, page_token: token, ..Default::default() };
            let pages = Pages::of(&mut request, PageSizes::STATES).expect("own token");
            let (page, next) = pages.page(&items, |_| 1);
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
        let mut request = v1::ListPriceSnapshotsRequest::default();
        let pages = Pages::of(&mut request, PageSizes::STATES).expect("no token is fine");
        let (page, next) = pages.page(&[1, 2, 3], |_| PAGE_LEN_MAX / 2);
        assert_eq!(page, [1, 2]);
        assert!(!next.is_empty());
        let (page, _) = pages.page(&[1, 2, 3], |_| PAGE_LEN_MAX * 2);
        assert_eq!(page, [1]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(2_000), "2,000");
        assert_eq!(thousands(1_002_003), "1,002,003");
    }
}
