//! Which shards this process writes, and how batches are built and written.

pub(crate) mod coordinator;
pub(crate) mod lease;
pub(crate) mod pending_traces;
pub(crate) mod writer;
