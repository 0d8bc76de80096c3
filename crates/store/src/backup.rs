//! A store as one file: every history and every latest value, to load into any store.
//!
//! ```text
//! file    "crossmarket-backup 2\n", entries, the last of them an end
//! entry   length u32, tag u8 and payload (together so long), CRC-32 of tag and payload u32
//! series  'S': length of the name u16, name, then blocks as the stores pack them: number i64, length u32, bytes
//! latest  'L': shard u16, key and state as the stores encode them
//! end     'E': series, records and latest values u64 each, CRC-32 over the checksums of all entries before it u32
//! ```
//!
//! Numbers are big-endian. A truncated file has no end and a changed one has another checksum: nothing of either is loaded.

use std::io::{self, Read, Write};

use crate::embedded::EmbeddedStore;
use crate::encoding;
use crate::error::StoreError;
use crate::migrate::Copied;
use crate::packing::{self, Block};
use crate::port::Store;
use crate::update::{Entry, SeriesInfo};
use crossmarket_domain::ShardId;
use crossmarket_domain::series::{Point, SeriesKey, SeriesKind};
use crossmarket_domain::shard::ASSET_SHARDS_MAX;
use crossmarket_domain::{Candle, Timestamp};

const HEADER: &[u8] = b"crossmarket-backup 2\n";

const SERIES: u8 = b'S';
const LATEST: u8 = b'L';
const END: u8 = b'E';

/// Longest entry: far more than the longest series needs.
const ENTRY_LEN_MAX: u32 = 256 << 20;

/// A block's number and bytes.
type PackedBlock<'a> = (i64, &'a [u8]);

/// What is in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub series_count: u64,
    /// Candles and points in them.
    pub record_count: u64,
    /// Latest values.
    pub state_count: u64,
    /// CRC-32 over the checksums of everything.
    pub checksum: u32,
}

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The file is not a backup, or it was truncated or changed.
    #[error("not a whole backup: at byte {at}: {what}")]
    Broken {
        /// Where.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
}

/// Writes everything that a store holds. Calls `tell` for each series.
pub async fn save(
    store: &dyn Store,
    out: &mut impl Write,
    mut tell: impl FnMut(&SeriesKey),
) -> Result<Saved, BackupError> {
    let mut writer = EntryWriter { out, checksums: crc32fast::Hasher::new() };
    writer.out.write_all(HEADER)?;
    let mut saved = Saved::default();
    for info in store.series().await? {
        tell(&info.key);
        let (payload, record_count) = match info.key.kind {
            SeriesKind::Candles(_) => packed::<Candle>(store, &info).await?,
            SeriesKind::DailyMarketCap | SeriesKind::Sampled(_) => packed::<Point>(store, &info).await?,
        };
        writer.write(SERIES, &payload)?;
        saved.series_count += 1;
        saved.record_count += record_count;
    }
    // The asset shards and the one of what is made of many assets.
    for shard in 0..=ASSET_SHARDS_MAX {
        let bootstrap = store.bootstrap(shard).await?;
        for entry in bootstrap.entries.iter().filter(|entry| entry.state.is_some()) {
            let encoded = encoding::encode_entry(&Entry { revision: 0, ..entry.clone() }, 0);
            writer.write(LATEST, &[&shard.to_be_bytes()[..], &encoded].concat())?;
            saved.state_count += 1;
        }
    }
    saved.checksum = writer.checksums.clone().finalize();
    let counts = [saved.series_count, saved.record_count, saved.state_count].map(u64::to_be_bytes).concat();
    writer.write(END, &[&counts[..], &saved.checksum.to_be_bytes()].concat())?;
    writer.out.flush()?;
    Ok(saved)
}

async fn packed<R: Copied>(store: &dyn Store, info: &SeriesInfo) -> Result<(Vec<u8>, u64), StoreError> {
    let records = R::read(store, info).await?;
    let name = encoding::series_name(&info.key);
    // Names are short: a subject and a kind.
    let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut payload = [&name_len.to_be_bytes()[..], name.as_bytes()].concat();
    for (number, block) in packing::pack_blocks(&info.key.kind, &records) {
        payload.extend(number.to_be_bytes());
        payload.extend(u32::try_from(block.len()).unwrap_or(u32::MAX).to_be_bytes());
        payload.extend(block);
    }
    Ok((payload, records.len() as u64))
}

