PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
# A process for every core; the tests of a file share what they trained.
WORKERS := --numprocesses auto --dist loadfile

.PHONY: demo test test-all lint format bench clean

demo: $(STAMP)
	$(BIN)/tf4dvar demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_STAMP)
	$(BIN)/python benchmarks/against_peer.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/serving.py

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

# Filled when missing, and again when the declared dependencies change.
$(STAMP): setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv demo build dist *.egg-info
