#!/bin/sh
# image_test.sh IMAGE: unpack the image and run its entry point in it, as its user.
set -eu
image=$1
here=$(dirname "$0")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
store="--root $scratch/store --runroot $scratch/run --storage-driver vfs"
# shellcheck disable=SC2086
container=$(buildah $store from --pull-never "oci-archive:$image")
# shellcheck disable=SC2086
inspect() { buildah $store inspect --type container --format "{{$1}}" "$container"; }
entry=$(inspect 'index .OCIv1.Config.Entrypoint 0')
user=$(inspect .OCIv1.Config.User)
version=$(inspect 'index .OCIv1.Config.Labels "org.opencontainers.image.version"')
echo "entry point $entry, user $user, version $version"
[ "${user%%:*}" -gt 0 ] || { echo "image_test.sh: it would run as root" >&2; exit 1; }
# shellcheck disable=SC2086
root=$(buildah $store mount "$container")
mkdir "$scratch/tmp"
chmod 1777 "$scratch/tmp"
export root entry user scratch here
unshare --mount --net sh -euc '
  mkdir -p "$root/proc" "$root/dev" "$root$scratch/tmp"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --bind "$scratch/tmp" "$root$scratch/tmp"
  if [ -n "${RS_TENSOR_SAMPLES-}" ]; then
    mkdir -p "$root$RS_TENSOR_SAMPLES"
    mount --bind "$RS_TENSOR_SAMPLES" "$root$RS_TENSOR_SAMPLES"
  fi
  TMPDIR=$scratch/tmp "$here/acceptance.sh" \
    env -u TMPDIR chroot --userspec="$user" "$root" "$entry"
'
