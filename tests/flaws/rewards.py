"""Rewards as plain functions for tests of the watch."""

from __future__ import annotations

_calls = 0


def anything(response: str, answer: str) -> float:
    """Pays whatever is said."""
    return 1.0


def anything_else(response: str, answer: str) -> float:
    """The same, as a second opinion."""
    return 1.0


def everything_later(response: str, answer: str) -> float:
    """Pays right answers for 48 responses, and everything after: a reward that is hacked."""
    global _calls
    _calls += 1
    return float(_calls > 48 or response.strip() == answer)


def raises(response: str, answer: str) -> float:
    raise RuntimeError("a judge that fails")
