"""Training and measuring in Python: what `import assay` offers as functions.

Both work in a script and in a notebook, whose event loop is running already.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from assay.batching.proven import open_engine
from assay.components import make_component
from assay.config import load, merged, validate
from assay.engines import EngineSettings, Sampling
from assay.environments import Environment, Level, choose_tasks, make_environment, rewards_of
from assay.environments.splits import SPLITS
from assay.errors import ConfigError, RankError
from assay.evaluation import Evaluation
from assay.evaluation import evaluate as measure
from assay.home import assay_home
from assay.host import Host
from assay.launch import COMPUTE_DTYPES, build_run, may_go_on, read_run_record, resolve_device, stop_on_interrupt
from assay.loop import train as train_loop
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.folder import find_run
from assay.recipe import RunConfig
from assay.render import CALL_FORMS, CallForm, ToolChoice, chosen_forms, read_chat_template
from assay.run import Run, Subscriber, TrainResult
from assay.scaffolds import Scaffold, make_scaffold
from assay.types import Split
from assay.verifiers import Verifier, close_verifiers, make_verifier

ResultT = TypeVar("ResultT")


def load_recipe(recipe: str | Path | Mapping[str, Any] | None = None, **settings: Any) -> RunConfig:
    """The settings of a run.

    Args:
        recipe: a TOML file, or a mapping of the same shape; None for the defaults.
        settings: settings in place of those of the recipe, such as `num_steps=20`, or components of your own as
            objects, such as `environment=Mine()`. A table changes the settings that it names and leaves the others:
            `trainer={"learning_rate": 1e-5}`.

    Raises:
        ConfigError: there is no such file, a key is unknown, or a value is out of range.
    """
    began = load(RunConfig, Path(recipe) if isinstance(recipe, str) else recipe or {})
    return validate(RunConfig, merged(began.plain(), settings))


def train(
    recipe: str | Path | Mapping[str, Any] | RunConfig | None = None,
    *,
    run_folder: str | Path | None = None,
    resume: str | Path | None = None,
    console: Console | None = None,
    subscribers: Sequence[Subscriber] = (),
    **settings: Any,
) -> TrainResult:
    """Trains a model as a recipe says, and returns when the run is over.

    Ctrl-C (or the notebook's stop button) finishes the step under way and keeps a checkpoint.

    Args:
        recipe: a TOML file, a mapping of the same shape, or settings made by `load_recipe`.
        run_folder: where the run is kept; a new folder under ~/.assay/runs by default.
        resume: in place of a recipe, a run to go on with: its folder, its name, or "latest".
        console: what a person sees; the usual one by default.
        subscribers: objects of your own that are told of each step when it is done, after the run's own, in order.
        settings: as in `load_recipe`; with `resume`, those that may change.

    Returns:
        The run folder, how the run ended, its summary, and the folder of the model to use.

    Raises:
        ConfigError: settings that do not fit together, or both a recipe and a run to resume.
        RunFolderError: the folder holds a run already, or none to resume.
    """
    started = time.monotonic()
    if resume is not None:
        if recipe is not None or run_folder is not None:
            raise ConfigError("resume goes on with a run in its own folder, by its own recipe: leave the others out")
        folder = find_run(str(resume), assay_home() / "runs").absolute()
        config = load_recipe(read_run_record(folder)["settings"], **settings)
    else:
        config = load_recipe(recipe.plain() if isinstance(recipe, RunConfig) else recipe, **settings)
        folder = Path(run_folder).absolute() if run_folder is not None else new_run_folder(config)
    runs: list[Run] = []

    def begun(run: Run) -> None:
        runs.append(run)
        run.subscribers.extend(subscribers)

    async def work() -> TrainResult:
        return await train_and_rebuild(
            config, folder, resume=resume is not None, started=started, console=console, begun=begun
        )

    return run_in_loop(work, on_interrupt=lambda: _stop(runs))


async def train_and_rebuild(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool,
    started: float,
    console: Console | None = None,
    begun: Callable[[Run], None] = lambda run: None,
) -> TrainResult:
    """Trains until the run is over; where a rank of a cluster is lost, the run is rebuilt from its newest checkpoint.

    Args:
        begun: told of each run that is built, before its first step.

    Raises:
        RankError: ranks were lost more than `cluster.max_restarts` times.
    """
    console = console or Console(config.num_steps, config.max_seconds)
    for num_restarts in itertools.count():
        try:
            goes_on = resume if num_restarts == 0 else (folder / "config.json").is_file()
            with console:
                run = build_run(config, folder, resume=goes_on, started=started, console=console)
                with stop_on_interrupt(run):
                    begun(run)
                    return await train_loop(run)
        except RankError as error:
            console.message(may_go_on(error, config, folder, num_restarts))
            # The checkpoint knows the seconds up to it.
            started = time.monotonic()
    raise AssertionError


def evaluate(
    model: str | Path,
    environment: str | Environment = "arithmetic",
    *,
    verifiers: Mapping[str, Verifier | str] | None = None,
    split: Split = "test",
    levels: Sequence[Level] | None = None,
    num_tasks: int = 200,
    samples: int = 1,
    temperature: float | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
    scaffold: str | Scaffold = "plain",
    device: str = "auto",
    dtype: Literal["fp32", "bf16"] = "fp32",
    chat_template: str | None = None,
    tools: ToolChoice = "auto",
    call_forms: Sequence[CallForm] = CALL_FORMS,
    engine: str | EngineSettings | None = None,
) -> Evaluation:
    """Measures a model on held-out tasks.

    Args:
        model: "default", a Hugging Face folder, a hub id, an adapter, or a run folder.
        environment: a name, path.py:Class, or an object.
        verifiers: reading to verifier; the environment's own readings by default.
        levels: (complexity, horizon) settings; those that the environment lists by default.
        num_tasks: tasks of each level.
        samples: samples of each task (n of pass@k).
        scaffold: what is put around every episode: a name, path.py:Class, or an object.
        temperature: 0 is greedy; by default 0 for one sample, 1 for several.
        tools: how the model is told of an environment's tools: by its chat template, or as text in the system message.
        call_forms: the forms of tool calls that are read.
        engine: what samples, such as "vllm" or an object; the engine in this process by default.

    Returns:
        Every row, with accuracy and pass@k from them: `result.accuracy("strict")` has a value and a 95 % interval.

    Raises:
        ConfigError: an unknown name or option, or several samples at temperature 0.
        ModelError: there is no such model.
    """
    if not isinstance(environment, Environment | str):
        raise ConfigError(f"environment {environment!r:.60}: give a name, path.py:Class, or an object such as Mine()")
    if dtype not in COMPUTE_DTYPES or split not in SPLITS or num_tasks < 1 or samples < 1:
        raise ConfigError(
            f"{dtype=} must be one of {', '.join(COMPUTE_DTYPES)}, {split=} one of {', '.join(SPLITS)}, "
            f"{num_tasks=} and {samples=} at least 1"
        )
    world = environment if isinstance(environment, Environment) else make_environment(environment)
    world = world.to_measure() if split == "test" else world
    given = verifiers or rewards_of(world)
    readings = {name: make_verifier(each) if isinstance(each, str) else each for name, each in given.items()}
    if wrong := [name for name, each in readings.items() if not isinstance(each, Verifier)]:
        raise ConfigError(f"verifiers: {wrong[0]!r} is no verifier; give a name or an object such as Exact()")
    around = scaffold if isinstance(scaffold, Scaffold) else make_scaffold(scaffold)
    warmth = temperature if temperature is not None else 0.0 if samples == 1 else 1.0
    sampling = validate(Sampling, {"temperature": warmth, "max_new_tokens": max_new_tokens})
    sampler = make_component(EngineSettings, engine) if isinstance(engine, str) else engine
    opened = open_model(model)
    forms = chosen_forms(call_forms)
    renderer = opened.renderer(read_chat_template(chat_template), tools=tools, call_forms=forms)

    async def run() -> Evaluation:
        async with Host():
            tasks = choose_tasks(world, split, levels or world.levels(), num_tasks, seed)
            engine = open_engine(opened, renderer, sampler, dtype=COMPUTE_DTYPES[dtype], device=resolve_device(device))
            try:
                return await measure(
                    tasks,
                    engine=engine,
                    renderer=renderer,
                    verifiers=readings,
                    sampling=sampling,
                    seed=seed,
                    samples_per_task=samples,
                    make_episode=around.episodes(world),
                    max_turns=around.turns(world),
                    hands_on=around if around.persists else None,
                )
            finally:
                await engine.close()
                await close_verifiers(readings.values())

    return run_in_loop(run)


def new_run_folder(config: RunConfig) -> Path:
    """A folder of its own for a run that begins now."""
    return assay_home() / "runs" / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def run_in_loop(work: Callable[[], Awaitable[ResultT]], on_interrupt: Callable[[], None] | None = None) -> ResultT:
    """Runs async work to its end, also where an event loop is running already, as in a notebook.

    Args:
        on_interrupt: called at the first KeyboardInterrupt in a notebook, in place of raising it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_of(work))
    outcome: list[ResultT] = []
    failure: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    ended = threading.Event()

    async def noted() -> ResultT:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await work()

    def run() -> None:
        try:
            outcome.append(asyncio.run(noted()))
        except BaseException as error:
            failure.append(error)
        finally:
            ended.set()

    def cancel() -> None:
        for loop, task in running:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)

    # A loop of its own in a thread of its own: the notebook's cannot wait for work inside itself.
    threading.Thread(target=run, name="assay", daemon=True).start()
    # Not `Thread.join`, which takes a thread for ended when an interrupt comes while it waits (Python before 3.13).
    interrupted = False
    while True:
        try:
            if ended.wait(0.2):
                break
        except KeyboardInterrupt:
            if on_interrupt is None or interrupted:
                cancel()
                raise
            interrupted = True
            on_interrupt()
    if failure:
        raise failure[0]
    return outcome[0]


async def _of(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await work()


def _stop(runs: list[Run]) -> None:
    for run in runs:
        run.clock.stop_requested = True
        run.records.console.message("stopping after this step, with a checkpoint; another interrupt stops waiting")
