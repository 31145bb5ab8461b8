# Two commands first: `make up` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed-$(shell cat requirements-dev.txt 2>/dev/null | cksum | cut -d' ' -f1)
STACK ?= dev

.PHONY: help up down status preview test test-fast test-runtime test-celery test-engine test-images check lint types layers spelling links dead-code dependencies secrets schemas generated surfaces equal calendars lock bench bench-images bench-runtime sbom venv clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) ## install the locked Python packages into .venv

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another with PYTHON=...")'
	@echo "  ... Python packages into $(VENV) (about 350 MB to download, usually 2 to 3 min)"
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $(VENV)/.installed-*
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $(READY)
	@echo "  ok  Python packages"

up: $(READY) ## bring the fleet up on this machine (stack local, no cloud account)
	@$(BIN)/python -m local up

preview: $(READY) ## preview a stack without account or cluster: make preview STACK=dev
	@$(BIN)/python -m local preview $(STACK)

status: $(READY) ## how the servers and the stack do
	@$(BIN)/python -m local status

down: $(READY) ## destroy stack local, and end what `make up` started (FORCE=1: although objects stay somewhere)
	@$(BIN)/python -m local down $(if $(FORCE),--force) $(if $(TIMEOUT),--timeout $(TIMEOUT))

test: check test-fast test-runtime test-engine test-images ## `make check` and the four parts of the tests

check: lint types layers spelling links dead-code dependencies secrets schemas generated ## what reads files only: the next ten (see CONTRIBUTING.md)

lint: $(READY) ## ruff: style, and errors that need no types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict
	$(BIN)/mypy .

layers: $(READY) ## import-linter: who may import whom
	$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

spelling: $(READY) ## codespell: misspelt words
	$(BIN)/codespell

links: $(READY) ## rumdl: links between the Markdown files, and to their headings
	$(BIN)/rumdl check --no-cache --quiet .

dead-code: $(READY) ## vulture: code that nothing calls
	$(BIN)/vulture

dependencies: $(READY) ## deptry: imports that no list of packages names, and names that nothing imports
	$(BIN)/deptry --no-ansi --config tools/deptry/program.toml .
	$(BIN)/deptry --no-ansi --config tools/deptry/everything.toml .
	$(BIN)/deptry --no-ansi --config images/runtime/pyproject.toml images/runtime/src

# What git ignores is not looked at, and nobody is asked whether a secret works.
secrets: $(READY) ## kingfisher: keys and tokens in the tree, by their form
	$(BIN)/kingfisher scan --quiet --redact --no-validate --no-update-check --git-history none \
		$(foreach name,.git .venv .local .hypothesis *_cache __pycache__,--exclude '$(name)') .

schemas: $(READY) ## check-jsonschema: what GitHub and Docker Compose read, and nothing here does
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml deploy/compose.legacy.yaml

generated: $(READY) ## that generated files are fresh, and say the same of each queue
	$(BIN)/python -m surfaces --check
	$(BIN)/python -m surfaces equal --quiet
	$(BIN)/python -m tools.calendars --check

test-fast: $(READY) ## mocks, pure functions, properties (about 2 min)
	$(BIN)/python -m toolchain actionlint
	$(BIN)/python -m pytest -n 2 -m "not engine and not cluster and not images and not redis"

test-runtime: $(READY) ## real Celery and Redis, side by side since they mostly wait (about 4 min)
	$(BIN)/python -m toolchain --group services
	-@$(BIN)/python -m toolchain faketime
	$(BIN)/python -m pytest -n 6 -m "redis and not engine and not cluster"

test-celery: $(READY) ## the same with each Celery the runtime supports, and the next (about 4 min each; PRE_MAY_FAIL=1, TESTS="-k beat")
	$(BIN)/python -m toolchain --group services
	$(BIN)/python -m tools.celery_versions $(if $(PRE_MAY_FAIL),--pre-may-fail) -- $(TESTS)

test-engine: $(READY) ## real engine, API server and KEDA (7 to 11 min; builds them first if need be)
	$(BIN)/python -m toolchain --group default
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "(engine or cluster) and not images"

test-images: $(READY) ## build all images with a real BuildKit, look inside and run them (about 8 min the first time, then 4)
	$(BIN)/python -m pytest -m images

surfaces: $(READY) ## write what is generated from queues.py and the models
	$(BIN)/python -m surfaces

calendars: $(READY) ## write the exchanges' calendars, as the locked exchange_calendars knows them
	$(BIN)/python -m tools.calendars

sbom: $(READY) ## list what is in the images of stack local, and their licences (builds syft the first time, 3 min)
	$(BIN)/python -m tools.sbom --attach

bench: $(READY) ## what the program costs, against one that registers the same resources bare
	$(BIN)/python -m tools.bench

bench-images: $(READY) ## what the images cost: bytes, builds, start, as ratios (see images/README.md)
	$(BIN)/python -m tools.bench.images

bench-runtime: $(READY) ## what the runtime costs, against a bare Celery worker (about 9 min; needs redis-server)
	$(BIN)/python -m tools.bench.runtime

equal: $(READY) ## a table of what each surface says of each queue, read back from the files
	$(BIN)/python -m surfaces equal

lock: $(READY) ## pin and hash what requirements*.in name
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url -o requirements.txt requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url -o requirements-dev.txt requirements-dev.in

clean: ## remove .venv and caches of this checkout (run `make down` first)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .rumdl_cache
