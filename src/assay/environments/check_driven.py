"""check_driven: holds an episode that asks the model itself to what it promises, with a model that says what it is told
to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from assay.engines.engine import Sampling
from assay.engines.scripted import ScriptedEngine
from assay.environments.driven import DrivenEpisode
from assay.environments.episode import Episode, EpisodeFactory
from assay.errors import ContractError, InfrastructureError
from assay.host import Host
from assay.render.renderer import Extension
from assay.serving.conversation import Conversation, ConversationLimits
from assay.types import Ending, EndingKind, Message, Score, Task, Tool

DRIVE_SECONDS = 60.0
"""Seconds that one checked episode may take."""
_END = 0x110000
"""The token that ends a turn: one past the last code point."""


async def check_driven(factory: EpisodeFactory, task: Task, *, responses: Sequence[str], max_turns: int) -> None:
    """Play an episode with a model that always gives the same response, for each of them, and check what is promised.

    It asks something, ends in time with a typed ending, gives a `Score`, survives hostile responses, and is closed in
    the end, also after a cancel, and twice.

    Raises:
        ContractError: a promise is broken.
    """
    async with Host():
        for response in (*responses, task.answer):
            await _play(factory, task, response, max_turns)
        await _cancelled(factory, task)


async def _play(factory: EpisodeFactory, task: Task, response: str, max_turns: int) -> None:
    episode, conversation = factory(task), _conversation(response, max_turns)
    assert isinstance(episode, DrivenEpisode), "the others are stepped"
    name, on = type(episode).__name__, f"on the response {response[:40]!r}"
    try:
        async with asyncio.timeout(DRIVE_SECONDS):
            ending = await episode.drive(conversation)
    except TimeoutError:
        raise ContractError(f"{name} took longer than {DRIVE_SECONDS:g} seconds {on}; let it end by itself") from None
    except InfrastructureError as error:
        raise _broke(f"{name} failed {on}: {error}") from error
    finally:
        await _close_twice(episode)
    if not isinstance(ending, Ending):
        raise ContractError(f"{name}.drive returned {ending!r:.80} {on}; return an Ending, or raise what broke it")
    if ending.kind is EndingKind.BROKEN:
        raise _broke(f"{name} failed {on}: {ending.reason}")
    if not conversation.turns:
        raise ContractError(f"{name} ended {on} and had asked the model nothing")
    score = await episode.score()
    if not isinstance(score, Score):
        raise ContractError(f"{name}.score returned {score!r:.80} {on}; return a Score")


def _broke(what: str) -> ContractError:
    return ContractError(
        f"{what}. What the model says must not break it: catch that and report what it is worth, or say what it is "
        "worth by the option unreported"
    )


async def _cancelled(factory: EpisodeFactory, task: Task) -> None:
    """Cancel an episode under way, as a run that is stopped does, and close it."""
    episode = factory(task)
    assert isinstance(episode, DrivenEpisode), "the others are stepped"
    driving = asyncio.ensure_future(episode.drive(_conversation("", 1)))
    await asyncio.sleep(0.01)
    driving.cancel()
    _, left = await asyncio.wait([driving], timeout=DRIVE_SECONDS)
    if left:
        raise ContractError(f"{type(episode).__name__} goes on after a cancel; let drive() be cancelled")
    await _close_twice(episode)


async def _close_twice(episode: Episode) -> None:
    await episode.close()
    await episode.close()


def _conversation(response: str, max_turns: int) -> Conversation:
    tokens = tuple(map(ord, response))
    engine = ScriptedEngine.saying(
        lambda prompt_ids, seed: tokens, stop_token_ids=(_END,), decode=_CodePoints().decode, max_context=1_000_000
    )
    sampling = Sampling(max_new_tokens=len(tokens) + 1)
    limits = ConversationLimits(max_turns=max_turns)
    return Conversation(engine, _CodePoints(), sampling, name="check", seed_of=lambda number: number, limits=limits)


class _CodePoints:
    """A renderer whose tokens are the code points of plain text."""

    stop_token_ids = (_END,)

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> tuple[int, ...]:
        lines = [f"{message.role}: {message.text}\n" for message in messages]
        return self.encode_prompt("".join(lines) + "assistant: ")

    def extend(
        self,
        messages: Sequence[Message],
        previous_token_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[Tool] = (),
    ) -> Extension:
        return Extension(self.render(new_messages, tools), extends_previous=True)

    def parse(self, token_ids: Sequence[int], tools: Sequence[Tool] = ()) -> Message:
        return Message("assistant", self.decode(token_ids))

    def spell(self, message: Message, tools: Sequence[Tool] = ()) -> str:
        return message.text

    def encode_answer(self, text: str) -> tuple[int, ...]:
        return (*self.encode_prompt(text), _END)

    def encode_prompt(self, text: str, *, begins: bool = True) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(token) for token in token_ids if token != _END)
