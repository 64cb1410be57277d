"""What is measured: each work with its jobs, its sides, the settings that its peers try, and its floor."""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import comparisons
from assay.config import dump, validate
from assay.recipe import RunConfig
from assay.types import Task
from machine import Machine
from peers import python_of
from side import Side, SideError

HERE = Path(__file__).parent
OURS = "assay"
SLOW_STARTERS = ("vllm",)
"""Started once for all their works; the others afresh for each, so that its peak of memory is its own."""
NEW_TOKENS = 64
NUM_PARAMETERS = 134_515_008
STEP_PROMPT_TOKENS = 46
"""Of a prompt of `STEP`, in the model's chat format."""
STEPS_ON_PAIRS = {
    "dpo_step": ("dpo", False),
    "dpo_step_people": ("dpo", True),
    "reward_step": ("reward", False),
    "reward_step_people": ("reward", True),
    "ppo_step": ("ppo", False),
}
"""Work to what is learned from pairs of responses in it, and whether their lengths are as people's."""
MAX_STEPS = 100
"""That a side makes: TRL is given its prompts beforehand."""

Job = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    name: str
    what: str
    jobs: Callable[[int], Job]
    """The job of a repeat, apart from the settings of a side."""
    sides: tuple[str, ...]
    search: Mapping[str, tuple[Job, ...]] = field(default_factory=dict)
    """Side to the settings that it tries, the likely best first."""
    only: Mapping[str, Job] = field(default_factory=dict)
    """Side to what its job has besides."""
    floor: Callable[[Machine, ModuleType], float] | None = None
    counts: str = "tokens"
    quick_repeats: int = 2
    """Counted jobs of each side in the quick form."""
    quick_form: Work | None = None
    """A smaller one that --quick measures in its place."""
    quick_warm_up: Job = field(default_factory=dict)
    """What the job that warms a side up has in place of its own, in the quick form."""
    in_quick: bool = True
    """Whether --quick measures it."""

    @property
    def warms_up(self) -> bool:
        """A long job without a peer counts from the first one in the quick form."""
        return len(self.sides) > 1

    def form(self, quick: bool) -> Work:
        return self.quick_form if quick and self.quick_form else self

    def job(self, side: str, repeat: int) -> Job:
        return self.jobs(repeat) | self.only.get(side, {})


