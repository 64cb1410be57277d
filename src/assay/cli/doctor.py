"""`assay doctor RUN`: what is wrong with a run, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assay.doctor import Diagnosis, Symptom

FOUND = 3
"""Exit code where something was found."""


def doctor(
    run: Annotated[str, typer.Argument(metavar="RUN", help='A run folder, the name of a run, or "latest".')],
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Say what each rule looks for, found or not.")] = False,
) -> None:
    """Name what is wrong with a run, also while it runs: from its records, in seconds, without a model.

    Reward that nothing earns, groups that do not differ, collapse of entropy, steps too large or without effect, a gap
    between sampler and trainer, stale weights, wrong templates, answers cut off, failing verifiers and environments,
    test tasks in training, and more; each with the numbers, the step, a transcript, and what to set. Ends with code 0
    where nothing was found and with 3 where something was.

    Example: assay doctor latest
    """
    import json

    from assay.doctor import RULES, examine_folder
    from assay.errors import RunFolderError
    from assay.home import assay_home
    from assay.observe.folder import find_run, run_status
    from assay.observe.store import STORE_NAME

    folder = find_run(run, assay_home() / "runs")
    if not (folder / STORE_NAME).is_file():
        raise RunFolderError(f"{folder} has settings and no steps yet; wait for the first step")
    found = examine_folder(folder)
    status = run_status(folder, found.num_steps)
    if as_json:
        # ASCII only: control characters in model output stay escaped.
        typer.echo(json.dumps({"run": str(folder), "status": status, **found.to_dict()}, ensure_ascii=True, indent=2))
    else:
        for line in _lines(folder, status, found):
            typer.echo(line)
        for rule in RULES if rules else ():
            typer.echo(f"  {rule.name}: {rule.says}")
    if found.findings:
        raise typer.Exit(FOUND)


def _lines(folder: Path, status: str, found: Diagnosis) -> list[str]:
    lines = [f"{folder}: {status}, {found.num_steps} steps, {found.num_rollouts} rollouts"]
    for finding in found.findings:
        lines += _of(folder, finding)
    if not found.findings:
        lines.append("nothing is wrong, as far as the records say")
    lines += [f"not said: {name}: {why}" for name, why in found.unsaid.items()]
    return lines


def _of(folder: Path, finding: Symptom) -> list[str]:
    from assay.observe.visible import visible

    since = "" if finding.step is None else f" (step {finding.step + 1})"
    lines = [f"FOUND: {finding.rule}{since}: {visible(finding.what)}"]
    lines.append("  " + "  ".join(f"{name} {_number(value)}" for name, value in finding.numbers.items()))
    if finding.causes:
        lines.append(f"  may follow from: {', '.join(finding.causes)}; mend that first")
    if finding.place is not None:
        place = finding.place
        lines.append(f"  said: {visible(place.excerpt[:160])!r}")
        lines.append(
            f"  transcript: assay show {folder} --step {place.step + 1} --group {place.group} --member {place.member}"
        )
    return lines + [f"  --set {remedy}" for remedy in finding.remedies]


def _number(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
