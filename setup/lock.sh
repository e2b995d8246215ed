#!/bin/sh
# Writes the Python lock files anew from their .in files. Needed only after one of
# those was changed, or to take newer versions; the result is committed.
set -eu
cd "$(dirname "$0")/.."

uv=.deps/lock/bin/uv
[ -x "$uv" ] || { python3 -m venv .deps/lock && .deps/lock/bin/pip install --quiet uv==0.13.9; }

# lock IN OUT OLDEST-PYTHON
lock() {
    "$uv" pip compile --quiet --universal --python-version "$3" --generate-hashes --upgrade \
        --only-binary :all: --no-emit-index-url --no-annotate \
        --custom-compile-command setup/lock.sh --output-file "$2" "$1"
}

lock setup/test-requirements.in setup/test-requirements.txt 3.10
lock setup/mlserver-requirements.in setup/mlserver-requirements.txt 3.10
lock examples/requirements.in examples/requirements.txt 3.11
