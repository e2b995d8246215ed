# Everything a developer of Nacre types. `make` alone lists the targets.

.POSIX:
.PHONY: help setup build demo demo-enclave demo-chain test contracts lint examples bench bench-chain image image-repro image-docker conformance fuzz chaos clean

PYTHON = python3
DEPS = $(CURDIR)/.deps
NACRE = $${CARGO_TARGET_DIR:-target}/debug/nacre
# The NSM emulator's socket and process mode: every build but the production one has them.
FEATURES = --features nacre-enclave/process-mode
# Debug builds have processes that can be told to die beside any step of a job.
DEBUG_FEATURES = $(FEATURES) --features nacre-control-plane/failpoints,nacre-tests/failpoints
CARGO_DENY = 0.20.2
CONTRACTS = relay-contracts
FUZZ_SECONDS = 60

export NACRE_ONNXRUNTIME = $(DEPS)/onnxruntime/libonnxruntime.so
export NACRE_TEST_PYTHON = $(DEPS)/venv/bin/python
# ONNX Runtime's own builds report usage to their maker unless they are told not to.
export ORT_DISABLE_TELEMETRY = 1

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1	/p' Makefile | while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: ## get what cargo does not (ONNX Runtime, test clients) into .deps/, pinned by hash
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) is missing (Debian, Ubuntu: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) setup/setup.py

build: ## build every crate, with the emulated enclave
	cargo build --workspace $(DEBUG_FEATURES) --locked

demo: setup build ## deploy the examples on this machine and call them through attested channels
	@$(PYTHON) scripts/demo.py

demo-enclave: setup build image ## the same with the real image, booted on this machine without AWS
	@$(PYTHON) scripts/demo.py --enclave emulator

demo-chain: setup build $(CONTRACTS)/node_modules/.package-lock.json ## a smart contract asks for an inference and acts on the answer, on this machine
	@$(PYTHON) scripts/demo_chain.py

# What boots the image needs one; where this machine cannot build it, those tests are left out, in one line.
test: setup build contracts ## run every test (cargo-nextest if installed, else cargo test)
	@$(PYTHON) setup/setup.py --tests
	cargo test --workspace --doc --quiet $(DEBUG_FEATURES) --locked
	@set -e; if $(NACRE) doctor --for emulator >/dev/null; then \
		$(MAKE) --no-print-directory image; $(PYTHON) scripts/image-repro.py --assembly; \
		NACRE_TEST_KERNEL=$$($(NACRE) image fetch kernel); NACRE_TEST_QEMU=$$($(NACRE) image fetch qemu); \
		export NACRE_REQUIRE_EIF=1 NACRE_TEST_KERNEL NACRE_TEST_QEMU; \
	else \
		echo "left out: tests that boot the image, which this machine cannot build (nacre doctor --for emulator)"; \
	fi; \
	if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --workspace $(DEBUG_FEATURES) --locked; \
	else \
		set -x; cargo test --workspace --all-targets $(DEBUG_FEATURES) --locked; \
	fi

contracts: $(CONTRACTS)/node_modules/.package-lock.json ## build, lint and test the smart contracts
	cd $(CONTRACTS) && npm run --silent lint && npm run --silent build && npm run --silent test && npm run --silent gas:check

$(CONTRACTS)/node_modules/.package-lock.json: $(CONTRACTS)/package-lock.json
	@command -v npm >/dev/null || { echo "contracts: npm is missing (Debian, Ubuntu: apt-get install nodejs npm; Node 20 or later)." >&2; exit 1; }
	cd $(CONTRACTS) && npm ci --ignore-scripts --no-audit --no-fund

lint: $(DEPS)/cargo/bin/cargo-deny-$(CARGO_DENY) ## check format, lints, licences, sources and duplicate crates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(DEBUG_FEATURES) --locked -- -D warnings
	cargo clippy -p nacre-enclave -p nacre-verifier --locked -- -D warnings
	$(DEPS)/cargo/bin/cargo-deny-$(CARGO_DENY) --locked check licenses bans sources

$(DEPS)/cargo/bin/cargo-deny-$(CARGO_DENY):
	cargo install cargo-deny --version =$(CARGO_DENY) --locked --debug --root $(DEPS)/cargo/build
	mkdir -p $(DEPS)/cargo/bin
	mv $(DEPS)/cargo/build/bin/cargo-deny $@
	rm -rf $(DEPS)/cargo/build

# The seed is printed; the same seed draws the same kills.
chaos: setup build ## kill every process beside every step of a job, hundreds of times (NACRE_CHAOS_KILLS, NACRE_CHAOS_SEED)
	NACRE_CHAOS_KILLS=$${NACRE_CHAOS_KILLS:-300} NACRE_CHAOS_SEED=$${NACRE_CHAOS_SEED:-$$(date +%s)} \
		cargo test --workspace $(DEBUG_FEATURES) --locked --test chaos -- --nocapture --test-threads=1

examples: setup ## train the example models anew, compare with the committed ones, judge them on held-out rows
	$(PYTHON) -m venv $(DEPS)/training
	$(DEPS)/training/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement examples/requirements.txt
	$(DEPS)/training/bin/python examples/train.py --verify
	$(DEPS)/training/bin/python examples/check.py

bench: setup build image ## measure what SPECIFICATION.md promises, in a release build
	cargo build --release --workspace $(FEATURES) --locked
	cargo build --release -p nacre-emulator --example vsock_bench --locked
	cargo run --release -p nacre-scheduler --example placements --locked
	@set -e; NACRE_TEST_KERNEL=$$($(NACRE) image fetch kernel); NACRE_TEST_QEMU=$$($(NACRE) image fetch qemu); \
	export NACRE_TEST_KERNEL NACRE_TEST_QEMU; set -x; $${CARGO_TARGET_DIR:-target}/release/nacre-bench
	attestation-verifier/peers/bench.sh

bench-chain: setup build $(CONTRACTS)/node_modules/.package-lock.json ## measure what SPECIFICATION.md promises of contracts' jobs, in a release build
	cd $(CONTRACTS) && npm run --silent gas:check
	cargo build --release --workspace $(FEATURES) --locked
	$${CARGO_TARGET_DIR:-target}/release/nacre-bench chain

image: setup build ## build the enclave image, target/image/nacre.eif (the first time its kernel too: minutes)
	$(NACRE) image build --output $${CARGO_TARGET_DIR:-target}/image/nacre.eif

image-repro: setup build ## build kernel, programs and image twice, on two different "machines", and compare the bytes
	$(PYTHON) scripts/image-repro.py

image-docker: ## build the Dockerfile with buildah on a Debian made for it, and check the image
	$(PYTHON) scripts/dockerfile.py

conformance: ## put the adversarial corpus to our verifier and to other public ones, write CONFORMANCE.md
	attestation-verifier/peers/conformance.sh

fuzz: ## run every fuzz target for FUZZ_SECONDS each (needs cargo-fuzz and a nightly toolchain)
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { echo "fuzz: cargo-fuzz or the nightly toolchain is missing (cargo install cargo-fuzz; rustup toolchain install nightly)." >&2; exit 1; }
	@$(PYTHON) fuzz/seed_from_corpus.py
	cargo +nightly fuzz build
	@set -e; targets=$$(cargo +nightly fuzz list); for target in $$targets; do \
		echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
		cargo +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=10; \
	done

clean: ## remove everything that was built or fetched
	cargo clean
	rm -rf .deps $(addprefix $(CONTRACTS)/,node_modules out cache coverage)
