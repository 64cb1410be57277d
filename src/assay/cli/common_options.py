"""Options that several commands have: name, placeholder and bounds declared once, what they govern by each command."""

from __future__ import annotations

from typing import Any

import typer


def set_option(of: str, metavar: str = "KEY=VALUE") -> Any:
    """Declare `--set`, repeatable: a setting as TOML, else as text (see `assay.config.parse_overrides`)."""
    return typer.Option("--set", metavar=metavar, help=of)


def temperature_option(default: str = "") -> Any:
    """Declare `--temperature`; `default` says what it is where it is not given."""
    return typer.Option("--temperature", help=f"Sampling temperature; 0 is greedy. {default}".strip())


def max_new_tokens_option(of: str) -> Any:
    """Declare `--max-new-tokens`, the token limit of one message of the model."""
    return typer.Option("--max-new-tokens", help=of, min=1)


def seed_option(fixes: str) -> Any:
    """Declare `--seed`."""
    return typer.Option("--seed", help=fixes)
