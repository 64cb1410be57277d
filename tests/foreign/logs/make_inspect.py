"""Makes the logs of inspect-ai that the tests read, with the package itself and a scripted model.

    python -m venv /tmp/inspect && /tmp/inspect/bin/pip install inspect-ai==0.3.285
    /tmp/inspect/bin/python tests/foreign/logs/make_inspect.py tests/foreign/logs

Three tasks, three epochs: of "sums" before, one is solved always, one once, and all repeats of the third fail, so
that the package's own accuracy is 0.667 where 0.444 counts it. After, the third is solved twice. "broken" fails
altogether.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from inspect_ai import Task, eval  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.log import read_eval_log, write_eval_log  # pyright: ignore[reportMissingImports]
from inspect_ai.scorer import Score, match, mean, scorer  # pyright: ignore[reportMissingImports]
from inspect_ai.solver import solver  # pyright: ignore[reportMissingImports]

BEFORE = {"one": "777", "two": "7--", "three": "!!!"}
AFTER = {"three": "77-", "two": "77-", "one": "777"}
"""For each task what is answered in each epoch: "7" is right, "-" wrong, "!" an exception."""


def answered(plan: dict[str, str]):
    @solver
    def scripted():
        async def solve(state, generate):
            said = plan[str(state.sample_id)][state.epoch - 1]
            if said == "!":
                raise RuntimeError("the sandbox died")
            state.output.completion = said
            return state

        return solve

    return scripted()


@scorer(metrics={"form": [mean()], "content": [mean()]})
def marks():
    async def score(state, target):
        right = state.output.completion == target.text
        return Score(value={"form": 1.0, "content": 0.5 if right else 0.0}, answer=state.output.completion)

    return score


def made(folder: Path, name: str, task: str, plan: dict[str, str], as_json: bool = False) -> None:
    samples = [
        Sample(id=key, input=f"What is {key}?", target="7", metadata={"minutes": 2.0 ** len(key)}) for key in plan
    ]
    with tempfile.TemporaryDirectory() as place:
        (log,) = eval(
            Task(dataset=samples, solver=answered(plan), scorer=[match(), marks()], epochs=3, name=task),
            model="mockllm/model",
            log_dir=place,
            fail_on_error=False,
            display="none",
        )
        print(name, log.status, log.results.scores[0].metrics if log.results else None)
        if as_json:
            write_eval_log(read_eval_log(log.location), str(folder / name))
            data = json.loads((folder / name).read_text())
            for sample in data["samples"]:
                sample["events"] = []
                if "error" in sample:
                    sample["error"] |= {"traceback": "", "traceback_ansi": ""}
            (folder / name).write_text(json.dumps(data))
        else:
            (folder / name).write_bytes(Path(log.location).read_bytes())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    made(folder, "sums_before.eval", "sums", BEFORE)
    made(folder, "sums_after.eval", "sums", AFTER)
    made(folder, "sums_before.json", "sums", BEFORE, as_json=True)
    made(folder, "broken.eval", "sums", dict.fromkeys(BEFORE, "!!!"))
