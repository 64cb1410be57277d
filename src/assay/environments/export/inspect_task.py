"""An environment of Assay as a task of inspect-ai: `inspect eval task.py --model ...`."""

from __future__ import annotations

import pathlib
import sys
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
    return Task(dataset=samples, solver=episode(), scorer=environment_score())


@solver
def episode() -> Any:
    """Play the episode: the environment speaks, the model answers, until it is done or its turns are used up."""

    async def solve(state: Any, generate: Any) -> Any:
        player, model = assay_player.player(), get_model()
        begun = await player.start(state.metadata["task"])
        state.messages = [_message(each) for each in begun["messages"]]
        tools = [
            ToolInfo(name=each["name"], description=each["description"], parameters=ToolParams(**each["parameters"]))
            for each in begun["tools"]
        ]
        for _ in range(assay_player.MAX_TURNS):
            state.output = await model.generate(state.messages, tools=tools)
            reply = state.output.message
            state.messages.append(reply)
            taken = await player.ask("step", episode=begun["episode"], message=_plain(reply))
            state.messages += [_message(each) for each in taken["messages"]]
            if taken["done"]:
                break
        state.metadata["score"] = await player.score(begun["episode"])
        state.completed = True
        return state

    return solve


@scorer(metrics={"solved": [accuracy(), stderr()], "reward": [mean(), stderr()]})
def environment_score() -> Any:
    """The verdict of the environment's own reward: whether it is solved (NaN where there is no verdict), and the
    reward."""

    async def score(state: Any, target: Any) -> Any:
        found = state.metadata["score"]
        solved = float("nan") if found["verdict"] == "graded" else float(found["verdict"] == "solved")
        value = {"solved": solved, "reward": found["value"]}
        return Score(value=value, answer=state.output.completion, explanation=found["reason"] or found["evidence"])

    return score


def _message(data: dict[str, Any]) -> Any:
    content = data["content"]
    if data["role"] == "assistant":
        calls = [
            ToolCall(id=call.get("id", ""), function=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in data.get("tool_calls", ())
        ]
        return ChatMessageAssistant(content=content, tool_calls=calls or None)
    if data["role"] == "tool":
        return ChatMessageTool(content=content, tool_call_id=data.get("tool_call_id"), function=data.get("name"))
    return ChatMessageSystem(content=content) if data["role"] == "system" else ChatMessageUser(content=content)


def _plain(message: Any) -> dict[str, Any]:
    calls = [
        {"type": "function", "id": call.id, "function": {"name": call.function, "arguments": call.arguments}}
        for call in message.tool_calls or ()
    ]
    return {"role": "assistant", "content": message.text, "tool_calls": calls}
