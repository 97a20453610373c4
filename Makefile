# The developer's commands. All of them work in a fresh clone on Debian or
# Ubuntu with Python (3.11 or newer) and a C compiler.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo test lint format bench build wheel wheel-test single-file single-file-test \
  sdist sdist-test image image-test flake-test fuzz faults hostile leaks mutants sanitize clean \
  readers

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

demo: $(VENV)/built  ## make a small dataset, encode it, check it, show the result
	rm -rf demo
	$(BIN)/rs-tensor-encoder demo demo

test: $(VENV)/tested readers  ## run the tests
	$(BIN)/python -m pytest $(PYTEST)

lint: $(VENV)/linted  ## check style, types and the Cython sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext fuzz
	$(BIN)/lint-imports

format: $(VENV)/linted  ## bring the Python sources into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/tested  ## measure against the usual way
	$(BIN)/python benchmarks/run.py $(BENCH)

fuzz: $(VENV)/tested  ## feed damaged files to the extension: make fuzz SECONDS=600
	$(BIN)/python fuzz/run.py $(or $(SECONDS),60)

faults: $(VENV)/tested  ## kill, starve and deceive encoders: make faults N=300
	RS_TENSOR_FAULTS=$(or $(N),40) $(BIN)/python -m pytest tests/test_faults.py $(PYTEST)

hostile: $(VENV)/tested  ## decode damaged TIFF files, one in N of 60,000: make hostile N=1
	RS_TENSOR_HOSTILE=$(or $(N),1) $(BIN)/python -m pytest tests/test_hostile.py $(PYTEST)

leaks: $(VENV)/tested  ## decode again and again in flat memory: make leaks N=1000000
	RS_TENSOR_DECODES=$(or $(N),1000000) $(BIN)/python -m pytest tests/test_leaks.py $(PYTEST)

mutants: $(VENV)/tested  ## plant bugs one at a time, and see that tests notice: make mutants ONLY=lzw
	$(BIN)/python tests/mutants.py $(ONLY)

# What limits addresses cannot be tested where the sanitizer takes terabytes of them.
WATCHED := tests/test_tiff.py tests/test_guards.py tests/test_hostile.py tests/test_encoder.py \
  tests/test_mistakes.py tests/test_readers.py tests/test_ways.py tests/test_task.py \
  tests/test_crew.py tests/test_threads.py tests/test_edges.py tests/test_pages.py

sanitize: $(VENV)/tested  ## run with AddressSanitizer, UBSan and ThreadSanitizer, and under valgrind
	tests/sanitize.sh address $(BIN)/python -m pytest -p no:cacheprovider $(WATCHED) $(PYTEST)
	tests/sanitize.sh thread $(BIN)/python tests/race.py
	# A race that is planted must be found.
	! tests/sanitize.sh thread $(BIN)/python tests/race.py planted > /dev/null 2>&1
	tests/sanitize.sh memory $(BIN)/python tests/race.py

build: $(VENV)/built  ## compile the extension and install the package for development

# What follows is compiled for systems as old as TARGET, from the sources in SOURCES, where
# `packaging/sources.py` puts them (`debian` instead of `upstream` takes them from Debian).
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/rs_tensor_encoder/__init__.py)
TARGET ?= $(shell uname -m)-linux-gnu.2.17
SOURCES ?= build/sources
BUNDLED := build/wheel/$(TARGET)
ZIG = $$($(BIN)/python -c 'import ziglang; print(ziglang.__path__[0] + "/zig")')
COMPILER = zig=$(ZIG) && export CC="$$zig cc $(FLAGS)" CXX="$$zig c++ $(FLAGS)"
FLAGS := -target $(TARGET) -fomit-frame-pointer

$(SOURCES)/libtiff $(SOURCES)/cpython:
	$(PYTHON) packaging/sources.py upstream $(SOURCES)

