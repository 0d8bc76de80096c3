//! Copying one store into another: every history and every latest value, each verified by count and checksum.
//!
//! It is safe to repeat, also after an interruption: histories are merged by time, and a state is written only where the target has none or
//! one that is not newer. Everything else in the target stays.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::encoding;
use crate::error::StoreError;
use crate::lease::{Lease, LeaseClaim};
use crate::packing::{self, Record};
use crate::port::Store;
use crate::update::{Bootstrap, Entry, SeriesInfo, Update};
use crossmarket_domain::ShardId;
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::shard::ASSET_SHARDS_MAX;
use crossmarket_domain::state::{Key, State};
use crossmarket_domain::{Candle, Timestamp};

/// States written at once.
const STATES_PER_WRITE: usize = 200;

/// How long the target's shards are held without a renewal.
const LEASE_LIFE: Duration = Duration::from_secs(30);

/// What was copied, all of it verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    pub series_count: u64,
    /// Candles and points in them.
    pub record_count: u64,
    /// CRC-32 of all these, packed.
    pub record_checksum: u32,
    /// Shards with a latest value.
    pub shard_count: u64,
    /// Latest values.
    pub state_count: u64,
    /// Latest values that the target already had, as they are or newer.
    pub states_there_count: u64,
    /// CRC-32 of the source's latest values.
    pub state_checksum: u32,
}

/// What has been done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The number of series to copy.
    Series(u64),
    /// A series is copied and verified.
    Copied(SeriesKey, u64),
    /// A shard's latest values are copied and verified.
    Shard(ShardId, u64),
}

/// Why it ended early. What was copied stays; run it again.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The source does not answer.
    #[error("the source: {0}")]
    From(#[source] StoreError),
    /// The target does not answer.
    #[error("the target: {0}")]
    To(#[source] StoreError),
    /// A collector writes to the target.
    #[error("shard {shard} of the target is held by {holder}; stop the collectors that write there first")]
    Held {
        shard: ShardId,
        /// The collector.
        holder: String,
    },
    /// The target returns something else than what was copied.
    #[error(
        "{what} differs after it was copied: {copied} with checksum {copied_checksum:08x}, and {found} with {found_checksum:08x} in the target"
    )]
    Differs {
        /// The series or shard.
        what: String,
        /// How many were copied.
        copied: u64,
        copied_checksum: u32,
        /// How many the target has of them.
        found: u64,
        /// Their checksum there.
        found_checksum: u32,
    },
}

/// What happens to a record that the target already has for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replaced: the target becomes what the source is.
    Replaced,
    /// Kept: the source's may be older, such as the candle of a day that went on.
    Kept,
}

/// Copies everything. The target's collectors see `holder` as the holder of its leases. Latest values never replace newer ones.
pub async fn migrate(
    from: &dyn Store,
    to: &dyn Store,
    holder: &str,
    now: Timestamp,
    existing: Existing,
    mut tell: impl FnMut(Progress),
) -> Result<Migrated, MigrateError> {
    let mut migrated = Migrated::default();
    // Fail before any change if a collector writes to the target.
    for shard in 0..=ASSET_SHARDS_MAX {
        if !from.bootstrap(shard).await.map_err(MigrateError::From)?.entries.is_empty() {
            let lease = claim(to, shard, holder, now).await?;
            to.release_lease(&lease).await.map_err(MigrateError::To)?;
        }
    }
    let infos = from.series().await.map_err(MigrateError::From)?;
    tell(Progress::Series(infos.len() as u64));
    let mut checksum = crc32fast::Hasher::new();
    for info in infos {
        let (count, sum) = match info.key.kind {
            SeriesKind::Candles(_) => copy_series::<Candle>(from, to, &info, existing).await?,
            SeriesKind::DailyMarketCap | SeriesKind::Sampled(_) => {
                copy_series::<Point>(from, to, &info, existing).await?
            }
        };
        checksum.update(&sum.to_be_bytes());
        migrated.series_count += 1;
        migrated.record_count += count;
        tell(Progress::Copied(info.key, count));
    }
    migrated.record_checksum = checksum.finalize();
    let mut checksum = crc32fast::Hasher::new();
    // The asset shards and the one of what is made of many assets.
    for shard in 0..=ASSET_SHARDS_MAX {
        let source = from.bootstrap(shard).await.map_err(MigrateError::From)?;
        if source.entries.is_empty() {
            continue;
        }
        let count = source.entries.len() as u64;
        let (sum, there) = copy_shard(to, shard, source, holder, now).await?;
        checksum.update(&sum.to_be_bytes());
        migrated.shard_count += 1;
        migrated.state_count += count;
        migrated.states_there_count += there;
        tell(Progress::Shard(shard, count));
    }
    migrated.state_checksum = checksum.finalize();
    to.flush().await.map_err(MigrateError::To)?;
    Ok(migrated)
}

