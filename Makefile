# `make serve` and `make test` do all their own set-up and reuse what stands.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CHECKS := .venv-checks
VERSION := 0.1.0
UV     := $(BIN)/uv
UV_VERSION := 0.13.9
WORKERS ?= 2

# Where the environment forbids bytecode, every process compiles Feast and all below it anew.
export PYTHONDONTWRITEBYTECODE :=

# Idle OpenMP threads spin.
export OMP_WAIT_POLICY := passive

.DEFAULT_GOAL := help
.PHONY: help serve install test check unit soak bench benchjoin image wheels manifests audit lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

serve: $(VENV)/.run-installed ## From nothing to a service that scores flights on port 8000
	@$(BIN)/zeroskew up

test: check unit ## Everything that CI runs: linters, types, import rules, tests

check: $(VENV)/.dev-installed ## Linters, types and import rules
	@echo "==> ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> import rules"
	@$(BIN)/lint-imports

unit: $(VENV)/.dev-installed ## Tests alone; ARGS="-k text" chooses some
	@echo "==> pytest"
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

install: $(VENV)/.run-installed ## The `zeroskew` command in .venv, for a project of your own

bench: $(VENV)/.dev-installed ## Benchmarks of serving: all sides in one run; ARGS="--quick" tries it
	@$(BIN)/python -W ignore -m benchmarks.online --write $(ARGS)

benchjoin: $(VENV)/.dev-installed ## Benchmark of the point-in-time join; ARGS="--write" writes it down
	@$(BIN)/python -m benchmarks.point_in_time_join $(ARGS)

soak: $(VENV)/.dev-installed ## Longer trials: the whole lake against another engine, more fuzzing
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal -m soak $(ARGS)

image: ## Both container images, and their bills of materials in build/
	@for target in serving training; do \
	  docker build --target $$target -t zeroskew-$$target:$(VERSION) . || exit 1; \
	  mkdir -p build; docker run --rm --entrypoint cat zeroskew-$$target:$(VERSION) \
	    /opt/zeroskew/sbom.cdx.json > build/zeroskew-$$target-$(VERSION).cdx.json || exit 1; \
	done

wheels: $(VENV)/.dev-installed ## Both distributions, in build/
	@$(BIN)/python -m hatchling build -t wheel -d build
	@cd packaging/serving && ../../$(BIN)/python -m hatchling build -t wheel -d ../../build

manifests: $(VENV)/.dev-installed $(CHECKS)/.installed ## Look at Dockerfile and Kubernetes manifests
	@$(BIN)/python -m tests.support.manifest_checks

audit: $(CHECKS)/.installed ## Known vulnerabilities of what the images install; needs the internet
	@for set in serving run; do \
	  $(CHECKS)/bin/pip-audit --strict --require-hashes -r requirements/$$set.lock || exit 1; \
	done

lock: $(UV) ## Resolve the lock files anew
	@for set in dev run serving image checks; do \
	  case $$set in \
	    dev) source="--extra otel --extra flights --extra build --extra dev pyproject.toml" ;; \
	    run) source="--extra flights --extra build -c requirements/dev.lock pyproject.toml" ;; \
	    serving) source="-c requirements/dev.lock packaging/serving/pyproject.toml" ;; \
	    *) source="--group $$set" ;; \
	  esac; \
	  $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" $$source -o requirements/$$set.lock || exit 1; \
	done

clean: ## Remove what was installed and made
	rm -rf $(VENV) $(CHECKS) build var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# --- set-up -------------------------------------------------------------------------------

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and \
	  "Got Python %d.%d, but expected 3.11 to 3.13; set PYTHON=/path/to/python3.12" % v)'
	@echo "==> making the virtual environment $(VENV)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "==> this Python has no ensurepip: installing Debian's python3-venv"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else echo "run: sudo apt-get install python3-venv" >&2; exit 1; fi; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

# Tools that nothing imports, in an environment of their own: checkov holds others' versions back.
$(CHECKS)/.installed: requirements/checks.lock | $(UV)
	@echo "==> installing packages (checks)"
	@$(PYTHON) -m venv --without-pip $(CHECKS)
	@VIRTUAL_ENV=$(CHECKS) $(UV) pip install -q --require-hashes -r $<
	@touch $@

$(VENV)/.%-installed: requirements/%.lock pyproject.toml | $(UV)
	@echo "==> installing packages ($*)"
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --require-hashes -r requirements/$*.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@
