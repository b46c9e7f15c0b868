# Frontrow. `make` alone lists what there is; a line's words are after its `##`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# Debian's is of before TypeScript 5, which jsconfig.json needs. It checks the browser's code and ships nothing.
TYPESCRIPT := 5.9.3
TSC := .venv/js-$(TYPESCRIPT)/node_modules/.bin/tsc
# WHIP, WHEP and LiveKit clients that are not ours, for the tests. Later werifts ask for a node that Debian 12 hasn't.
WERIFT := 0.22.9
WHIP_WHEP := 1.2.0
LIVEKIT_CLIENT := 2.23.0
PEERS := .venv/js-peers-$(WERIFT)-$(WHIP_WHEP)-$(LIVEKIT_CLIENT)
# Many tests wait more than they work. Whole files to a process, the long ones of browsers first.
SIDE_BY_SIDE := $(BIN)/pytest -q -m "not alone" -n 4 --dist loadfile --no-loadscope-reorder
SOAK := $(BIN)/python -m bench.soak
VIDEO ?=
BOTS ?= 5
PORT ?= 8000
ARGS ?=
export PORT
export UV_PYTHON_DOWNLOADS := never
# Set in many images: each process would then compile all it imports anew, and the tests start two hundred.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: faults faults-shop faults-room help install dev livekit demo serve test check peers bench bench-relay soak fuzz-api packages lock clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/run.stamp ## Make .venv with what running needs

dev: .venv/dev.stamp ## … and what testing needs

demo: .venv/run.stamp ## A show on air with its people: VIDEO=show.mp4, BOTS=0, PORT=8000
	@exec $(BIN)/python -m live.cli demo --bots $(BOTS) $(if $(VIDEO),--video "$(VIDEO)")

serve: .venv/run.stamp ## Everything for real: stores, web, relay, worker
	@exec $(BIN)/python -m live.cli serve

test: packages .venv/dev.stamp peers ## System packages (as root), checks, then every test; ARGS="-k hold"
	@$(MAKE) --no-print-directory check
ifeq ($(ARGS),)
	@nice -n 10 $(SOAK) --minutes 5 --light --json .venv/soak.json >.venv/soak.log 2>&1 & soak=$$!; \
	trap 'kill $$soak 2>/dev/null || true' EXIT; \
	echo "$(BIN)/pytest -m 'not alone', four at a time"; $(SIDE_BY_SIDE) || exit 1; \
	wait $$soak && echo "the soak of five minutes beside them passed" || { cat .venv/soak.log >&2; exit 1; }; \
	echo "$(BIN)/pytest -m alone"; $(BIN)/pytest -q -m alone
else
	$(BIN)/pytest -q $(ARGS)
endif

check: .venv/dev.stamp $(TSC) ## ruff, mypy, import arrows, tsc
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff . | head -40; exit 1; }
	$(BIN)/mypy
	$(BIN)/lint-imports > .venv/imports.log || { cat .venv/imports.log; exit 1; }
	$(TSC) -p static/js/jsconfig.json

peers: $(PEERS)/installed ## Clients from npm that the tests play against

bench: .venv/dev.stamp ## The three harnesses; results as JSON and a table
	@for one in relay room shop; do \
	  if [ -f bench/$$one.py ]; then $(BIN)/python bench/$$one.py $(ARGS) || exit 1; fi; done

bench-relay: .venv/dev.stamp ## The relay beside Janus and a C loop, ~10 min; ARGS="--quick"
	$(BIN)/python -m bench.relay $(ARGS)

soak: .venv/dev.stamp ## Two hours of the relay, viewers coming and going; ARGS="--minutes 5"
	$(SOAK) $(ARGS)

fuzz-api: .venv/dev.stamp ## schemathesis at every door of the API for minutes; ARGS="400" requests a door
	FRONTROW_FUZZ=$(or $(ARGS),200) $(BIN)/pytest -q tests/web/test_schemathesis.py

faults: faults-shop faults-room ## Kill and freeze what runs, for long; ends with the first broken law and its seed

# A thousand schedules, two hundred ways, a hundred thousand checkouts: see docs/benchmarks.md for how long it takes. Drawn
# anew each time, where `make test` draws the same ones.
faults-shop: .venv/dev.stamp
	SCHEDULES=500 WAYS=100 $(BIN)/pytest -q -s tests/faults/test_any_order.py
	CHECKOUTS=100000 BUYS=20000 $(BIN)/pytest -q -s tests/faults/test_rush.py

faults-room: .venv/dev.stamp
	FRONTROW_FAULTS_S=600 $(BIN)/pytest -q -s tests/faults/test_room_under_fire.py

packages: ## What the tests need from Debian; installed when root
	@./scripts/packages

PIN := $(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
  --no-emit-find-links --quiet

livekit: .venv/run.stamp ## … and what FRONTROW_MEDIA_ENGINE=livekit needs
	@PYTHON="$(PYTHON)" ./scripts/environment requirements-livekit.txt

lock: ## Pin requirements*.txt again, with hashes
	printf 'uv\nsetuptools>=77\n' | $(PIN) - -o requirements-build.txt
	$(PIN) pyproject.toml -o requirements.txt
	$(PIN) pyproject.toml --extra livekit -c requirements.txt -o requirements-livekit.txt
	$(PIN) pyproject.toml --extra dev -c requirements.txt -o requirements-dev.txt

clean: ## Remove .venv, caches and test results; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make the second run quick: nothing is looked at again until what they stand for changes.
.venv/run.stamp: requirements.txt requirements-build.txt pyproject.toml scripts/environment
	@PYTHON="$(PYTHON)" ./scripts/environment requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt requirements-build.txt pyproject.toml scripts/environment
	@PYTHON="$(PYTHON)" ./scripts/environment requirements-dev.txt
	@touch $@ .venv/run.stamp

$(TSC): | .venv/dev.stamp
	@command -v npm >/dev/null || { echo "Checking the browser's code needs npm. Install it: apt-get install npm" >&2; exit 2; }
	@echo "  installing typescript $(TYPESCRIPT) …"
	@npm install --silent --no-save --no-package-lock --no-audit --no-fund --prefix .venv/js-$(TYPESCRIPT) \
	  typescript@$(TYPESCRIPT)

$(PEERS)/installed: | .venv/dev.stamp
	@command -v npm >/dev/null || { echo "The tests' WebRTC peers need npm. Install it: apt-get install npm" >&2; exit 2; }
	@echo "  installing werift $(WERIFT), whip-whep $(WHIP_WHEP), livekit-client $(LIVEKIT_CLIENT) …"
	@npm install --silent --no-save --no-package-lock --no-audit --no-fund --prefix $(PEERS) \
	  werift@$(WERIFT) whip-whep@$(WHIP_WHEP) livekit-client@$(LIVEKIT_CLIENT)
	@touch $@
