# `make run` and `make test` set up everything they need; the second call of any target installs nothing again.
BASE_PATH ?= data/demo
ARGS ?=
ONLY ?=
PYTHON ?= python3
UV_VERSION := 0.13.9
UI_HOST := 127.0.0.1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORE := sqlite:///$(CURDIR)/mlruns/mlflow.db

.DEFAULT_GOAL := check
.PHONY: run test check lint ui bench lock clean

run: $(READY)
ifeq ($(BASE_PATH),data/demo)
	$(BIN)/mmctr demo data/demo --if-missing
endif
	$(BIN)/mmctr run "$(BASE_PATH)" $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest

check: lint
	$(MAKE) --no-print-directory test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Prefect on port 4200, MLflow on port 5000, both on the loopback address only. Ctrl-C stops both.
ui: $(READY)
	@mkdir -p mlruns
	@trap 'kill 0' EXIT INT TERM; \
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true \
		$(BIN)/mlflow server --host $(UI_HOST) --port 5000 --backend-store-uri $(STORE) & \
	DO_NOT_TRACK=1 $(BIN)/prefect server start --host $(UI_HOST) --port 4200 & \
	wait

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
