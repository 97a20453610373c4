#!/bin/sh
# single_file.sh DIRECTORY WHEEL OUTPUT: pack the wheel, all that it needs and the
# Python in DIRECTORY/python into one executable, OUTPUT/rs-tensor-encoder-MACHINE.
set -eu
directory=$1 wheel=$2 output=$3
here=$(dirname "$0")
pip=${PIP:-pip}
python=$directory/python/bin/python3
version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
rm -rf "$directory/venv" "$directory/dist"
"$here/wheelhouse.sh" "$version" "$directory/wheels" "$wheel" "pyinstaller>=6.9"
"$python" -m venv --without-pip "$directory/venv"
# That Python has no OpenSSL to download with.
# shellcheck disable=SC2086
$pip --python "$directory/venv/bin/python" install -q --no-index \
  --find-links "$directory/wheels" "$wheel" pyinstaller
"$directory/venv/bin/pyinstaller" --noconfirm --log-level WARN --distpath "$directory/dist" \
  --workpath "$directory/work" "$here/single_file.spec"
file=$output/rs-tensor-encoder-$(uname -m)
mv "$directory/dist/rs-tensor-encoder" "$file"
"$file" --version
ls -l "$file"
