//! The runtime of a command.

use super::error::CliError;

/// Runs a future on a new runtime with at least two workers: with one, a blocking task would stop the others.
pub(super) fn block_on(future: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let result = runtime.block_on(future);
    // A blocking read of standard input cannot be stopped; it must not keep the process alive.
    runtime.shutdown_background();
    result
}
