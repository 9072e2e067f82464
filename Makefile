# Andon: `make demo` and `make test` each set everything up first. A set-up that is up to date
# costs nothing.

# The first of these that runs and is new enough; tools/setup.py says so if none is.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; exit; }; done; echo python3)
BIN := .venv/bin
# Their hundreds of processes import the same: what is compiled for one is kept for the others.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist loadfile \
	--no-loadscope-reorder

# One thread a process: the parts of a run share the machine's cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv demo smollm2 test long check clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

venv: ## Make or update .venv
	@$(PYTHON) -m tools.setup

demo: venv ## Run online RLHF on this machine: no GPU, no account, no download of weights
	@$(BIN)/andon demo

smollm2: venv ## Fetch a real language model, 93 MB, and run the example with it: about an hour
	@$(PYTHON) -m tools.setup --smollm2
	@$(BIN)/andon example smollm2

test: venv ## Run the tests
	@$(PYTHON) -m tools.setup --tests
	@$(PYTEST)

long: venv ## Run the tests that `make test` leaves out: more kills, stops and clusters
	@$(PYTHON) -m tools.setup --tests
	@$(PYTEST) -m long

check: venv ## Check style, formatting, types, imports, the page of metrics and the pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/metrics_page.py --check
	$(BIN)/python tools/grafana_page.py --check
	$(BIN)/python tools/check_pages.py

clean: ## Remove .venv and all caches; runs are kept
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache tools/pages/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
