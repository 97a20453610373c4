#!/bin/sh
# wheelhouse.sh PYTHON DIRECTORY REQUIREMENT...: download wheels for a Python that may
# not be here, those for glibc 2.28 or older. PIP is the pip to do it.
set -eu
python=$1 directory=$2
shift 2
machine=$(uname -m)
for minor in 28 27 26 24 17 12 5; do
  set -- "$@" --platform "manylinux_2_${minor}_$machine"
done
for name in manylinux2014 manylinux2010 manylinux1; do
  set -- "$@" --platform "${name}_$machine"
done
# pip takes what lies there already for the same, a wheel of ours that was made anew, too.
rm -f "$directory"/rs_tensor_encoder-*.whl
# shellcheck disable=SC2086
${PIP:-pip} download -q --dest "$directory" --only-binary=:all: --python-version "$python" "$@"
