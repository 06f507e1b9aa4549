# Every target does its own set-up. Programs, images and clusters are kept in AURORA_CACHE (~/.cache/aurora).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export PYTHONUNBUFFERED := 1
VENV := .venv/bin
CLUSTER ?= aurora
export TEST_CLUSTER ?= aurora-test

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use
.PHONY: demo demo-down deploy purge
demo: ## From nothing to a prediction through the ingress and a measured canary split, on kind
	@hack/demo.sh
demo-down: ## Remove what demo made; images and programs stay in the cache for the next time
	@AURORA_CLUSTER=aurora hack/cluster/down.sh
deploy: ## Install CRDs and controller in the cluster of the current kubectl context
	kubectl apply --server-side --force-conflicts -k config/default
purge: ## Remove every cluster, image and program that any target made
	@hack/purge.sh

##@ Check
.PHONY: test check lint fmt typecheck test-unit test-e2e
test: ## Everything: lint, types, unit tests, fault tests, end-to-end tests on kind
	@hack/test.sh
check: lint typecheck test-unit ## What needs no cluster
lint: setup ## Style, import rules, shell scripts
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/lint-imports --no-logo
	@shellcheck --external-sources $$(git ls-files '*.sh') .ci/run hack/images/node/entrypoint hack/images/node/runc-without-sys-resource
fmt: setup ## Format, and mend what can be mended
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .
typecheck: setup ## mypy --strict
	@$(VENV)/mypy
test-unit: setup ## Unit tests
	@$(VENV)/pytest tests/unit -q -n auto --dist loadfile
test-e2e: images cluster-test ## End-to-end tests on the kind cluster aurora-test
	@AURORA_CLUSTER=$(TEST_CLUSTER) $(VENV)/pytest tests/e2e -v

.PHONY: test-faults
test-faults: setup ## The controller against a real API server through a fault proxy (AURORA_FAULT_SEED repeats a run)
	@hack/cluster/binaries.sh kubernetes
	@$(VENV)/pytest tests/faults -v -n 2 --dist loadfile

.PHONY: soak
soak: setup ## The controller behind random faults for 2 hours (AURORA_SOAK_SECONDS): it converges, and its memory stays flat
	@hack/cluster/binaries.sh kubernetes
	@$(VENV)/python -m tests.faults.soak

.PHONY: conformance
conformance: setup ## Ask a server for the protocol: URL=http://… MODEL=name EXAMPLE=rows.json, where it wants one KEY=…
	@$(VENV)/python -m tests.conformance --url $(URL) --model $(MODEL) --example $(EXAMPLE) $(if $(KEY),--api-key $(KEY))

##@ Measure
.PHONY: bench-controller
bench-controller: setup ## Controller runtimes compared (needs an idle machine)
	@bench/controller/run.sh --n 1000 --rounds 3
.PHONY: bench-controller-scale
bench-controller-scale: setup ## The controller with 10,000 MLDeployments (fills a cluster first: 15 minutes)
	@bench/controller/scale.sh

.PHONY: bench-serving
bench-serving: setup ## Model servers compared (needs an idle machine)
	@bench/serving/run.sh
.PHONY: soak-serving
soak-serving: setup ## A million requests to one server: its memory must stay flat (10 minutes)
	@bench/serving/run.sh soak

##@ Build
.PHONY: setup images cluster-up cluster-down cluster-test manifests lock
setup: ## Tools and the Python environment
	@hack/setup.sh
images: setup ## aurora-controller:dev and aurora-runtime:dev
	@hack/images/app.sh
cluster-up: ## A kind cluster with an ingress controller (CLUSTER=aurora)
	@AURORA_CLUSTER=$(CLUSTER) hack/cluster/up.sh
cluster-down: ## Remove it
	@AURORA_CLUSTER=$(CLUSTER) hack/cluster/down.sh
cluster-test: ## The kind cluster of the tests, with the images in it
	@AURORA_CLUSTER=$(TEST_CLUSTER) hack/cluster/up.sh
	@AURORA_CLUSTER=$(TEST_CLUSTER) hack/cluster/load.sh aurora-controller:dev aurora-runtime:dev
manifests: setup ## config/crd, config/rbac and docs/api.md from the code
	@$(VENV)/python hack/generate.py
lock: setup ## Resolve all dependencies anew (UPGRADE=--upgrade takes newer ones)
	@hack/lock.sh $(UPGRADE)
