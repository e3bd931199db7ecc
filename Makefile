# Each target sets up what it needs by itself; a machine with python3 and make is enough.
SHELL := /bin/sh
PYTHON := .venv/bin/python
# A long run prints nothing for minutes when pytest is quiet, so name the slow tests at the end.
PYTEST := $(PYTHON) -m pytest --durations=10
# Python without the ending, which ruff does not find by itself.
SCRIPTS := scripts/demo scripts/e2e_tests scripts/images scripts/reference scripts/screenshots
ARGS ?=
# What the tests brought for machines without one: Node and npm, and uv, which spares each connector a pip of its own.
export PATH := $(PATH):$(CURDIR)/.venv/bin:$(CURDIR)/.tools/uv/bin

# Each of the many processes that tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-e2e bench lint format images lock clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## Start Airflow with an example flow, run it, and leave the UI running (DEMO_EXIT=1: end afterwards)
	@scripts/setup test
	@DEMO_EXIT=$(DEMO_EXIT) $(PYTHON) scripts/demo

test: test-unit test-e2e  ## All tests

# Tests wait for processes that they start, so more of them than there are cores.
test-unit:  ## The tests that need neither Airflow's processes nor an engine (ARGS: more for pytest)
	@scripts/setup test
	@$(PYTEST) --numprocesses $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )) --dist worksteal tests/unit $(ARGS)

test-e2e:  ## The tests on a real Airflow and a real Docker engine (ARGS: more for pytest)
	@scripts/setup test
	@scripts/e2e_machine
	@$(PYTHON) scripts/e2e_tests $(ARGS)

bench:  ## Measure the budgets, as ratios
	@scripts/setup test bench
	@scripts/e2e_machine
	@$(PYTHON) -m benchmarks $(ARGS)

lint:  ## Check style, types and the shipped flows
	@scripts/setup lint test
	@.venv/bin/ruff check . $(SCRIPTS)
	@.venv/bin/ruff format --check . $(SCRIPTS)
	@.venv/bin/mypy
	@.venv/bin/flowmate lint dags

format:  ## Bring the code into shape
	@scripts/setup lint
	@.venv/bin/ruff check --fix . $(SCRIPTS)
	@.venv/bin/ruff format . $(SCRIPTS)

images:  ## Build the connectors' images (BASE_IMAGE: what they start from)
	@scripts/setup test
	@$(PYTHON) scripts/images $(ARGS)

lock:  ## Write requirements.lock anew (ARGS=--upgrade: with newer versions)
	@scripts/lock $(ARGS)

clean:  ## Remove what the targets made, except images
	@scripts/docker_engine stop
	@rm -rf .venv .tools .cache dist build-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
