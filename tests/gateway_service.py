"""A gateway over a scripted engine and the tiny model's tokenizer, asked over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from assay.engines import Sampling
from assay.engines.scripted import ScriptedEngine
from assay.render import ChatRenderer
from assay.serving import AgentSession, Conversation, ConversationLimits
from assay.serving.server import Gateway

TOKEN = "a token of the tests"
SAMPLING = Sampling(max_new_tokens=200)


class Service:
    """A gateway, and what asks it. `answer` says what the model answers to a prompt, as text."""

    def __init__(self, renderer: ChatRenderer, *, max_context: int = 2000, gate: asyncio.Event | None = None) -> None:
        self.answer: Callable[[str], str] = lambda prompt: "seven"
        self.renderer = renderer
        self.engine = ScriptedEngine.saying(
            lambda prompt_ids, seed: renderer._encode(self.answer(renderer.decode(prompt_ids))),
            stop_token_ids=renderer.stop_token_ids,
            decode=renderer.decode,
            max_context=max_context,
            gate=gate,
        )
        self.limits = ConversationLimits()
        self.sampling = SAMPLING
        self.opened: dict[str, AgentSession] = {}
        self.gateway = Gateway(TOKEN, open_session=self.open)

    def conversation(self, fixed: bool = True) -> Conversation:
        return Conversation(
            self.engine,
            self.renderer,
            self.sampling,
            name=f"c{len(self.opened)}",
            seed_of=lambda number: number,
            fixed=fixed,
            limits=self.limits,
        )

    def open(self, key: str) -> AgentSession:
        self.opened[key] = AgentSession(key, self.conversation(), time.monotonic)
        return self.opened[key]

    def run(self, talk: Callable[[httpx2.AsyncClient], Awaitable[Any]]) -> Any:
        """What `talk` returns, with a client of the running gateway."""

        async def running() -> Any:
            async with self.gateway:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                url = self.gateway.url
                async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
                    return await talk(client)

        return asyncio.run(running())


def said(*texts: str) -> list[dict[str, str]]:
    """Messages of a user and an assistant in turn, the user first."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
