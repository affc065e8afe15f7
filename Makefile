# Every line is a command a person could type. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv/bin
CLIENT := clients/python
DEMO := $(CLIENT)/examples/flights
DAEMON := $(CLIENT)/plasmad/bin/plasmad
FUZZ_TARGETS ?= frame request response hello value stream size store
FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 0
FUZZ_SANITIZER ?= none
CARGO_FUZZ := target/tools/bin/cargo-fuzz
export PYTHON

.PHONY: help build demo test test-rust test-python test-long loom cross fuzz fuzz-ci fuzz-planted fuzz-seeds wheel bench bench-own lint
.PHONY: fmt clean tools models

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: tools $(VENV)/maturin ## target/release/plasmad, and .venv with the Python client installed
	cargo build --release
	mkdir -p $(dir $(DAEMON))
	install target/release/plasmad $(DAEMON)
	$(VENV)/maturin develop --quiet --release --manifest-path $(CLIENT)/Cargo.toml

demo: build $(VENV)/.demo ## real tables, four processes, no copies: plasmad beside pickling through pipes
	$(VENV)/python $(DEMO)/demo.py --output target/demo.json

test: test-rust test-python ## everything bounded: at most 10 minutes after the build

test-rust: tools
	cargo test --quiet

test-python: build $(VENV)/.test
	$(VENV)/python -m pytest -q $(CLIENT)/../../tests/python

test-long: tools ## longer runs of models and simulations
	cargo test --quiet --release --test all -- --include-ignored
	cargo test --quiet --release --package plasmad-core --lib -- --include-ignored

loom: ## the code of index and pages under every order that weakly ordered memory allows
	RUSTFLAGS="--cfg loom" RUST_BACKTRACE=0 cargo test --quiet --release --package plasmad-shm --lib \
		--target-dir target/loom orders

cross: tools ## wire, core and shared memory for aarch64, their unit tests in an emulator; installs it as root
	.ci/cross

models: ## the protocols of shared memory and their faults, through spin: some 2 minutes on two cores; ARGS="pin PSO"
	$(PYTHON) tests/models/run $(ARGS)

fuzz: fuzz-seeds ## libFuzzer on FUZZ_TARGETS, each for FUZZ_RUNS inputs or FUZZ_SECONDS, whichever comes first
	for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --features libfuzzer \
			--sanitizer $(FUZZ_SANITIZER) $$target target/fuzz/corpus/$$target target/fuzz/seeds/$$target \
			-- -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -print_final_stats=1 || exit 1; \
	done

fuzz-ci: tools ## the same targets with a small fuzzer of our own, bounded; needs no libFuzzer
	cargo test --quiet --release --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz

fuzz-planted: ## libFuzzer on a decoder with a mistake in it (PLANTED names another): succeeds when it is found
	rm -rf tests/fuzz/artifacts/planted
	! $(MAKE) fuzz FUZZ_TARGETS=planted
	ls tests/fuzz/artifacts/planted/crash-*

fuzz-seeds: tools $(CARGO_FUZZ)
	cargo run --quiet --release --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz --example by_hand \
		seeds target/fuzz/seeds

wheel: build ## one wheel with extension and daemon in target/wheels, tried in a bare environment
	rm -rf target/wheels target/wheel-venv
	$(VENV)/maturin build --quiet --release --manifest-path $(CLIENT)/Cargo.toml --out target/wheels
	$(PYTHON) -m venv target/wheel-venv
	target/wheel-venv/bin/pip install --quiet --disable-pip-version-check target/wheels/plasmad-*.whl
	cd target && env -u PLASMAD_BIN PATH=/usr/bin:/bin wheel-venv/bin/python ../tests/python/try_wheel.py

bench: build ## plasmad side by side with Plasma, vineyard, Ray, Redis: target/compare.md, .svg; ARGS=--help
	$(VENV)/python benches/compare/compare.py $(ARGS)

bench-own: tools ## the store's own figures beside the machine's limits, and target/bench.json
	cargo build --release
	target/release/plasmad bench --output target/bench.json

lint: tools $(VENV)/maturin ## format, clippy and documentation, with warnings as errors
	cargo fmt --all --check
	cargo fmt --all --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps

fmt: ## format everything
	cargo fmt --all
	cargo fmt --all --manifest-path tests/fuzz/Cargo.toml

clean: ## remove everything that was built
	rm -rf target .venv $(dir $(DAEMON))

tools:
	@.ci/check-tools

$(CARGO_FUZZ):
	cargo install --quiet --locked --version 0.13.2 --root target/tools --target-dir target/tools/build cargo-fuzz

$(VENV)/maturin:
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2'

$(VENV)/.demo: $(DEMO)/requirements.txt $(VENV)/maturin
	$(VENV)/pip install --quiet --disable-pip-version-check --requirement $(DEMO)/requirements.txt
	touch $@

$(VENV)/.test: tests/python/requirements.txt $(VENV)/maturin
	$(VENV)/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt
	touch $@
