# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv first.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Test processes at once, one more than cores, since many tests wait; a file's tests stay in one of them.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup lock clean demo demo-gcp test soak lint format bench browser dev

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Install everything, by hash, into .venv

# uv is only the quicker installer: the lock is plain pip and `pip install --require-hashes -r requirements.lock` does the same.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "integration_assets needs Python 3.11, 3.12 or 3.13: set PYTHON=/path/to/python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

lock: ## Resolve the dependencies again into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --all-extras --python-version 3.11 --output-file requirements.lock pyproject.toml

clean: ## Remove the environment and everything the project wrote
	rm -rf $(VENV) .venv-bench data .dagster

demo: setup ## Run the whole flow on the embedded default, against the sandbox
	$(BIN)/python -m integration_assets.demo

demo-gcp: setup ## The same on a bucket and BigQuery, both emulated here; needs Python 3.13 for the emulator
	$(BIN)/python -m integration_assets_tests.demo.gcp

test: setup browser ## Run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=
	$(BIN)/python -m coverage report --format=total | sed 's/^/coverage, percent: /'

soak: setup browser ## Every test at its longest, with the crash campaign's table at the end; SOAK_KILLS=1000 for a longer one
	@rm -rf test-artefacts/soak test-artefacts/soak.txt test-artefacts/soak.json
	@INTEGRATION_SOAK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15; status=$$?; \
	cat test-artefacts/soak.txt || status=1; exit $$status

browser: ## Chromium for the end-to-end tests: Debian's, where there is none and we may install it
	@test -x /usr/bin/chromium \
	|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } \
	|| echo "No Chromium: the end-to-end tests need Debian's package chromium, or: $(BIN)/playwright install chromium"

lint: setup ## ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup .venv-bench/.ready ## Measure ours beside peers; SIZE=1000000 ROUNDS=3 for the whole
	$(BIN)/python -m benchmarks.run --size $(or $(SIZE),200000) --rounds $(or $(ROUNDS),3) --write

.venv-bench/.ready: benchmarks/peers.lock
	$(PYTHON) -m venv .venv-bench
	VIRTUAL_ENV=$(CURDIR)/.venv-bench $(BIN)/uv pip install --quiet --require-hashes --requirement benchmarks/peers.lock
	touch $@

dev: setup ## Sandbox, webserver and daemon; ctrl-C stops all
	$(BIN)/python -m integration_assets.demo --serve
