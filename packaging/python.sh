#!/bin/sh
# python.sh SOURCES LIBRARIES PREFIX: compile a CPython for old systems.
#
# SOURCES holds the unpacked sources (see sources.py), LIBRARIES is where zlib lies, CC
# and CXX are the compiler (see `make single-file`). It has what the command needs and
# PyInstaller: no OpenSSL, no readline, no tests. It finds its library beside it.
set -eu
sources=$(cd "$1" && pwd)
libraries=$(cd "$2" && pwd)
rm -rf "$3"
mkdir -p "$3"
prefix=$(cd "$3" && pwd)

# What comes from Debian has no configure yet.
[ -x "$sources/libffi/configure" ] || (cd "$sources/libffi" && autoreconf -i > /dev/null 2>&1) || {
  echo "python.sh: libffi needs autoconf, automake and libtool" >&2
  exit 1
}
mkdir -p "$prefix/build/libffi" "$prefix/build/cpython"
cd "$prefix/build/libffi"
"$sources/libffi/configure" -q --prefix="$prefix/build/ffi" --libdir="$prefix/build/ffi/lib" \
  --disable-shared --with-pic --disable-docs --disable-multi-os-directory \
  AR=ar RANLIB=ranlib CFLAGS=-O3
make -s -j"$(nproc)" install > install.log

cd "$prefix/build/cpython"
# Nothing of this system is to be found: no package but those named here.
PKG_CONFIG=false "$sources/cpython/configure" -q --prefix="$prefix" --enable-shared \
  --without-ensurepip --disable-test-modules --without-readline AR=ar RANLIB=ranlib \
  ZLIB_CFLAGS="-I$libraries/include" ZLIB_LIBS="$libraries/lib/libz.a" \
  LIBFFI_CFLAGS="-I$prefix/build/ffi/include" LIBFFI_LIBS="$prefix/build/ffi/lib/libffi.a" \
  CFLAGS="-fwrapv -Wno-error=date-time" LDFLAGS="-s -Wl,-rpath,\\\$\$ORIGIN/../lib"
# Zig's linker knows the long name of this option only, and does not link libpython3.so,
# which has no code.
sed -i 's/-Wl,-h/-Wl,-soname,/' Makefile
make -s -j"$(nproc)" PY3LIBRARY= install > install.log
cp "$sources/cpython/LICENSE" "$prefix/lib"/python3*/LICENSE.txt
cd "$prefix"
rm -rf build
bin/python3 -c 'import ctypes.util, multiprocessing.synchronize, zlib, _posixshmem'
