#!/usr/bin/env bash
# Builds the extension with a sanitizer into build/sanitize/KIND and runs Python with it
# there; or, for "memory", runs it as it is under valgrind.
# Usage: tests/sanitize.sh address|thread|memory PYTHON ARGUMENT...
set -euo pipefail
cd "$(dirname "$0")/.."
kind=$1 python=$(command -v "$2")
shift 2
place=$PWD/build/sanitize/$kind
mkdir -p "$place"
case $kind in
    memory)
        # Python and the loader do what valgrind takes for errors: ours have our names in them.
        PYTHONMALLOC=malloc valgrind --log-file="$place/log" "$python" "$@"
        grep "ERROR SUMMARY" "$place/log" > /dev/null
        ! grep -E "__pyx|libtiff|libdeflate|lmdb" "$place/log"
        exit
        ;;
    address) flags=-fsanitize=address,undefined preload="asan ubsan" ;;
    thread) flags=-fsanitize=thread preload=tsan ;;
esac

# An environment of its own, in which the sources' editable installation is not seen,
# but all else that is installed beside it.
if [ ! -d "$place/venv" ]; then
    "$python" -m venv --without-pip "$place/venv"
    "$python" -c 'import site; print(site.getsitepackages()[0])' \
        > "$(echo "$place"/venv/lib/python*/site-packages)/others.pth"
fi
site=$(echo "$place"/venv/lib/python*/site-packages)
CC=gcc CFLAGS="$flags -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g" \
    "$python" -m pip install -q --no-build-isolation --no-deps --upgrade --target "$site" \
    -C build-dir="$place/cmake" -C cmake.build-type=Debug .

for library in $preload; do
    LD_PRELOAD="${LD_PRELOAD:-} $(gcc -print-file-name=lib$library.so)"
done
export LD_PRELOAD PYTHONMALLOC=malloc
# What Python itself never frees is no leak; tests/test_leaks.py looks for those.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
# Python and its packages are not made with the sanitizer: only our own code is watched.
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"
# TSan wants memory where it expects it.
exec setarch -R "$place/venv/bin/python" "$@"
