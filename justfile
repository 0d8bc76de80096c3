# Common tasks. `just` lists them; each is one command that also works without just.

set positional-arguments

_default:
    @just --list --unsorted

# Every check that continuous integration runs; with names, only those stages
test *STAGES:
    scripts/test "$@"

# Tests of PACKAGE whose name contains TEXT, e.g. `just test-one crossmarket-venues kraken`, `just test-one crossmarket watch`
test-one PACKAGE TEXT *OPTIONS:
    cargo nextest run --package {{ PACKAGE }} {{ TEXT }} {{ OPTIONS }}

# Format, then clippy as continuous integration runs it
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# The whole service against simulated venues
demo *OPTIONS:
    cargo run --release -- demo "$@"

# Fuzz every parser for a minute, or one TARGET for SECONDS
fuzz *TARGET_SECONDS:
    scripts/fuzz "$@"

# Servers, collectors and Redis under faults: `ci`, nothing for a short run, or `long`
faults *RUN:
    scripts/faults "$@"

# Benchmarks; benches/README.md lists them
bench *NAME:
    cargo bench {{ if NAME == "" { "" } else { "--bench " + NAME } }}

# Documentation of the code, as continuous integration builds it
doc:
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items
