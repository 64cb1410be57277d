"""`assay serve MODEL`: a model behind an OpenAI-compatible server, whose sessions can be kept as rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import max_new_tokens_option, seed_option, temperature_option
from assay.cli.engine import EngineOptions, load_engine
from assay.cli.groups import with_groups
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.engines import Engine, Sampling
    from assay.render import ChatRenderer
    from assay.serving.capture import Captures
    from assay.serving.conversation import Conversation
    from assay.serving.server import Gateway
    from assay.serving.session import AgentSession
    from assay.types import Ending


@dataclass(frozen=True)
class AddressOptions:
    """Options for where a server listens, and who may ask it."""

    host: Annotated[str, typer.Option(help="Address to listen at; only this machine reaches the default.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000
    token: Annotated[
        str | None,
        typer.Option(help="What clients send as api_key. Default: a new one, printed.", envvar="ASSAY_TOKEN"),
    ] = None


@dataclass(frozen=True)
class CaptureOptions:
    """Options for keeping what is said."""

    capture: Annotated[
        bool, typer.Option("--capture", help="Keep every session as a rollout: tokens, log-probabilities, reward.")
    ] = False
    output: Annotated[
        Path | None, typer.Option(help="Folder of the captured sessions. Default: a new one under ~/.assay/runs.")
    ] = None
    idle_seconds: Annotated[
        float, typer.Option(help="A captured session that asks nothing for so long is cut off.", min=0.1)
    ] = 600.0


@with_groups
def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help='"default", a Hugging Face folder, a hub id, an adapter, or a run.')
    ],
    local: EngineOptions,
    address: AddressOptions,
    kept: CaptureOptions,
    temperature: Annotated[
        float,
        temperature_option("Holds for every captured request, whatever it asks for; else for those that ask for none."),
    ] = 1.0,
    max_new_tokens: Annotated[int, max_new_tokens_option("Most tokens of an answer.")] = 1024,
    num_slots: Annotated[int, typer.Option(help="Answers that are sampled at once.", min=1)] = 32,
    seed: Annotated[int, seed_option("The same seed, session key and requests give the same answers.")] = 0,
) -> None:
    """Serve a model to any program that takes a base_url; with --capture, keep what it does as rollouts.

    Chat completions and completions, streamed or not. A captured session has a key of the client's choice in its
    base_url, .../sessions/KEY/v1, and ends when its reward is posted: {"reward": 1.0} to .../sessions/KEY/reward.
    Look at the sessions with assay show FOLDER --rollouts.
    """
    import asyncio
    import secrets

    from assay.config import validate
    from assay.engines import Sampling
    from assay.models import open_model

    if kept.output is not None and not kept.capture:
        raise ConfigError("--output has no effect without --capture, which keeps what is said")
    if address.token is not None and len(address.token) < 8:
        raise ConfigError("--token is shorter than 8 characters, and could be guessed; give a longer one, or none")
    sampling = validate(Sampling, {"temperature": temperature, "max_new_tokens": max_new_tokens})
    _require_library()
    from assay.serving.capture import Captures
    from assay.serving.server import Gateway

    opened = open_model(model, local.base)
    engine, renderer = load_engine(opened, local, num_slots)
    server = _Server(engine, renderer, sampling, seed)
    folder = (kept.output or _new_folder(model)) if kept.capture else None
    captures = None
    if folder is not None:
        captures = Captures(
            *(engine, renderer, sampling),
            seed=seed,
            idle_seconds=kept.idle_seconds,
            folder=folder,
            model_folder=opened.tokenizer,
            on_end=_tell,
        )
    gateway = Gateway(
        address.token or secrets.token_urlsafe(24),
        model=model,
        host=address.host,
        port=address.port,
        open_session=None if captures is None else captures.open,
        plain=server.conversation if captures is None else None,
    )
    asyncio.run(server.serve(gateway, folder, captures))


class _Server:
    """A model, and what it is served with."""

    def __init__(self, engine: Engine, renderer: ChatRenderer, sampling: Sampling, seed: int) -> None:
        self.engine, self.renderer, self.sampling, self.seed = engine, renderer, sampling, seed
        self._num_plain = 0

    async def serve(self, gateway: Gateway, folder: Path | None, captures: Captures | None) -> None:
        """Serve until Ctrl-C or SIGTERM, and write down what is still open then."""
        import asyncio
        import signal

        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        await gateway.start()
        _say_hello(gateway, folder)
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(over.wait())]
        if captures is not None:
            waiting.append(asyncio.create_task(captures.write_ended(lambda: gateway.sessions, gateway.remove)))
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            typer.echo("closing")
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await gateway.close()
            await self.engine.close()
        for task in done:
            task.result()

    def conversation(self) -> Conversation:
        """A conversation of one request, sampled as it asks."""
        from assay.seeds import derive_seed
        from assay.serving.conversation import Conversation

        self._num_plain += 1
        request = self._num_plain
        return Conversation(
            self.engine,
            self.renderer,
            self.sampling,
            name=f"plain/{request}",
            seed_of=lambda number: derive_seed(self.seed, "plain", request, number),
            fixed=False,
        )


def _say_hello(gateway: Gateway, folder: Path | None) -> None:
    """Say where it is, and how it is used."""
    from assay.serving.server import is_loopback

    typer.echo(f"serving {gateway.model}; Ctrl-C ends it")
    typer.echo(f"  api_key   {gateway.token}")
    if folder is None:
        typer.echo(f"  base_url  {gateway.url}/v1")
    else:
        typer.echo(f"  base_url  {gateway.base_url('KEY')}   with a KEY of your own for each session")
        typer.echo(f'  reward    POST {{"reward": 1.0}} to {gateway.reward_url("KEY")} ends it')
        typer.echo(f"  sessions  are kept in {folder}: assay show {folder} --rollouts")
    if not is_loopback(gateway.host):
        typer.echo(f"caution: {gateway.host} is reached by other machines, and nothing is encrypted", err=True)


def _tell(session: AgentSession, ending: Ending) -> None:
    reward = "no reward" if session.report is None else f"reward {session.report.reward:g}"
    turns = len(session.conversation.turns)
    ended = f"{ending.kind.value} ({ending.reason})" if ending.reason else ending.kind.value
    notes = f"; {session.notes}" if session.notes else ""
    typer.echo(f"session {session.key}: {ended}, {turns} turns, {reward}{notes}")


def _new_folder(model: str) -> Path:
    import time

    from assay.home import assay_home

    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(model).name) or "model"
    return assay_home() / "runs" / f"served-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _require_library() -> None:
    try:
        import assay.serving.server  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"models are served with starlette and uvicorn ({error}): pip install 'assay[serve]'"
        ) from None
