#!/bin/sh
# wheel_test.sh WHEEL: install the wheel in minimal Debians, one for each Python, and
# see that it works. The environments have no network and no libtiff.
set -eu
wheel=$1
here=$(dirname "$0")
pip=${PIP:-pip}
for environment in ${PYTHONS:-bookworm:3.11 trixie:3.13 sid:3.14}; do
  suite=${environment%:*} python=${environment#*:}
  wheels=build/wheelhouse/$python
  echo "== Python $python, Debian $suite"
  platforms=
  for minor in 28 27 26 24 17; do
    platforms="$platforms --platform manylinux_2_${minor}_$(uname -m)"
  done
  # shellcheck disable=SC2086
  $pip download -q --dest "$wheels" --only-binary=:all: --python-version "$python" \
    $platforms --platform "manylinux2014_$(uname -m)" "$wheel" pip
  # pip comes as a wheel, too: what Debian has of it is more than an interpreter needs.
  "$here/clean.sh" "$suite" "python$python" sh -euc '
    "$1" -m venv --without-pip /tmp/venv
    /tmp/venv/bin/python "$(echo /here/"$2"/pip-*.whl)/pip" install -q --no-index \
      --find-links "/here/$2" "/here/$3"
    /here/packaging/acceptance.sh /tmp/venv/bin/rs-tensor-encoder
    /tmp/venv/bin/python -c "import platform, sys
from rs_tensor_encoder import _tiff
print(sys.version.split()[0], *platform.libc_ver(), _tiff.__file__)"
  ' sh "python$python" "$wheels" "$wheel"
done