/// Candles or points, read from and put into a store.
pub(super) trait Copied: Record + PartialEq {
    async fn read(store: &dyn Store, info: &SeriesInfo) -> Result<Vec<Self>, StoreError>;
    async fn put(store: &dyn Store, series: &SeriesKey, records: &[Self]) -> Result<(), StoreError>;
}

/// From a series' first record to behind its last.
fn range(info: &SeriesInfo) -> (Timestamp, Timestamp) {
    (info.first, info.last + Duration::from_secs(1))
}

impl Copied for Candle {
    async fn read(store: &dyn Store, info: &SeriesInfo) -> Result<Vec<Self>, StoreError> {
        let (from, until) = range(info);
        store.candles(&info.key, from, until).await
    }

    async fn put(store: &dyn Store, series: &SeriesKey, records: &[Self]) -> Result<(), StoreError> {
        store.put_candles(series, records).await
    }
}

impl Copied for Point {
    async fn read(store: &dyn Store, info: &SeriesInfo) -> Result<Vec<Self>, StoreError> {
        let (from, until) = range(info);
        store.points(&info.key, from, until).await
    }

    async fn put(store: &dyn Store, series: &SeriesKey, records: &[Self]) -> Result<(), StoreError> {
        store.put_points(series, records).await
    }
}

/// Copies one series and reads it back. Returns the number of its records and their checksum.
async fn copy_series<R: Copied>(
    from: &dyn Store,
    to: &dyn Store,
    info: &SeriesInfo,
    existing: Existing,
) -> Result<(u64, u32), MigrateError> {
    let all = R::read(from, info).await.map_err(MigrateError::From)?;
    let (whole_checksum, is_whole) = (checksum(&info.key.kind, &all), all.len() as u64 == info.count);
    let mut records = all;
    if existing == Existing::Kept {
        let there: HashSet<Timestamp> =
            R::read(to, info).await.map_err(MigrateError::To)?.iter().map(Record::time).collect();
        records.retain(|record| !there.contains(&record.time()));
    }
    R::put(to, &info.key, &records).await.map_err(MigrateError::To)?;
    let times: HashSet<Timestamp> = records.iter().map(Record::time).collect();
    let mut found = R::read(to, info).await.map_err(MigrateError::To)?;
    // The target may have more records in between.
    found.retain(|record| times.contains(&record.time()));
    let (copied_checksum, found_checksum) = (checksum(&info.key.kind, &records), checksum(&info.key.kind, &found));
    if is_whole && records.len() == found.len() && copied_checksum == found_checksum {
        return Ok((info.count, whole_checksum));
    }
    Err(MigrateError::Differs {
        what: encoding::series_name(&info.key),
        copied: info.count,
        copied_checksum,
        found: found.len() as u64,
        found_checksum,
    })
}

fn checksum<R: Record>(kind: &SeriesKind, records: &[R]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    packing::pack_blocks(kind, records).values().for_each(|block| hasher.update(block));
    hasher.finalize()
}

async fn claim(to: &dyn Store, shard: ShardId, holder: &str, now: Timestamp) -> Result<Lease, MigrateError> {
    match to.acquire_lease(shard, holder, LEASE_LIFE, now).await.map_err(MigrateError::To)? {
        LeaseClaim::Granted(lease) => Ok(lease),
        LeaseClaim::Held { holder, .. } => Err(MigrateError::Held { shard, holder: holder.into() }),
    }
}

/// Copies one shard's latest values and reads them back. Returns their checksum and how many were there already.
async fn copy_shard(
    to: &dyn Store,
    shard: ShardId,
    source: Bootstrap,
    holder: &str,
    now: Timestamp,
) -> Result<(u32, u64), MigrateError> {
    let mut lease = claim(to, shard, holder, now).await?;
    let before = states_of(to.bootstrap(shard).await.map_err(MigrateError::To)?);
    let source = states_of(source);
    let missing: Vec<Update> = source
        .iter()
        .filter(|(key, state)| !before.get(key).is_some_and(|there| is_as_good(there, state)))
        .map(|(key, state)| (key.clone(), Some(state.clone())))
        .collect();
    let there_count = (source.len() - missing.len()) as u64;
    for part in missing.chunks(STATES_PER_WRITE) {
        to.write(shard, lease.epoch, part.to_vec(), None).await.map_err(MigrateError::To)?;
        lease = to.renew_lease(&lease).await.map_err(MigrateError::To)?;
    }
    let after = states_of(to.bootstrap(shard).await.map_err(MigrateError::To)?);
    to.release_lease(&lease).await.map_err(MigrateError::To)?;
    // Where the target has a newer state, that one is right; everything else must be as it was copied.
    let found: BTreeMap<Key, State> = source
        .iter()
        .filter_map(|(key, state)| {
            let there = after.get(key)?;
            let newer = there.receive_time > state.receive_time;
            Some((key.clone(), if newer { state.clone() } else { there.clone() }))
        })
        .collect();
    let (copied_checksum, found_checksum) = (checksum_of(&source), checksum_of(&found));
    if copied_checksum == found_checksum && source.len() == found.len() {
        return Ok((copied_checksum, there_count));
    }
    Err(MigrateError::Differs {
        what: format!("shard {shard}"),
        copied: source.len() as u64,
        copied_checksum,
        found: found.len() as u64,
        found_checksum,
    })
}

