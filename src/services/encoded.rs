//! Answers whose items are encoded already. The generated servers of [`crate::servers`] accept them instead of the generated
//! messages (see `build.rs`).
//!
//! The encodings of two messages, one after the other, are the encoding of both merged. So an answer is its items' entries (field 1,
//! ready in the live image), then the encoding of the other fields.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

/// An answer: the entries of field 1, followed by a message with all other fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded<M> {
    /// The items, each with tag and length.
    pub entries: Vec<Bytes>,
    /// The other fields.
    pub rest: M,
}

impl<M: Default> Encoded<M> {
    /// An answer of one item and nothing else.
    pub(super) fn one(entry: Bytes) -> Self {
        Self { entries: vec![entry], rest: M::default() }
    }
}

impl<M> From<M> for Encoded<M> {
    fn from(message: M) -> Self {
        Self { entries: Vec::new(), rest: message }
    }
}

impl<M: Message> Message for Encoded<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for entry in &self.entries {
            buf.put_slice(entry);
        }
        self.rest.encode_raw(buf);
    }

    /// Servers never call this: they only encode answers. The items go to field 1 of the plain message.
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
    use crossmarket_api::v1;

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
