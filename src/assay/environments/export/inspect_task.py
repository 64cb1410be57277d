"""An environment of Assay as a task of inspect-ai: `inspect eval task.py --model ...`."""

from __future__ import annotations

import json
import pathlib
import sys
import uuid
from typing import Any

from inspect_ai import Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    get_model,
)
from inspect_ai.scorer import Score, accuracy, mean, scorer, stderr  # pyright: ignore[reportMissingImports]
from inspect_ai.solver import solver  # pyright: ignore[reportMissingImports]
from inspect_ai.tool import ToolCall, ToolInfo, ToolParams  # pyright: ignore[reportMissingImports]

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import assay_player  # pyright: ignore[reportMissingImports]


@task
def assay() -> Task:
    """The exported tasks, each an episode of the environment."""
    samples = [
        Sample(
            input="\n\n".join(content for _, content, *_ in row["prompt"]) or "(none)",
            target=row["answer"],
            id=number,
            metadata={"task": row},
        )
        for number, row in enumerate(assay_player.read_tasks(), 1)
    ]
    return Task(dataset=samples, solver=episode(), scorer=environment_score(), cleanup=_close)


@solver
def episode() -> Any:
    """Play the episode: the environment speaks, the model answers, until it is done or its turns are used up."""

    async def solve(state: Any, generate: Any) -> Any:
        player, model = assay_player.player(), get_model()
        name = state.metadata["episode"] = uuid.uuid4().hex
        given = await player.start(name, state.metadata["task"])
        state.messages = []
        while "messages" in given:
            state.messages = [*state.messages[: given["keep"]], *map(_message, given["messages"])]
            state.output = await model.generate(state.messages, tools=[_tool(each) for each in given["tools"]])
            state.messages.append(state.output.message)
            if state.output.stop_reason == "model_length":
                given = await player.cut(name, "context")
            else:
                given = await player.reply(name, _plain(state.output.message), state.output.stop_reason)
        state.metadata["score"] = given["score"]
        state.completed = True
        return state

    return solve


@scorer(metrics={"solved": [accuracy(), stderr()], "reward": [mean(), stderr()]})
def environment_score() -> Any:
    """The verdict of the environment's own reward: whether it is solved (NaN where there is no verdict), and the
    reward. Of an episode that a limit of inspect-ai ended, what was said until then is scored. Raises where nothing
    was measured."""

    async def score(state: Any, target: Any) -> Any:
        if "score" not in state.metadata:
            if "episode" not in state.metadata:
                raise assay_player.NotMeasuredError("no episode was played: leave the solver of this task as it is")
            ended = await assay_player.player().cut(state.metadata["episode"], "limit of inspect-ai")
            state.metadata["score"] = ended["score"]
        found = state.metadata["score"]
        solved = float("nan") if found["verdict"] == "graded" else float(found["verdict"] == "solved")
        value = {"solved": solved, "reward": found["value"]}
        return Score(value=value, answer=state.output.completion, explanation=found["reason"] or found["evidence"])

    return score


async def _close(state: Any) -> None:
    if "episode" in state.metadata:
        await assay_player.player().close(state.metadata["episode"])


def _tool(data: dict[str, Any]) -> Any:
    function = data["function"]
    parameters = ToolParams(**function["parameters"])
    return ToolInfo(name=function["name"], description=function["description"], parameters=parameters)


def _message(data: dict[str, Any]) -> Any:
    content = data["content"]
    if data["role"] == "assistant":
        calls = [
            ToolCall(call.get("id", ""), call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in data.get("tool_calls", ())
        ]
        return ChatMessageAssistant(content=content, tool_calls=calls or None)
    if data["role"] == "tool":
        return ChatMessageTool(content=content, tool_call_id=data.get("tool_call_id"), function=data.get("name"))
    return ChatMessageSystem(content=content) if data["role"] == "system" else ChatMessageUser(content=content)


def _plain(message: Any) -> dict[str, Any]:
    calls = [
        # What could not be read is passed on: the environment says so to the model.
        {
            "type": "function",
            "id": call.id,
            "function": {"name": call.function, "arguments": call.parse_error or json.dumps(call.arguments)},
        }
        for call in message.tool_calls or ()
    ]
    return {"role": "assistant", "content": message.text, "tool_calls": calls}
