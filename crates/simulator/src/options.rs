//! Options of the simulation.

use crossmarket_clock::Clock;

/// The market and its clock.
#[derive(Clone, Copy, Debug)]
pub struct SimulatorOptions {
    /// Seeds every price, deviation and listing.
    pub seed: u64,
    /// The clock of the venues; the market's story begins when it shows [`start_time`](super::start_time).
    pub clock: Clock,
    /// True when `gate` has its scheduled outages.
    pub outages: bool,
}

impl SimulatorOptions {
    /// The demo's market on that clock, with the outages.
    pub fn new(seed: u64, clock: Clock) -> Self {
        Self { seed, clock, outages: true }
    }
}
