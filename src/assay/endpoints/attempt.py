"""The meaning of a server's failure: try again and when, give this request up, or stop everything. Decided only
here."""

from __future__ import annotations

import enum
import math
import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from assay.endpoints.chat import error_code, error_message

MAX_BACKOFF_SECONDS = 60.0
MAX_WAIT_SECONDS = 600.0
"""A server that asks for a longer wait is not waited for."""
MAX_INVALID = 2
"""Retries of an answer that came and was nonsense: it may have been paid for."""
TIMEOUT, BROKEN_OFF, TOO_LARGE, NO_REPLY = "timeout", "broken off", "too long", "no reply"
"""Causes of tries that failed though the server may have answered them."""
_RETRIED = (408, 409, 425, 429)
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")
_REMEDIES = {
    400: "check the model's name and the options that it takes (--token-limit-field, --temperature, --body)",
    401: "check the key in the environment variable",
    402: "the account has no money left; what was answered is kept",
    403: "the key may not use this model",
    404: "check the base URL, which usually ends in /v1, and the model's name",
    405: "check the base URL, which usually ends in /v1",
    422: "check the options that the server takes (--token-limit-field, --body)",
}


class Remedy(enum.Enum):
    """Remedies for a failure."""

    RETRY = "retry"
    RETRY_BRIEFLY = "retry briefly"
    """A few times: the server answered, and what it said was nonsense."""
    GIVE_UP = "give up"
    """Give this request up: it cannot succeed; others may."""
    TOO_LONG = "too long"
    """The conversation does not fit in the model's context."""
    STOP = "stop"
    """Stop everything: no request can succeed until a person has acted."""


class AttemptError(Exception):
    """One try that failed.

    Args:
        cause: a word or two, for counts: "429", "timeout".
        wait_seconds: how long the server asked to be left alone; None where it did not say.
    """

    def __init__(self, remedy: Remedy, cause: str, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.cause = cause
        self.wait_seconds = wait_seconds

    @property
    def may_have_cost(self) -> bool:
        """True where the server may have sampled, and want to be paid: all but errors in its own words, and servers
        that were never reached."""
        return self.cause in (TIMEOUT, BROKEN_OFF, TOO_LARGE, NO_REPLY)


def error_of(status: int, headers: Mapping[str, str], content: bytes, *, answered_before: bool) -> AttemptError:
    """Return the error that a status other than 200 means.

    Args:
        answered_before: whether this endpoint has answered any request. Where it has, a refusal is about the one
            request; where it has not, about all of them.
    """
    message = f"the server answered {status}: {error_message(content)}"
    cause = str(status)
    code = error_code(content)
    if status in _RETRIED or status >= 500:
        if code in _NO_MONEY:
            return AttemptError(Remedy.STOP, code, f"{message}; add money or wait; what was answered is kept")
        wait = wait_seconds(headers)
        if wait is not None and wait > MAX_WAIT_SECONDS:
            return AttemptError(Remedy.STOP, cause, f"{message}; it asks to wait {wait:.0f} seconds: go on then")
        return AttemptError(Remedy.RETRY, cause, message, wait)
    if code in _TOO_LONG or (status in (400, 413, 422) and re.search("context (length|size|window)", message)):
        return AttemptError(Remedy.TOO_LONG, "context", message)
    if 300 <= status < 400:
        message = f"the server answered {status}, which sends elsewhere"
        return AttemptError(Remedy.STOP, cause, f"{message}; give the base URL of that place itself")
    remedy = _REMEDIES.get(status, "check the base URL and the options")
    lasting = status in (401, 402) or not answered_before
    return AttemptError(Remedy.STOP if lasting else Remedy.GIVE_UP, cause, f"{message}; {remedy}")


def backoff_seconds(attempt: int, base: float, asked: float | None, generator: random.Random) -> float:
    """The wait before the next try: full jitter under an exponential ceiling, on top of what the server asked for.

    Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog.

    Args:
        attempt: tries that failed so far, less one.
        asked: seconds; None where the server asked for nothing.
    """
    ceiling = min(MAX_BACKOFF_SECONDS, base * 2.0 ** min(attempt, 30))
    if asked is None:
        return generator.uniform(0.0, ceiling)
    return asked + generator.uniform(0.0, min(1.0, ceiling))


def wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that Retry-After asks for, in seconds or as a date (RFC 9110, 10.2.3); None where nothing
    readable."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None


def exhausted_seconds(headers: Mapping[str, str]) -> float:
    """Return the seconds until there is room again, where x-ratelimit-remaining-* says that there is none left; else
    0."""
    waits = [0.0]
    for what in ("requests", "tokens"):
        if _number(headers.get(f"x-ratelimit-remaining-{what}", "")) == 0:
            waits.append(_duration(headers.get(f"x-ratelimit-reset-{what}", "")))
    return min(max(waits), MAX_BACKOFF_SECONDS)


_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(text: str) -> float:
    """Return the seconds of "1h2m3.5s", "20ms" or "7"; 0 where it is neither."""
    text = text.strip()[:40]
    plain = _number(text)
    if plain is not None:
        return plain
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if "".join(number + unit for number, unit in parts) != text:
        return 0.0
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    try:
        number = float(text[:40])
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
