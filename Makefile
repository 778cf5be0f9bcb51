PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
DOCS_STAMP := .venv/.installed-docs
LOWEST := .venv-lowest
# A process for every core; the tests of a file share what they trained.
WORKERS := --numprocesses auto --dist loadfile
# None of them has use for threads of its own.
test test-long test-notebooks test-all: export OMP_NUM_THREADS = 1
test test-long test-notebooks test-all: export TF_NUM_INTRAOP_THREADS = 1

.PHONY: demo test test-long test-notebooks test-all test-lowest coverage mutation audit torture torture-short lint format notebooks bench docs clean

demo: $(STAMP)
	$(BIN)/tf4dvar demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not long and not slow and not notebook"

# What takes seconds each: whole trainings, programs, servers, the pages' examples.
test-long: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "long and not slow"

# All of them at reduced size.
test-notebooks: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto -m "notebook and not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS)

# With the lowest versions that setup.cfg allows; these call what the newest of their own
# dependencies deprecate. Of Python the one that is there.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest $(WORKERS) -m "not slow" -W ignore::DeprecationWarning

# Of lines and branches, those of child processes too; below 95 % it fails.
coverage: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow" --cov

# What the tests would not notice; see [tool.mutmut] in pyproject.toml, and of the layers a sample.
mutation: $(STAMP)
	$(BIN)/python -m pip install --quiet 'mutmut>=3.8' 'cosmic-ray>=8.7'
	$(BIN)/mutmut run
	$(BIN)/mutmut results
	PATH="$(BIN):$$PATH" $(BIN)/python torture/mutate_layers.py

# Dependencies with known vulnerabilities; asks the advisory database of the package index.
audit: $(STAMP)
	$(BIN)/python -m pip install --quiet 'pip-audit>=2.9'
	$(BIN)/pip-audit --skip-editable

# Faults on purpose; what was lost is printed and is the exit code.
torture: $(STAMP)
	$(BIN)/python torture/faults.py --kills 60 --minutes 20
	$(BIN)/python torture/fuzz.py --cases 2000 --minutes 15
	$(BIN)/python torture/own_files.py --cases 200 --minutes 10

torture-short: $(STAMP)
	$(BIN)/python torture/faults.py --kills 6 --minutes 1
	$(BIN)/python torture/fuzz.py --cases 100 --minutes 1
	$(BIN)/python torture/own_files.py --cases 20 --minutes 1

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Executes them in place, ten minutes: their outputs are part of the documentation.
notebooks: $(STAMP)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m tests.documentation.notebooks

bench: $(BENCH_STAMP)
	$(BIN)/python benchmarks/against_peer.py
	$(BIN)/python benchmarks/against_peer_on_maps.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/serving.py

# The theme's authors warn of MkDocs 2, which the theme itself excludes.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(LOWEST)/.installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct --editable '.[test]'
	touch $@

# Filled when missing, and again when the declared dependencies change.
$(STAMP): setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv $(LOWEST) mutants demo site build dist *.egg-info
