//! Generates the API's servers, in pure Rust: no `protoc` is needed. Messages and client stubs are those of `crossmarket-api`.

use std::fs;
use std::path::{Path, PathBuf};

use prost_types::DescriptorProto;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto_dir = Path::new("proto");
    let mut files: Vec<PathBuf> = fs::read_dir(proto_dir.join("crossmarket/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, [proto_dir])?;
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let mut builder = tonic_prost_build::configure().build_client(false);
    // The longest path that matches wins, so these messages override the package as a whole.
    builder = builder.extern_path(PACKAGE, "::crossmarket_api::v1");
    for message in messages.filter(|message| has_items(message)).map(|message| message.name()) {
        let encoded = format!("crate::services::encoded::Encoded<::crossmarket_api::v1::{message}>");
        builder = builder.extern_path(format!("{PACKAGE}.{message}"), encoded);
    }
    builder.compile_fds(descriptors)?;

    println!("cargo:rerun-if-changed=proto");
    Ok(())
}

const PACKAGE: &str = ".crossmarket.v1";

/// The messages that exist as bytes before they are sent: states in the live image, and the items of streams.
const ITEMS: [&str; 5] = ["PriceSnapshot", "LongShortRatio", "IndexSnapshot", "Asset", "Comparison"];

/// Whether field 1 of a response holds such items, so that the server takes its bytes instead of the message.
fn has_items(message: &DescriptorProto) -> bool {
    let is_item = |type_name: &str| ITEMS.iter().any(|item| type_name == format!("{PACKAGE}.{item}"));
    let holds_items = message.field.iter().any(|field| field.number() == 1 && is_item(field.type_name()));
    holds_items && message.name().ends_with("Response")
}
