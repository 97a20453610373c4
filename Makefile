# The developer's commands. All of them work in a fresh clone on Debian or
# Ubuntu with Python (3.11 or newer) and a C compiler.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo test lint format bench build clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

demo: $(VENV)/built  ## make a small dataset, encode it, check it, show the result
	rm -rf demo
	$(BIN)/rs-tensor-encoder demo demo

test: $(VENV)/tested  ## run the tests
	$(BIN)/python -m pytest $(PYTEST)

lint: $(VENV)/linted  ## check style, types and the Cython sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext

format: $(VENV)/linted  ## bring the Python sources into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/tested  ## measure against the usual way
	$(BIN)/python benchmarks/run.py $(BENCH)

build: $(VENV)/built  ## compile the extension and install the package for development

clean:  ## remove everything that was made
	rm -rf $(VENV) build dist demo

# pip cannot install these: asked for only where they are missing.
$(VENV)/bin/python:
	@printf '#include <tiffio.h>\n#include <libdeflate.h>\n' | $(CC) -E - > /dev/null 2>&1 || { \
	  command -v apt-get > /dev/null || \
	    { echo "Install the headers of libtiff (4.5 or newer) and libdeflate first."; exit 1; }; \
	  $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq libtiff-dev libdeflate-dev; }
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || \
	  $(ROOT) apt-get install -y -qq python3-venv
	@test -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || \
	  $(ROOT) apt-get install -y -qq python3-dev
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

# Without isolation, so that a change of the extension compiles in seconds.
$(VENV)/built: $(VENV)/bin/python pyproject.toml CMakeLists.txt $(wildcard ext/*)
	$(BIN)/python -m pip install -q --group build
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[preview]'
	@touch $@

$(VENV)/tested: $(VENV)/built
	$(BIN)/python -m pip install -q --group test
	@touch $@

$(VENV)/linted: $(VENV)/built
	$(BIN)/python -m pip install -q --group lint
	@touch $@