struct EntryWriter<'a, W> {
    out: &'a mut W,
    checksums: crc32fast::Hasher,
}

impl<W: Write> EntryWriter<'_, W> {
    fn write(&mut self, tag: u8, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len() + 1).ok().filter(|len| *len <= ENTRY_LEN_MAX);
        let len = len.ok_or_else(|| io::Error::other("a series is too long for a backup"))?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[tag]);
        hasher.update(payload);
        let checksum = hasher.finalize().to_be_bytes();
        self.checksums.update(&checksum);
        self.out.write_all(&len.to_be_bytes())?;
        self.out.write_all(&[tag])?;
        self.out.write_all(payload)?;
        self.out.write_all(&checksum)
    }
}

/// Reads a whole backup and checks all of it. The resulting store can be [migrated](super::migrate::migrate) into any store.
pub async fn load(input: &mut impl Read, now: Timestamp) -> Result<(EmbeddedStore, Saved), BackupError> {
    let mut reader = EntryReader { input, at: 0 };
    if reader.bytes(HEADER.len())? != HEADER {
        return Err(reader.broken("this is no backup"));
    }
    let store = EmbeddedStore::in_memory()?;
    let (mut found, mut checksums) = (Saved::default(), crc32fast::Hasher::new());
    let mut latest: Vec<(ShardId, Entry)> = Vec::new();
    loop {
        let (tag, payload, checksum) = reader.entry()?;
        let mut fields = Fields(&payload);
        match tag {
            SERIES => {
                let (series, blocks) = fields.series().ok_or_else(|| reader.broken("a series that cannot be read"))?;
                found.record_count += match series.kind {
                    SeriesKind::Candles(_) => put::<Candle>(&store, &series, &blocks).await?,
                    SeriesKind::DailyMarketCap | SeriesKind::Sampled(_) => {
                        put::<Point>(&store, &series, &blocks).await?
                    }
                };
                found.series_count += 1;
            }
            LATEST => {
                let shard = fields.take().map(u16::from_be_bytes).filter(|shard| *shard <= ASSET_SHARDS_MAX);
                let shard = shard.ok_or_else(|| reader.broken("a value of no shard"))?;
                latest.push((shard, encoding::decode_entry(fields.0)?.0));
                found.state_count += 1;
            }
            END => {
                found.checksum = checksums.finalize();
                let numbers =
                    [found.series_count, found.record_count, found.state_count].map(u64::to_be_bytes).concat();
                if payload != [&numbers[..], &found.checksum.to_be_bytes()].concat() {
                    return Err(reader.broken("its end counts something else"));
                }
                break;
            }
            _ => return Err(reader.broken("an entry of an unknown kind")),
        }
        checksums.update(&checksum);
    }
    if !reader.is_at_end()? {
        return Err(reader.broken("something follows the end"));
    }
    for part in latest.chunk_by(|(left, _), (right, _)| left == right) {
        let Some((shard, _)) = part.first() else { continue };
        let (epoch, _) = store.open_writer(*shard, now).await?;
        let updates = part.iter().map(|(_, entry)| (entry.key.clone(), entry.state.clone())).collect();
        store.write(*shard, epoch, updates, None).await?;
    }
    Ok((store, found))
}

async fn put<R: Copied>(
    store: &EmbeddedStore,
    series: &SeriesKey,
    blocks: &[PackedBlock<'_>],
) -> Result<u64, StoreError> {
    let mut records: Vec<R> = Vec::new();
    for (number, bytes) in blocks {
        let ever = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        Block::read(&series.kind, *number, bytes)?.unpack(ever.0, ever.1, &mut records)?;
    }
    R::put(store, series, &records).await?;
    Ok(records.len() as u64)
}

struct EntryReader<'a, R> {
    input: &'a mut R,
    at: u64,
}

