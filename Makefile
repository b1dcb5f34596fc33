# The two commands of the README are `make demo` and `make test`; both prepare .venv first.
# PIP_ARGS goes to the pip call that installs torch, since its builds differ (CPU, CUDA).
PYTHON ?= python3.11
PIP_ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?= -n 2 --dist loadgroup
ON_POSTGRES15 := unit/test_database.py unit/test_history.py unit/test_tenants.py \
    integration/test_bridge_queue.py integration/test_bridge_pauses.py integration/test_bridge_wakeups.py \
    integration/test_bridge_retention.py integration/test_event_batches.py
VENV := .venv
LLM_VENV := .venv-llm
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-postgres15 test-slow check format bench clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv and install pinned, hashed requirements

$(STAMP): pyproject.toml requirements/dev.txt requirements/torch.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --progress-bar off --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --progress-bar off -r requirements/torch.txt $(PIP_ARGS)
	$(BIN)/pip install --quiet --progress-bar off --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## real tickets through the whole system; Ctrl-C ends it
	$(BIN)/enhancer demo $(DEMO_ARGS)

test: setup  ## everything but what is marked slow
	$(BIN)/pytest -m "not slow" $(PYTEST_ARGS)

test-postgres15: setup  ## queue, history and Dagster's events on Debian's PostgreSQL 15 instead of the embedded 18
	$(BIN)/pytest --debian-postgres $(addprefix tests/,$(ON_POSTGRES15))

test-slow: setup $(LLM_VENV)/.ready  ## the slow tests alone; compiles llama.cpp the first time
	$(BIN)/pytest -m slow

$(LLM_VENV)/.ready: requirements/llm.txt
	$(PYTHON) -m venv $(LLM_VENV)
	$(LLM_VENV)/bin/pip install --quiet --progress-bar off --require-hashes -r $<
	@touch $@

check: setup  ## ruff, bandit, pyright and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive enhancer_dagster
	$(BIN)/pyright
	$(BIN)/pytest -q tests/unit/test_imports.py

format: setup  ## ruff's formatter and its safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## the benchmarks of bench/ as tables
	for name in latency burst bridge idle retrieval sample encoder vectors index; do $(BIN)/python -m bench $$name || exit 1; done

clean:  ## remove .venv and caches
	rm -rf $(VENV) $(LLM_VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
