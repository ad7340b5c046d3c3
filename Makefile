# Everything happens in .venv, from the two lock files, so that every machine runs the same versions. requirements-parts.lock
# holds the large real parts that only tests run against.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
PARTS := $(VENV)/.parts
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
ARGS ?=
SOAK_MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help demo up test soak lint bench kafka lock clean

help: ## Print this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(STAMP) ## Take a real pull request down the whole road (ARGS=--unattended to watch it by itself)
	@$(BIN)/tenuto demo $(ARGS)

up: $(STAMP) ## Run all processes on this machine until Ctrl-C
	@$(BIN)/tenuto up $(ARGS)

# Hundreds of processes of ours start in there: what they load is compiled once, whatever the machine's habit.
test: $(PARTS) ## Run the whole test suite (ARGS are handed to pytest)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope $(ARGS)

soak: $(PARTS) ## Run the long tests: simulated worlds and real parts under fire (SOAK_MINUTES=10 for each, SIMULATION_SEED)
	@SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -s --timeout=0 tests/soak $(ARGS)

lint: $(STAMP) ## Check style, types and the house rules
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/house

bench: $(STAMP) ## Measure against baselines in the same run and print the table
	@$(BIN)/python -m benchmarks.run $(ARGS)

kafka: $(STAMP) ## Start a real Apache Kafka (needs Java and Maven) until Ctrl-C
	@$(BIN)/python -m tests.kafka.apache_kafka

lock: $(STAMP) ## Resolve the dependencies anew into the two lock files
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group pyproject.toml:parts --generate-hashes \
	  --constraint requirements.lock --no-emit-index-url --no-emit-find-links --no-header -o requirements-parts.lock

clean: ## Remove the environment, caches and the demonstration's data
	rm -rf $(VENV) .tenuto .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tenuto needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.11 or newer.")'
	@echo "Setting up $(VENV) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

$(PARTS): $(STAMP) requirements-parts.lock
	@echo "Adding the parts that tests run against (once; some 300 MB)"
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements-parts.lock
	@touch $(PARTS)
