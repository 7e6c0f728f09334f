# make: set up and run the workflow on config.yaml; make CONFIG=mine.yaml TARGET=lape: a part of it on
# another configuration; make first-look: one model, four languages, in minutes. make setup: set up
# only. make test: set up and run every check.
PYTHON ?= python3
CONFIG ?= config.yaml
TARGET ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run first-look setup test test-models test-cluster test-reliability check layout types tests bench docs clean

run: .venv/installed
	@neuroglot config check --config $(CONFIG)
	snakemake $(TARGET) --cores all --configfile $(CONFIG)
	@neuroglot summary --config $(CONFIG)

first-look:
	$(MAKE) --no-print-directory run CONFIG=workflow/first-look.yaml

setup: .venv/installed
	@echo "To use it: . .venv/bin/activate"

# Types beside the tests, so that neither of two cores waits.
test: layout
	$(MAKE) --no-print-directory --jobs=2 types tests

# Two workers more than cores: tests that wait for a cluster or a process leave cores free.
tests: .venv/installed
	pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 2)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# A tiny model of every architecture through every analysis; `make test` takes some of them.
test-models: .venv/installed
	pytest -n auto --maxprocesses 4 -m slow tests/workflow/test_models.py

# On a real Slurm, which must be installed: cancelled jobs, lost nodes, the whole workflow.
test-cluster: .venv/installed
	NEUROGLOT_REQUIRE_SLURM=1 pytest -m 'slow or not slow' tests/workflow/test_slurm.py

# The figures of docs/reliability.md.
test-reliability: .venv/installed
	PYTHONPATH=tests python -m tools.kills --kills 20
	pytest -s -m slow tests/workflow/test_faults.py tests/workflow/test_determinism.py
	PYTHONPATH=tests python -m tools.hostile

check: layout types

layout: .venv/installed
	ruff format --check
	ruff check
	snakefmt --check Snakefile workflow

types: .venv/installed
	mypy

bench: .venv/installed
	pytest -m slow tests/test_bench.py
	pytest bench --benchmark-only -p no:cacheprovider

docs: .venv/installed
	neuroglot config schema > docs/config.schema.json
	neuroglot config reference > docs/config.md
	neuroglot architectures > docs/models.md

clean:
	rm -rf .venv results .snakemake

.venv/installed: envs/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neuroglot needs Python 3.11 or newer, found " + sys.version.split()[0] + "; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
