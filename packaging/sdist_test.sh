#!/bin/sh
# sdist_test.sh SDIST SOURCES: build a wheel from the source distribution alone, by gcc in
# a minimal Debian, with the libraries' SOURCES (see sources.py), and see that it works.
set -eu
sdist=$1 sources=$2
here=$(dirname "$0")
"$here/wheelhouse.sh" 3.11 build/wheelhouse/sdist pip "cython>=3.1" "cython-cmake>=0.3" \
  "scikit-build-core>=0.11" "cmake>=3.26" ninja click click-default-group google-re2 \
  imagecodecs lmdb numpy safetensors tifffile tqdm xxhash
"$here/clean.sh" bookworm gcc,g++,libc6-dev,libpython3.11-dev,python3.11 sh -euc '
  python3.11 -m venv --without-pip /tmp/venv
  pip="/tmp/venv/bin/python $(echo /here/build/wheelhouse/sdist/pip-*.whl)/pip"
  cp "/here/$1" /tmp
  cd /tmp
  $pip install -q --no-index --find-links /here/build/wheelhouse/sdist "${1##*/}" \
    -C cmake.define.RS_TENSOR_BUNDLED_LIBTIFF=ON -C cmake.define.RS_TENSOR_SOURCES="/here/$2"
  /here/packaging/acceptance.sh /tmp/venv/bin/rs-tensor-encoder
' sh "$sdist" "$sources"
