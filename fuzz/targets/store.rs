//! What a store holds: keys, entries and packed series.

use std::fmt::Debug;

use crossmarket_domain::series::{Point, SeriesKind};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};
use crossmarket_store::encoding;
use crossmarket_store::packing::{self, Block, Record};

/// Reads an input as an entry, as names and as a block of a series.
pub fn store_encoding(data: &[u8]) {
    entry(data);
    if let Ok(text) = std::str::from_utf8(data) {
        names(text);
    }
    for kind in [SeriesKind::Candles(CandleInterval::OneDay), SeriesKind::Sampled("x:5m".into())] {
        block::<Candle>(&kind, data);
        block::<Point>(&kind, data);
    }
}

/// What can be read is written in one way, and that reads as the same.
fn entry(data: &[u8]) {
    let Ok((entry, epoch)) = encoding::decode_entry(data) else { return };
    let written = encoding::encode_entry(&entry, epoch);
    let (again, epoch_again) = encoding::decode_entry(&written).expect("an entry that was written");
    assert_eq!(encoding::encode_entry(&again, epoch_again), written);
    assert_eq!((&again.key, again.revision, epoch_again), (&entry.key, entry.revision, epoch));
    let receive_time = entry.state.as_ref().map(|state| (state.receive_time, epoch));
    assert_eq!(encoding::decode_receive_time(data).ok(), Some(receive_time));
    assert_eq!(encoding::decode_receive_time(&written).ok(), Some(receive_time));
}

fn names(text: &str) {
    if let Ok(key) = encoding::parse_key(text) {
        let name = encoding::key_name(&key);
        assert_eq!(encoding::parse_key(&name).ok(), Some(key), "{name}");
    }
    if let Ok(series) = encoding::parse_series(text) {
        let name = encoding::series_name(&series);
        assert_eq!(encoding::parse_series(&name).ok(), Some(series), "{name}");
    }
}

fn block<R: Record + PartialEq + Debug>(kind: &SeriesKind, data: &[u8]) {
    let number = i64::from(data.last().copied().unwrap_or_default()) - 20;
    let Ok(block) = Block::read(kind, number, data) else { return };
    assert_eq!(block.first().is_none(), block.is_empty());
    assert!(block.first() <= block.last() && block.len() <= data.len() as u64);
    let Some(records) = unpacked::<R>(&block) else { return };
    let itself = block.merged_with(&block).expect("a block whose records can be read");
    let itself = Block::read(kind, number, &itself).expect("a block that was merged");
    assert_eq!(unpacked::<R>(&itself).as_ref(), Some(&records), "merged with itself");
    assert_eq!(records.len() as u64, block.len());
    // The first packing rounds what has more digits than are kept; from then on nothing changes.
    let once = repacked(kind, number, &records);
    let twice = repacked(kind, number, &once);
    assert_eq!((once.len(), &once), (records.len(), &twice));
}

fn repacked<R: Record>(kind: &SeriesKind, number: i64, records: &[R]) -> Vec<R> {
    let blocks = packing::pack_blocks(kind, records);
    assert!(blocks.keys().all(|block| *block == number), "records left their block");
    let bytes = blocks.get(&number).map(Vec::as_slice);
    let block = bytes.map(|bytes| Block::read(kind, number, bytes).expect("a block that was packed"));
    block.map_or_else(Vec::new, |block| unpacked(&block).expect("records that were packed"))
}

fn unpacked<R: Record>(block: &Block<'_>) -> Option<Vec<R>> {
    let mut records = Vec::new();
    let until = Timestamp::from_micros(i64::MAX);
    block.unpack(Timestamp::from_micros(i64::MIN), until, &mut records).ok()?;
    Some(records)
}
