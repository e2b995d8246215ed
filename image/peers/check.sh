#!/bin/sh
# Holds Nacre's EIF code against AWS's own (aws-nitro-enclaves-image-format): registers, checksum, signature, metadata,
# each reading what the other wrote. Takes EIFs, or folders of them, to compare as well; NACRE is the program (default:
# target/debug/nacre). Needs OpenSSL's headers; the first build takes some minutes.
#
#   image/peers/check.sh [--golden] [EIF or folder …]
#
# --golden writes ../tests/golden anew, which the ordinary tests are held against.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
unset CARGO_TARGET_DIR
(cd "$here" && cargo build --release --locked --quiet)
exec python3 "$here/check.py" "$here/../../target/peers/release/nacre-image-peers" "$@"
