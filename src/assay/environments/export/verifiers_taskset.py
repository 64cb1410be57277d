"""An environment of Assay for verifiers, v1: the module `taskset`, with this folder on the Python path."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import openai  # pyright: ignore[reportMissingImports]
import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
from verifiers.v1.harnesses.utils.compaction import is_context_overflow  # pyright: ignore[reportMissingImports]

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import assay_player  # pyright: ignore[reportMissingImports]

__all__ = ["AssayEnv", "AssayHarness", "AssayTaskset"]

_PLAYED = set[str]()
"""Ids of the traces whose episodes `AssayHarness` has started and not closed."""


class AssayData(vf.TaskData):
    """A task of the environment."""

    row: dict
    """The task as Assay writes it."""


class AssayTask(vf.Task[AssayData]):
    """A task that the environment's own reward scores."""

    @vf.reward
    async def reward(self, trace: vf.Trace) -> float:
        """The environment's reward; raises where nothing was measured, which is not 0."""
        return float((await self._score(trace))["value"])

    @vf.metric
    async def solved(self, trace: vf.Trace) -> dict[str, float]:
        """1 for a solved task, else 0; left out where the reward gives no verdict."""
        verdict = (await self._score(trace))["verdict"]
        return {} if verdict == "graded" else {"solved": float(verdict == "solved")}

    async def _score(self, trace: vf.Trace) -> dict[str, Any]:
        if "assay" not in trace.info:
            trace.info["assay"] = await self._measured(trace)
        return trace.info["assay"]

    async def _measured(self, trace: vf.Trace) -> dict[str, Any]:
        player = assay_player.player()
        if trace.id in _PLAYED:
            return (await player.cut(trace.id, trace.stop_condition or "time"))["score"]
        if assay_player.MAX_TURNS > 1:
            raise assay_player.NotMeasuredError(
                "an episode of several turns is played by the harness of this taskset: leave --env.agent.harness.id out"
            )
        message = {"role": "assistant", "content": trace.last_reply}
        try:
            await player.start(trace.id, self.data.row)
            return (await player.reply(trace.id, message, "length" if trace.is_truncated else "stop"))["score"]
        finally:
            await player.close(trace.id)


class AssayHarness(vf.Harness[vf.HarnessConfig]):
    """The environment and the model in turn: the environment speaks, with its tools, and the model answers, until the
    episode is done or its turns are used up."""

    APPENDS_SYSTEM_PROMPT = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: Any,
        trace: vf.Trace,
        runtime: Any,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: AssayData,
    ) -> vf.ProgramResult:
        """Play one episode. It is closed by `cleanup`."""
        player, conversation = assay_player.player(), []
        _PLAYED.add(trace.id)
        given = await player.start(trace.id, data.row)
        async with openai.AsyncOpenAI(base_url=endpoint, api_key=secret, timeout=None) as client:
            while "messages" in given:
                conversation = [*conversation[: given["keep"]], *given["messages"]]
                tools = {"tools": given["tools"]} if given["tools"] else {}
                try:
                    completion = await client.chat.completions.create(model=ctx.model, messages=conversation, **tools)
                except openai.APIStatusError as error:
                    if not trace.stop_condition and not is_context_overflow(error):
                        raise
                    given = await player.cut(trace.id, trace.stop_condition or "context")
                    break
                choice = completion.choices[0]
                conversation.append({"content": None, **choice.message.model_dump(exclude_none=True)})
                given = await player.reply(trace.id, conversation[-1], choice.finish_reason)
        trace.info["assay"] = given["score"]
        return vf.ProgramResult(0, "", "")

    async def cleanup(self, trace: vf.Trace, runtime: Any) -> None:
        """Close the episode, however it ended."""
        _PLAYED.discard(trace.id)
        await assay_player.player().close(trace.id)


class AssayEnvConfig(vf.EnvConfig):
    """The settings of a run."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())
    """The model that is evaluated or trained. Nothing of it runs in a container."""


class AssayEnv(vf.Env[AssayEnvConfig]):
    """One agent, in a runtime of this machine."""

    async def run(self, task: AssayTask, agents: Any) -> None:
        """Play one episode."""
        await agents.agent.run(task)


class AssayTaskset(vf.Taskset[AssayTask, vf.TasksetConfig]):
    """The exported tasks."""

    def load(self) -> Iterable[AssayTask]:
        """Yield each task, its prompt as messages."""
        kinds = {"system": vf.SystemMessage, "user": vf.UserMessage, "assistant": vf.AssistantMessage}
        for row in assay_player.read_tasks():
            prompt = [kinds[role](content=content) for role, content, *_ in row["prompt"]]
            yield AssayTask(AssayData(prompt=prompt, row=row), self.config.task)
