"""`assay eval MODEL`: accuracy and pass@k on a domain's held-out tasks, with intervals; resumable."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.engine import Precision, load_engine
from assay.cli.options import parse_options
from assay.cli.progress import progress
from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from assay.domains import Domain
    from assay.engines import BatchingEngine
    from assay.engines.engine import Sampling
    from assay.evaluation import Evaluation, EvaluationFolder
    from assay.recipe import RunConfig
    from assay.render import ChatRenderer
    from assay.types import Task
    from assay.verifiers import Verifier

DEFAULT_KS = (1, 4, 8)

Levels = Sequence[tuple[float | None, float | None]]


class SplitName(StrEnum):
    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help='"default", a Hugging Face folder, or a hub id; or an adapter.')
    ],
    base: Annotated[
        str | None,
        typer.Option(help="Of an adapter: the model it is put on. Default: the one it names.", show_default=False),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="Where the tasks come from. Default: arithmetic.", show_default=False)
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A recipe or a run folder: take its domain with its options, its levels, and its two readings.",
            show_default=False,
        ),
    ] = None,
    complexity: Annotated[
        str | None, typer.Option(help="Only these, such as 2 or 1,2,3. Default: each the domain lists.")
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="Only these. Default: each the domain lists.")] = None,
    split: Annotated[SplitName, typer.Option(help="Which split of the domain.")] = SplitName.TEST,
    num_tasks: Annotated[int, typer.Option(help="Tasks of each level.", min=1)] = 200,
    samples: Annotated[int, typer.Option(help="Samples of each task (n of pass@k).", min=1)] = 1,
    k: Annotated[
        str | None, typer.Option("--k", help="pass@k for these k. Default: those of 1,4,8 up to --samples.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy. Default: 0 for one sample, 1 for several.")
    ] = None,
    top_p: Annotated[float, typer.Option(help="Share of the probability that is sampled from.")] = 1.0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(help="Token limit of a response. Default: the recipe's, or 256.", min=1, show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the tasks and the samples.")] = 0,
    verifier: Annotated[
        str | None,
        typer.Option(help="How the answer is read; several are tabulated. Default: exact,numeric.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the domain, such as path=problems.jsonl."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the evaluation. Default: under ~/.assay/evals.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help='"auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".')] = "auto",
    dtype: Annotated[Precision, typer.Option(help="fp32 is exact; bf16 is faster where the machine has it.")] = (
        Precision.FP32
    ),
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="In place of the tokenizer's own: plain (for a base model), chatml, or a Jinja file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure a model on held-out tasks: accuracy and unbiased pass@k, each with a 95 % interval.

    Rows are kept as they end: the same command continues an evaluation that was interrupted. Settings, rows and scores
    are in the folder that is printed at the end.
    """
    from rich.console import Console

    from assay.config import validate
    from assay.domains import DOMAINS, make_domain
    from assay.engines.engine import Sampling
    from assay.evaluation import EvaluationFolder
    from assay.home import assay_home
    from assay.observe.provenance import provenance
    from assay.policies.registry import base_of, resolve_model
    from assay.render import read_chat_template
    from assay.verifiers import make_verifier

    ks = _ks(k, samples)
    chosen = _numbers("--complexity", complexity), _numbers("--horizon", horizon)
    if recipe is None:
        verifiers = {name: make_verifier(name) for name in _names("--verifier", verifier or "exact,numeric")}
        name = domain or "arithmetic"
        source = make_domain(name, parse_options(settings or [], DOMAINS.get(name)))
        levels = _levels(source, *chosen)
    else:
        if domain is not None or verifier is not None or settings:
            raise ConfigError(
                "--domain, --set and --verifier have no effect with --recipe, which has them; leave them out"
            )
        config = _recipe(recipe)
        verifiers = {"strict": config.evaluation.strict, "lenient": config.evaluation.lenient}
        source = config.domain
        max_new_tokens = max_new_tokens or config.evaluation.test_max_new_tokens
        of_recipe = tuple((level.complexity, level.horizon) for level in config.curriculum.levels)
        levels = _levels(source, *chosen) if any(chosen) else of_recipe
    if temperature is None:
        temperature = 0.0 if samples == 1 else 1.0
    sampling = validate(Sampling, {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens or 256})
    if sampling.temperature == 0 and (samples > 1 or top_p < 1):
        given = f"--samples {samples}" if samples > 1 else f"--top-p {top_p:g}"
        raise ConfigError(f"{given} has no effect at --temperature 0, where every sample is the same; raise it")
    tasks = _tasks(source, split.value, levels, num_tasks, seed)
    folder = resolve_model(model)
    whole = base_of(folder, None if base is None else resolve_model(base))
    record = {
        "weights": _weights_hash(folder, whole),
        "domain": _plain(source),
        "split": split.value,
        "levels": [list(level) for level in levels],
        "num_tasks": num_tasks,
        "tasks": _tasks_hash(tasks),
        "samples": samples,
        "sampling": _plain(sampling),
        "seed": seed,
        "verifiers": {name: _plain(each) for name, each in verifiers.items()},
        "dtype": dtype.value,
        **({"chat_template": read_chat_template(chat_template)} if chat_template else {}),
    }
    label = "-".join([Path(model).name or "model", source.name, _hash(json.dumps(record, sort_keys=True).encode())[:8]])
    place = (output or assay_home() / "evals" / label).absolute()
    made = {**provenance(), "model": model, "model_folder": str(folder), "base_folder": str(whole), "device": device}
    console = Console(highlight=False)
    with EvaluationFolder(place, record, made) as kept:
        on = None if whole == folder else whole
        engine = partial(load_engine, folder, device, dtype, chat_template=chat_template, base=on)
        result = _run(kept, tasks, engine, verifiers, sampling, samples, seed, record, console)
        scores = kept.write_scores(result.to_dict(ks))
    console.print(_table(result, ks))
    for reading in result.readings:
        if missing := result.num_not_measured(reading):
            bounds = result.bounds(reading)
            console.print(
                f"{missing} of {result.num_samples} samples were not measured under {reading}: accuracy would be "
                f"{100 * bounds.all_failed:.1f} % had all failed, {100 * bounds.all_solved:.1f} % had all been solved. "
                "The same command tries them again."
            )
    console.print(f"scores: {scores}", soft_wrap=True)


