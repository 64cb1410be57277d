"""Which families of reasoning-gym a model could learn: greedy accuracy and pass@k before training, family by level.

    python recipes/reasoning_gym/survey.py --families chain_sum,spell_backward --levels 1,2 --output survey
    python recipes/reasoning_gym/survey.py --output survey        # every family, its three easiest levels

A family can be learnt from where the model solves some tasks and not most: pass@k between 5 and 60 %. Where one gold
answer is that of many tasks, what is learnt may be to give it every time; `constant` is what that would earn. Results
are kept cell by cell in OUTPUT/cells.jsonl: the same command goes on where it was stopped. At the end OUTPUT has
survey.json and survey.md, the learnable cells first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from assay.cli.engine import EngineOptions, Precision, load_engine
from assay.engines import LocalEngine, Sampling
from assay.environments.reasoning_gym import ReasoningGym, ReasoningGymScorer
from assay.environments.reasoning_gym.environment import families
from assay.errors import AssayError, DataError
from assay.evaluation import Evaluation, commonest_answer, evaluate
from assay.models import open_model
from assay.observe.folder import write_json
from assay.observe.provenance import provenance
from assay.render import ChatRenderer
from assay.types import Task

LEARNABLE = (0.05, 0.60)
"""Of pass@k: some tasks are solved now and then, and there is room above."""
READING = "reasoning_gym"


def main() -> None:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "families", "levels")}
    path = options.output / "cells.jsonl"
    done = read_cells(path, settings)
    wanted = list(cells(options.families or list(families()), options.levels))
    engine, renderer = load_engine(open_model(options.model), EngineOptions(dtype=Precision(options.dtype)))
    try:
        asyncio.run(survey(wanted, done, path, settings, options, engine, renderer))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
    found = sorted((done[cell] for cell in wanted if cell in done), key=order)
    write_json(options.output / "survey.json", {"settings": settings, "cells": found, **provenance()})
    (options.output / "survey.md").write_text(table(found, options.samples), encoding="utf-8")
    print(f"{len(found)} of {len(wanted)} cells: {options.output / 'survey.md'}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--families", type=lambda text: text.split(","), help="default: all")
    parser.add_argument(
        "--levels", type=lambda text: [float(part) for part in text.split(",")], default=[1.0, 2.0, 3.0]
    )
    parser.add_argument("--num-tasks", type=int, default=32, help="of each cell")
    parser.add_argument("--samples", type=int, default=8, help="of each task, at temperature 1")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--max-prompt-tokens", type=int, default=768, help="cells with longer prompts are left out")
    parser.add_argument("--instruction", default=ReasoningGym.model_fields["instruction"].default)
    parser.add_argument("--examples", type=int, default=2, help="exchanges that show the form of an answer")
    parser.add_argument("--split", default="validation", choices=["train", "validation", "test"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


Cell = tuple[str, float | None]


def cells(names: list[str], levels: list[float]) -> list[Cell]:
    """Each family at those of the levels that it has; without a dial, its one setting."""
    wanted: list[Cell] = []
    for name in names:
        dials = [complexity for complexity, _ in ReasoningGym(family=name).levels()]
        wanted += [(name, dial) for dial in dials if dial is None or dial in levels]
    return wanted


async def survey(
    wanted: list[Cell],
    done: dict[Cell, dict[str, Any]],
    path: Path,
    settings: dict[str, Any],
    options: argparse.Namespace,
    engine: LocalEngine,
    renderer: ChatRenderer,
) -> None:
    kept = path.read_bytes() if path.exists() else b""
    with path.open("a", encoding="utf-8") as file:
        if kept and not kept.endswith(b"\n"):
            # The next row must not join a line that was cut short.
            file.write("\n")
        for number, cell in enumerate(wanted, 1):
            if cell in done:
                continue
            began = time.monotonic()
            try:
                found = await measure(cell, options, engine, renderer)
            except AssayError as error:
                found = {"problem": str(error).splitlines()[0][:200]}
            row = {"family": cell[0], "complexity": cell[1], **found, "seconds": round(time.monotonic() - began, 1)}
            done[cell] = row
            file.write(json.dumps({**row, "settings": settings}) + "\n")
            file.flush()
            print(f"{number} of {len(wanted)}: {shown(row, options.samples)}", file=sys.stderr, flush=True)
    await engine.close()


async def measure(
    cell: Cell, options: argparse.Namespace, engine: LocalEngine, renderer: ChatRenderer
) -> dict[str, Any]:
    examples = options.examples
    try:
        tasks = tasks_of(cell, options, examples)
    except DataError:
        # Some families have no answers to show.
        examples, tasks = 0, tasks_of(cell, options, 0)
    longest = max(len(renderer.render(task.prompt)) for task in tasks)
    if longest > options.max_prompt_tokens:
        return {"problem": f"prompts of up to {longest} tokens"}

    async def sample(tasks: list[Task], temperature: float, samples: int) -> Evaluation:
        engine.forget()
        return await evaluate(
            tasks,
            engine=engine,
            renderer=renderer,
            verifiers={READING: ReasoningGymScorer()},
            sampling=Sampling(temperature=temperature, max_new_tokens=options.max_new_tokens),
            seed=options.seed,
            samples_per_task=samples,
        )

    greedy = await sample(tasks, 0.0, 1)
    sampled = await sample(tasks, 1.0, options.samples)
    return {
        "num_tasks": len(tasks),
        "examples": examples,
        "greedy": greedy.accuracy(READING).to_dict(),
        "pass_at_1": sampled.accuracy(READING).to_dict(),
        "pass_at_k": sampled.pass_at_k(READING, options.samples).to_dict(),
        "constant": commonest_answer(greedy).to_dict(),
        "num_not_measured": sampled.num_not_measured(READING) + greedy.num_not_measured(READING),
        "mean_tokens": round(sampled.mean_tokens, 1),
        "truncated_share": sum(row.ending.startswith("truncated") for row in sampled.rows) / sampled.num_samples,
        "example": {"prompt": tasks[0].prompt[-1].content, "answer": tasks[0].answer, "said": greedy.rows[0].response},
    }


def tasks_of(cell: Cell, options: argparse.Namespace, examples: int) -> list[Task]:
    domain = ReasoningGym(family=cell[0], instruction=options.instruction, examples=examples)
    tasks = domain.tasks(options.split, complexity=cell[1], seed=options.seed)
    return list(itertools.islice(tasks, options.num_tasks))


def read_cells(path: Path, settings: dict[str, Any]) -> dict[Cell, dict[str, Any]]:
    """Cells that were measured before; a last line that was cut short is measured again."""
    done: dict[Cell, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.pop("settings") != settings:
            raise SystemExit(f"{path} was measured with other settings; choose another --output")
        done[row["family"], row["complexity"]] = row
    return done


def is_learnable(row: dict[str, Any]) -> bool:
    return "pass_at_k" in row and LEARNABLE[0] <= row["pass_at_k"]["value"] <= LEARNABLE[1]


def order(row: dict[str, Any]) -> tuple[int, float, str, float]:
    kind = 2 if "problem" in row else 0 if is_learnable(row) else 1
    value = -row["pass_at_k"]["value"] if "pass_at_k" in row else math.inf
    return kind, value, row["family"], row["complexity"] or 0.0


def shown(row: dict[str, Any], samples: int) -> str:
    place = row["family"] + ("" if row["complexity"] is None else f" c{row['complexity']:g}")
    if "problem" in row:
        return f"{place}: {row['problem']}"
    return (
        f"{place}: greedy {percent(row['greedy'])}, pass@1 {percent(row['pass_at_1'])}, pass@{samples} "
        f"{percent(row['pass_at_k'])}, {row['seconds']:.0f} s"
    )


def percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['value']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def table(rows: list[dict[str, Any]], samples: int) -> str:
    lines = [
        f"| family | complexity | tasks | greedy | pass@1 | pass@{samples} | constant | tokens | learnable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        place = f"| `{row['family']}` | {'-' if row['complexity'] is None else format(row['complexity'], 'g')}"
        if "problem" in row:
            lines.append(f"{place} | - | - | - | - | - | - | {row['problem'].replace('|', ' ')} |")
        else:
            cells = [percent(row[key]) for key in ("greedy", "pass_at_1", "pass_at_k")]
            learnable = "yes" if is_learnable(row) else ""
            constant = f"{100 * row['constant']['share']:.1f} %"
            columns = [str(row["num_tasks"]), *cells, constant, f"{row['mean_tokens']:.0f}", learnable]
            lines.append(f"{place} | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
