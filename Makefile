# Set-up, demo and checks; a fresh machine needs Python 3.11-3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo lint types layers tests fast test docs

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(INSTALLED)  ## create .venv with the tested versions

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: install  ## run the whole chain on the committed sample market and print the results
	$(BIN)/kedro run
	@echo "look at:  $(BIN)/kedro viz run   |   data/08_reporting/   |   $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db"

lint: install  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy strict on src
	$(BIN)/mypy

layers: install  ## import-linter: which package may import which
	$(BIN)/lint-imports

# Two workers with a core each; whole files, so that what a file prepares is prepared once, the slow ones first.
tests: install  ## all tests, slow ones too
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fast: install  ## the tests that take under a minute together
	$(BIN)/python -m pytest -m "not slow"

docs: install  ## build the documentation site; a warning or a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -W ignore -m mkdocs build
	@echo "look at:  build/docs/index.html"

test: lint types layers tests  ## what CI runs
