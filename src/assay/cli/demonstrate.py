"""`assay demonstrate MODEL`: has a model answer training tasks, and keeps what the verifier accepts, to be imitated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import max_new_tokens_option, output_file, temperature_option
from assay.cli.endpoint import EndpointOptions
from assay.cli.engine import EngineOptions
from assay.cli.groups import with_groups
from assay.cli.sampled_model import REPLIES, SampledModel
from assay.cli.task_options import TaskOptions, plain, tasks_hash
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from assay.evaluation import EvalRow
    from assay.types import Task

READING = "reward"


@dataclass(frozen=True)
class AnswerOptions:
    """Options for the number of answers to a task, and for the verifier that accepts them."""

    num_tasks: Annotated[int, typer.Option(help="Tasks of each level, of the train split.", min=1)] = 100
    tries: Annotated[int, typer.Option(help="Answers to a task before it is left out.", min=1)] = 1
    verifier: Annotated[str, typer.Option(help="Who accepts an answer. Exact accepts the bare answer alone.")] = (
        "numeric"
    )
    verifier_settings: Annotated[
        list[str] | None,
        typer.Option("--verifier-set", metavar="KEY=VALUE", help="An option of the verifier."),
    ] = None
    temperature: Annotated[float | None, temperature_option("Default: 0 at the first try, 1 at the further ones.")] = (
        None
    )
    max_new_tokens: Annotated[int, max_new_tokens_option("Token limit of an answer; one cut off is not kept.")] = 512


@with_groups
def demonstrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help='The teacher: "openai:NAME" at an endpoint, or "default", a folder or a hub id on this machine.',
        ),
    ],
    output: Annotated[Path, typer.Option(callback=output_file, help="JSON lines: one accepted answer a task.")],
    chosen: TaskOptions,
    answers: AnswerOptions,
    engine: EngineOptions,
    endpoint: EndpointOptions,
) -> None:
    """Write demonstrations: sample answers to training tasks and keep, of each task, the first that the verifier
    accepts.

    What was sampled is kept in OUTPUT.work: the same command goes on where it was interrupted and pays for nothing
    twice. The file is what supervised fine-tuning reads; the lines of a recipe for it are printed at the end.
    """
    from rich.console import Console

    from assay.config import parse_overrides, validate
    from assay.engines.engine import Sampling
    from assay.environments import choose_levels, choose_tasks
    from assay.evaluation import EvaluationFolder
    from assay.observe.provenance import provenance
    from assay.seeds import derive_seed
    from assay.verifiers import make_verifier

    sampled = SampledModel.of(model, engine, endpoint)
    judge = make_verifier(answers.verifier, parse_overrides(answers.verifier_settings or []))
    if not judge.gives_verdicts:
        raise ConfigError(
            f"--verifier {answers.verifier} gives a number without a verdict, and demonstrations are the answers that "
            "are solved: say from which reward on they are, --verifier-set solved_at=NUMBER"
        )
    source = chosen.make()
    tasks = choose_tasks(source, "train", choose_levels(source, *chosen.dials), answers.num_tasks, chosen.seed)
    work = output.with_name(f"{output.name}.work").absolute()
    if sampled.endpoint is not None:
        sampled.replies = sampled.replies or work / REPLIES
    console = Console(highlight=False)
    kept: dict[str, tuple[Task, EvalRow, int]] = {}
    open_tasks, num_sampled = tasks, 0
    for number in range(1, answers.tries + 1):
        warmth = answers.temperature if answers.temperature is not None else 0.0 if number == 1 else 1.0
        sampling = validate(Sampling, {"temperature": warmth, "max_new_tokens": answers.max_new_tokens})
        record = {
            "environment": plain(source),
            # All of them: which are still open changes when one that could not be measured is tried again.
            "tasks": tasks_hash(tasks),
            "try": number,
            "sampling": plain(sampling),
            "seed": chosen.seed,
            "verifier": plain(judge),
            **sampled.identity,
        }
        made = {**provenance(), "model": model, "device": engine.device}
        if answers.tries > 1:
            console.print(f"try {number} of {answers.tries}: {len(open_tasks)} tasks")
        with EvaluationFolder(work / f"try-{number}", record, made) as folder:
            result = sampled.evaluate(
                folder,
                open_tasks,
                source,
                {READING: judge},
                sampling,
                samples=1,
                seed=derive_seed(chosen.seed, "demonstrate", number),
                settings=record,
                console=console,
                positions=[position for position, task in enumerate(tasks) if task.task_id not in kept],
            )
            folder.write_scores(result.to_dict())
        num_sampled += len(result.rows)
        for task, row in zip(open_tasks, result.rows, strict=True):
            if _accepted(row):
                kept[task.task_id] = (task, row, number)
        open_tasks = [task for task in open_tasks if task.task_id not in kept]
        counts = {
            name: sum(_fate(row) == name for row in result.rows) for name in dict.fromkeys(map(_fate, result.rows))
        }
        console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
        if not open_tasks:
            break
    if not kept:
        raise DataError(
            f"none of {num_sampled} answers to {len(tasks)} tasks was accepted by {answers.verifier}; look at them in "
            f"{work}, and give the teacher easier tasks, more tries, more tokens, or a verifier that reads its form"
        )
    _write(output, [_line(*kept[task.task_id], model) for task in tasks if task.task_id in kept])
    console.print(
        f"{len(kept)} of {len(tasks)} tasks have a demonstration, from {num_sampled} answers: {output}", soft_wrap=True
    )
    console.print(_recipe(output, tasks, answers.verifier), markup=False, soft_wrap=True)


def _accepted(row: EvalRow) -> bool:
    return _fate(row) == "kept"


def _fate(row: EvalRow) -> str:
    """Return the outcome of one answer: kept, or why not."""
    score = row.scores[READING]
    if score.value is None:
        return "not measured"
    if score.verdict.value != "solved" or not row.response.strip():
        return "rejected"
    # Imitating half an answer teaches to stop in the middle.
    return "kept" if row.ending == "finished" else f"accepted, but {row.ending}"


def _line(task: Task, row: EvalRow, number: int, model: str) -> dict[str, Any]:
    dials = {"complexity": task.complexity, "horizon": task.horizon}
    return {
        "prompt": [message.to_dict() for message in task.prompt],
        **({"tools": [tool.to_dict() for tool in task.tools]} if task.tools else {}),
        "answer": task.gold_text,
        "demonstration": row.response,
        **{name: dial for name, dial in dials.items() if dial is not None},
        "domain": task.domain,
        "task_id": task.task_id,
        "model": model,
        "try": number,
    }


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Writes the file whole or not at all."""
    from assay.observe.whole import written_whole

    with written_whole(path) as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _recipe(path: Path, tasks: list[Task], verifier: str) -> str:
    """The tables of a recipe that imitates the file."""
    dials = [name for name in ("complexity", "horizon") if all(getattr(task, name) is not None for task in tasks)]
    return "\n".join(
        [
            "",
            "to imitate them, in a recipe for assay train:",
            "",
            "group_size = 1",
            'algorithm = { name = "sft" }',
            f'verifier = {{ name = "{verifier}" }}',
            "",
            "[environment]",
            'name = "rows"',
            f"path = {json.dumps(str(path))}",
            'demonstration = "{demonstration}"',
            *(f'{name} = "{name}"' for name in dials),
        ]
    )
