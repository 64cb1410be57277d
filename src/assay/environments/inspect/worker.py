"""inspect-ai in its own interpreter (see assay/adapters/serve.py): one evaluation of one sample a process.

The task runs as it is: its solvers, its tools, its sandbox, its scorers. Its model is whoever is at the other end: a
request for a completion is what the episode shows next, a reply is the completion.

Scorers of inspect-ai 0.3.285 accept wrong answers (`exact` takes "5" for "-5" and "12" for "1/2", `match(numeric=True)`
reads "3*4" as 34) and reject right ones (`exact` a target of "A"): what they accept is read again here.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import tempfile
import threading
from typing import Any

from assay.adapters.plain import RefusedError, cut, digest

os.environ["INSPECT_DISPLAY"] = "none"
_READ_AGAIN = ("exact", "match")
_TEXT_SCORERS = ("exact", "match", "includes", "f1")
"""Scorers that read the text alone: a task's own target, as a response, must satisfy them."""
_NUMBER = re.compile(r"[-+\u2212]?(?:\d[\d,]*)?\.?\d+(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+\u2212]?[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
"""Pattern of a number's head whose commas group thousands: those of 1,2 and 0,125 do not."""


def warm_up() -> None:
    """Import the package, and run an evaluation, which imports the rest."""
    from inspect_ai import Task, eval_async  # pyright: ignore[reportMissingImports]
    from inspect_ai.dataset import Sample  # pyright: ignore[reportMissingImports]
    from inspect_ai.scorer import exact  # pyright: ignore[reportMissingImports]

    _register()

    async def answer(request: Any) -> Any:
        return _output("1", [])

    _ANSWER.append(answer)
    folder = tempfile.mkdtemp()
    task = Task(dataset=[Sample(input="1", target="1")], scorer=exact())
    with contextlib.redirect_stdout(io.StringIO()):
        asyncio.run(eval_async(task, **_options(folder)))
    shutil.rmtree(folder, ignore_errors=True)
    _ANSWER.clear()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(2.0)


class Session:
    """One sample of a task, from the first request for a completion to its scores."""

    def parts(self) -> list[str]:
        """Return nothing: tasks come from packages and files of one's own."""
        raise RefusedError("inspect-ai brings no tasks of its own: name yours, such as tasks.py@mine")

    def check(self, part: str) -> str:
        """Return how many samples a task has."""
        return f"{len(_load(part, {}).dataset)} samples"

    def samples(self, task: str, arguments: dict[str, Any]) -> list[dict[str, str]]:
        """Return "id", "key" (which names the input) and "target" of every sample."""
        found = []
        for number, sample in enumerate(_load(task, arguments).dataset):
            text = sample.input if isinstance(sample.input, str) else "\n".join(m.text for m in sample.input)
            target = sample.target if isinstance(sample.target, str) else "\n".join(sample.target)
            choices = "\n".join(sample.choices or ())
            number = number + 1 if sample.id is None else sample.id
            found.append({"id": number, "key": digest(f"{' '.join(text.split())}\n{choices}"), "target": target})
        return found

    async def open(
        self, task: str, arguments: dict[str, Any], sample: str | int, scorer: str, turns: int
    ) -> dict[str, Any]:
        """Start the sample; returns when its solver first asks for a completion."""
        self._task = _load(task, arguments)
        self._scorer, self._left = scorer, turns
        chosen = [each for number, each in enumerate(self._task.dataset) if sample in (each.id, number + 1)]
        if not chosen:
            raise RefusedError(f"{task} has no sample {sample!r}")
        self._targets = [chosen[0].target] if isinstance(chosen[0].target, str) else list(chosen[0].target)
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._history: list[tuple[Any, ...]] = []
        self._reply: asyncio.Future[Any] | None = None
        self._at_once = False
        _ANSWER.append(self._asked)
        self._folder = tempfile.mkdtemp(dir=".")
        self._running = asyncio.ensure_future(self._evaluate(sample, turns))
        shown = await self._until_asked()
        if shown is None:
            raise RefusedError(f"sample {sample!r} of {task} ends without asking a model: {self._outcome['reason']}")
        rejects = await _rejects(self._task, chosen[0], self._targets)
        return {**shown, "start": digest("\n".join(self._targets)), "rejects": rejects}

    async def step(self, reply: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer the request with a completion; returns at the next one, or at the end."""
        self._history.append(("assistant", reply, tuple(call["name"] for call in calls)))
        assert self._reply is not None
        self._reply.set_result(_output(reply, calls))
        return await self._until_asked() or {"done": True}

    def outcome(self) -> dict[str, Any] | None:
        """Return "value", "by" (the scorer), "reason" and "unmeasured" of a sample that was scored; None before."""
        return getattr(self, "_outcome", None)

    async def _asked(self, request: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            # inspect-ai asks for one completion more than its limit, and then throws it away.
            return _output("", [])
        if self._reply is not None and not self._reply.done():
            self._at_once = True
        self._reply = asyncio.get_running_loop().create_future()
        await self._requests.put(request)
        return await self._reply

    async def _until_asked(self) -> dict[str, Any] | None:
        """Return what is new in the next request; None where the evaluation ended before one."""
        waiting = asyncio.ensure_future(self._requests.get())
        await asyncio.wait((waiting, self._running), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self._outcome = self._read(await self._running)
            shutil.rmtree(self._folder, ignore_errors=True)
            return None
        messages, tools = waiting.result()
        if self._at_once:
            raise RefusedError("the task asks for several completions at a time; an episode has one turn after another")
        before = self._history
        now = [_identity(message) for message in messages]
        if now[: len(before)] != before:
            raise RefusedError(
                "the task's solver rewrites the conversation (it asks again with other messages than those before), "
                'which an episode cannot follow; serve the model to it instead: environment = { name = "served" }'
            )
        self._history = now
        return {
            "messages": [_plain(message) for message in messages[len(before) :]],
            "tools": [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters.model_dump(exclude_none=True),
                }
                for tool in tools
            ],
        }

    async def _evaluate(self, sample: str | int, turns: int) -> Any:
        from inspect_ai import eval_async  # pyright: ignore[reportMissingImports]

        logs = await eval_async(self._task, sample_id=sample, turn_limit=turns, **_options(self._folder))
        return logs[0]

    def _read(self, log: Any) -> dict[str, Any]:
        from inspect_ai.scorer import value_to_float  # pyright: ignore[reportMissingImports]

        sample = log.samples[0] if log.samples else None
        error = log.error or (None if sample is None else sample.error)
        if error is not None or sample is None:
            what = "no sample was run" if error is None else str(error.message)
            return {"value": None, "by": "", "reason": "", "unmeasured": f"inspect-ai: {what}"[:300]}
        scores = sample.scores or {}
        if not scores:
            return {"value": None, "by": "", "reason": "", "unmeasured": "inspect-ai gave no score"}
        if (self._scorer and self._scorer not in scores) or (not self._scorer and len(scores) > 1):
            raise RefusedError(f"the task has the scorers {', '.join(scores)}: choose the one that counts by scorer=")
        name = self._scorer or next(iter(scores))
        score = scores[name]
        if not isinstance(score.value, str | int | float | bool):
            raise RefusedError(f"the scorer {name!r} gives a {type(score.value).__name__}, of which no reward is made")
        value = float(value_to_float()(score.value))
        if value != value:
            return {"value": None, "by": name, "reason": "", "unmeasured": f"the scorer {name!r} gave NaN"}
        options = next((each.options or {} for each in log.eval.scorers or () if each.name.endswith(name)), {})
        reason = ""
        if value >= 1.0 and not stands(name, options, sample.output.completion, self._targets):
            value, reason = 0.0, f"only {name} of inspect-ai accepts it"
        return {"value": value, "by": name, "reason": reason, "unmeasured": ""}


async def _rejects(task: Any, sample: Any, targets: list[str]) -> str:
    """Why the task's scorer rejects each of the sample's own targets; empty where it does not, or cannot be asked."""
    from inspect_ai.model import ModelName, ModelOutput  # pyright: ignore[reportMissingImports]
    from inspect_ai.scorer import Target, value_to_float  # pyright: ignore[reportMissingImports]
    from inspect_ai.solver import TaskState  # pyright: ignore[reportMissingImports]
    from inspect_ai.util import registry_info  # pyright: ignore[reportMissingImports]

    scorers = task.scorer if isinstance(task.scorer, list) else [task.scorer]
    names = [registry_info(each).name.rpartition("/")[2] for each in scorers]
    if len(scorers) != 1 or names[0] not in _TEXT_SCORERS or any(target == "" for target in targets):
        return ""
    for target in targets:
        state = TaskState(ModelName("assay/assay"), sample.id or 1, 1, sample.input, [])
        state.output = ModelOutput.from_content("assay", target)
        score = await scorers[0](state, Target(targets))
        if value_to_float()(score.value) >= 1.0:
            return ""
    return f"its scorer {names[0]} rejects its own target {targets[0][:40]!r}"


def stands(name: str, options: dict[str, Any], completion: str, targets: list[str]) -> bool:
    """Return whether an answer that a scorer accepts is right when signs, points and operators are read too."""
    if name == "exact":
        return any(_same(completion, target) for target in targets)
    if name == "match" and options.get("numeric"):
        values = [_value(target) for target in targets]
        numbers = [value for value in values if value is not None]
        if len(numbers) < len(targets):
            return True  # a target that is no number is matched as text
        if re.search(r"\d\s*[*/^\u00d7\u00f7]\s*\d", completion):
            # A product is no number; one that follows it is.
            completion = re.sub(r"[-+\d.,]+(?:\s*[*/^\u00d7\u00f7]\s*[-+\d.,]+)+", " ", completion)
        return any(_value(found) in numbers for found in _NUMBER.findall(completion))
    return True


def _same(answer: str, target: str) -> bool:
    """Equal up to case, white space, articles and closing punctuation; numbers by value."""
    one, other = (_stripped(text) for text in (answer, target))
    if one == other:
        return True
    first, second = _value(one), _value(other)
    if first is not None or second is not None or any(map(str.isdigit, one + other)):
        return first is not None and first == second
    words = [re.findall(r"\w+", text) for text in (one, other)]
    return words[0] == words[1]


def _stripped(text: str) -> str:
    words = [word for word in text.casefold().split() if word not in ("a", "an", "the")]
    return " ".join(words).strip(" .,;:!?\"'`")


def _value(text: str) -> float | None:
    text = text.strip().strip("$\u20ac\u00a3")
    if "," in text and not _THOUSANDS.match(text):
        return None
    text = text.replace(",", "").replace("\u2212", "-")
    try:
        return float(text)
    except ValueError:
        return None


_ANSWER: list[Any] = []
"""Stack of functions that answer requests for completions: the last one does."""


def _register() -> None:
    from inspect_ai.model import GenerateConfig, ModelAPI, modelapi  # pyright: ignore[reportMissingImports]

    @modelapi(name="assay")
    class Other(ModelAPI):
        """The model at the other end."""

        def __init__(self, model_name: str, base_url: Any = None, api_key: Any = None, config: Any = None, **_: Any):
            super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())

        async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
            return await _ANSWER[-1]((input, tools))


def _options(folder: str) -> dict[str, Any]:
    return {
        "model": "assay/assay",
        "log_dir": folder,
        "log_level": "error",
        "log_realtime": False,
        "ctl_server": False,
        "acp_server": False,
        "score_display": False,
        "retry_on_error": 0,
    }


def _output(reply: str, calls: list[dict[str, Any]]) -> Any:
    from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
        ChatCompletionChoice,
        ChatMessageAssistant,
        ModelOutput,
    )
    from inspect_ai.tool import ToolCall  # pyright: ignore[reportMissingImports]

    made = [ToolCall(id=call["id"], function=call["name"], arguments=call["arguments"]) for call in calls]
    message = ChatMessageAssistant(content=reply, tool_calls=made or None, source="generate", model="assay")
    choice = ChatCompletionChoice(message=message, stop_reason="tool_calls" if made else "stop")
    return ModelOutput(model="assay", choices=[choice])


def _identity(message: Any) -> tuple[Any, ...]:
    calls = getattr(message, "tool_calls", None) or ()
    return (message.role, message.text, tuple(call.function for call in calls))


def _plain(message: Any) -> dict[str, Any]:
    if not isinstance(message.content, str) and any(part.type not in ("text", "reasoning") for part in message.content):
        raise RefusedError("the task shows more than text (images, sounds): models here read text alone")
    calls = [
        {"type": "function", "id": call.id, "function": {"name": call.function, "arguments": call.arguments}}
        for call in getattr(message, "tool_calls", None) or ()
    ]
    text = message.text
    if message.role == "tool" and message.error is not None:
        text = message.error.message
    answers = getattr(message, "tool_call_id", None) or ""
    more = {"tool_calls": calls, "tool_call_id": answers, "name": getattr(message, "function", None) or ""}
    return {"role": message.role, "content": cut(text), **{key: value for key, value in more.items() if value}}


def _load(task: str, arguments: dict[str, Any]) -> Any:
    """The one task that a name or "path.py@name" stands for."""
    from inspect_ai._eval.loader import load_tasks  # pyright: ignore[reportMissingImports]

    path = task.partition("@")[0]
    if path.endswith(".py") and not os.path.isfile(path):
        raise RefusedError(f"task={task!r}: there is no file {path!r}; write it as path.py@name, or as package/name")
    try:
        found = load_tasks([task], arguments)
    except Exception as error:
        raise RefusedError(
            f"task={task!r} is not made: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from None
    if len(found) != 1:
        raise RefusedError(f"task={task!r} names {len(found)} tasks; name one, as path.py@name or package/name")
    return found[0]