class Bench:
    """Starts the sides and keeps what they need in a folder."""

    def __init__(
        self, model: Path, folder: Path, *, quick: bool, without: tuple[str, ...], dtype: str = "bf16"
    ) -> None:
        self.model, self.folder, self.quick, self.without, self.dtype = model, folder, quick, without, dtype
        self.vllm_options = ({"bf16": "bfloat16", "fp32": "float32"}[dtype], "0")
        """Its dtype, and the size of a block of its cache (0: its own choice)."""
        self._kept: dict[str, Side] = {}
        """Sides that wait for a later work, by name."""

    @contextmanager
    def sides(self, work: Work, later: Sequence[Work] = ()) -> Iterator[list[Side]]:
        """Starts the sides of a work, stopped until they are measured, and ends them; those that take long to start
        stay while a later work has them too."""
        sides: list[Side] = []
        try:
            for name in work.sides:
                if name not in self.without:
                    side = self._kept.pop(name, None)
                    sides.append(side or self._start(name, work))
            yield sides
            for side in sides:
                if side.name in SLOW_STARTERS and any(side.name in other.sides for other in later):
                    self._kept[side.name] = side
        finally:
            for side in sides:
                if self._kept.get(side.name) is not side:
                    side.close()

    def close(self) -> None:
        """Ends the sides that were kept."""
        while self._kept:
            self._kept.popitem()[1].close()

    def best_settings(self, work: Work, side: Side) -> Job:
        """The fastest of those that a side may choose from; each is tried once after a warm-up."""
        choices = work.search.get(side.name, ({},))
        if self.quick and not work.warms_up:
            return choices[0]
        seconds: list[float] = []
        for settings in choices[:1] if self.quick else choices:
            job = work.job(side.name, 1000) | settings | (work.quick_warm_up if self.quick else {})
            print(f"  {work.name} {side.name} warms up", file=sys.stderr)
            side.measure(job)
            seconds.append(side.measure(job)["seconds"] if len(choices) > 1 and not self.quick else 0.0)
            if len(choices) > 1 and not self.quick:
                print(f"  {work.name} {side.name} {settings}: {seconds[-1]:.2f} s", file=sys.stderr)
        return choices[seconds.index(min(seconds))]

    def step_side(self, name: str, config: RunConfig, *, forced: bool = False) -> Side:
        """A side that makes whole steps of a run, one for each job."""
        folder = self.folder / f"steps-{config.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{name}{'-forced' if forced else ''}.log"
        return Side(name, self._step_command(name, config, folder, forced=forced), log)

    def _start(self, name: str, work: Work) -> Side:
        if work.name in ("step", "step_forced"):
            return self.step_side(name, step_config(self.dtype), forced=work.name == "step_forced")
        return Side(name, self._command(name, work), self.folder / "logs" / f"{work.name}-{name}.log")

    def _command(self, name: str, work: Work) -> list[str]:
        if work.name == "turns_step" and name == "trl":
            settings = work.jobs(0) | {"folder": str(self.folder / "trl-turns"), "micro_batch": 8, "dtype": self.dtype}
            script = str(HERE / "side_trl_turns.py")
            return [str(python_of(name, self.folder)), script, str(self.model), json.dumps(settings)]
        if work.name in STEPS_ON_PAIRS:
            return comparisons.command(name, *STEPS_ON_PAIRS[work.name], self.model, self.folder, self.dtype)
        if work.name.startswith("math"):
            return [sys.executable, str(HERE / "side_verifier.py"), name]
        if name == OURS:
            return [sys.executable, str(HERE / "side_ours.py"), str(self.model), self.dtype]
        options = list(self.vllm_options) if name == "vllm" else [self.dtype]
        return [str(python_of(name, self.folder)), str(HERE / f"side_{name}.py"), str(self.model), *options]

    def _step_command(self, name: str, config: RunConfig, folder: Path, *, forced: bool) -> list[str]:
        """Settings and prompts are left in a folder; the prompts in the order that our curriculum gives them out."""
        if name == OURS:
            settings = folder / "settings.json"
            settings.write_text(json.dumps(dump(config)))
            run = next(path for i in itertools.count() if not (path := folder / f"run-{i}").exists())
            return [sys.executable, str(HERE / "side_step.py"), str(settings), str(run), str(int(forced))]
        curriculum = config.curriculum.begin(config.environment, config.seed)
        prompts = folder / "prompts.jsonl"
        write_tasks(prompts, (curriculum.next_task(i) for i in range(config.groups_per_step * MAX_STEPS)))
        limit = str(config.sampling.max_new_tokens)
        options = json.dumps({"seed": config.seed, "bf16": config.model.compute_dtype == "bf16"})
        script = str(HERE / "side_trl.py")
        return [
            str(python_of("trl", self.folder)),
            script,
            str(self.model),
            str(prompts),
            limit,
            str(int(forced)),
            options,
        ]


def write_tasks(path: Path, tasks: Iterable[Task]) -> None:
    path.write_text("".join(json.dumps(task.to_dict()) + "\n" for task in tasks))


STEP = validate(
    RunConfig,
    {
        "name": "benchmark",
        "num_steps": 1000,
        "groups_per_step": 8,
        "group_size": 8,
        "model": {"compute_dtype": "bf16"},
        "verifier": {
            "name": "python",
            "function": f"{HERE / 'side.py'}:last_number_is_right",
            "gold_format": "{answer}",
        },
        "sampling": {"max_new_tokens": 48},
        "algorithm": {"name": "grpo", "normaliser": "tokens"},
        "trainer": {"learning_rate": 1e-5},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 0},
    },
)
"""8 prompts x 8 answers, GRPO averaged over tokens, AdamW at 1e-5, bf16 compute over fp32 weights."""


def step_config(dtype: str) -> RunConfig:
    """STEP, computed in another dtype."""
    settings = STEP.model_dump(mode="json")
    return validate(RunConfig, {**settings, "model": {**settings["model"], "compute_dtype": dtype}})


def token_ids(rng: random.Random, length: int) -> list[int]:
    """Words of the vocabulary, none of them special: what they are changes no time."""
    return [rng.randrange(1000, 40_000) for _ in range(length)]


