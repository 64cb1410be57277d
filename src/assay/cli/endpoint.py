"""The options of commands that may sample from a server, and what they make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.endpoints import Endpoint, Tally
    from assay.endpoints.client import EndpointClient

FoundT = TypeVar("FoundT")
PANEL = "Endpoints: MODEL is openai:NAME"


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, show_default=False, **settings)


@dataclass(frozen=True)
class EndpointOptions:
    """Options for MODEL as openai:NAME, a model at a server."""

    base_url: Annotated[
        str | None,
        _option(help="The server, such as http://localhost:8000/v1. Default: $OPENAI_BASE_URL, or OpenAI's own."),
    ] = None
    api_key_env: Annotated[
        str | None,
        _option(
            metavar="NAME",
            help="Environment variable with the key. Default: OPENAI_API_KEY. The key itself is never given.",
        ),
    ] = None
    in_flight: Annotated[int | None, _option(help="Requests under way at once. Default: 16.")] = None
    requests_per_minute: Annotated[float | None, _option(help="At most so many.")] = None
    tokens_per_minute: Annotated[float | None, _option(help="At most so many, prompts and answers together.")] = None
    timeout_seconds: Annotated[float | None, _option(help="Of one try at a request. Default: 300.")] = None
    max_retries: Annotated[
        int | None, _option(help="Further tries where the server is busy, fails or breaks off. Default: 8.")
    ] = None
    input_price: Annotated[float | None, _option(help="Of a million prompt tokens: the cost is then counted.")] = None
    output_price: Annotated[float | None, _option(help="Of a million sampled tokens.")] = None
    max_cost: Annotated[
        float | None, _option(help="Stop before the cost, earlier legs included, could exceed this.")
    ] = None
    token_limit_field: Annotated[
        str | None,
        _option(help="What the server calls the token limit: max_tokens (the default) or max_completion_tokens."),
    ] = None
    send_seed: Annotated[
        bool, _option("--send-seed", help="Send each sample's seed, for servers that sample by it.")
    ] = False
    body: Annotated[
        list[str] | None,
        _option("--body", metavar="KEY=VALUE", help="A further field of every request, such as reasoning_effort=low."),
    ] = None
    finish_reasons: Annotated[
        list[str] | None,
        _option(
            "--finish-reason",
            metavar="WORD=stop|length",
            help="What a finish reason of the server means that is not known here.",
        ),
    ] = None
    replies: Annotated[
        Path | None,
        _option(
            "--replies", help="Where paid replies are kept and taken from. Default: in the folder of the evaluation."
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by name."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and value is not False and value not in ([], ())
        }


def make_endpoint(model: str, options: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that MODEL names; None where it is a model on this machine.

    Raises:
        ConfigError: an option that is out of range, or has no effect with a model on this machine.
    """
    from assay.config import parse_overrides, validate
    from assay.endpoints import Endpoint
    from assay.types import ENDPOINT_PREFIX

    if not model.startswith(ENDPOINT_PREFIX):
        if options:
            name = next(iter(options)).replace("_", "-")
            raise ConfigError(
                f"--{name} has no effect with {model}, a model on this machine: leave it out, or name a model at an "
                f"endpoint, {ENDPOINT_PREFIX}NAME"
            )
        return None
    settings: dict[str, Any] = {"model": model.removeprefix(ENDPOINT_PREFIX), **options}
    settings.pop("replies", None)
    if "in_flight" in settings:
        settings["max_concurrent"] = settings.pop("in_flight")
    if "body" in settings:
        settings["body"] = parse_overrides(settings["body"])
    if "finish_reasons" in settings:
        settings["finish_reasons"] = parse_overrides(settings["finish_reasons"])
    endpoint = validate(Endpoint, settings)
    endpoint.api_key()  # a missing key is said before anything is made
    return endpoint.model_copy(update={"base_url": endpoint.url})


async def ask_judge(
    endpoint: Endpoint,
    replies: Path,
    what: str,
    total: int,
    ask: Callable[[EndpointClient, Callable[[], None]], Awaitable[FoundT]],
) -> tuple[FoundT, Tally]:
    """Return what was found by asking a judge at an endpoint, and what it cost; progress is shown as it goes.

    Args:
        replies: file in which replies are kept: nothing is paid for twice.
        what: the name of what is counted, `total` of them.
        ask: given the client, and the function to call as each item ends.
    """
    from assay.cli.progress import progress
    from assay.endpoints import Replies, Tally
    from assay.endpoints.client import EndpointClient

    kept = Replies(replies)
    about = (endpoint.url, endpoint.model)
    tally = Tally(endpoint, kept.tokens(*about), kept.unknown_tokens(*about))
    client = EndpointClient(endpoint, kept, tally=tally)
    try:
        with progress(what, 0, total, tally.line) as advance:
            return await ask(client, advance), tally
    except ExceptionGroup as errors:
        # Whatever stops one stops all: the first says why.
        raise errors.exceptions[0] from None
    finally:
        await client.close()
        kept.close()


def print_tally(tally: Tally, seconds: float, console: Console, title: str) -> None:
    """The closing table: what was asked, what came back, what it cost."""
    from rich.table import Table

    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    sampled = f"{tally.input_tokens:,} in, {tally.output_tokens:,} out"
    rows = [
        ("replies", f"{tally.num_replies:,}"),
        ("from the file of replies", f"{tally.num_from_file:,}"),
        ("requests sent", f"{tally.num_sent:,}"),
        ("retries", f"{tally.num_retries:,}{_counts(tally.causes)}"),
        ("failed", f"{tally.num_failed:,}"),
        ("tokens", sampled),
        (
            "throughput",
            f"{tally.num_replies / seconds:.1f} replies, {tally.output_tokens / seconds:,.0f} tokens a second",
        ),
        ("outcomes", ", ".join(f"{count} {name}" for name, count in tally.outcomes.most_common()) or "none"),
        ("cost", tally.cost_text),
    ]
    if any(tally.before):
        rows.insert(6, ("tokens paid for before", f"{tally.before[0]:,} in, {tally.before[1]:,} out"))
    if tally.num_without_usage:
        rows.insert(6, ("replies and tries without usage", f"{tally.num_without_usage:,}"))
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def _counts(counts: Any) -> str:
    shown = ", ".join(f"{count} {name}" for name, count in counts.most_common(5))
    return f" ({shown})" if shown else ""
