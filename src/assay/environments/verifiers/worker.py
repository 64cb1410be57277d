"""verifiers (v1) in its own interpreter (see assay/adapters/serve.py): one task and its scoring a process.

A task is data; what the model answers becomes a trace, and the task's own rewards, metrics and judges read it.

When one scoring function of verifiers 0.4.0 raises, what the others found is lost and the reward of the rollout reads
0: here a reward that was not found is not measured.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import sys
import time
from typing import Any

from assay.adapters.plain import RefusedError, cut, digest

_SERVE = 'serve the model to it instead: environment = { name = "served", ... }'


def warm_up() -> None:
    """Import the package."""
    import verifiers.v1  # pyright: ignore[reportMissingImports]  # noqa: F401


class Session:
    """One task, from its prompt to its rewards."""

    def parts(self) -> list[str]:
        """Return nothing: tasksets come from packages and files of one's own."""
        raise RefusedError("verifiers brings no taskset of its own: name yours, such as tasks.py:MyTaskset")

    def check(self, part: str) -> str:
        """Return what the first task of a taskset asks."""
        task = next(iter(_taskset(part, {})))
        _require_plain(task)
        return f"its first task asks {task.data.prompt_text[:60]!r}"

    def tasks(self, taskset: str, config: dict[str, Any], start: int, count: int) -> list[dict[str, Any]]:
        """Return "data", "key" (which names the prompt) and "messages" of some tasks, in the taskset's order."""
        found = []
        for task in itertools.islice(_taskset(taskset, config), start, start + count):
            _require_plain(task)
            messages = _prompt(task)
            text = "\n".join(f"{role}: {' '.join(content.split())}" for role, content in messages)
            found.append({"data": task.data.model_dump(mode="json"), "key": digest(text), "messages": messages})
        return found

    def open(self, taskset: str, config: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Make the task of its data; "messages" are its prompt."""
        made = _taskset(taskset, config)
        kind = type(made).task_type()
        self._task = kind(kind.data_type().model_validate(data), made.config.task)
        _require_plain(self._task)
        self._outcome: dict[str, Any] | None = None
        return {"messages": _prompt(self._task), "start": None}

    async def step(self, reply: str) -> dict[str, Any]:
        """Take the answer, and have the task score it."""
        import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
        from verifiers.v1.graph import prepare_turn  # pyright: ignore[reportMissingImports]
        from verifiers.v1.state import state_cls  # pyright: ignore[reportMissingImports]

        task = self._task
        about = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
        agent = vf.AgentInfo(config=vf.AgentConfig())
        trace = vf.Trace(task=about, state=state_cls(type(task))(), agent=agent)
        kinds = {"system": vf.SystemMessage, "user": vf.UserMessage, "assistant": vf.AssistantMessage}
        prompt = [kinds[role](content=content) for role, content in _prompt(task)]
        answer = vf.AssistantMessage(content=reply)
        response = vf.Response(
            id="assay", created=int(time.time()), model="assay", message=answer, finish_reason="stop"
        )
        prepare_turn(trace, prompt).commit(response)
        trace.stop("agent_completed")
        problem = ""
        try:
            await task.score(trace)
        except Exception as error:
            cause = error.__cause__ or error
            problem = f"a scoring function raised {type(cause).__name__}: {' '.join(str(cause).split())}"[:300]
        self._outcome = _outcome(trace, problem)
        return {"done": True}

    def outcome(self) -> dict[str, Any] | None:
        """Return "reward", "parts" and "unmeasured" of a task that was scored; None before."""
        return self._outcome


def _outcome(trace: Any, problem: str) -> dict[str, Any]:
    lost = sorted(name for name, reward in trace.rewards.items() if reward is None)
    if not problem and lost:
        problem = f"no value of {', '.join(lost)}"
    if not problem and not trace.rewards:
        problem = "the task has no reward"
    parts = {name: reward.score for name, reward in trace.rewards.items() if reward is not None}
    parts |= {name: value for name, value in trace.metrics.items() if value is not None and math.isfinite(value)}
    if not problem and not math.isfinite(trace.reward):
        problem = f"the reward is {trace.reward}"
    return {
        "reward": None if problem else trace.reward,
        "parts": {name: value for name, value in parts.items() if math.isfinite(value)},
        "unmeasured": problem,
    }


def _prompt(task: Any) -> list[list[str]]:
    data = task.data
    system = [["system", data.system_prompt]] if data.system_prompt else []
    if isinstance(data.prompt, str):
        return [*system, ["user", cut(data.prompt)]]
    messages = []
    for message in data.prompt:
        content = message.content
        if not isinstance(content, str):
            if any(part.type != "text" for part in content):
                raise RefusedError("the taskset shows more than text (images): models here read text alone")
            content = "".join(part.text for part in content)
        if message.role not in ("system", "user", "assistant"):
            raise RefusedError(f"the taskset's prompt has a message of role {message.role!r}; {_SERVE}")
        messages.append([message.role, cut(content)])
    return [*system, *messages]


def _require_plain(task: Any) -> None:
    """Refuses tasks that need more than an answer: they could not be scored, or not as they are meant."""
    import inspect

    import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]

    name, kind = type(task).__name__, type(task)
    if task.data.prompt is None:
        raise RefusedError(f"{name} has no prompt (its user speaks first, turn by turn); {_SERVE}")
    if kind.NEEDS_CONTAINER or kind.toolsets(task.config):
        raise RefusedError(f"{name} needs {'a container' if kind.NEEDS_CONTAINER else 'tool servers'}; {_SERVE}")
    for method in ("setup", "finalize"):
        if getattr(kind, method) is not getattr(vf.Task, method):
            raise RefusedError(f"{name}.{method} prepares a runtime, and an answer has none; {_SERVE}")
    for hook in (*task.hooks("reward"), *task.hooks("metric")):
        runtime = inspect.signature(hook).parameters.get("runtime")
        if runtime is not None and runtime.default is inspect.Parameter.empty:
            raise RefusedError(f"{name}.{hook.__name__} reads a runtime, and an answer has none; {_SERVE}")


def _taskset(reference: str, config: dict[str, Any]) -> Any:
    """The taskset that an id, or "path.py:Class", stands for."""
    import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
    from verifiers.v1.utils.generic import concrete_type  # pyright: ignore[reportMissingImports]
    from verifiers.v1.utils.loaders import taskset_class  # pyright: ignore[reportMissingImports]

    path, _, name = reference.rpartition(":")
    try:
        if path.endswith(".py"):
            if not os.path.isfile(path):
                raise RefusedError(f"taskset={reference!r}: there is no file {path!r}")
            spec = importlib.util.spec_from_file_location("assay_taskset", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            kind = getattr(module, name)
        else:
            kind = taskset_class(reference)
        if not (isinstance(kind, type) and issubclass(kind, vf.Taskset)):
            raise RefusedError(f"taskset={reference!r} is no Taskset of verifiers")
        settings = concrete_type(kind, vf.TasksetConfig, origin=vf.Taskset) or vf.TasksetConfig
        return kind(settings(**config))
    except RefusedError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:400]
        raise RefusedError(
            f"taskset={reference!r} is not made: {type(error).__name__}: {text}; a package is installed with "
            f"{sys.executable} -m pip install NAME"
        ) from None
