"""An endpoint: where a model is served, how it is asked, and what that may cost."""

from __future__ import annotations

import os
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import pydantic

from assay.config import Settings
from assay.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
_SAMPLING_FIELDS = ("temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")
_FORBIDDEN_FIELDS = ("model", "messages", "stream", "n", "tools", *_SAMPLING_FIELDS)


class Endpoint(Settings):
    """A model behind any server that speaks OpenAI's chat completions. Keys are never settings: they stay in the
    environment."""

    model: str = pydantic.Field(min_length=1, max_length=500)
    """The model's name there."""
    base_url: str = ""
    """Address up to and without /chat/completions, such as "http://localhost:8000/v1". Empty: `OPENAI_BASE_URL`, else
    OpenAI's own."""
    api_key_env: str = ""
    """Environment variable that holds the key. Empty: `OPENAI_API_KEY`, where there is one."""
    max_concurrent: int = pydantic.Field(default=16, ge=1)
    """Requests in flight."""
    requests_per_minute: float | None = pydantic.Field(default=None, gt=0)
    """Most requests that are sent in a minute; None for no limit."""
    tokens_per_minute: float | None = pydantic.Field(default=None, gt=0)
    """Tokens of prompts and answers together."""
    timeout_seconds: float = pydantic.Field(default=300.0, gt=0)
    """Time limit of one try, from the first byte sent to the last received."""
    max_retries: int = pydantic.Field(default=8, ge=0)
    """Number of times that a request is tried again that met a busy, failing or absent server."""
    backoff_seconds: float = pydantic.Field(default=0.5, gt=0)
    """The wait before try n+1 is uniform between 0 and this times 2^n, at most a minute."""
    max_failures: int = pydantic.Field(default=10, ge=1)
    """Requests that fail one after the other, retries included, before everything stops."""
    input_price: float | None = pydantic.Field(default=None, ge=0)
    """Price of a million prompt tokens."""
    output_price: float | None = pydantic.Field(default=None, ge=0)
    """Price of a million sampled tokens. In any currency, the same for all prices."""
    max_cost: float | None = pydantic.Field(default=None, gt=0)
    """Largest cost: no request is sent that could bring the cost over this."""
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name that the server gives the limit of an answer; OpenAI's reasoning models take the second only."""
    send_seed: bool = False
    """Send each request's seed, for servers that sample by it."""
    body: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Further fields of every request, such as {"reasoning_effort": "low"}."""
    finish_reasons: dict[str, Literal["stop", "length"]] = pydantic.Field(default_factory=dict)
    """Meanings of this server's finish reasons that are not known here, such as {"done": "stop"}; replies that were
    kept because of them count then."""

    @pydantic.field_validator("base_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        # This is recorded, so nothing secret may be in it.
        return _checked_url(url) if url else url

    @pydantic.model_validator(mode="after")
    def _check_fields(self) -> Self:
        own = [field for field in self.body if field in _FORBIDDEN_FIELDS]
        if own:
            raise ValueError(
                f"body: {own[0]} is not a further field: it is set by an option of its own, or always sent"
            )
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price go together: with one alone the cost is not known")
        if self.max_cost is not None and self.input_price is None:
            raise ValueError("max_cost has no effect without prices: set input_price and output_price too")
        return self

    @property
    def url(self) -> str:
        """The base URL in use, without a slash at its end.

        Raises:
            ConfigError: `OPENAI_BASE_URL` is no address.
        """
        if self.base_url:
            return self.base_url.rstrip("/")
        try:
            return _checked_url(os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL).rstrip("/")
        except ValueError as error:
            raise ConfigError(f"OPENAI_BASE_URL: {error}") from None

    def api_key(self) -> str:
        """The key, from the environment; empty for a server that needs none.

        Raises:
            ConfigError: the variable is not set, or holds no key.
        """
        name = self.api_key_env or "OPENAI_API_KEY"
        key = os.environ.get(name, "").strip()
        if not key and (self.api_key_env or self.url == OPENAI_URL):
            raise ConfigError(f"no key for {self.url}: set the environment variable {name}")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(f"the environment variable {name} holds no key: keys are printable ASCII without spaces")
        return key

    @property
    def identity(self) -> dict[str, Any]:
        """Return, as plain data, the settings that decide an answer."""
        return {
            "url": self.url,
            "model": self.model,
            "token_limit_field": self.token_limit_field,
            "send_seed": self.send_seed,
            "body": self.body,
        }

    def cost(self, input_tokens: float, output_tokens: float) -> float | None:
        """Return the cost of so many tokens; None where no prices were given."""
        if self.input_price is None or self.output_price is None:
            return None
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"no address ({error}); expected one such as http://localhost:8000/v1") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a base URL has no user, password or query: it is recorded; keys go into the environment")
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        raise ValueError(f"{url!r} is no address; expected one such as http://localhost:8000/v1")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError("leave /chat/completions out of the base URL: it is added")
    return url
