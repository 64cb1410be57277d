"""The models of a transfer experiment: trained by `assay train`, and measured on the same held-out tasks."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from assay.cli.progress import progress
from assay.cli.task_options import plain, short_hash, tasks_hash
from assay.errors import AssayError, ConfigError, ModelError

if TYPE_CHECKING:
    from assay.environments.named import NamedEnvironment
    from assay.evaluation import EvalRow, Evaluation, EvaluationFolder
    from assay.evaluation.sweep import SweepRun
    from assay.evaluation.trajectories import Trajectory
    from assay.evaluation.transfer import TransferArm, TransferPlan, TransferStage
    from assay.models import Model
    from assay.recipe import RunConfig
    from assay.types import Task

RECIPES, EVALUATIONS = "recipes", "evaluations"


@dataclass
class TransferModels:
    """Trains and measures the models of a plan, in its folder. What is there already is not made again."""

    plan: TransferPlan
    folder: Path
    config: RunConfig
    """The recipe, with the first arm's environment."""
    held_out: Mapping[str, Sequence[Task]]
    """Environment to the tasks that it is measured on."""

    @classmethod
    def of(cls, plan: TransferPlan, folder: Path) -> TransferModels:
        """Checks all that can be wrong before anything is spent.

        Raises:
            ConfigError: a recipe that `assay train` would refuse, too few tokens for a step, an unknown reading, or
                held-out tasks that are training tasks.
            DataError: an environment without tasks at its dials.
        """
        from assay.config import load
        from assay.environments import rewards_of
        from assay.evaluation.transfer import held_out_tasks, overlaps
        from assay.recipe import RunConfig

        recipe = plan.write_recipe(folder / RECIPES)
        configs = [load(RunConfig, recipe, plan.run(arm, 0, recipe, 1).overrides) for arm in plan.fresh]
        config = configs[0]
        check_tokens(plan.tokens, config)
        if plan.sequence and not config.evaluation.every_steps:
            raise ConfigError("--sequence tells when each environment was learned: set evaluation.every_steps above 0")
        for each in plan.evaluated:
            if plan.settings.reading not in rewards_of(each.environment):
                raise ConfigError(
                    f"reading {plan.settings.reading!r}: {each.filed_as} has {', '.join(rewards_of(each.environment))}"
                )
        held_out = {each.filed_as: held_out_tasks(each, plan.settings.tasks) for each in plan.evaluated}
        if found := overlaps(plan, held_out):
            raise ConfigError(
                "training and held-out tasks overlap, so that a gain would say nothing:\n" + "\n".join(found)
            )
        return cls(plan, folder, config, held_out)

    def train(self, arm: TransferArm, seed: int, before: TransferStage | None = None) -> tuple[SweepRun, bool]:
        """Trains an arm at a seed, unless that was done; the run, and whether it has finished.

        Args:
            before: the stage of a sequence whose model it begins with.
        """
        from assay.evaluation.sweep import Sweep, SweepSettings, run_sweep

        config = self.config
        # Every rollout has a token at least.
        num_steps = -(-self.plan.tokens // (config.groups_per_step * config.group_size))
        run = self.plan.run(arm, seed, self.plan.write_recipe(self.folder / RECIPES), num_steps, before)
        sweep = Sweep(SweepSettings(name=self.plan.name, seeds=self.plan.seeds), (run.cell,))
        return run, run_sweep(sweep, self.folder, [run], say=self._say)

    def facts(self, run: SweepRun, arm: TransferArm) -> dict[str, Any]:
        """What a run says of itself: state, sampled tokens, updates, seconds, and held-out tasks that it met."""
        from assay.evaluation.sweep.runner import read_state
        from assay.evaluation.trajectories.trajectory import AXES
        from assay.observe.folder import read_json
        from assay.observe.store import STORE_NAME, RunStore

        state, results = read_state(run, self.folder), self.folder / "results" / run.path
        summary = read_json(results / "summary.json")
        found: dict[str, Any] = {
            "seed": run.seed,
            "state": state.get("state", "not started"),
            "cell": run.cell.name,
            "sampled_tokens": summary.get("sampled_tokens"),
            "trained_tokens": summary.get("trained_tokens"),
            "steps": summary.get("num_steps"),
            "updates": None,
            "seconds": summary.get("seconds"),
            "num_held_out_met": 0,
        }
        if (results / STORE_NAME).is_file():
            with RunStore.open_readonly(results) as store:
                met, updates = store.trained_task_ids(), store.metrics().get(AXES["updates"], [])
            found["updates"] = sum(int(value or 0) for _, value in updates) if updates else None
            found["num_held_out_met"] = len(met & self._ids_in(arm))
        return found

    def trajectory(self, run: SweepRun) -> Trajectory | None:
        """The probes of a run on its own environment; None where there are fewer than two."""
        from assay.errors import RunFolderError
        from assay.evaluation.trajectories import read_trajectory

        try:
            return read_trajectory(self.folder / "results" / run.path)
        except RunFolderError:
            return None

    def model(self, run: SweepRun) -> Path:
        """The folder of the weights that a run ended with.

        Raises:
            ModelError: there are none.
        """
        from assay.training.checkpoint import latest_checkpoint

        newest = latest_checkpoint(self.folder / "runs" / run.path / "checkpoints")
        if newest is None or not (newest / "model").exists():
            raise ModelError(
                f"no checkpoint is left of {run.label}; remove {self.folder / 'results' / run.path} to train it again"
            )
        return newest / "model"

    def measure(self, name: Path, source: str | Path) -> dict[str, Evaluation]:
        """Environment to evaluation of a model; nothing is sampled that is kept under the same settings.

        Args:
            name: of the model, a path below `evaluations`.
            source: the model, as `open_model` takes it.

        Raises:
            AssayError: it cannot be opened or measured.
        """
        from assay.models import open_model

        base = self.config.model.base
        model = open_model(source, base, policy=self.config.model.policy)
        try:
            return asyncio.run(self._measure(name, model))
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, AssayError):
                raise
            raise ModelError(f"{source} cannot be measured: {error}") from None

    async def _measure(self, name: Path, model: Model) -> dict[str, Evaluation]:
        from contextlib import AsyncExitStack, ExitStack

        from assay.evaluation import Evaluation
        from assay.host import Host

        found: dict[str, Evaluation] = {}
        with ExitStack() as folders:
            kept = {
                each.filed_as: folders.enter_context(self._folder(name, each, model)) for each in self.plan.evaluated
            }
            missing = {
                label: len(self.held_out[label]) - sum(row.measured for row in kept[label].rows) for label in kept
            }
            if not any(missing.values()):
                return {label: Evaluation(_in_order(folder.rows)) for label, folder in kept.items()}
            total = sum(map(len, self.held_out.values()))
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(Host())
                engine, renderer = self._engine(model)
                stack.push_async_callback(engine.close)
                advance = stack.enter_context(progress(f"samples of {name}", total - sum(missing.values()), total))
                for each in self.plan.evaluated:
                    found[each.filed_as] = await self._sample(each, kept[each.filed_as], engine, renderer, advance)
        return found

    async def _sample(
        self, each: NamedEnvironment, kept: EvaluationFolder, engine: Any, renderer: Any, advance: Any
    ) -> Evaluation:
        from assay.environments import rewards_of
        from assay.evaluation import evaluate
        from assay.evaluation.transfer.checks import SEED
        from assay.scaffolds import Plain
        from assay.verifiers import close_verifiers

        source = each.environment.to_measure()
        verifiers = rewards_of(source)

        def keep(row: EvalRow) -> None:
            kept.append(row)
            advance()

        try:
            return await evaluate(
                self.held_out[each.filed_as],
                engine=engine,
                renderer=renderer,
                verifiers=verifiers,
                sampling=self._sampling,
                seed=SEED,
                make_episode=Plain().episodes(source),
                max_turns=Plain().turns(source),
                limits=self.config.limits,
                on_row=keep,
                done=kept.rows,
            )
        finally:
            await close_verifiers(verifiers.values())

    def _engine(self, model: Model) -> tuple[Any, Any]:
        from assay.launch import COMPUTE_DTYPES

        settings = self.config.model
        renderer = model.renderer(self._machine["chat_template"], tools=settings.tools, call_forms=settings.call_forms)
        engine = model.engine(
            stop_token_ids=renderer.stop_token_ids,
            decode=renderer.decode,
            dtype=COMPUTE_DTYPES[self._machine["compute_dtype"]],
            device=self._machine["device"],
            num_slots=self.config.num_slots,
        )
        return engine, renderer

    def _folder(self, name: Path, each: NamedEnvironment, model: Model) -> EvaluationFolder:
        """The folder of one evaluation, named by its settings: others stay beside it."""
        from assay.environments import rewards_of
        from assay.evaluation import EvaluationFolder
        from assay.observe.provenance import provenance

        chosen = self.config.model
        settings = {
            **each.same_tasks(),
            "tasks": tasks_hash(self.held_out[each.filed_as]),
            "sampling": plain(self._sampling),
            "verifiers": {reading: plain(verifier) for reading, verifier in rewards_of(each.environment).items()},
            "weights": model.identity,
            "dtype": self._machine["compute_dtype"],
            "chat_template": self._machine["chat_template"],
            "tools": chosen.tools,
            "call_forms": list(chosen.call_forms),
        }
        digest = short_hash(json.dumps(settings, sort_keys=True).encode())[:8]
        place = self.folder / EVALUATIONS / name / f"{each.filed_as}-{digest}"
        return EvaluationFolder(place, settings, {**provenance(), "model_folder": str(model.folder)})

    @cached_property
    def _machine(self) -> dict[str, Any]:
        """Device and precision, as the training runs have them."""
        from assay.launch import resolve

        return resolve(self.config)

    @cached_property
    def _sampling(self) -> Any:
        from assay.engines.engine import Sampling
        from assay.evaluation.held_out import MIN_TEST_TOKENS

        limit = self.config.evaluation.test_max_new_tokens or max(MIN_TEST_TOKENS, self.config.sampling.max_new_tokens)
        return Sampling(temperature=0.0, max_new_tokens=limit, stop=self.config.sampling.stop)

    def _ids_in(self, arm: TransferArm) -> set[str]:
        """The ids that held-out tasks would have among an arm's training tasks."""
        return {
            dataclasses.replace(task, domain=part.filed_as).task_id
            for part in arm.parts
            for tasks in self.held_out.values()
            for task in tasks
        }

    @staticmethod
    def _say(line: str) -> None:
        # How many of one run have ended says nothing beside the experiment's own progress.
        if " runs ended after " not in line and " runs had finished before" not in line:
            typer.echo(line)


def check_tokens(tokens: int, config: RunConfig) -> None:
    """Raise ConfigError where the first step alone could take all tokens: arms would then differ by chance in what they
    were trained with."""
    num_rollouts = config.groups_per_step * config.group_size
    most = num_rollouts * config.sampling.max_new_tokens
    if tokens < most:
        raise ConfigError(
            f"--tokens {tokens:,} is too small: one step samples {num_rollouts} responses of up to "
            f"{config.sampling.max_new_tokens} tokens, {most:,} in all, and could spend it before the first update is "
            f"compared with anything; give {4 * most:,} or more, or make steps smaller (groups_per_step, group_size, "
            "sampling.max_new_tokens)"
        )


def _in_order(rows: Sequence[EvalRow]) -> tuple[EvalRow, ...]:
    return tuple(sorted(rows, key=lambda row: row.task_index))
