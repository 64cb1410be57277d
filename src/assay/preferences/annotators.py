"""Secrets of annotators, kept beside their judgements, so that an address holds when the page is opened again."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from assay.observe.folder import read_json


def annotator_secrets(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the secret of each annotator, the kept one or a new one that is kept. Only the owner may read the file."""
    kept = {str(name): str(secret) for name, secret in read_json(path).items() if len(str(secret)) >= 16}
    found = {name: kept.get(name) or secrets.token_urlsafe(16) for name in names}
    if any(name not in kept for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.tmp")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({**kept, **found}, file, indent=2)
        aside.replace(path)
    return found
