# `make run` and `make test` set up everything they need; the second call of any target installs nothing again.
BASE_PATH ?= data/demo
ARGS ?=
ONLY ?=
PYTHON ?= python3
UV_VERSION := 0.13.9
MLFLOW_PORT ?= 5000
PREFECT_PORT ?= 4200
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)
TESTS ?= tests

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := check
.PHONY: run test check lint ui bench lock clean

run: $(READY)
ifeq ($(BASE_PATH),data/demo)
	$(BIN)/mmctr demo data/demo --if-missing
endif
	$(BIN)/mmctr run "$(BASE_PATH)" $(ARGS)

# A worker more than there are cores, as tests also wait, and four at most; `make test WORKERS=0 TESTS=tests/mmctr` is some tests in one process.
test: $(READY)
	$(BIN)/python -m pytest -n "$(WORKERS)" --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

check: lint
	$(MAKE) --no-print-directory test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages of MLflow and Prefect, on the loopback address only, until Ctrl-C.
ui: $(READY)
	@$(BIN)/mmctr ui --mlflow-port "$(MLFLOW_PORT)" --prefect-port "$(PREFECT_PORT)"

# Parts: `make bench ONLY="train predict"`.
bench: $(READY)
	$(BIN)/python benchmarks/bench.py --only $(ONLY)

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) data/demo

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mmctr needs Python 3.11 or newer, $(PYTHON) is older; run: make PYTHON=python3.11 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
