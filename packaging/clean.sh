#!/bin/sh
# clean.sh SUITE PACKAGES SCRIPT [ARGUMENT...]: run a script in a minimal Debian.
#
# Debian's SUITE with PACKAGES (comma-separated; may be empty) is made once, by
# debootstrap, and copied for every run. There is no network and no libtiff in it;
# the working directory is /here, the real samples (RS_TENSOR_SAMPLES) are /samples,
# and a directory that MOUNT names is where it is here, all read-only. Needs root.
set -eu
suite=$1 packages=$2
shift 2
[ "$(id -u)" = 0 ] || { echo "clean.sh: debootstrap and chroot need root" >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "clean.sh: apt-get install debootstrap" >&2; exit 1; }

cache=${CLEAN_CACHE:-build/clean}
base=$cache/$suite-$(echo "$packages" | tr , -)
mkdir -p "$cache"
# Of two at once, one makes it.
exec 9> "$base.lock"
flock 9
if [ ! -d "$base" ]; then
  rm -rf "$base.new"
  debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$base.new" \
    > "$base.log" 2>&1 || { tail "$base.log" >&2; exit 1; }
  rm -rf "$base.new/var/cache/apt" "$base.new/var/lib/apt/lists"
  mv "$base.new" "$base"
fi
exec 9>&-
found=$(find "$base/usr" "$base/lib/" "$base/opt" -name 'libtiff*' -o -name 'libdeflate*')
[ -z "$found" ] || { echo "clean.sh: not clean: $found" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp -a "$base/." "$root"
mkdir "$root/here" "$root/samples"
export root
# The mounts end with the namespace.
unshare --mount --net --pid --fork sh -euc '
  mount --bind . "$root/here"
  mount -o remount,bind,ro "$root/here"
  mount -t proc proc "$root/proc"
  mount --bind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/tmp"
  if [ -n "${RS_TENSOR_SAMPLES-}" ]; then
    mount --bind "$RS_TENSOR_SAMPLES" "$root/samples"
    mount -o remount,bind,ro "$root/samples"
    set -- env RS_TENSOR_SAMPLES=/samples "$@"
  fi
  if [ -n "${MOUNT-}" ]; then
    mkdir -p "$root$MOUNT"
    mount --bind "$MOUNT" "$root$MOUNT"
    mount -o remount,bind,ro "$root$MOUNT"
  fi
  exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
' sh "$@"