impl<R: Read> EntryReader<'_, R> {
    fn broken(&self, what: &'static str) -> BackupError {
        BackupError::Broken { at: self.at, what }
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        // It grows with what is there, so that a broken length asks for no memory.
        self.input.take(len as u64).read_to_end(&mut bytes)?;
        if bytes.len() < len {
            return Err(self.broken("it ends in the middle"));
        }
        self.at += len as u64;
        Ok(bytes)
    }

    /// The next entry: its tag, payload and checksum.
    fn entry(&mut self) -> Result<(u8, Vec<u8>, Vec<u8>), BackupError> {
        let len = self.bytes(4)?.try_into().map_or(0, u32::from_be_bytes);
        if !(1..=ENTRY_LEN_MAX).contains(&len) {
            return Err(self.broken("an entry without a length"));
        }
        let mut payload = self.bytes(len as usize)?;
        let checksum = self.bytes(4)?;
        if crc32fast::hash(&payload).to_be_bytes() != *checksum {
            return Err(self.broken("the checksum is another"));
        }
        Ok((payload.remove(0), payload, checksum))
    }

    fn is_at_end(&mut self) -> Result<bool, BackupError> {
        Ok(self.input.read(&mut [0])? == 0)
    }
}

/// What is left of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }

    fn series(&mut self) -> Option<(SeriesKey, Vec<PackedBlock<'a>>)> {
        let name_len = u16::from_be_bytes(self.take()?);
        let name = std::str::from_utf8(self.slice(name_len.into())?).ok()?;
        let series = encoding::parse_series(name).ok()?;
        let mut blocks = Vec::new();
        while !self.0.is_empty() {
            let (number, len) = (i64::from_be_bytes(self.take()?), u32::from_be_bytes(self.take()?));
            blocks.push((number, self.slice(len as usize)?));
        }
        Some((series, blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::{CandleInterval, Decimal};

    fn series(kind: SeriesKind) -> SeriesKey {
        SeriesKey { subject: "BTC".into(), kind }
    }

    async fn filled() -> EmbeddedStore {
        let store = EmbeddedStore::in_memory().expect("a store");
        let point = |day: i64| Point { time: Timestamp::from_seconds(day * 86_400), value: Decimal::from(day) };
        let points: Vec<Point> = (-20..20).map(point).collect();
        store.put_points(&series(SeriesKind::DailyMarketCap), &points).await.expect("put");
        let price = Decimal::parse("95391.20").expect("a number");
        let candle = Candle {
            start: Timestamp::from_seconds(1_768_478_400),
            open: price,
            high: price,
            low: price,
            close: price,
            base_volume: None,
            quote_volume: Some(Decimal::ONE),
        };
        store.put_candles(&series(SeriesKind::Candles(CandleInterval::OneDay)), &[candle]).await.expect("put");
        store
    }

    async fn saved() -> (Vec<u8>, Saved) {
        let mut bytes = Vec::new();
        let mut told = 0;
        let saved = save(&filled().await, &mut bytes, |_| told += 1).await.expect("saved");
        assert_eq!((told, saved.series_count, saved.record_count), (2, 2, 41));
        (bytes, saved)
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded() {
        let (bytes, saved) = saved().await;
        let (store, loaded) = load(&mut bytes.as_slice(), Timestamp::EPOCH).await.expect("loaded");
        assert_eq!(loaded, saved);
        assert_eq!(store.series().await.expect("series"), filled().await.series().await.expect("series"));
        let mut again = Vec::new();
        save(&store, &mut again, |_| ()).await.expect("saved");
        assert_eq!(again, bytes);
    }

    #[tokio::test]
    async fn a_backup_that_was_cut_off_or_changed_is_refused() {
        let (bytes, _) = saved().await;
        for len in 0..bytes.len() {
            let error = load(&mut &bytes[..len], Timestamp::EPOCH).await.err().expect("cut off");
            assert!(matches!(error, BackupError::Broken { .. }), "{len}: {error}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            assert!(load(&mut changed.as_slice(), Timestamp::EPOCH).await.is_err(), "byte {place}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(load(&mut longer.as_slice(), Timestamp::EPOCH).await.is_err());
    }
}
