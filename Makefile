# make setup | train | test: each does all the set-up it needs, in .venv beside this file. `make help` lists the rest.

ENV ?=
STEPS ?=
ARGS ?=
# What `make train` does when no ENV is given.
TRAIN_ENV := HalfCheetah-v5
TRAIN_ARGS := --preset fast --steps 120000

BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
CHECKED := src tests $(wildcard benchmarks examples)

.DEFAULT_GOAL := help
.PHONY: help setup train test test-long format bench wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo '  make train ENV=Hopper-v5 STEPS=100000 ARGS="--seed 1" trains on another task'

setup: $(READY) ## create .venv from the pinned requirements (a few minutes, once)

# The interpreter is looked for only here, and .venv is made anew when it no longer runs (say, its Python was removed).
$(READY): requirements.lock pyproject.toml
	@if ! $(BIN)/python -c '' 2>/dev/null; then \
	  for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$python && break; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "entrax needs Python 3.11 or newer: install it, or name one with make PYTHON=/path/to/python3.11." >&2; exit 2; \
	  fi; \
	  echo "Creating .venv with $$found ($$($$found -V))."; \
	  $$found -m venv --clear .venv || { \
	    echo "$$found cannot make a virtual environment: install its venv module (on Debian, python3-venv)." >&2; exit 2; }; \
	fi
	@echo "Installing the pinned packages into .venv: one to five minutes, most of it downloading. Later runs skip this."
	@$(PIP) install -qq -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

train: $(READY) ## train, evaluate, draw: HalfCheetah-v5 in under five minutes, or ENV=... STEPS=... ARGS=...
	@$(BIN)/entrax train $(or $(ENV),$(TRAIN_ENV)) $(if $(ENV),,$(TRAIN_ARGS)) $(if $(STEPS),--steps $(STEPS)) $(ARGS)

test: $(READY) ## lint, types and the quick tests
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy
	@$(BIN)/pytest -n 2 --dist loadfile -q

test-long: $(READY) ## the tests that take minutes
	@$(BIN)/pytest -m long -o faulthandler_timeout=7200

format: $(READY) ## format the code and fix what the linter can
	@$(BIN)/ruff format $(CHECKED)
	@$(BIN)/ruff check --fix $(CHECKED)

bench: $(READY) ## compare with Stable-Baselines3 and SBX (an environment of their own; an hour or more)
	@$(BIN)/python benchmarks/run.py $(ARGS)

wheel: $(READY) ## build dist/entrax-*.whl
	@$(BIN)/python -m build --wheel --no-isolation

lock: $(READY) ## resolve pyproject.toml into requirements.lock
	@$(PIP) install -qq pip-tools
	@{ echo '# Every package that entrax, its tests and its TensorBoard logs need, pinned. Written by `make lock` from pyproject.toml.'; \
	  $(BIN)/pip-compile --quiet --upgrade --extra dev --extra tensorboard --allow-unsafe --strip-extras --no-header --no-annotate \
	    --output-file - pyproject.toml | sed -e '/^#/d' -e '/^-/d' -e '/^$$/d'; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## remove .venv and what tools leave behind; runs/ stays
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
