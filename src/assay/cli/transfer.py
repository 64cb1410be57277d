"""`assay transfer SPEC`: what training on each environment does to each, as a matrix with intervals."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.groups import with_groups
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.cli.transfer_models import TransferModels
    from assay.evaluation import Evaluation
    from assay.evaluation.sweep import SweepRun
    from assay.evaluation.transfer import SequenceStage, TransferArm, TransferPlan

RESULT, TABLE, REPORT = "transfer.json", "table.json", "report.md"


@dataclass(frozen=True)
class TransferOptions:
    """Options in place of what the table [transfer] of a spec says."""

    train: Annotated[
        str | None,
        typer.Option(
            help="What is trained on, with commas between: names of the spec or of Assay, with settings "
            "(arithmetic:level=1), mixtures of two (a+b), and mix, the mixture of all.",
            show_default=False,
        ),
    ] = None
    evaluate: Annotated[
        str | None,
        typer.Option(
            "--eval", help="What every model is measured on. Default: what is trained on.", show_default=False
        ),
    ] = None
    sequence: Annotated[
        str | None,
        typer.Option(help="Environments that one model goes through in this order.", show_default=False),
    ] = None
    seeds: Annotated[int | None, typer.Option(help="Number of seeds. Default: 3.", min=1, show_default=False)] = None
    tokens: Annotated[
        int | None, typer.Option(help="Sampled tokens of each training run.", min=1, show_default=False)
    ] = None
    tasks: Annotated[
        int | None,
        typer.Option(help="Held-out tasks of each environment. Default: 96.", min=2, show_default=False),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that were given, by the name that they have in the spec."""
        lists = {"train": self.train, "evaluate": self.evaluate, "sequence": self.sequence}
        found: dict[str, Any] = {
            key: [part.strip() for part in text.split(",") if part.strip()]
            for key, text in lists.items()
            if text is not None
        }
        numbers = {"seeds": self.seeds, "tokens": self.tokens, "tasks": self.tasks}
        return found | {key: value for key, value in numbers.items() if value is not None}


@with_groups
def transfer(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help=r"A recipe in TOML, with \[environments.NAME] and \[transfer].")
    ],
    options: TransferOptions,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the recipe: --set trainer.learning_rate=2e-5."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the experiment. Default: ~/.assay/transfer/NAME.", show_default=False),
    ] = None,
) -> None:
    """Train from one base on each environment and on mixtures, with as many tokens each, and measure every environment
    before and after, on the same held-out tasks.

    Out come the matrix of differences with intervals over seeds and tasks, corrected for their number; how efficient
    transfer is; what was forgotten. The same command continues an experiment: what was trained or measured with the
    same settings is not made again, and more seeds or environments add to it.
    """
    from assay.evaluation.transfer import TransferPlan
    from assay.home import assay_home

    typer.echo(f"assay transfer: reading {spec}", err=True)
    plan = TransferPlan.load(spec, options.given, settings or [])
    folder = (output or assay_home() / "transfer" / plan.name).absolute()
    from assay.cli.transfer_models import TransferModels

    experiment = _Experiment(plan, TransferModels.of(plan, folder))
    typer.echo(_announced(plan, folder))
    experiment.run()
    if experiment.problems:
        typer.echo("some cells are missing, see above; the same command tries them again", err=True)
        raise typer.Exit(1)


def _announced(plan: TransferPlan, folder: Path) -> str:
    num_stages = max(len(plan.sequence) - 1, 0)
    num_runs = (len(plan.fresh) + num_stages) * len(plan.seeds)
    in_sequence = f" and {' then '.join(arm.name for arm in plan.sequence)}" if plan.sequence else ""
    num_models = num_runs + 1
    return (
        f"{num_runs} training runs ({', '.join(arm.name for arm in plan.fresh)}{in_sequence}; seeds "
        f"{', '.join(map(str, plan.seeds))}) of {plan.tokens:,} sampled tokens, {num_runs * plan.tokens:,} in all;\n"
        f"{num_models} models measured on {len(plan.evaluated)} environments "
        f"({', '.join(each.filed_as for each in plan.evaluated)}), {plan.settings.tasks} tasks each\n"
        f"folder: {folder}"
    )