def prompts(count: int, length: int, repeat: int) -> list[list[int]]:
    """Other ones in each repeat, so that nothing is cached from the last."""
    rng = random.Random(f"{count} {length} {repeat}")
    return [token_ids(rng, length) for _ in range(count)]


def rollouts_job(count: int, length: int, group_size: int) -> Callable[[int], Job]:
    return lambda repeat: {
        "job": "rollouts",
        "prompts": prompts(count, length, repeat),
        "group_size": group_size,
        "new_tokens": NEW_TOKENS,
        "seed": repeat,
    }


def update_job(count: int, length: int, group_size: int, response: int) -> Callable[[int], Job]:
    def job(repeat: int) -> Job:
        rng = random.Random(f"update {repeat}")
        return {
            "job": "update",
            "groups": [
                {"prompt": prompt, "responses": [token_ids(rng, response) for _ in range(group_size)]}
                for prompt in prompts(count, length, repeat)
            ],
        }

    return job


def backlog_job(heavy: bool, num_slots: int = 64, rounds: int = 10) -> Callable[[int], Job]:
    """Nine of ten responses have 32 tokens and one has 512, or all have their mean of 80."""

    def job(repeat: int) -> Job:
        lengths = [512 if heavy and i % 10 == 0 else 32 if heavy else 80 for i in range(num_slots * rounds)]
        random.Random(repeat).shuffle(lengths)
        return {
            "job": "backlog",
            "prompts": prompts(num_slots, 40, repeat),
            "lengths": lengths,
            "num_slots": num_slots,
            "seed": repeat,
        }

    return job


def turns_job(name: str, delay_seconds: float, count: int = 8, group_size: int = 8) -> Callable[[int], Job]:
    """Episodes of 8 turns of 24 sampled tokens; a scripted world answers 48."""
    return lambda repeat: {
        "job": name,
        "prompts": prompts(count, 40, repeat),
        "group_size": group_size,
        "num_turns": 8,
        "new_tokens": 24,
        "answer_tokens": 48,
        "delay_seconds": delay_seconds,
        "seed": repeat,
    }


SAMPLING: tuple[Job, ...] = tuple(
    {"attention": attention, "batch": batch} for attention in ("sdpa", "eager") for batch in (64, 32)
)
UPDATING: tuple[Job, ...] = tuple(
    {"attention": attention, "batch": batch} for attention in ("sdpa", "eager") for batch in (16, 8, 32)
)
PEERS = (OURS, "transformers", "vllm")


def sampling(name: str, count: int, length: int, group_size: int, quick: Work | None = None) -> Work:
    samples = "" if group_size == 1 else f" x {group_size} samples"
    return Work(
        name,
        f"{count} prompts of {length} tokens{samples}, {NEW_TOKENS} new tokens each",
        rollouts_job(count, length, group_size),
        PEERS,
        search={"transformers": SAMPLING},
        floor=lambda m, f: f.rollouts(m, [length] * count, group_size, NEW_TOKENS),
        quick_repeats=1,
        quick_form=quick,
        quick_warm_up={"new_tokens": 8},
    )


def backlog(name: str, heavy: bool, rounds: int = 10, quick: Work | None = None) -> Work:
    lengths = "of 32 tokens, one in ten of 512" if heavy else "of 80 tokens"
    what = f"{64 * rounds} responses {lengths}, through 64 slots, until the last has a slot"
    return Work(name, what, backlog_job(heavy, rounds=rounds), (OURS,), quick_repeats=1, quick_form=quick)


def updating(name: str, count: int, length: int, group_size: int, quick: Work | None = None) -> Work:
    """A prompt's tokens are forwarded once a group, its last one beside each response."""
    samples = "" if group_size == 1 else f" x {group_size} samples"
    rows = count * group_size
    tokens = count * (length - 1) + rows * NEW_TOKENS if group_size == 1 else count * length + rows * (NEW_TOKENS - 1)
    return Work(
        name,
        f"{count} prompts of {length} tokens{samples} of {NEW_TOKENS} tokens: forward, backward, AdamW",
        update_job(count, length, group_size, NEW_TOKENS),
        (OURS, "transformers"),
        search={"transformers": UPDATING},
        only={OURS: {"tokens_per_microbatch": 4096}},
        floor=lambda m, f: f.update(m, tokens, rows * NEW_TOKENS, NUM_PARAMETERS),
        quick_repeats=1,
        quick_form=quick,
    )