def _run(
    kept: EvaluationFolder,
    tasks: Sequence[Task],
    load: Callable[[], tuple[BatchingEngine, ChatRenderer]],
    verifiers: Mapping[str, Verifier],
    sampling: Sampling,
    samples: int,
    seed: int,
    settings: dict[str, Any],
    console: Console,
) -> Evaluation:
    import asyncio

    from assay.evaluation import evaluate

    total = len(tasks) * samples
    num_done = sum(row.measured for row in kept.rows)
    if num_done:
        console.print(f"{num_done} of {total} samples were there before")
    engine, renderer = load()

    async def measure() -> Evaluation:
        try:
            with progress("samples", num_done, total) as advance:

                def keep(row: Any) -> None:
                    kept.append(row)
                    advance()

                return await evaluate(
                    tasks,
                    engine=engine,
                    renderer=renderer,
                    verifiers=verifiers,
                    sampling=sampling,
                    seed=seed,
                    samples_per_task=samples,
                    on_row=keep,
                    done=kept.rows,
                    settings=settings,
                )
        finally:
            await engine.close()

    try:
        return asyncio.run(measure())
    except KeyboardInterrupt:
        console.print("stopped; the same command continues this evaluation")
        raise


def _recipe(place: Path) -> RunConfig:
    """The settings of a recipe file, or of the run in a folder."""
    from assay.config import load
    from assay.launch import read_run_record
    from assay.recipe import RunConfig

    return load(RunConfig, read_run_record(place)["settings"] if place.is_dir() else place)


def _table(result: Evaluation, ks: Sequence[int]) -> Table:
    """Accuracy, and pass@k, of each level under each reading."""
    from rich.table import Table

    table = Table(title="accuracy, with 95 % intervals over tasks")
    columns = [(reading, k) for reading in result.readings for k in (None, *(k for k in ks if k > 1))]
    table.add_column("level")
    table.add_column("tasks", justify="right")
    for reading, k in columns:
        table.add_column(reading if k is None else f"{reading} pass@{k}", justify="right")
    parts = result.by_level()
    if len(parts) > 1:
        parts["all"] = result
    for level, part in parts.items():
        cells = [_cell(part, reading, k) for reading, k in columns]
        table.add_row(level, str(part.num_tasks), *cells, end_section=list(parts)[-2:-1] == [level])
    return table


def _cell(part: Evaluation, reading: str, k: int | None) -> str:
    enough = any(measured >= (k or 1) for measured, _ in part.counts(reading).values())
    if not enough:
        return "not measured"
    return (part.accuracy(reading) if k is None else part.pass_at_k(reading, k)).as_percent()


def _tasks(domain: Domain, split: Any, levels: Levels, num_tasks: int, seed: int) -> list[Task]:
    """The first tasks of each level; one that an easier level has too is taken there."""
    found: dict[str, Task] = {}
    for complexity, horizon in levels:
        tasks = domain.tasks(split, complexity=complexity, horizon=horizon, seed=seed)
        fresh = (task for task in tasks if task.task_id not in found)
        found |= {task.task_id: task for task in itertools.islice(fresh, num_tasks)}
    return list(found.values())


def _levels(domain: Domain, complexities: list[float], horizons: list[float]) -> Levels:
    """The listed levels that have the wanted dials; where none has them, the dials as they were asked for."""
    listed = [
        (complexity, horizon)
        for complexity, horizon in domain.levels()
        if (not complexities or complexity in complexities) and (not horizons or horizon in horizons)
    ]
    asked = list(itertools.product(complexities or [None], horizons or [None]))
    if complexities and horizons:
        return asked
    return listed or asked


def _ks(text: str | None, samples: int) -> tuple[int, ...]:
    if text is None:
        return tuple(k for k in DEFAULT_KS if k <= samples)
    numbers = sorted(set(_numbers("--k", text)))
    ks = tuple(map(int, numbers))
    if not ks or list(ks) != numbers or ks[0] < 1 or ks[-1] > samples:
        raise ConfigError(f"--k {text}: each must be a whole number from 1 to --samples, which is {samples}")
    return ks


def _numbers(option: str, text: str | None) -> list[float]:
    try:
        numbers = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option} {text}: expected numbers with commas between, such as 1,2,3")
    return numbers


def _names(option: str, text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise ConfigError(f"{option} {text!r}: expected names with commas between")
    return list(dict.fromkeys(names))


def _plain(settings: Any) -> dict[str, Any]:
    """A component's settings as plain data."""
    from assay.config import Settings, dump

    return dump(settings) if isinstance(settings, Settings) else {"name": settings.name}


def _weights_hash(folder: Path, base: Path) -> str:
    """Hash of the weight files, so that a model that was trained on under the same name is another model.

    Args:
        base: of an adapter; the folder itself where it is a whole model.
    """
    digest = hashlib.sha256()
    for path in (path for each in dict.fromkeys((folder, base)) for path in sorted(each.glob("*.safetensors"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _tasks_hash(tasks: Sequence[Task]) -> str:
    return _hash(" ".join(task.task_id for task in tasks).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
