"""OpenEnv's client in its own interpreter (see assay/adapters/serve.py): one session of a server a process.

What openenv 0.10.0 does that would mislead a run, and what stands against it here:

- over plain HTTP every step is a first step: its WebSocket is used, which keeps a session;
- its client connects again by itself when it lost the connection, and the next step is then the first of a world that
  nobody reset: a session that lost its connection has failed;
- a server goes on stepping and paying after done: nothing is sent after it.
"""

from __future__ import annotations

import asyncio
import json
import math
import urllib.error
import urllib.request
from typing import Any

from assay.adapters.plain import RefusedError, canonical, cut, digest

_OWN = ("done", "reward", "metadata")
"""Fields of every observation that say nothing of the world."""
TOOL = "act"
"""The tool by which an action of several fields is taken."""


def warm_up() -> None:
    """Import the package."""
    import openenv.core  # pyright: ignore[reportMissingImports]  # noqa: F401


class Session:
    """One session, from its reset to its end."""

    def parts(self) -> list[str]:
        """Return nothing: environments are at the addresses of servers."""
        raise RefusedError("openenv's environments are at the addresses of their servers: name one, http://...")

    def check(self, part: str) -> str:
        """Return what an action is at a server."""
        fields = _fields(_schema(part)["action"])
        return f"an action has the fields {', '.join(fields) or '(none)'}"

    async def open(self, url: str, seed: int, action_field: str, shown: str, options: dict[str, Any]) -> dict[str, Any]:
        """Connect and reset; "messages", "state", "start" and, where an action has several fields, "tools"."""
        from openenv.core import GenericEnvClient  # pyright: ignore[reportMissingImports]

        schema = await asyncio.to_thread(_schema, url)
        self._schema, self._shown, self._over, self._paid = schema["action"], shown, False, 0.0
        fields = _fields(self._schema)
        texts = [name for name, kind in fields.items() if kind.get("type") == "string"]
        if action_field and action_field not in fields:
            raise RefusedError(f"action_field={action_field!r}: an action at {url} has {', '.join(fields)}")
        self._field = action_field or (texts[0] if len(fields) == 1 and texts else "")
        while True:
            self._client = GenericEnvClient(base_url=url, message_timeout_s=3600.0)
            try:
                await self._client.connect()
                self._socket = self._client._ws
                first = await self._client.reset(seed=seed, **options)
                break
            except RuntimeError as error:
                # Not more sessions at a time than the server has: wait for a free one.
                if "CAPACITY" not in str(error).upper():
                    raise
                await self._client.close()
                await asyncio.sleep(0.2)
        state = self._named(first.observation)
        opened = {"messages": [["user", self._text(first.observation)]], "state": state, "start": state}
        if self._field:
            return opened
        parameters = {**self._schema, "properties": fields}
        return {**opened, "tools": [{"name": TOOL, "description": "Act in the environment.", "parameters": parameters}]}

    async def step(self, reply: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Act; a reply that is no action is answered by what one is, and nothing is sent."""
        if self._over:
            raise RuntimeError("the environment is done")
        action, problem = self._action(reply, calls)
        if problem:
            return {"messages": [self._answer(calls, problem)]}
        if self._client._ws is not self._socket:
            raise ConnectionError("the server went away; a step now would be the first of another world")
        try:
            taken = await self._client.step(action)
        except RuntimeError as error:
            # What the environment says of an action that it cannot take is the policy's to read.
            if "VALIDATION" not in str(error).upper():
                raise
            return {"messages": [self._answer(calls, f"That action is not valid: {str(error)[:300]}")]}
        if self._client._ws is not self._socket:
            raise ConnectionError("the server went away during a step")
        paid = 0.0 if taken.reward is None else float(taken.reward)
        if not math.isfinite(paid):
            raise ValueError(f"the server paid {paid}")
        self._paid += paid
        reward = None if taken.reward is None else paid
        if taken.done:
            self._over = True
            await self._client.close()
            return {"done": True, "reward": reward}
        messages = [self._answer(calls, self._text(taken.observation))]
        messages += [self._answer([call], "One action is taken a turn: the first.") for call in calls[1:]]
        return {"messages": messages, "reward": reward, "state": self._named(taken.observation)}

    def outcome(self) -> dict[str, Any]:
        """Return "paid", the sum of what was paid, and whether it is "over"."""
        return {"paid": self._paid, "over": self._over}

    def _action(self, reply: str, calls: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
        if self._field:
            return {self._field: reply.strip()}, ""
        if not calls:
            return {}, f"Call the tool {TOOL} to act. Nothing was done."
        if calls[0]["name"] != TOOL:
            return {}, f"There is no tool {calls[0]['name'][:40]!r}; call {TOOL}. Nothing was done."
        fields = _fields(self._schema)
        given = calls[0]["arguments"]
        unknown = [name for name in given if name not in fields]
        missing = [name for name in self._schema.get("required", ()) if name not in given]
        if unknown or missing:
            what = f"no field {unknown[0][:40]!r}" if unknown else f"the field {missing[0]!r}, which is missing"
            return {}, f"An action has {what}; its fields are {', '.join(fields)}. Nothing was done."
        return given, ""

    def _answer(self, calls: list[dict[str, Any]], text: str) -> Any:
        if not calls:
            return ["user", text]
        return {"role": "tool", "content": text, "tool_call_id": calls[0]["id"], "name": calls[0]["name"]}

    def _text(self, observation: dict[str, Any]) -> str:
        if self._shown:
            if self._shown not in observation:
                raise RefusedError(f"observation_field={self._shown!r}: an observation has {', '.join(observation)}")
            return cut(str(observation[self._shown]))
        seen = {name: value for name, value in observation.items() if name not in _OWN}
        only = next(iter(seen.values())) if len(seen) == 1 else None
        return cut(only if isinstance(only, str) else json.dumps(seen, ensure_ascii=False))

    def _named(self, observation: dict[str, Any]) -> str:
        return digest(canonical({name: value for name, value in observation.items() if name not in _OWN}))


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: kind for name, kind in schema.get("properties", {}).items() if name != "metadata"}


def _schema(url: str) -> dict[str, Any]:
    base = url.rstrip("/").replace("ws://", "http://", 1).replace("wss://", "https://", 1)
    # An address of this machine is not to be asked of a proxy.
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if "//127." in base else []))
    try:
        with opener.open(f"{base}/schema", timeout=30) as answer:
            return json.loads(answer.read(1_000_000))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ConnectionError(f"no OpenEnv server answers at {base}: {error}") from None
