#!/bin/sh
# acceptance.sh COMMAND...: prove that an installed rs-tensor-encoder works here.
#
# It says what is inside, encodes and checks a made-up dataset, also by a layout of the user's,
# and, where RS_TENSOR_SAMPLES names them, the real samples; it answers mistakes as it should.
# Needs nothing but a shell.
set -eu

fail() {
  echo "acceptance: $*" >&2
  exit 1
}

scratch=$(mktemp -d)
chmod 1777 "$scratch"  # the command may run as another user
trap 'rm -rf "$scratch"' EXIT

"$@" --version > "$scratch/version"
cat "$scratch/version"
grep -q 'bundled, with zlib' "$scratch/version" || fail "libtiff is not the bundled one"
for codec in PackBits LZW AdobeDeflate LZMA ZSTD LERC; do
  grep -q "codecs:.* $codec" "$scratch/version" || fail "the codec $codec is missing"
done
"$@" --help > /dev/null

"$@" demo "$scratch/demo" > "$scratch/said" 2>&1 || fail "demo: $(cat "$scratch/said")"

# A layout of the user's is matched by RE2, those that come with the package are files in it.
own="--layout $scratch/own.toml $scratch/demo/hyspecnet-11k"
"$@" layouts > "$scratch/said" || fail "layouts: $(cat "$scratch/said")"
for option in bigearthnet-s1-root bigearthnet-s2-root hyspecnet; do
  grep -q -- "--$option DIR" "$scratch/said" || fail "layouts does not list --$option"
done
"$@" layouts hyspecnet > "$scratch/own.toml" || fail "layouts hyspecnet"
"$@" layouts --try "$scratch/own.toml" "$scratch/demo/hyspecnet-11k" > "$scratch/said" \
  || fail "layouts --try: $(cat "$scratch/said")"
# shellcheck disable=SC2086
"$@" $own "$scratch/own" -q || fail "encode $own"
# shellcheck disable=SC2086
"$@" check $own "$scratch/own" || fail "check $own"
# shellcheck disable=SC2086
"$@" check $own "$scratch/own" --workers 2 || fail "check $own --workers 2"
"$@" check --digests "$scratch/own" || fail "check --digests"
sed 's/^path = .*/path = "(?<twice>.)\\\\1"/' "$scratch/own.toml" > "$scratch/twice.toml"
mv "$scratch/twice.toml" "$scratch/own.toml"
# shellcheck disable=SC2086
! "$@" $own "$scratch/out" > "$scratch/said" 2>&1 || fail "a back reference is taken"
grep -q 'RE2 matches it' "$scratch/said" || fail "a back reference is answered by: $(cat "$scratch/said")"

set +e
"$@" --hyspecnet "$scratch/nothing" "$scratch/out" > "$scratch/said" 2>&1
code=$?
set -e
[ $code = 2 ] || [ $code = 3 ] || fail "a missing source ends with $code"
grep -q '^Error: ' "$scratch/said" || fail "a missing source is answered by: $(cat "$scratch/said")"
! grep -q Traceback "$scratch/said" || fail "a missing source is answered by a traceback"

# both SOURCES...: encode to a target and check it.
both() {
  rm -rf "$scratch/target"
  "$command" "$@" "$scratch/target" -q || fail "encode $*"
  "$command" check "$@" "$scratch/target" || fail "check $*"
  "$command" info "$scratch/target" > /dev/null || fail "info $*"
}

if [ -n "${RS_TENSOR_SAMPLES-}" ]; then
  cat > "$scratch/command" << END
#!/bin/sh
exec $* "\$@"
END
  chmod +x "$scratch/command"
  command=$scratch/command
  samples=$RS_TENSOR_SAMPLES
  both --bigearthnet-s1-root "$samples/BigEarthNet/BigEarthNet-S1" \
    --bigearthnet-s2-root "$samples/BigEarthNet/BigEarthNet-S2"
  both --bigearthnet-reference-maps-root "$samples/BigEarthNet/Reference_Maps"
  both --hyspecnet "$samples/HySpecNet-11k"
else
  echo "acceptance: no real samples (RS_TENSOR_SAMPLES)"
fi
echo "acceptance: passed"