# Debian's Python.h includes what lies in /usr/include, where zig does not look.
wheel: $(VENV)/wheel $(SOURCES)/libtiff  ## a wheel with everything inside, for any Linux, in dist/
	rm -rf dist/*.whl build/wheel/dist
	$(COMPILER) && $(BIN)/python -m pip wheel . -q --no-deps --no-build-isolation \
	  -w build/wheel/dist -C build-dir=$(BUNDLED) -C cmake.define.RS_TENSOR_BUNDLED_LIBTIFF=ON \
	  -C cmake.define.RS_TENSOR_SOURCES=$(abspath $(SOURCES)) \
	  -C cmake.define.CMAKE_C_FLAGS="-idirafter /usr/include"
	PATH="$(abspath $(BIN)):$$PATH" auditwheel repair -w dist build/wheel/dist/*.whl
	$(BIN)/auditwheel show dist/*.whl
	$(BIN)/abi3audit --strict dist/*.whl
	$(BIN)/python packaging/check_wheel.py dist/*.whl

wheel-test:  ## try the wheel in minimal Debians without libtiff, one for each Python (root)
	PIP="$(BIN)/python -m pip" packaging/wheel_test.sh dist/*.whl

build/single/python/bin/python3: packaging/python.sh packaging/python.json | wheel $(SOURCES)/cpython
	$(COMPILER) && packaging/python.sh $(SOURCES) $(BUNDLED)/bundled build/single/python

single-file: wheel build/single/python/bin/python3  ## one executable for machines without Python, in dist/
	PIP="$(BIN)/python -m pip" packaging/single_file.sh build/single dist/*.whl dist

single-file-test:  ## try it in minimal Debians without Python and libtiff (root)
	for suite in bullseye bookworm; do \
	  packaging/clean.sh $$suite "" sh -euc '! command -v python3 && ldd --version | head -1 && \
	    /here/packaging/acceptance.sh /here/dist/rs-tensor-encoder-$(shell uname -m)' || exit 1; \
	done

sdist: $(VENV)/built  ## the source distribution, in dist/
	rm -f dist/*.tar.gz
	$(BIN)/python -c 'from scikit_build_core.build import build_sdist; print(build_sdist("dist"))'

sdist-test: sdist $(SOURCES)/libtiff  ## build it in a minimal Debian (root)
	PIP="$(BIN)/python -m pip" packaging/sdist_test.sh dist/*.tar.gz $(SOURCES)

image:  ## an OCI image around the single file, in dist/ (root)
	packaging/image.sh dist/rs-tensor-encoder-$(shell uname -m) $(VERSION) dist/image.tar

image-test:  ## unpack the image and run it (root)
	packaging/image_test.sh dist/image.tar

flake-test: $(VENV)/tested  ## evaluate flake.nix with nix, without nixpkgs and a network
	@command -v nix-instantiate > /dev/null || \
	  { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq nix-bin; }
	RS_TENSOR_NIX=1 $(BIN)/python -m pytest tests/test_flake.py $(PYTEST)

clean:  ## remove everything that was made
	rm -rf $(VENV) build dist demo

# pip cannot install these: asked for only where they are missing.
$(VENV)/bin/python:
	@printf '#include <tiffio.h>\n#include <libdeflate.h>\n#include <xxhash.h>\n' | $(CC) -E - > /dev/null 2>&1 || { \
	  command -v apt-get > /dev/null || \
	    { echo "Install the headers of libtiff (4.5 or newer), libdeflate and xxHash first."; exit 1; }; \
	  $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq libtiff-dev libdeflate-dev \
	    libxxhash-dev; }
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

# What databases are read with in the tests: the versions of lmdb that the README names, liblmdb and a
# package for Node. Where one cannot be had, its tests are skipped, and the next call tries again.
LMDB := $(addprefix $(VENV)/lmdb/,1.4.1 2.3.0 3.0.0)

readers: $(LMDB) $(VENV)/node/node_modules/node-lmdb
	@printf '#include <lmdb.h>\n' | $(CC) -E - > /dev/null 2>&1 || [ "$$(id -u)" != 0 ] || \
	  ! command -v apt-get > /dev/null || \
	  { apt-get update -qq && apt-get install -y -qq liblmdb-dev > /dev/null; } || \
	  echo "liblmdb-dev cannot be installed: its tests are skipped."

$(LMDB): | $(VENV)/tested
	@rm -rf $@ $@.new
	@$(BIN)/python -m pip install -q --retries 1 --only-binary :all: --no-deps --target $@.new lmdb==$(@F) && \
	  mv $@.new $@ || echo "lmdb $(@F) cannot be installed: its tests are skipped."

$(VENV)/node/node_modules/node-lmdb: | $(VENV)/tested
	@! command -v npm > /dev/null || \
	  npm install --silent --no-audit --no-fund --prefix $(VENV)/node node-lmdb@0.10.1 || \
	  echo "node-lmdb cannot be installed: its tests are skipped."

$(VENV)/wheel: $(VENV)/built
	$(BIN)/python -m pip install -q --group wheel
	@touch $@

$(VENV)/linted: $(VENV)/built
	$(BIN)/python -m pip install -q --group lint
	@touch $@
