# `make` alone prints what there is to do. Every target brings what it needs; only python3 (3.11+), and for a control plane Go 1.26+, must be there.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check lint types floors unit verify generate docs test test-cluster bench demo demo-clean cluster-up cluster-down run image kind-up kind-down test-kind clean

# `python -m` from the root must never pick up a file of the checkout in place of a module of the standard library.
export PYTHONSAFEPATH := 1
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTER ?= embedded
WORKERS ?= 2

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything locked in uv.lock (first time: about a minute)

$(READY): pyproject.toml uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing; install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip --quiet --disable-pip-version-check install uv
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --all-extras
	@touch $@

check: setup lint types floors verify unit ## the fast part: format, lint, types, floors, generated files, pure tests (under a minute)

lint: setup
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .

types: setup
	@$(BIN)/mypy

floors: setup
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -n 4 | grep -v '^$$'; test $${PIPESTATUS[0]} -eq 0

unit: setup
	@$(BIN)/python -m pytest -q -n $(WORKERS) tests/unit tests/scenarios tests/properties tests/contract

verify: setup ## fail if a generated file is not what the code says
	@$(BIN)/stopgap generate --check

generate: setup ## write crds/, manifests/rbac.yaml and docs/reference/ from the code
	@$(BIN)/stopgap generate

docs: setup ## live through incidents anew: what README.md shows of them, and what the plugin's golden tests print
	@$(BIN)/python tests/cluster/cli.py build
	@$(BIN)/python tests/demo/docs.py

test: check test-cluster ## everything: the fast part, then the same promises on a real control plane (what CI runs)

test-cluster: setup ## only the promises on a real control plane
	@$(BIN)/python tests/cluster/cli.py build
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope tests/cluster tests/faults

bench: setup ## measure speed and size against two floors; prints ratios and writes build/bench.json
	@$(BIN)/python tests/cluster/cli.py build
	@PYTHONPATH=. $(BIN)/python -m tests.bench $(BENCH)

demo: setup ## watch a bad release being rolled back, on a control plane of its own (or on KUBECONFIG, or CLUSTER=kind)
	@$(BIN)/python tests/demo/demo.py up --cluster $(CLUSTER)

demo-clean: setup ## remove what the demo left for exploring
	@$(BIN)/python tests/demo/demo.py clean --cluster $(CLUSTER)

cluster-up: setup ## start the development cluster and say where its KUBECONFIG is
	@$(BIN)/python tests/cluster/cli.py up

cluster-down: setup ## stop the development cluster
	@$(BIN)/python tests/cluster/cli.py down

run: setup ## run the operator from the checkout against KUBECONFIG
	@$(BIN)/stopgap run --health-port 8080 --metrics-port 9090 $(ARGS)

image: ## build the container image (needs a container engine)
	@docker build -t stopgap:dev .

kind-up: ## make a kind cluster (needs Docker and kind)
	@kind create cluster --name stopgap

kind-down: ## remove the kind cluster
	@kind delete cluster --name stopgap

test-kind: setup ## the cluster tests on the kind cluster; those that read the audit log say that they cannot
	@mkdir -p build && kind get kubeconfig --name stopgap > build/kind.kubeconfig
	@STOPGAP_TEST_KUBECONFIG=build/kind.kubeconfig $(BIN)/python -m pytest tests/cluster

clean: ## remove what the checkout's own targets made in it
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
