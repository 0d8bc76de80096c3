//! Generates the API's servers, in pure Rust: no `protoc` is needed. Messages and client stubs are those of `crossmarket-api`.

use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto_dir = Path::new("proto");
    let mut files: Vec<PathBuf> = fs::read_dir(proto_dir.join("crossmarket/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut builder = tonic_prost_build::configure().build_client(false);
    // The longest path that matches wins, so the encoded answers override the package as a whole.
    builder = builder.extern_path(".crossmarket.v1", "::crossmarket_api::v1");
    for answer in ENCODED {
        builder =
            builder.extern_path(format!(".crossmarket.v1.{answer}"), format!("crate::services::encoded::{answer}"));
    }
    builder.compile_fds(protox::compile(&files, [proto_dir])?)?;

    println!("cargo:rerun-if-changed=proto");
    Ok(())
}

/// The answers that are sent as bytes which the live image already holds.
const ENCODED: &[&str] = &[
    "GetPriceSnapshotResponse",
    "BatchGetPriceSnapshotsResponse",
    "ListPriceSnapshotsResponse",
    "WatchPriceSnapshotsResponse",
    "GetLongShortRatioResponse",
    "ListLongShortRatiosResponse",
    "WatchLongShortRatiosResponse",
    "ListAssetsResponse",
    "GetIndexSnapshotResponse",
    "BatchGetIndexSnapshotsResponse",
    "ListIndicesResponse",
    "WatchIndexSnapshotsResponse",
    "WatchComparisonsResponse",
];
