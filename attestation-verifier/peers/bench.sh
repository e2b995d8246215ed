#!/bin/sh
# Times one verification by Nacre and by other public verifiers, side by side, and prints tables.
# Criterion's own words go to standard error; the figures are also written to target/peers/bench.json and SPECIFICATION.md.
set -eu
cd "$(dirname "$0")"
unset CARGO_TARGET_DIR
target=../../target/peers
CRITERION_HOME=$PWD/$target/criterion
export CRITERION_HOME

./prepare.py
rm -rf "$CRITERION_HOME"
cargo bench --locked --quiet --bench verify >&2
cargo run --release --locked --quiet --bin bench-summary -- "$CRITERION_HOME" "$target/bench.json" ../../SPECIFICATION.md
