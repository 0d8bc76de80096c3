//! The `crossmarket` program: parses the command line and hands over to the library.

use std::process::ExitCode;

/// The whole process allocates through it: streams make many small short-lived buffers on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    crossmarket::cli::run()
}
