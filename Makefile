# Two commands on a fresh Debian with Python 3.11: `make run` and `make test`.
.PHONY: run test check bench chaos fuzz documents clean
.DEFAULT_GOAL := run

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

# The tests start a hundred servers: each would compile all of its modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Each stamp is a finished set-up: made anew when what it depends on changes.
SERVER := $(VENV)/server.stamp
DEV := $(VENV)/dev.stamp
BENCH := $(VENV)/bench.stamp
NODE := tests/clients/node/node_modules/.stamp
PEERS := bench/peers/node_modules/.stamp

run: $(SERVER)
	@$(BIN)/tiproom run --demo

test: check
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(DEV) $(NODE)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m server.documents --check

# All sections take half an hour. `make bench BENCH_FLAGS="--short --section fan-out"` for a look.
bench: $(BENCH) $(PEERS)
	$(BIN)/python -m bench $(BENCH_FLAGS)

# The long run of what `make test` does six times: 200 kills, of the server and of its PostgreSQL.
# `make chaos KILLS=20 SEED=7` for another; every run names its seed.
KILLS ?= 200
chaos: $(DEV)
	$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

# The long run of what `make test` does with 400: hostile connections, and one member who is not.
CONNECTIONS ?= 100000
fuzz: $(DEV)
	$(BIN)/python -m tests.conformance.fuzz --connections $(CONNECTIONS) $(if $(SEED),--seed $(SEED))

documents: $(DEV)
	$(BIN)/python -m server.documents

clean:
	rm -rf $(VENV) tests/clients/node/node_modules bench/peers/node_modules bench/native/build

$(SERVER): pyproject.toml constraints.txt
	sh tools/setup-python.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(DEV): $(SERVER) tools/setup-browser.sh
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench,export]'
	sh tools/setup-browser.sh
	sh tools/setup-compiler.sh
	@touch $@

$(BENCH): $(SERVER)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	sh tools/setup-compiler.sh
	$(BIN)/python -m bench.native
	@touch $@

$(NODE): tests/clients/node/package.json $(DEV)
	cd tests/clients/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@

$(PEERS): bench/peers/package.json $(BENCH)
	cd bench/peers && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@
