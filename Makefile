# Every line is a command a person could type. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv/bin
CLIENT := clients/python
DEMO := $(CLIENT)/examples/flights
DAEMON := $(CLIENT)/plasmad/bin/plasmad
export PYTHON

.PHONY: help build demo test test-rust test-python test-long wheel bench bench-own lint fmt clean tools

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

wheel: build ## one wheel with extension and daemon in target/wheels, tried in a bare environment
	rm -rf target/wheels target/wheel-venv
	$(VENV)/maturin build --quiet --release --manifest-path $(CLIENT)/Cargo.toml --out target/wheels
	$(PYTHON) -m venv target/wheel-venv
	target/wheel-venv/bin/pip install --quiet --disable-pip-version-check target/wheels/plasmad-*.whl
	cd target && env -u PLASMAD_BIN PATH=/usr/bin:/bin wheel-venv/bin/python ../tests/python/try_wheel.py

bench: build ## plasmad side by side with Plasma, vineyard, Ray, Redis: target/compare.md, .svg; ARGS=--help
	cargo build --quiet --release --package plasmad-compare-driver
	$(VENV)/python benches/compare/compare.py $(ARGS)

bench-own: tools ## the store's own figures beside the machine's limits, and target/bench.json
	cargo build --release
	target/release/plasmad bench --output target/bench.json

lint: tools $(VENV)/maturin ## format, clippy and documentation, with warnings as errors
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps

fmt: ## format everything
	cargo fmt --all

clean: ## remove everything that was built
	rm -rf target .venv $(dir $(DAEMON))

tools:
	@.ci/check-tools

$(VENV)/maturin:
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2'

$(VENV)/.demo: $(DEMO)/requirements.txt $(VENV)/maturin
	$(VENV)/pip install --quiet --disable-pip-version-check --requirement $(DEMO)/requirements.txt
	touch $@

$(VENV)/.test: tests/python/requirements.txt $(VENV)/maturin
	$(VENV)/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt
	touch $@
