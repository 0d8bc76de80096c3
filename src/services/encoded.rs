//! Answers whose items are encoded already. The generated servers of [`crate::servers`] take them in the place of the generated
//! messages.
//!
//! The encodings of two messages, one after the other, are the encoding of both merged. So an answer is its items' entries (field 1,
//! ready in the live image), then the encoding of the other fields.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

use crossmarket_api::v1;

/// An answer: the entries of field 1 and a message with all other fields, whose field 1 is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded<M> {
    /// The items, each with tag and length.
    pub entries: Vec<Bytes>,
    /// The other fields.
    pub rest: M,
}

/// One snapshot.
pub type GetPriceSnapshotResponse = Encoded<v1::GetPriceSnapshotResponse>;
/// Several snapshots.
pub type BatchGetPriceSnapshotsResponse = Encoded<v1::BatchGetPriceSnapshotsResponse>;
/// One page of snapshots.
pub type ListPriceSnapshotsResponse = Encoded<v1::ListPriceSnapshotsResponse>;
/// One frame of a stream of snapshots.
pub type WatchPriceSnapshotsResponse = Encoded<v1::WatchPriceSnapshotsResponse>;
/// One long/short ratio.
pub type GetLongShortRatioResponse = Encoded<v1::GetLongShortRatioResponse>;
/// One page of long/short ratios.
pub type ListLongShortRatiosResponse = Encoded<v1::ListLongShortRatiosResponse>;
/// One frame of a stream of long/short ratios.
pub type WatchLongShortRatiosResponse = Encoded<v1::WatchLongShortRatiosResponse>;
/// One index.
pub type GetIndexSnapshotResponse = Encoded<v1::GetIndexSnapshotResponse>;
/// Several indices.
pub type BatchGetIndexSnapshotsResponse = Encoded<v1::BatchGetIndexSnapshotsResponse>;
/// One page of indices.
pub type ListIndicesResponse = Encoded<v1::ListIndicesResponse>;
/// One frame of a stream of indices.
pub type WatchIndexSnapshotsResponse = Encoded<v1::WatchIndexSnapshotsResponse>;
/// One frame of a stream of comparisons.
pub type WatchComparisonsResponse = Encoded<v1::WatchComparisonsResponse>;
/// One page of assets.
pub type ListAssetsResponse = Encoded<v1::ListAssetsResponse>;

impl<M: Message> Message for Encoded<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for entry in &self.entries {
            buf.put_slice(entry);
        }
        self.rest.encode_raw(buf);
    }

    /// Never called by a server, which only encodes answers; the items go where they belong in the plain message.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.rest.merge_field(tag, wire_type, buf, context)
    }

    fn encoded_len(&self) -> usize {
        self.entries.iter().map(Bytes::len).sum::<usize>() + self.rest.encoded_len()
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_plain_message() {
        let snapshot = |asset: &str| v1::PriceSnapshot { asset: asset.to_owned(), ..Default::default() };
        let entry =
            |asset: &str| v1::GetPriceSnapshotResponse { snapshot: Some(snapshot(asset)) }.encode_to_vec().into();
        let rest = v1::ListPriceSnapshotsResponse { total_size: 7, ..Default::default() };
        let encoded = Encoded { entries: vec![entry("BTC"), entry("ETH")], rest };
        let bytes = encoded.encode_to_vec();
        assert_eq!(bytes.len(), encoded.encoded_len());
        let plain = v1::ListPriceSnapshotsResponse::decode(bytes.as_slice()).expect("valid");
        assert_eq!(plain.snapshots, [snapshot("BTC"), snapshot("ETH")]);
        assert_eq!(plain.total_size, 7);
    }
}
