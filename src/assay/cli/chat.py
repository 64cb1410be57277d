"""`assay chat MODEL`: talks to a checkpoint."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import max_new_tokens_option, seed_option, temperature_option
from assay.cli.engine import EngineOptions, load_engine
from assay.cli.groups import with_groups
from assay.errors import ConfigError, ContextLengthError
from assay.types import Message

if TYPE_CHECKING:
    from rich.console import Console

    from assay.engines import Engine, Sampling
    from assay.render import ChatRenderer


@with_groups
def chat(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help='"default", a Hugging Face folder, a hub id, an adapter, or a run.')
    ],
    local: EngineOptions,
    prompt: Annotated[str | None, typer.Option(help="Answer this one message, print the answer and exit.")] = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    temperature: Annotated[float, temperature_option()] = 0.7,
    max_new_tokens: Annotated[int, max_new_tokens_option("Token limit of a reply.")] = 512,
    seed: Annotated[int, seed_option("The same seed and messages give the same replies.")] = 0,
) -> None:
    """Talk to a model. Ctrl-C stops a reply; Ctrl-D or an empty line ends the conversation."""
    from rich.console import Console

    from assay.config import validate
    from assay.engines import Sampling
    from assay.models import open_model

    sampling = validate(Sampling, {"temperature": temperature, "max_new_tokens": max_new_tokens})
    for option in local.about_tools:
        raise ConfigError(f"--{option.replace('_', '-')} has no effect in a chat, which has no tools: leave it out")
    engine, renderer = load_engine(open_model(model, local.base), local, num_slots=1)
    conversation = ChatHistory(engine, renderer, sampling, seed, system)
    console = Console(highlight=False, soft_wrap=True)
    with asyncio.Runner() as runner:
        if prompt is not None:
            runner.run(conversation.say(prompt, console))
            return
        console.print("[dim]Ctrl-C stops a reply; Ctrl-D or an empty line ends the conversation.[/dim]")
        while text := _read():
            try:
                runner.run(conversation.say(text, console))
            except KeyboardInterrupt:
                console.print("\n[dim]stopped; that exchange is forgotten[/dim]")
            except ContextLengthError:
                console.print("[dim]the conversation fills the model's context; start another[/dim]")
                return


class ChatHistory:
    """Messages so far, and the tokens they are: each prompt extends the last, which the prefix cache then serves."""

    def __init__(
        self, engine: Engine, renderer: ChatRenderer, sampling: Sampling, seed: int, system: str | None
    ) -> None:
        self.engine, self.renderer, self.sampling, self.seed = engine, renderer, sampling, seed
        self.messages: list[Message] = [Message("system", system)] if system else []
        self.token_ids: tuple[int, ...] = ()
        self.num_turns = 0

    async def say(self, text: str, console: Console) -> None:
        """Sends a message and prints the reply as it comes. Where that fails or is stopped, nothing is kept."""
        from assay import seeds
        from assay.engines import BatchingEngine
        from assay.observe.visible import visible

        said = Message("user", text)
        prompt_ids = self._prompt(said)
        request_id = f"turn-{self.num_turns}"
        reply = asyncio.ensure_future(
            self.engine.generate(
                prompt_ids,
                self.sampling,
                request_id=request_id,
                seed=seeds.derive_seed(self.seed, "chat", self.num_turns),
            )
        )
        shown = ""
        try:
            # One in another process says nothing before its reply is whole.
            while isinstance(self.engine, BatchingEngine) and not reply.done():
                await asyncio.sleep(0)
                text_so_far = self.renderer.parse(self.engine.sampled_so_far(request_id)).content
                # A character of several tokens ends in a replacement character until its last token is there.
                if text_so_far.startswith(shown) and not text_so_far.endswith("\ufffd"):
                    console.print(visible(text_so_far[len(shown) :]), end="", markup=False, highlight=False)
                    shown = text_so_far
            completion = await reply
        finally:
            reply.cancel()
        answer = self.renderer.parse(completion.token_ids)
        console.print(visible(answer.content[len(shown) :]), markup=False, highlight=False)
        if completion.finish_reason == "length":
            console.print("[dim](cut off: --max-new-tokens or the context is reached)[/dim]")
        self.messages += [said, answer]
        self.token_ids = (*prompt_ids, *completion.token_ids)
        self.num_turns += 1

    def _prompt(self, said: Message) -> tuple[int, ...]:
        if not self.num_turns:
            return self.renderer.render([*self.messages, said])
        extension = self.renderer.extend(self.messages, self.token_ids, [said])
        return (*self.token_ids, *extension.token_ids) if extension.extends_previous else extension.token_ids


def _read() -> str:
    """Read what the user types; empty at the end of the input or on Ctrl-C at the prompt."""
    try:
        return input("you> ").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return ""
