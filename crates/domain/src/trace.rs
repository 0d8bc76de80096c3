//! A position in a distributed trace.

/// A recorded span, as the next span in its trace refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace, not 0.
    pub trace_id: u128,
    /// The span, not 0.
    pub span_id: u64,
}

impl TraceContext {
    /// How long it is as bytes.
    pub(crate) const LEN: usize = 24;

    /// Both ids, big-endian.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (trace, span) = bytes.split_at_mut(16);
        trace.copy_from_slice(&self.trace_id.to_be_bytes());
        span.copy_from_slice(&self.span_id.to_be_bytes());
        bytes
    }

    /// Reads what [`TraceContext::to_bytes`] made; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, span) = bytes.split_at_checked(16)?;
        let trace_id = u128::from_be_bytes(trace.try_into().ok()?);
        let span_id = u64::from_be_bytes(span.try_into().ok()?);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_or_not_at_all() {
        let context =
            TraceContext { trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span_id: 0xb7ad_6b71_6920_3331 };
        let bytes = context.to_bytes();
        assert_eq!((bytes[0], bytes[16]), (0x0a, 0xb7));
        assert_eq!(TraceContext::from_bytes(&bytes), Some(context));
        for not_one in [&bytes[..23], &[bytes.as_slice(), &[0]].concat(), &[0; 24], b"new"] {
            assert_eq!(TraceContext::from_bytes(not_one), None);
        }
    }
}