@dataclass
class _Experiment:
    """A transfer experiment under way."""

    plan: TransferPlan
    models: TransferModels
    base: dict[str, Evaluation] = field(default_factory=dict)
    after: dict[str, dict[int, dict[str, Evaluation]]] = field(default_factory=dict)
    """Arm to seed to environment to evaluation."""
    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Arm to what is known of its runs."""
    problems: list[str] = field(default_factory=list)
    runs: dict[tuple[str, int], SweepRun] = field(default_factory=dict)
    """(arm, seed) to the run that was trained and measured."""
    stages: list[SequenceStage] = field(default_factory=list)
    """Those of the sequence."""
    last_of_stage: dict[int, SweepRun] = field(default_factory=dict)
    """Seed to the run of the stage that has ended last."""

    def run(self) -> None:
        """Make what is missing, cell by cell, and write the result after each."""
        self.base = self.models.measure(Path("base"), self.models.config.model.source)
        from assay.evaluation.transfer import SequenceStage

        self.stages = [SequenceStage(arm.parts[0].filed_as) for arm in self.plan.sequence]
        waiting: list[tuple[TransferArm, int, int]] = []
        for seed in self.plan.seeds:
            waiting += [(arm, seed, 0) for arm in self.plan.fresh]
            # The first stage is a fresh model's.
            waiting += [(arm, seed, stage) for stage, arm in enumerate(self.plan.sequence) if stage]
        began, num_made, result = time.monotonic(), 0, self._write()
        for number, (arm, seed, stage) in enumerate(waiting, start=1):
            cell_began = time.monotonic()
            if stage:
                self._stage(stage, arm, seed)
            else:
                self._cell(arm, seed)
            # What was there before took no time, and says nothing of the time that is left.
            num_made += time.monotonic() - cell_began > 1
            result = self._write()
            typer.echo(self._progress(number, len(waiting), num_made, time.monotonic() - began))
        self._finish(result)

    def _cell(self, arm: TransferArm, seed: int) -> None:
        """Train an arm at a seed, and measure what came of it; what fails is a problem and does not stop the rest."""
        run, finished = self.models.train(arm, seed)
        self.facts.setdefault(arm.name, []).append(self.models.facts(run, arm))
        if not finished:
            self.problems.append(f"{arm.name} seed {seed} was not trained: see {self._log(run)}")
            return
        try:
            measured = self.models.measure(Path(run.path), self.models.model(run))
        except AssayError as error:
            self.problems.append(f"{arm.name} seed {seed} was not measured: {error}")
            typer.echo(self.problems[-1], err=True)
            return
        self.after.setdefault(arm.name, {})[seed] = measured
        self.runs[arm.name, seed] = run

    def _stage(self, number: int, arm: TransferArm, seed: int) -> None:
        """Train the model of the stage before on the next environment, and measure it; beside it stands the fresh
        one's."""
        from assay.evaluation.transfer import TransferStage

        fresh = [self.plan.fresh_like(each).name for each in self.plan.sequence]
        if number == 1 and (run := self.runs.get((fresh[0], seed))) is not None:
            self._ended(0, run, self.after[fresh[0]][seed], run)
        if seed not in self.stages[number - 1].after:
            self.problems.append(f"{arm.name} seed {seed} in sequence: the stage before is missing")
            return
        before = self.last_of_stage[seed]
        try:
            start = TransferStage(before.cell.name, self.models.model(before), before.cell.name)
            run, finished = self.models.train(arm, seed, start)
            self.stages[number].runs.append(self.models.facts(run, arm))
            if not finished:
                self.problems.append(f"{arm.name} seed {seed} in sequence was not trained: see {self._log(run)}")
                return
            measured = self.models.measure(Path(run.path), self.models.model(run))
        except AssayError as error:
            self.problems.append(f"{arm.name} seed {seed} in sequence was not measured: {error}")
            typer.echo(self.problems[-1], err=True)
            return
        self._ended(number, run, measured, self.runs.get((fresh[number], seed)))

    def _ended(self, number: int, run: SweepRun, measured: dict[str, Evaluation], fresh: SweepRun | None) -> None:
        """Keep what came of a stage, and the probes along it and along the fresh model's training."""
        stage = self.stages[number]
        stage.after[run.seed] = measured
        self.last_of_stage[run.seed] = run
        for kept, each in ((stage.own, run), (stage.fresh, fresh)):
            if each is not None and (trajectory := self.models.trajectory(each)) is not None:
                kept[run.seed] = trajectory

    def _log(self, run: SweepRun) -> Path:
        folder = self.models.folder / "runs" / run.path
        return folder.with_name(f"{folder.name}.output.txt")

    @staticmethod
    def _progress(number: int, total: int, num_made: int, seconds: float) -> str:
        from assay.cli.progress import time_left

        left = time_left(num_made, total - number, seconds)
        return ", ".join(filter(None, (f"{number} of {total} runs trained and measured", left)))

    def _write(self) -> dict[str, Any]:
        """Write what is known so far."""
        from assay.evaluation.transfer import transfer_markdown
        from assay.observe.folder import write_json
        from assay.observe.provenance import provenance

        result = self._result()
        write_json(self.models.folder / RESULT, {**result, "provenance": provenance()})
        (self.models.folder / REPORT).write_text(transfer_markdown(result), encoding="utf-8")
        return result

    def _result(self) -> dict[str, Any]:
        from assay.evaluation.transfer import ArmResults, sequence_result, transfer_matrix

        plan, reading = self.plan, self.plan.settings.reading
        names = [each.filed_as for each in plan.evaluated]
        arms = [
            ArmResults(arm.name, tuple(part.filed_as for part in arm.parts), self.after.get(arm.name, {}))
            for arm in plan.fresh
            if arm.name in self.facts
        ]
        met = [
            f"{arm} seed {run['seed']} was trained on {run['num_held_out_met']} held-out tasks"
            for arm, runs in self.facts.items()
            for run in runs
            if run["num_held_out_met"]
        ]
        return {
            "name": plan.name,
            "base": self.models.config.model.source,
            "seeds": list(plan.seeds),
            "tokens": plan.tokens,
            "reading": reading,
            "environments": [
                {
                    "name": each.filed_as,
                    **each.same_tasks(),
                    "num_tasks": len(self.models.held_out[each.filed_as]),
                    "before": self.base[each.filed_as].accuracy(reading).to_dict(),
                }
                for each in plan.evaluated
            ],
            "arms": [
                {
                    "name": arm.name,
                    "trained_on": [part.filed_as for part in arm.parts],
                    "parts": [part.same_tasks() for part in arm.parts],
                    "runs": self.facts[arm.name],
                }
                for arm in plan.fresh
                if arm.name in self.facts
            ],
            "cells": transfer_matrix(self.base, arms, names, reading),
            "sequence": sequence_result(self.stages, self.base, plan.settings.threshold, reading)
            if self.stages
            else None,
            "notes": [*dict.fromkeys(note for each in plan.evaluated for note in each.environment.notes), *met],
            "problems": list(self.problems),
        }

    def _finish(self, result: dict[str, Any]) -> None:
        """Write tables and picture, and print the report."""
        from assay.cli.tables import write_table
        from assay.evaluation.transfer import draw_matrix, matrix_rows
        from assay.observe.visible import visible

        folder = self.models.folder
        written = [RESULT, REPORT, *write_table(folder, matrix_rows(result))]
        pictures = [folder / "matrix.png", folder / "matrix.svg"]
        draw_matrix(result, pictures)
        text = (folder / REPORT).read_text(encoding="utf-8")
        (folder / REPORT).write_text(
            f"{text}\n![gain of each training on each environment](matrix.png)\n", encoding="utf-8"
        )
        typer.echo("\n".join(map(visible, text.splitlines())))
        typer.echo(f"transfer: {folder} ({', '.join([*written, *(path.name for path in pictures)])})")
