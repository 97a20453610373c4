#!/bin/sh
# wheel_test.sh WHEEL: install the wheel in minimal Debians, one for each Python, and
# see that it works. The environments have no network and no libtiff.
#
# PYTHONS lists them: SUITE:VERSION is a Python of Debian's, SUITE:VERSION:DIRECTORY
# one that was installed to a directory of this machine.
set -eu
wheel=$1
here=$(dirname "$0")
for environment in ${PYTHONS:-bookworm:3.11 trixie:3.13 sid:3.14}; do
  IFS=: read -r suite version directory << END
$environment
END
  echo "== Python $version${directory:+ in $directory}, Debian $suite"
  wheels=build/wheelhouse/$version
  # pip comes as a wheel, too: what Debian has of it is more than an interpreter needs.
  "$here/wheelhouse.sh" "$version" "$wheels" "$wheel" pip
  if [ -n "$directory" ]; then
    packages=libffi8,zlib1g
    export MOUNT="$directory"
  else
    packages=python$version
    unset MOUNT
  fi
  "$here/clean.sh" "$suite" "$packages" sh -euc '
    "$1" -m venv --without-pip /tmp/venv
    /tmp/venv/bin/python "$(echo /here/"$2"/pip-*.whl)/pip" install -q --no-index \
      --find-links "/here/$2" "/here/$3"
    /here/packaging/acceptance.sh /tmp/venv/bin/rs-tensor-encoder
    /tmp/venv/bin/python -c "import platform, sys
from rs_tensor_encoder import _tiff
print(sys.version.split()[0], *platform.libc_ver(), _tiff.__file__)"
  ' sh "${directory:+$directory/bin/}python$version" "$wheels" "$wheel"
done
