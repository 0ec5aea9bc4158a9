#!/usr/bin/env bash
# Builds dist/gpu-bundle: gpu.sh with everything it needs, in parts that are small enough to be carried one by one.
#
#   bash benchmarks/gpu_bundle.sh [cuda12|cuda13|none]
#
# The wheels are those of the lock file for this Python on Linux x86-64, with JAX's and Warp's own for the GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cuda=${1:-cuda12}
python=.venv/bin/python
out=dist/gpu-bundle
extras=all,warp
if [ "$cuda" != none ]; then extras=$extras,$cuda; fi

rm -rf "$out" && mkdir -p "$out/parts" "$out/tree/wheels"
$python -m hatchling build --target wheel --directory "$out/tree/wheels" >&2
wheel=$(ls "$out"/tree/wheels/s2rctl-*.whl)
# Exactly the lock's versions; what only a GPU needs is not in it and follows from jax's own pins.
sed -n 's/^\([A-Za-z0-9._-]*==.*[^ ]\) *\\$/\1/p' requirements.lock >"$out/constraints.txt"
$python -m pip download --quiet --disable-pip-version-check --only-binary :all: --constraint "$out/constraints.txt" \
  --dest "$out/tree/wheels" "$wheel[$extras]"
mkdir "$out/tree/benchmarks"
cp benchmarks/__init__.py benchmarks/gpu.py benchmarks/gpu_sections.py benchmarks/gpu_table.py benchmarks/physics.py \
  "$out/tree/benchmarks/"
# Wheels are compressed already.
tar -c -C "$out/tree" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . |
  split --bytes=64M --numeric-suffixes --suffix-length=3 - "$out/parts/bundle.tar."
(cd "$out/parts" && sha256sum bundle.tar.*) >"$out/SHA256SUMS"
$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$out/python-version"
cp benchmarks/gpu.sh "$out/gpu.sh"
rm -rf "$out/tree" "$out/constraints.txt"
echo "$out: $(ls "$out/parts" | wc -l) parts, $(du -sh "$out" | cut -f1)"
