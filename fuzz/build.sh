#!/usr/bin/env bash
# Builds the fuzz targets into DIRECTORY: libFuzzer over the C of ext/, with
# AddressSanitizer and UndefinedBehaviorSanitizer, and with libtiff made the same way
# from the distribution's source. Usage: fuzz/build.sh DIRECTORY CYTHON CMAKE
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 cython=$2 cmake=$3
mkdir -p "$out"
cd "$out"

clang=${CLANG:-clang}
if ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
    $clang -x c -fsanitize=fuzzer,address - -o probe 2> /dev/null; then
    command -v apt-get > /dev/null || { echo "clang with libFuzzer is needed" >&2; exit 1; }
    root=$([ "$(id -u)" = 0 ] || echo sudo)
    $root apt-get update -qq
    version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    $root apt-get install -y -qq clang "libclang-rt-$version-dev" dpkg-dev
fi
sanitize=address,undefined
flags="-g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined"

# The source of Debian's own libtiff, by lists of our own: the system's stay as they are.
fetch() {
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ -f "$list" ] && sed 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$list" \
            > "apt/parts/$(basename "$list")"
    done
    apt="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$PWD/apt/parts
        -o Dir::State::lists=$PWD/apt/lists -o Dir::Cache=$PWD/apt/cache -o Debug::NoLocking=1"
    apt-get $apt -qq update && apt-get $apt -qq source --only-source tiff
}
if [ ! -f tiff/libtiff/libtiff.a ]; then
    # Its LZW loads words from anywhere, on purpose, where the processor allows it.
    if ls -d tiff-*/ > /dev/null 2>&1 || fetch > fetch.log 2>&1; then
        $cmake -S "$(ls -d tiff-*/ | head -1)" -B tiff -Wno-dev \
            -DCMAKE_C_COMPILER="$clang" -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=OFF \
            -DCMAKE_C_FLAGS="$flags -fsanitize=fuzzer-no-link,$sanitize -fno-sanitize=alignment" \
            -Dcxx=OFF -Dtiff-{tools,tests,contrib,docs}=OFF > tiff.log
        $cmake --build tiff -j 2 --target tiff >> tiff.log 2>&1
    fi
fi
if [ -f tiff/libtiff/libtiff.a ]; then
    tiff="tiff/libtiff/libtiff.a -Itiff/libtiff -I$(echo tiff-*/libtiff)"
    # What it was made with: the codecs that are there.
    for library in jpeg jbig lzma zstd LercLib Lerc webp z; do
        echo 'int main(void) { return 0; }' | $clang -x c - -o probe "-l$library" 2> /dev/null &&
            tiff="$tiff -l$library"
    done
else
    echo "The source of libtiff is not to be had (fetch.log): the system's is used." >&2
    tiff=-ltiff
fi

# The interpreter is never started: what the generated C names of it stays unresolved.
python=$("$(dirname "$cython")/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
$cython -3 -I "$here/../ext" "$here/harness.pyx" -o harness.c
$clang $flags -fsanitize=fuzzer-no-link,$sanitize -Wno-everything -I"$here/../ext" -I"$python" -Itiff/libtiff \
    $(ls -d tiff-*/libtiff 2> /dev/null | sed 's/^/-I/') -c harness.c
for target in tags decode both; do
    $clang $flags -fsanitize=fuzzer,$sanitize -DTARGET=fuzz_$target "$here/target.c" harness.o \
        $tiff -ldeflate -lm -lpthread -no-pie -Wl,--unresolved-symbols=ignore-all -o "$target"
done
