"""The end of a run: the last checkpoint, the closing test, the summary and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.config import dump
from assay.observe.folder import read_json, write_json
from assay.observe.provenance import provenance
from assay.observe.report import write_report

if TYPE_CHECKING:
    from assay.run.run import Run

_NOT_FOR_TRACKERS = ("settings", "previous", "groups_by_level", "versions", "git", "machine", "readings", "transcripts")
"""Parts of the summary that are no result, or that trackers were told at the start."""


async def finish(run: Run) -> dict[str, Any]:
    """Keeps, tests and reports; returns the summary, which is in the run folder too."""
    is_finished = not run.clock.stop_requested
    run.keeping.keep_last()
    run.keeping.link_model()
    summary = _summary(run, "finished" if is_finished else "interrupted")
    earlier = read_json(run.folder / "summary.json")
    if not is_finished and "gain" in earlier:
        # An extended run that is interrupted keeps what it had measured.
        summary["previous"] = earlier
    if is_finished and run.config.evaluation.test_tasks:
        summary |= await run.measurements.test(run.model)
        # The whole duration, the test included.
        summary["seconds"] = round(run.clock.seconds, 1)
    measured = {key: value for key, value in summary.items() if key not in _NOT_FOR_TRACKERS}
    if lost := run.records.finish(measured, summary["status"]):
        summary["points_lost_by_trackers"] = lost
    write_json(run.folder / "summary.json", summary)
    write_report(run.folder)
    return summary


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
        "model": str(model),
        "model_folder": str(run.model.folder),
        **run.learner.parameter_counts(),
        "settings": dump(run.config),
        "commands": {
            "talk to it": f"assay chat {model}",
            "look at the run": f"assay show {run.folder}",
            "measure it": f"assay eval {model} --recipe {run.folder}",
            "go on": _resume_command(run, status),
        },
        **provenance(),
    }


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