fn states_of(bootstrap: Bootstrap) -> BTreeMap<Key, State> {
    bootstrap.entries.into_iter().filter_map(|entry| Some((entry.key, entry.state?))).collect()
}

fn is_as_good(there: &State, state: &State) -> bool {
    there == state || there.receive_time > state.receive_time
}

fn checksum_of(states: &BTreeMap<Key, State>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (key, state) in states {
        let entry = Entry { key: key.clone(), revision: 0, state: Some(state.clone()), trace: None };
        hasher.update(&encoding::encode_entry(&entry, 0));
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedStore;
    use crossmarket_domain::{CandleInterval, Decimal};

    fn series(kind: SeriesKind) -> SeriesKey {
        SeriesKey { subject: "BTC".into(), kind }
    }

    fn point(day: i64, value: i64) -> Point {
        Point { time: Timestamp::from_seconds(day * 86_400), value: Decimal::from(value) }
    }

    async fn filled() -> EmbeddedStore {
        let store = EmbeddedStore::in_memory().expect("a store");
        let points: Vec<Point> = (0..1_000).map(|day| point(day, day)).collect();
        store.put_points(&series(SeriesKind::DailyMarketCap), &points).await.expect("put");
        store
    }

    #[tokio::test]
    async fn a_second_time_changes_nothing_and_what_the_target_has_besides_stays() {
        let (from, to) = (filled().await, EmbeddedStore::in_memory().expect("a store"));
        to.put_points(&series(SeriesKind::DailyMarketCap), &[point(2_000, 7)]).await.expect("put");
        let mut told = Vec::new();
        let now = Timestamp::from_seconds(1);
        let first =
            migrate(&from, &to, "test", now, Existing::Replaced, |progress| told.push(progress)).await.expect("copied");
        assert_eq!((first.series_count, first.record_count), (1, 1_000));
        assert_eq!(told, [Progress::Series(1), Progress::Copied(series(SeriesKind::DailyMarketCap), 1_000)]);
        let second = migrate(&from, &to, "test", now, Existing::Replaced, |_| {}).await.expect("copied");
        assert_eq!(first, second);
        let info = to.series().await.expect("series").remove(0);
        assert_eq!((info.count, info.last), (1_001, point(2_000, 7).time));
    }

    #[tokio::test]
    async fn what_the_target_has_of_the_same_time_stays_where_it_should() {
        let (from, now) = (filled().await, Timestamp::from_seconds(1));
        for (existing, expected) in [(Existing::Kept, 7), (Existing::Replaced, 500)] {
            let to = EmbeddedStore::in_memory().expect("a store");
            to.put_points(&series(SeriesKind::DailyMarketCap), &[point(500, 7)]).await.expect("put");
            let migrated = migrate(&from, &to, "test", now, existing, |_| {}).await.expect("copied");
            assert_eq!(migrated.record_count, 1_000);
            let (day, next) = (point(500, 0).time, point(501, 0).time);
            let there = to.points(&series(SeriesKind::DailyMarketCap), day, next).await.expect("points");
            assert_eq!(there, [point(500, expected)], "{existing:?}");
            assert_eq!(to.series().await.expect("series")[0].count, 1_000);
        }
    }

    #[test]
    fn checksums_see_a_digit() {
        let kind = SeriesKind::Candles(CandleInterval::OneDay);
        assert_ne!(checksum(&kind, &[point(1, 10)]), checksum(&kind, &[point(1, 11)]));
        assert_ne!(checksum(&kind, &[point(1, 10)]), checksum(&kind, &[point(2, 10)]));
        let finer = Point { value: Decimal::parse("10.0").expect("a number"), ..point(1, 10) };
        assert_ne!(checksum(&kind, &[point(1, 10)]), checksum(&kind, &[finer]), "the scale counts");
    }
}
