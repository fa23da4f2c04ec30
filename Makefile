# annolog: a fresh clone to a running service, or to a passed test suite.
# Needs Python >= 3.11 and, for the Kafka broker, Java >= 17 with Maven.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# On this machine alone nobody has to prove who they are.
run: export ANNOLOG_AUTH ?= none

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check types style bench soak faults lock clean

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/run.stamp ## run annolog on 127.0.0.1:8080, with data in .annolog
	@$(BIN)/annologd run

test: $(VENV)/dev.stamp ## run all tests, on a real PostgreSQL and a real Kafka broker
	$(BIN)/pytest -n 3 --dist loadfile $(TEST)

check: types style ## check style, types, docstrings, imports, openapi.yaml

types: $(VENV)/dev.stamp
	$(BIN)/mypy

style: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	find service client -name '*.py' | xargs $(BIN)/numpydoc lint
	$(BIN)/lint-imports
	$(BIN)/annologd openapi --check

bench: $(VENV)/dev.stamp ## measure against the goals, beside bare asyncpg (15 minutes)
	$(BIN)/python -m tests.benchmarks --sizes $(BENCH)

soak: $(VENV)/dev.stamp ## an hour of mixed load: memory flat, tables and indexes lean
	$(BIN)/python -m tests.soak $(SOAK)

faults: $(VENV)/dev.stamp ## kill, freeze and starve every part; is anything lost?
	$(BIN)/python -m tests.faults

lock: export UV_CUSTOM_COMPILE_COMMAND := make lock
lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	uv $(COMPILE) --extra dev -o requirements/dev.txt pyproject.toml
	uv $(COMPILE) --extra service --extra local -c requirements/dev.txt \
		-o requirements/run.txt pyproject.toml

clean: ## remove the environment and caches; data in .annolog stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
		.hypothesis build dist
	find service client tests -name __pycache__ -type d -exec rm -rf {} +

COMPILE := pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--python-version 3.11 --group build

# The environment follows the lock: a stamp is older than its lock only once.
$(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement $<
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'annolog needs Python >= 3.11; name one with PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
