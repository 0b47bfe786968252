# Each check, alone. What they do stands in scripts/check, which CI calls as well.

# The recipes, by name.
default:
    @just --list --unsorted

# Scripts pass shellcheck.
shell:
    scripts/check shell

# Sources are formatted.
fmt:
    scripts/check fmt

# Dependencies' licences and origins are those of deny.toml (needs cargo-deny).
deny:
    scripts/check deny

# Clippy finds nothing, in any target of any crate.
lint:
    scripts/check lint

# The documentation builds without a warning.
doc:
    scripts/check doc

# The tests pass.
test:
    scripts/check test

# The tests of the unsafe crate pass under AddressSanitizer.
asan:
    scripts/check asan

# They pass under valgrind.
valgrind:
    scripts/check valgrind

# The locks' algorithms, in every order of their steps.
loom:
    scripts/check loom

# A minute of fuzzing for each target (needs cargo-fuzz).
fuzz:
    scripts/check fuzz

# The oldest supported Rust builds it all.
msrv:
    scripts/check msrv

# The tests of the lower crates pass as 32-bit programs.
test-32:
    scripts/check test-32

# The tests of faults pass on an emulated aarch64.
test-arm:
    scripts/check test-arm

# The benchmarks build, and some of them run.
bench-builds:
    scripts/check bench-builds

# The groups and rows of the benchmarks.
bench-list:
    cargo run --locked --release -p folio-bench -- --list

# Measures: `just bench --quick files`.
bench *ARGS:
    cargo build --locked --release -p folio-bench -p folio-cli
    ${CARGO_TARGET_DIR:-target}/release/folio-bench {{ ARGS }}

# Every check, cheapest first.
ci:
    scripts/check all
