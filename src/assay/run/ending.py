"""The end of a run: the last checkpoint, the closing test, the summary and the report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.config import dump
from assay.observe.activity import doing
from assay.observe.folder import read_json, write_json
from assay.observe.provenance import provenance
from assay.observe.report import write_report

if TYPE_CHECKING:
    from assay.run.run import Run

_NOT_FOR_TRACKERS = (
    "settings",
    "previous",
    "alarms",
    "of_k",
    "owed_to",
    "also",
    "groups_by_level",
    "versions",
    "git",
    "machine",
    "readings",
    "transcripts",
)
"""Parts of the summary that are no result, or that trackers were told at the start."""
_LOOK_SECONDS = 0.1
"""Between two looks at whether a person has asked the run to stop."""


async def finish(run: Run) -> dict[str, Any]:
    """Keeps, tests and reports; returns the summary, which is in the run folder too."""
    is_finished = not run.clock.stop_requested
    run.keeping.keep_last()
    run.keeping.link_model()
    earlier = read_json(run.folder / "summary.json")
    if is_finished and earlier.get("status") == "finished" and earlier.get("num_steps") == run.position.step:
        run.records.console.message(
            f"the run is finished already, after {run.position.step} steps; to train it further: "
            f"{_resume_command(run, 'finished')}"
        )
        run.records.finish(_for_trackers(earlier), "finished")
        return earlier
    tested: dict[str, Any] | None = {}
    if is_finished and (run.config.evaluation.test_tasks or run.config.evaluation.also):
        tested = await _test(run)
        is_finished = tested is not None
    # After the test, so that the duration includes it.
    summary = {**_summary(run, "finished" if is_finished else "interrupted"), **(tested or {})}
    if not is_finished and (measured := earlier if earlier.keys() & {"readings", "also"} else earlier.get("previous")):
        # An extended run that is interrupted keeps what it had measured.
        summary["previous"] = measured
    if lost := run.records.finish(_for_trackers(summary), summary["status"]):
        summary["points_lost_by_trackers"] = lost
    write_json(run.folder / "summary.json", summary)
    with doing("writing the report"):
        write_report(run.folder)
    return summary


async def _test(run: Run) -> dict[str, Any] | None:
    """The closing test and the other environments, a part of the summary; None where a person asked the run to stop
    during it."""

    async def measure() -> dict[str, Any]:
        own = await run.measurements.test(run.model) if run.config.evaluation.test_tasks else {}
        return {**own, **await run.measurements.others_after(run.model)}

    run.clock.is_testing = True
    test = asyncio.create_task(measure())
    while not test.done():
        await asyncio.wait([test], timeout=_LOOK_SECONDS)
        if run.clock.stop_requested and test.cancel():
            await asyncio.wait([test])
    return None if test.cancelled() else test.result()


def _for_trackers(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in _NOT_FOR_TRACKERS}


def _summary(run: Run, status: str) -> dict[str, Any]:
    position, model = run.position, run.keeping.model_to_use
    return {
        "name": run.config.name,
        "status": status,
        "seconds": round(run.clock.seconds, 1),
        "num_steps": position.step,
        "sampled_tokens": position.sampled_tokens,
        "trained_tokens": position.trained_tokens,
        "groups_by_level": position.groups_by_level,
        "best_step": position.best_step,
        "alarms": [alarm.to_dict() for alarm in run.watching.alarms],
        "model": str(model),
        "model_folder": str(run.model.folder),
        **run.learner.parameter_counts(),
        "settings": dump(run.config),
        "commands": {**_uses(run, model), "go on": _resume_command(run, status)},
        **provenance(),
    }


def _uses(run: Run, model: Path) -> dict[str, str]:
    """Return what can be done with the run and its model, each by a command."""
    look = {"look at the run": f"assay show {run.folder}"}
    if run.algorithm.needs.rewards:
        source = f"--set verifier.name=reward_model --set verifier.source={model}"
        return {**look, "train by it": f"assay train RECIPE {source}"}
    talk = {"talk to it": f"assay chat {model}", **look}
    # Comparisons are measured in the run: they are no tasks to be answered.
    measure = {"measure it": f"assay eval {model} --recipe {run.folder}"}
    return talk if run.algorithm.needs.pairs else talk | measure


def _resume_command(run: Run, status: str) -> str:
    command = f"assay train --resume {run.folder}"
    if status != "finished":
        return command
    # A finished run goes on only where it is given further to go.
    command += f" --set num_steps={2 * max(run.position.step, run.config.num_steps)}"
    if run.config.max_seconds is not None:
        command += f" --set max_seconds={2 * run.clock.seconds:.0f}"
    if run.config.max_sampled_tokens is not None:
        command += f" --set max_sampled_tokens={2 * run.position.sampled_tokens}"
    return command
