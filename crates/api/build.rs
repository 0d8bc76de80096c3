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
    let with_servers = env::var_os("CARGO_FEATURE_SERVERS").is_some();
    tonic_prost_build::configure().bytes(".").build_server(with_servers).compile_fds(descriptors)?;

    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
