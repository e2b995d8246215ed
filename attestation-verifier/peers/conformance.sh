#!/bin/sh
# Runs Nacre's verifier and other public ones over the corpus and writes ../CONFORMANCE.md.
# Fails when Nacre's own differs from the corpus anywhere.
set -eu
cd "$(dirname "$0")"
unset CARGO_TARGET_DIR

./prepare.py
cargo build --release --locked --quiet --bins
../../target/peers/release/conformance-table
