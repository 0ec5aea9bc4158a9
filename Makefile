# A few verbs; `make demo` and `make test` need nothing but Python >= 3.11 and the package registries.
PYTHON ?= python3
BIN := .venv/bin
DOCS := .venv-docs
STORE ?= .s2rctl
FUZZ_MINUTES ?= 60
CUDA ?= cuda12
DEFAULT := not slow and not pipelines
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup newest demo test smoke fuzz lint types law docs check bench gpu-bundle dist lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The stamp is newer than the lock when the environment is what the lock says. Two pips side by side unpack all of it in
# half the time; the lock names everything, so none of them has to ask what a package needs. What is imported is compiled
# to bytecode then.
.venv/.stamp: requirements.lock requirements-nodeps.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python >= 3.11 is needed, this is " + sys.version.split()[0] + "\nhint: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@mkdir -p build && rm -f build/lock-*.txt
	@echo "installing the locked packages into .venv (about a minute)"
	@awk '/^[^ #]/ { entry++ } entry { print > ("build/lock-" entry % 6 ".txt") }' requirements.lock requirements-nodeps.lock
	@printf '%s\n' build/lock-*.txt | xargs -n 1 -P 2 $(BIN)/python -m pip install --quiet --no-compile --require-hashes --no-deps --requirement
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: .venv/.stamp  ## create .venv from the lock file

newest:  ## create .venv with the newest versions that pyproject.toml allows, instead of the lock's
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --upgrade --editable '.[all]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-nodeps.lock
	@touch .venv/.stamp

demo: setup  ## the pretrained policies rehearsed, filmed and evaluated; then every stage of both systems, small budgets
	$(BIN)/s2rctl demo --store $(STORE)

test: setup  ## the tests (no network, no display, no GPU)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "$(DEFAULT) and not paced"
	$(BIN)/python -m pytest -m "$(DEFAULT) and paced"

smoke: setup  ## both pipelines at smoke budgets, each stage held to what it declares to read
	$(BIN)/python -m pytest -m pipelines --durations 0 tests/pipeline

fuzz: setup  ## every kind of input from outside for FUZZ_MINUTES in all; findings go to fuzz-findings/
	PYTHONPATH=. $(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES) --workers 2

lint: setup  ## style
	$(BIN)/ruff check s2rctl tests benchmarks
	$(BIN)/ruff format --check s2rctl tests benchmarks

types: setup  ## static types
	$(BIN)/mypy

law: setup  ## import law of docs/architecture.md
	$(BIN)/lint-imports

# The site needs none of the product's packages, and the product none of the site's.
$(DOCS)/.stamp: docs/requirements.lock
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --require-hashes --requirement docs/requirements.lock
	@touch $@

docs: $(DOCS)/.stamp  ## the documentation site in build/site, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict

check: lint types law test smoke docs dist  ## everything that CI checks

bench: setup  ## the figures of docs/benchmarks.md
	$(BIN)/python -m benchmarks

gpu-bundle: setup  ## benchmarks/gpu.sh with all wheels in dist/gpu-bundle, for a machine without network (CUDA=cuda12|cuda13|none)
	bash benchmarks/gpu_bundle.sh $(CUDA)

dist: setup  ## build sdist and wheel into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist

lock:  ## renew the lock files from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra all --group dev --output-file requirements.lock pyproject.toml
	printf '%s\n' warp-lang==1.18.0 'pyrealsense2>=2.59' gym-xarm==0.1.1 robosuite-models==1.0.0 'viser>=1.1,<2' msgspec imageio requests urllib3 certifi charset-normalizer | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-deps --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file .ci/requirements.lock -
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --group docs --output-file docs/requirements.lock

clean:  ## remove what was built (never the store)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
