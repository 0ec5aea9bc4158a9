#!/usr/bin/env bash
# Measures s2rctl on a Linux machine with an NVIDIA GPU and no network.
#
#   bash gpu.sh [--minutes 10] [--out gpu-results] [--quick] [--setup]
#
# In a bundle (`make gpu-bundle`) it first checks and joins the parts beside it and installs the wheels into a virtual
# environment; --setup does only that, so that it costs none of the minutes. In a checkout it uses .venv. Run it again
# to go on: finished sections are kept. Results: gpu.json and gpu.md in --out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

setup_bundle() {
  local work=$here/unpacked wanted
  wanted=$(cat "$here/python-version")
  if [ -e "$work/.ready" ]; then return; fi
  local python=${PYTHON:-python$wanted}
  if ! "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$wanted')" 2>/dev/null; then
    echo "error: the wheels are for Python $wanted" >&2
    echo "hint: PYTHON=/path/to/python$wanted bash gpu.sh" >&2
    exit 7
  fi
  echo "checking and joining $(ls "$here"/parts | wc -l) parts" >&2
  (cd "$here/parts" && sha256sum --quiet --check ../SHA256SUMS)
  rm -rf "$work" && mkdir -p "$work"
  cat "$here"/parts/bundle.tar.* | tar -x -C "$work"
  "$python" -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet --no-index --no-cache-dir --disable-pip-version-check --no-deps \
    --no-compile "$work"/wheels/*.whl
  "$work/venv/bin/python" -m pip check >&2 || true
  touch "$work/.ready"
}

if [ -e "$here/SHA256SUMS" ]; then
  setup_bundle
  root=$here/unpacked python=$here/unpacked/venv/bin/python
else
  root=$here/.. python=$here/../.venv/bin/python
fi
words=()
for word in "$@"; do
  if [ "$word" = --setup ]; then echo "ready" >&2; exit 0; fi
  words+=("$word")
done
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m benchmarks.gpu "${words[@]}"
