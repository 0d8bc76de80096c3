//! Compiles the API's Protobuf files, in pure Rust: no `protoc` is needed.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto_dir = Path::new("proto");
    let mut files: Vec<PathBuf> = fs::read_dir(proto_dir.join("crossmarket/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, [proto_dir])?;
    let descriptor_path = Path::new(&env::var("OUT_DIR")?).join("crossmarket.v1.binpb");
    fs::write(&descriptor_path, prost::Message::encode_to_vec(&descriptors))?;
    let with_servers = env::var_os("CARGO_FEATURE_SERVER").is_some();
    tonic_prost_build::configure().bytes(".").build_server(with_servers).compile_fds(descriptors.clone())?;
    if with_servers {
        compile_encoded_servers(descriptors)?;
    }

    println!("cargo:rerun-if-changed=proto");
    Ok(())
}

/// The services whose answers are sent as bytes that the live image already holds, and those answers.
const ENCODED: [(&str, &[&str]); 4] = [
    (
        "PriceService",
        &[
            "GetPriceSnapshotResponse",
            "BatchGetPriceSnapshotsResponse",
            "ListPriceSnapshotsResponse",
            "WatchPriceSnapshotsResponse",
        ],
    ),
    ("LongShortService", &["GetLongShortRatioResponse", "ListLongShortRatiosResponse", "WatchLongShortRatiosResponse"]),
    ("CatalogService", &["ListAssetsResponse"]),
    (
        "IndexService",
        &[
            "GetIndexSnapshotResponse",
            "BatchGetIndexSnapshotsResponse",
            "ListIndicesResponse",
            "WatchIndexSnapshotsResponse",
            "WatchComparisonsResponse",
        ],
    ),
];

/// Generates the servers of those services a second time, with `crate::services::encoded` in the place of the messages that they
/// answer. The messages and clients stay as they are.
fn compile_encoded_servers(mut descriptors: prost_types::FileDescriptorSet) -> Result<(), Box<dyn std::error::Error>> {
    let out_dir = Path::new(&env::var("OUT_DIR")?).join("encoded");
    fs::create_dir_all(&out_dir)?;
    let mut builder = tonic_prost_build::configure().build_client(false).out_dir(out_dir);
    // The longest path that matches wins, so the answers are named beside the package as a whole.
    builder = builder.extern_path(".crossmarket.v1", "crate::proto::v1");
    for answer in ENCODED.iter().flat_map(|(_, answers)| answers.iter()) {
        builder =
            builder.extern_path(format!(".crossmarket.v1.{answer}"), format!("crate::services::encoded::{answer}"));
    }
    for file in &mut descriptors.file {
        file.service.retain(|service| ENCODED.iter().any(|(name, _)| *name == service.name()));
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
