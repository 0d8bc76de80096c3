//! The `crossmarket` program: parses the command line and hands over to the library.

use std::process::ExitCode;

/// glibc's allocator keeps what the venues' answers took, two to three times of what is in use. How jemalloc is set is in
/// `.cargo/config.toml`.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    crossmarket::cli::run()
}
