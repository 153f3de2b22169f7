# Tidegate. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup check format test faults fuzz bench bench-engine bench-partition bench-path bench-e2e bench-ingest bench-stack bench-growth soak bench-preview run schemas dashboard browser clean audit sbom

UV_VERSION := 0.13.9
PIP_AUDIT_VERSION := 2.10.1
TEST_PROCESSES ?= 2
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
PYTHON := .venv/bin/python
STAMP := .venv/.installed

help: ## Show every target and what it does
	@if [ -t 1 ] && [ -z "$${NO_COLOR:-}" ]; then on=$$'\033[36m' off=$$'\033[0m'; else on= off=; fi; \
	awk -F ':.*## ' -v on="$$on" -v off="$$off" '/^[a-z0-9-]+:.*## / {printf "  %s%-16s%s %s\n", on, $$1, off, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	@echo "Installing uv $(UV_VERSION) into .uv (it was not found on this machine)"
	@python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): pyproject.toml uv.lock | $(UV)
	@echo "Installing the locked dependencies into .venv"
	@$(UV) sync --quiet --frozen --all-extras --group dev
	@touch $@

setup: $(STAMP) ## Install the locked dependencies into .venv (bootstraps uv if it is absent)

check: setup ## Lint, format check, strict types, house rules: what every commit passes
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PYTHON) -m pytest -q tests/tidy

format: setup ## Format and fix what can be fixed
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

test: check ## Everything a commit must pass: check, unit, property, simulation, real broker, end to end
	@$(PYTHON) -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m "not faults"

faults: setup ## The fault catalogue on a real broker (up to 30 minutes)
	@$(PYTHON) -m pytest -q -m faults tests/faults

fuzz: setup ## Coverage-guided fuzzing of both parsers, one minute each
	@$(UV) run --frozen --group fuzz python -m tests.fuzz

bench: bench-engine bench-partition bench-path bench-e2e bench-ingest bench-stack ## Every benchmark, each beside its baseline

bench-engine: setup ## Matching engine against naive closures and datalogic-py
	@$(PYTHON) -m bench.engine

bench-partition: setup ## Processor time of the evaluator's partitions without a broker, by stage, held to the oracle
	@$(PYTHON) -m bench.partition

bench-e2e: setup ## Evaluator on a real broker beside its peers: throughput, latency, recovery, takeover (25 minutes)
	@$(PYTHON) -m bench.e2e

bench-path: setup ## Latency from HTTP request to membership change on the whole stack
	@$(PYTHON) -m bench.path

bench-ingest: setup ## HTTP and CSV ingest on a real broker
	@$(PYTHON) -m bench.ingest
	@$(PYTHON) -m bench.ingest.csv

bench-stack: setup ## Set-up time, idle CPU and memory of the local stack
	@$(PYTHON) -m bench.stack

bench-preview: setup ## Time to preview a segment over 100,000 and 1,000,000 contacts, counts verified
	@$(PYTHON) -m bench.preview

schemas: setup ## Regenerate the JSON Schemas, AsyncAPI and OpenAPI documents and the reference pages
	@$(PYTHON) -m schemas.generate
	@$(PYTHON) -m tests.contracts

clients/dashboard/node_modules: clients/dashboard/package-lock.json
	@npm --prefix clients/dashboard ci --no-audit --no-fund
	@touch $@

dashboard: clients/dashboard/node_modules ## Check, test and rebuild the dashboard that console serves (needs Node 20)
	@npm --prefix clients/dashboard test
	@npm --prefix clients/dashboard run build

browser: setup clients/dashboard/node_modules ## The dashboard's journeys in a real Chromium against the real stack (needs Node 20)
	@tests/browser/chromium.sh
	@node --test tests/browser/

bench-growth: setup ## One to three to one evaluators under a judged stream
	@$(PYTHON) -m bench.growth

soak: setup ## Thirty minutes of the whole stack at half load: does anything grow, is every change right
	@$(PYTHON) -m bench.soak --minutes 30

audit: setup clients/dashboard/node_modules ## Known vulnerabilities of every locked dependency (needs the registries' advisories)
	@$(UV) export --quiet --frozen --no-dev --extra server --no-emit-project --format requirements-txt --output-file .venv/audit.txt > /dev/null
	@$(UV) tool run pip-audit@$(PIP_AUDIT_VERSION) --strict --disable-pip --require-hashes --progress-spinner off --requirement .venv/audit.txt \
	  || { echo "pip-audit did not pass: it found what is listed above, or no advisories can be had from this machine."; exit 1; }
	@npm --prefix clients/dashboard audit \
	  || { echo "npm audit did not pass: it found what is listed above, or no advisories can be had from this machine."; exit 1; }

sbom: setup ## Write the bills of materials (CycloneDX) of services and dashboard into dist/ (needs Node 20)
	@mkdir -p dist
	@$(UV) export --quiet --frozen --no-dev --extra server --format cyclonedx1.5 --output-file dist/sbom-services.cdx.json > /dev/null
	@npm --prefix clients/dashboard sbom --silent --sbom-format cyclonedx --package-lock-only > dist/sbom-dashboard.cdx.json
	@ls -l dist/sbom-*.cdx.json

run: setup ## Start Kafka and the five services, load the sample contacts, show membership changes live
	@.venv/bin/tidegate up --then examples.cdnow

clean: ## Remove what make created here (not the data folder)
	@rm -rf .venv .uv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	@rm -rf clients/dashboard/node_modules examples/consumers/java/target
