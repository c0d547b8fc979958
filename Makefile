# `make demo` and `make test` are all a newcomer needs; each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos test-slow lint format docs links audit build clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv with pinned dependencies (once)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "onetrunk needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## watch one encoder learn two task families and serve four apps
	$(BIN)/onetrunk demo --overwrite

lint: setup ## ruff (lint, format), mypy, and which way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint, types and the fast tests
	$(BIN)/pytest -m "not slow" -n auto

chaos: setup ## kill every command at random and before each change of a file (an hour)
	$(BIN)/python benchmarks/chaos.py --out results/chaos.json

test-slow: setup ## tests that take minutes or read the real data
	$(BIN)/pytest -m slow

format: setup ## rewrite the code the way ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## the site in site/, which works without a network
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build

links: setup ## open every outside address of README and docs (needs a network)
	$(BIN)/python docs/_links.py

audit: setup ## licences of all packages, and known faults in them (which needs a network)
	$(BIN)/python .ci/audit.py licences
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit==2.10.1
	$(VENV)/audit/bin/python .ci/audit.py vulnerabilities

build: setup ## a wheel and a source distribution in dist/
	rm -rf dist
	! command -v npm > /dev/null || npm install --prefix web --no-audit --no-fund # for pages
	$(BIN)/python -m build --no-isolation

clean: ## remove .venv, caches, dist and runs
	rm -rf $(VENV) dist runs site .mypy_cache .ruff_cache .pytest_cache
