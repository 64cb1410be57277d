#!/usr/bin/env bash
# Installs Assay and its development tools into .venv. PYTHON chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Assay needs Python 3.11 or newer; '$python' is not. Try: make setup PYTHON=python3.11" >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=(.venv/bin/python -m pip install --disable-pip-version-check --quiet)

# A GPU needs the CUDA build that the package index serves; without one, PyTorch's index of CPU builds saves gigabytes.
# Where that index cannot be reached, the ordinary one serves.
cpu_index=https://download.pytorch.org/whl/cpu
torch="$(grep '^torch==' constraints.txt)"
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    echo "installing PyTorch"
    if command -v nvidia-smi >/dev/null 2>&1 \
        || ! "${pip[@]}" --retries 0 --timeout 10 --index-url "$cpu_index" "$torch" 2>/dev/null; then
        "${pip[@]}" "$torch"
    fi
fi
echo "installing Assay"
# One dependency of reasoning-gym is built with a C compiler; everything else does without.
if ! "${pip[@]}" --constraint constraints.txt --editable '.[dev,gym]'; then
    echo "without reasoning-gym, which could not be installed (it needs a C compiler)" >&2
    "${pip[@]}" --constraint constraints.txt --editable '.[dev]'
fi
echo "installed into .venv; next: make demo, or .venv/bin/assay --help"