DPO_UPDATE = "a DPO update, the reference's log-probabilities known"
TURNS = "8 prompts of 40 tokens x 8 episodes of 8 turns: 24 new tokens each, answers of 48"


def turns(name: str, what: str, job: str, delay_seconds: float, sides: tuple[str, ...]) -> Work:
    def of(count: int, group_size: int) -> Work:
        return Work(
            name,
            what if count == 8 else f"{what}; of them {count} x {group_size} episodes",
            turns_job(job, delay_seconds, count, group_size),
            sides,
            only={OURS: {"tokens_per_microbatch": 4096}} if job == "turns_step" else {},
            quick_repeats=1,
            quick_form=of(4, 4) if count == 8 else None,
            in_quick=False,
        )

    return of(8, 8)


def on_pairs(name: str, what: str, sides: tuple[str, ...]) -> Work:
    """One update on pairs of responses, both of which are trained on."""
    kind, people = STEPS_ON_PAIRS[name]
    sizes = f"{comparisons.PAIRS} prompts of {comparisons.PROMPT} tokens x 2 responses of {comparisons.RESPONSE}"
    if people:
        sizes = f"{comparisons.PAIRS} prompts x 2 responses, of lengths drawn from those of HH-RLHF"
    return Work(
        name,
        f"{sizes}: {what}",
        lambda repeat: {"job": "pairs", "kind": kind, "rows": comparisons.rows(repeat, people=people)},
        sides,
        only={OURS: {"tokens_per_microbatch": 4096}},
        quick_repeats=1,
        in_quick=False,
    )


WORKS = {
    work.name: work
    for work in (
        on_pairs("dpo_step", DPO_UPDATE, (OURS, "trl", "trl_once")),
        on_pairs("dpo_step_people", DPO_UPDATE, (OURS, "trl_by_4", "trl_by_1")),
        on_pairs("reward_step", "an update of a reward model", (OURS, "trl")),
        on_pairs("reward_step_people", "an update of a reward model", (OURS, "trl_by_4", "trl_by_1")),
        on_pairs("ppo_step", "the critic's values, a PPO update and the critic's", (OURS,)),
        turns("turns", TURNS, "turns", 0.0, (OURS, "vllm")),
        turns("turns_slow", f"{TURNS}, after 50 ms", "turns", 0.05, (OURS, "vllm")),
        turns("turns_step", f"{TURNS}; a GRPO update over them", "turns_step", 0.0, (OURS, "trl")),
        sampling("rollouts", 64, 40, 1),
        sampling("rollouts_grouped", 8, 40, 8),
        sampling("rollouts_long_prompts", 8, 512, 8, sampling("rollouts_long_prompts", 4, 512, 8)),
        backlog("backlog_equal", heavy=False, quick=backlog("backlog_equal", heavy=False, rounds=3)),
        backlog("backlog_heavy", heavy=True, quick=backlog("backlog_heavy", heavy=True, rounds=3)),
        updating("update", 64, 40, 1, updating("update", 32, 40, 1)),
        updating("update_shared", 8, 512, 8, updating("update_shared", 2, 512, 8)),
        Work(
            "math_numbers",
            "2,000 responses with plain numbers, scored by the math verifier",
            lambda repeat: {"job": "score", "kind": "numbers", "count": 2000},
            (OURS, "math-verify"),
            counts="rows",
        ),
        Work(
            "math_expressions",
            "300 responses with expressions, scored by the math verifier",
            lambda repeat: {"job": "score", "kind": "expressions", "count": 300},
            (OURS, "math-verify"),
            counts="rows",
        ),
        Work(
            "step",
            "a whole GRPO step: 8 prompts x 8 answers of at most 48 tokens, as they end",
            lambda repeat: {"job": "step"},
            (OURS, "trl"),
            quick_repeats=1,
        ),
        Work(
            "step_forced",
            "the same, every answer of 48 tokens",
            lambda repeat: {"job": "step"},
            (OURS, "trl"),
            floor=lambda m, f: f.step(m, [STEP_PROMPT_TOKENS] * 8, 8, 48, NUM_PARAMETERS),
            in_quick=False,
        ),
    )
}

__all__ = ["OURS", "WORKS", "Bench", "SideError", "Work"]
