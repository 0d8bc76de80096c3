//! Every fuzz target on mutated seeds, the same ones each time: a short run of what `scripts/fuzz` does by coverage for longer.
//!
//! `CROSSMARKET_FUZZ_RUNS` is the number of inputs for each target and `CROSSMARKET_FUZZ_SEED` what they are made from. `scripts/fuzz --seeded` gives a
//! million to each.

#[path = "fuzz_seeded/mutate.rs"]
mod mutate;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use mutate::{INPUT_LEN_MAX, Mutator};

/// Inputs for each target, unless the environment says otherwise.
const RUNS: u64 = 4_000;
const SEED: u64 = 20_260_115;

/// By how much all inputs together may make this process grow.
const GROWTH_MAX: u64 = 64 << 20;

/// Most recorded answers that one target takes as further seeds.
const RECORDED_MAX: usize = 40;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")),
        Err(_) => default,
    }
}

/// The files below a folder in a fixed order, none when there is no such folder.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

/// The target's own seeds.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target), &mut files);
    let seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("a readable seed")).collect();
    assert!(!seeds.is_empty(), "fuzz/corpus/{target} has no seeds");
    seeds
}

/// The folder of recorded answers, or `None` when it is not at hand.
fn recorded_root() -> Option<PathBuf> {
    let root = std::env::var_os("CROSSMARKET_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    root.is_dir().then_some(root)
}

/// Recorded answers as further seeds, read where they lie: each line of a recorded stream, the beginning of anything else.
fn recorded(root: &Path, target: &str) -> Vec<Vec<u8>> {
    let (folder, endings) = match target {
        "history-csv" => ("history", ["csv", "csv"]),
        "json-reader" => ("", ["json", "jsonl"]),
        // Both venues of one exchange are recorded in one folder.
        venue => (venue.split('-').next().unwrap_or(venue), ["json", "jsonl"]),
    };
    let mut files = Vec::new();
    files_below(&root.join(folder), &mut files);
    files.retain(|file| endings.iter().any(|ending| file.extension().is_some_and(|found| found == *ending)));
    let step = files.len().div_ceil(RECORDED_MAX).max(1);
    let mut seeds = Vec::new();
    for file in files.iter().step_by(step) {
        let Ok(text) = std::fs::read(file) else { continue };
        let parts: Vec<&[u8]> = if file.extension().is_some_and(|ending| ending == "jsonl") {
            text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(4).collect()
        } else {
            vec![&text]
        };
        seeds.extend(parts.into_iter().map(|part| part[..part.len().min(INPUT_LEN_MAX)].to_vec()));
    }
    seeds.truncate(RECORDED_MAX);
    seeds
}

/// Tells the input of a run that panics, and how to repeat it.
struct Failing<'a> {
    target: &'a str,
    seed: u64,
    run: u64,
    input: &'a [u8],
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { target, seed, run, input } = self;
            eprintln!("target {target}, CROSSMARKET_FUZZ_SEED={seed}, run {run}: b\"{}\"", input.escape_ascii());
        }
    }
}

fn run_target(target: &str, runs: u64, seed: u64, root: Option<&Path>) {
    let mut seeds = corpus(target);
    let own_count = seeds.len();
    seeds.extend(root.map_or_else(Vec::new, |root| recorded(root, target)));
    // A target's inputs do not depend on which targets there are besides.
    let name_sum = target.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut mutator = Mutator::new(seed ^ name_sum);
    // One run of these takes several times as long as one of the others.
    let slow = ["configuration", "cursor-and-tokens", "history-csv"];
    let runs = if runs == RUNS && slow.contains(&target) { RUNS / 4 } else { runs };
    for run in 0..runs {
        // Own seeds get half of the runs, however many recorded answers there are.
        let pool = if run % 2 == 0 { &seeds[..own_count] } else { &seeds[..] };
        let unchanged = usize::try_from(run).ok().and_then(|index| seeds.get(index));
        let input = unchanged.cloned().unwrap_or_else(|| mutator.input(pool));
        let failing = Failing { target, seed, run, input: &input };
        targets::run(target, failing.input);
    }
}

/// A figure of this process's memory in bytes; `None` where the system does not tell.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[test]
fn every_target_keeps_its_promises() {
    let resident = memory("VmRSS:");
    let (runs, seed) = (setting("CROSSMARKET_FUZZ_RUNS", RUNS), setting("CROSSMARKET_FUZZ_SEED", SEED));
    let root = recorded_root();
    if root.is_none() {
        eprintln!("skipped: recorded answers as further seeds: they are not at hand");
    }
    let names = targets::names();
    println!("{} targets, {runs} inputs each, CROSSMARKET_FUZZ_SEED={seed}", names.len());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    // A failure of one target does not prevent the others from running.
                    if catch_unwind(|| run_target(target, runs, seed, root.as_deref())).is_err() {
                        broken.lock().unwrap_or_else(PoisonError::into_inner).push(*target);
                    }
                    println!("{target}: {} ms", started.elapsed().as_millis());
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(broken.is_empty(), "promises were broken in {broken:?}; their inputs are above");
    if let (Some(resident), Some(peak)) = (resident, memory("VmHWM:")) {
        let growth = peak.saturating_sub(resident);
        println!(
            "no input made the process larger than {} MiB, {} MiB more than it began with",
            peak >> 20,
            growth >> 20
        );
        assert!(growth <= GROWTH_MAX, "an input took up to {growth} bytes");
    }
    // Last, since the memory that a backtrace takes is no input's: a broken promise is noticed.
    assert!(catch_unwind(|| targets::run("no such target", b"")).is_err());
}

#[test]
fn the_fuzz_crate_has_every_target() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml"));
    let manifest: toml::Table = manifest.expect("the fuzz crate").parse().expect("TOML");
    let binaries = manifest["bin"].as_array().expect("binaries");
    let listed: Vec<&str> = binaries.iter().filter_map(|binary| binary["name"].as_str()).collect();
    assert_eq!(listed, targets::names());
}

#[test]
fn inputs_follow_from_the_seed_alone() {
    let seeds = [b"[1,2,3]".to_vec(), b"{\"a\":\"b\"}".to_vec()];
    let inputs = |seed| {
        let mut mutator = Mutator::new(seed);
        (0..200).map(|_| mutator.input(&seeds)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    assert!(inputs(3).iter().all(|input| input.len() <= INPUT_LEN_MAX));
}
