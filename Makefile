# Luxxon: a fresh checkout needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PROCESSES ?= 2
SOLC   := contracts/node_modules/.ready
SPICE  := tests/node/node_modules/.ready
PROVER := contracts/.venv-halmos/.ready contracts/.venv-slither/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test pythons services postgis chromium rtsp players check format bench soak screenshots lock schema openapi docs contracts \
  contracts-test clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(READY)  ## Run the whole product on this machine: make demo ARGS="--headless --json"
	@$(BIN)/luxxon demo $(ARGS)

test: $(READY) $(SOLC) services  ## Run all tests: make test ARGS="tests/journeys -k demo" PROCESSES=0
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(ARGS)

pythons:  ## Run all tests on each Python that this machine has, in environments of their own: make pythons ARGS=tests/unit
	@found=$$(.ci/pythons) && [ -n "$$found" ] || { echo "no Python of those that Luxxon runs on" >&2; exit 1; }; \
	for python in $$found; do \
	  $(MAKE) test PYTHON=$$python VENV=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1; \
	done

services: postgis chromium rtsp $(SPICE)  ## Install what tests run against, beside what pip brings

check: $(READY)  ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples/*/*.py
	$(BIN)/lint-imports --no-cache

format: $(READY)  ## Rewrite files as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) postgis chromium rtsp players $(SOLC) $(SPICE)  ## Measure figures against limits taken in the same run
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

soak: $(READY)  ## Watch the media edge for growth: make soak ARGS=5 (minutes; 15 when not given)
	$(BIN)/python benchmarks/long/soak.py $(ARGS)

screenshots: $(READY)  ## Draw the pictures in screenshots/ from the running console
	$(BIN)/python screenshots/make.py

schema: $(READY)  ## Write migrations/head.sql anew after a migration
	$(BIN)/python -m luxxon_core.adapters.postgres.schema

openapi: $(READY)  ## Write contracts/openapi.json anew after a change of an endpoint
	$(BIN)/luxxon openapi > contracts/openapi.json.new
	@mv contracts/openapi.json.new contracts/openapi.json

docs: $(READY)  ## Write docs/settings.md and docs/api.md anew after a change of a setting or an endpoint
	$(BIN)/python docs/make.py

contracts: $(SOLC)  ## Build the contract artifacts (needs Node.js)
	$(PYTHON) contracts/build.py

contracts-test: $(SOLC) $(PROVER)  ## Test the contracts: forge, halmos, slither (needs Node.js)
	@.ci/contracts

lock: $(READY)  ## Resolve requirements.lock anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --all-extras --no-emit-index-url --no-emit-find-links pyproject.toml requirements-build.in -o requirements.lock
	for tool in halmos slither; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links contracts/requirements-$$tool.in -o contracts/requirements-$$tool.txt; \
	done

clean:  ## Remove everything that was made here
	rm -rf $(VENV) .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist contracts/node_modules tests/node/node_modules \
	  contracts/.venv-halmos contracts/.venv-slither contracts/out contracts/cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The compiler comes from npm where that is; without it the test that rebuilds the contracts says what is missing.
$(SOLC): contracts/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix contracts && touch $@; fi

# Where it cannot be installed this does not fail; the tests say what is missing.
postgis:
	@.ci/postgis

chromium:
	@.ci/chromium

rtsp:
	@.ci/rtsp

players:
	@.ci/players

# SpiceDB's engine and anvil, for Linux on x86-64 alone.
$(SPICE): tests/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix tests/node && touch $@; fi

# halmos and slither each in an environment of its own, because slither wants another web3 than the product.
contracts/.venv-%/.ready: contracts/requirements-%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "installing $* into $(@D) (once)" >&2
	@$(@D)/bin/python -m pip install --quiet --require-hashes --requirement $<
	@touch $@

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once, about a minute)" >&2
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
