# `make demo` and `make test` need nothing but Python 3.11 or newer; both make .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml README.md LICENSE $(shell find receiver handlers fixtures -type f -not -name '*.pyc')
ARGS ?=

.PHONY: demo test check format bench bench-sinks screenshots clean

# A receiver with every provider's recorded callbacks, sent over HTTP with real proofs. ARGS=--once ends by itself.
demo: $(VENV)/.installed
	$(BIN)/hookscribe demo $(ARGS)

# All tests, against the built wheel. A test that needs a service which is not here is skipped with its reason.
test: $(VENV)/.tested
	$(BIN)/python -m coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Everything that CI checks, without the tests.
check: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

format: $(VENV)/.tested
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Receiving, measured against a bare framework route in the same run; needs wrk (Debian: apt-get install wrk).
bench: $(VENV)/.tested
	$(BIN)/python tests/bench/receive.py $(ARGS)

# Draining waiting events into each queue, against its client library's own fastest confirmed loop in the same run.
bench-sinks: $(VENV)/.tested
	PYTHONPATH=tests:tests/bench $(BIN)/python -m sinks $(ARGS)

# The pages as pictures for README and docs; needs Chromium (Debian: apt-get install --no-install-recommends chromium).
screenshots: $(VENV)/.tested
	PYTHONPATH=tests $(BIN)/python tests/browser/screenshots.py docs/images

clean:
	rm -rf $(VENV) dist build .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.installed: $(SOURCES) | $(VENV)/bin/python
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/pip install --quiet "$$(ls dist/*.whl)[all]"
	$(BIN)/pip install --quiet --force-reinstall --no-deps dist/*.whl
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet "$$(ls dist/*.whl)[all,check]"
	touch $@
