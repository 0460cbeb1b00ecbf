# Splits Network Chat. `make help` lists what there is. Nothing needs to be installed by hand before.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
# The kernel ends our process with make, even when make is killed.
LOCAL := setpriv --pdeathsig TERM -- $(PYTHON) -m deploy.local

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## make or update .venv (every other target does)
	@deploy/local/bootstrap.sh

.PHONY: run
run: setup ## start the whole product with a demo, on PORT (8080); Ctrl-C stops it
	@$(LOCAL) run

.PHONY: test
test: setup ## run every check and every suite, as CI does
	@$(LOCAL) check

CHECKS := lint types contracts web unit contract integration races e2e browser
.PHONY: $(CHECKS)
lint: ## ruff (rules, format) and import-linter (module order, independent services)
types: ## mypy --strict
contracts: ## buf: lint, format, breaking changes against protos/released.binpb
web: ## the browser side: types, lint, unit tests
unit: ## pure tests
contract: ## generated code, OpenAPI, AsyncAPI and settings are what the code is
integration: ## each module on real Postgres, Redis and RabbitMQ
races: ## hundreds of races between sends, blocks, replies and declines
e2e: ## the running product through its edge
browser: ## the demo page in Chromium
$(CHECKS): setup
	@$(LOCAL) check $@

.PHONY: faults
faults: setup ## kill everything in mid-load, ROUNDS (20) of each of KINDS, and print what was lost
	@setpriv --pdeathsig TERM -- $(PYTHON) -m tests.ledger

.PHONY: fuzz
fuzz: setup ## FRAMES (10000000) odd frames in process, SOCKET_FRAMES (500000) over sockets; SEED repeats a run
	@setpriv --pdeathsig TERM -- $(PYTHON) -m tests.fuzz

.PHONY: bench
bench: setup ## measure everything (or SCENARIOS), say what holds, and compare with the last run that was kept
	@setpriv --pdeathsig TERM -- $(PYTHON) -m bench $(SCENARIOS) $(if $(KEEP),--keep)

.PHONY: bench-storm
bench-storm: setup ## 10,000 sockets over two edges are dropped at once: all back, caught up and right within 30 s
	@setpriv --pdeathsig TERM -- $(PYTHON) -m bench storm

.PHONY: bench-peers
bench-peers: setup ## the product beside ejabberd and nginx with nchan (Debian packages), ROUNDS (5) in turns; KEEP=1 keeps it
	@setpriv --pdeathsig TERM -- $(PYTHON) -m bench ejabberd nchan $(if $(KEEP),--keep)

.PHONY: generate
generate: setup ## generate protos/gen/ from the contracts
	@$(PYTHON) protos/generate.py

.PHONY: released
released: ## declare today's contracts released: `buf breaking` compares with them from now on
	@deploy/local/buf/buf.sh build -o protos/released.binpb

.PHONY: fmt
fmt: setup ## format Python and contracts, and fix what ruff can
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format .
	@deploy/local/buf/buf.sh format -w --path protos/splits

.PHONY: clean
clean: ## remove all that was made here: .venv, caches, the data of `make run`
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m deploy.local clean; fi
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	@rm -rf deploy/local/buf/node_modules web/node_modules web/packages/*/node_modules web/packages/*/dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
