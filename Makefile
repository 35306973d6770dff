# Each target does its own set-up in .venv; the second run starts at once.
# ARGS goes through to the program: make test ARGS="tests/core -x", make train ARGS="--seed 2".
# PIP_FLAGS goes to pip, for example to name an index that serves torch's CPU builds.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.ready
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test check lint docs train bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt .ci/setup
	@.ci/setup
	@touch $@

setup: $(READY)  ## install everything into .venv

demo: $(READY)  ## pour ten cups with the shipped policy behind the safety monitor
	@$(BIN)/spillguard demo $(ARGS)

# Tests with real processes come one after the other: they assert no times, but what they start is busy enough.
ALONE := tests/ros tests/faults tests/launch
test: $(READY)  ## every test, those with real ROS 2 processes included
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/python -m pytest -n auto --dist loadfile --junitxml=build/junit/together.xml $(ALONE:%=--ignore=%)
	@$(BIN)/python -m pytest --junitxml=build/junit/alone.xml $(ALONE)
endif

lint: $(READY)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## lint, then test

docs: $(READY)  ## the documentation as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/site/mkdocs.yml

train: $(READY)  ## train Meta SAC-Lag to pour
	@$(BIN)/spillguard train --algo meta_sac_lag --env spillguard/PourCoffee-v0 --seed 1 $(ARGS)

bench: $(READY)  ## print every speed as a ratio, and keep it in benchmarks/results
	@$(BIN)/spillguard bench $(ARGS)

clean:  ## remove .venv, caches and builds; runs/ stays
	rm -rf .venv build spillguard.egg-info ros_ws/build ros_ws/install ros_ws/log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
