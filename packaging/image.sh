#!/bin/sh
# image.sh FILE VERSION OUTPUT: put the single FILE into an OCI image, OUTPUT, an archive
# that docker, podman and apptainer load. Needs root, debootstrap and buildah.
set -eu
file=$1 version=$2 output=$3
here=$(dirname "$0")
command -v buildah > /dev/null || { echo "image.sh: apt-get install buildah" >&2; exit 1; }
root=build/image/root
rm -rf build/image
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/share/doc" "$root/etc" "$root/data"

# The C library, that of C++, zlib and their licences, from a minimal Debian.
"$here/clean.sh" bookworm "" sh -c '
  cd / && tar -chf - $(dpkg -L libc6 libstdc++6 libgcc-s1 gcc-12-base zlib1g | grep -E "/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+|z))\.so\.[0-9]+$|/copyright$")
' > build/image/libraries.tar
tar -xf build/image/libraries.tar -C "$root"
cp -a "$file" "$root/usr/bin/rs-tensor-encoder"
echo 'encoder:x:65532:65532::/data:/usr/bin/rs-tensor-encoder' > "$root/etc/passwd"
echo 'encoder:x:65532:' > "$root/etc/group"
mkdir -m 1777 "$root/tmp"
chown 65532:65532 "$root/data"

store="--root build/image/store --runroot build/image/run --storage-driver vfs"
# shellcheck disable=SC2086
buildah $store bud -q --isolation chroot --build-arg VERSION="$version" \
  -f "$here/Containerfile" -t "rs-tensor-encoder:$version" . > /dev/null
rm -f "$output"
# shellcheck disable=SC2086
buildah $store push -q "rs-tensor-encoder:$version" "oci-archive:$output:rs-tensor-encoder:$version"
ls -l "$output"
