"""The model that a command samples from, on this machine or at an endpoint, and how an evaluation of it is run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.endpoint import EndpointOptions, make_endpoint, print_tally
from assay.cli.engine import EngineOptions, Precision, load_engine
from assay.cli.progress import progress
from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.endpoints import Endpoint, Tally
    from assay.engines import Sampling
    from assay.environments import Environment
    from assay.evaluation import Evaluation, EvaluationFolder, Until
    from assay.models import Model
    from assay.scaffolds import Scaffold
    from assay.types import Task
    from assay.verifiers import Verifier

REPLIES = "replies.sqlite"


@dataclass
class SampledModel:
    """The model that a command samples from."""

    model: str
    """The model as it was named."""
    local: Model | None
    """The model where it is on this machine."""
    endpoint: Endpoint | None
    options: EngineOptions
    """How a model on this machine is sampled from."""
    replies: Path | None = None
    """The file in which paid replies are kept; None: beside what they are for."""
    tally: Tally | None = None
    """Tally of what was asked of the endpoint by the last evaluation."""
    pace: tuple[int, float] | None = None
    """Samples that the last evaluation took, and the seconds that it took for them."""

    @classmethod
    def of(cls, model: str, local: EngineOptions, remote: EndpointOptions) -> SampledModel:
        """Finds the model, or checks the endpoint's options.

        Raises:
            ConfigError: an option out of range or without effect, or a key that is missing.
            ModelError: there is no such model.
        """
        from assay.models import open_model
        from assay.render import read_chat_template

        endpoint = make_endpoint(model, remote.given())
        if endpoint is None:
            read_chat_template(local.chat_template)
            local.forms()
            local.chosen_engine()
            return cls(model, open_model(model, local.base), None, local)
        if local.device != "auto" or local.dtype is not Precision.FP32:
            raise ConfigError(f"--device and --dtype have no effect with {model}, which is not on this machine")
        given = {
            "chat_template": local.chat_template,
            "base": local.base,
            "engine": local.engine,
            "engine_set": local.engine_set,
            **local.about_tools,
        }
        for option, value in given.items():
            if value is not None:
                name = option.replace("_", "-")
                raise ConfigError(f"--{name} has no effect with {model}, which is not on this machine")
        return cls(model, None, endpoint, local, replies=remote.replies)

    @property
    def label(self) -> str:
        """A short name for folders."""
        name = self.endpoint.model if self.endpoint is not None else self.model
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(name).name) or "model"

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and weights that decide the model's answers, as plain data."""
        if self.endpoint is not None:
            return {"endpoint": self.endpoint.identity}
        assert self.local is not None
        from assay.render import read_chat_template

        chosen = self.options.chat_template
        template = {} if chosen is None else {"chat_template": read_chat_template(chosen)}
        dtype = self.options.dtype.value
        return {
            "weights": self.local.identity,
            "dtype": dtype,
            **template,
            **self.options.about_tools,
            **self.options.about_engine,
        }

    @property
    def places(self) -> dict[str, str | None]:
        """The model's folders on this machine."""
        if self.local is None:
            return {"model_folder": None}
        on = {} if self.local.adapter is None else {"base_folder": str(self.local.base)}
        return {"model_folder": str(self.local.folder), **on}

    def evaluate(
        self,
        kept: EvaluationFolder,
        tasks: Sequence[Task],
        environment: Environment,
        verifiers: Mapping[str, Verifier],
        sampling: Sampling,
        *,
        samples: int,
        seed: int,
        settings: Mapping[str, Any],
        console: Console,
        positions: Sequence[int] | None = None,
        scaffold: Scaffold | None = None,
        until: Until | None = None,
    ) -> Evaluation:
        """Samples and scores what is not yet in the folder, with progress, and says what it cost.

        Args:
            positions: of the tasks in the list that the folder is about, where they are a part of it.
            scaffold: what is put around every episode; None for nothing.
            until: the question that ends the evaluation when it is decided, tasks in a shuffled order.
        """
        import asyncio

        from assay.evaluation import evaluate_until
        from assay.host import Host
        from assay.scaffolds import Plain
        from assay.verifiers import close_verifiers, judges_in

        around = scaffold or Plain()
        total = len(tasks) * samples
        wanted = {task.task_id for task in tasks}
        done = kept.rows if positions is None else [row for row in kept.rows if row.task_id in wanted]
        num_done = sum(row.measured for row in done)
        if num_done:
            console.print(f"{num_done} of {total} samples were there before")

        async def measure() -> Evaluation:
            engine, renderer, note = self.open_engine(kept.folder)
            try:
                with progress("samples", num_done, total, note) as advance:

                    def keep(row: Any) -> None:
                        kept.append(row)
                        advance()

                    return await evaluate_until(
                        until,
                        tasks,
                        engine=engine,
                        renderer=renderer,
                        verifiers=verifiers,
                        sampling=sampling,
                        make_episode=around.episodes(environment),
                        max_turns=around.turns(environment),
                        seed=seed,
                        samples_per_task=samples,
                        positions=positions,
                        max_concurrent=128 if self.endpoint is None else 2 * self.endpoint.max_concurrent,
                        on_row=keep,
                        done=done,
                        settings=settings,
                        hands_on=around if around.persists else None,
                    )
            finally:
                judges = [judge for verifier in verifiers.values() for judge in judges_in(verifier)]
                if under_way := getattr(engine, "num_under_way", 0) + sum(judge.num_under_way for judge in judges):
                    console.print(f"taking in {under_way} replies under way; Ctrl-C leaves them")
                await asyncio.gather(engine.close(), close_verifiers(verifiers.values()))

        async def hosted() -> Evaluation:
            # What environments hold open lives in this event loop, and ends with it.
            async with Host():
                return await measure()

        began = time.monotonic()
        try:
            result = asyncio.run(hosted())
            self.pace = (result.num_samples - num_done, time.monotonic() - began)
            return result
        except KeyboardInterrupt:
            console.print("stopped; the same command continues this evaluation")
            raise
        finally:
            seconds = max(time.monotonic() - began, 1e-9)
            if self.tally is not None:
                print_tally(self.tally, seconds, console, f"asked of {self.model}")
            print_judges(verifiers, seconds, console)

    def open_engine(self, folder: Path) -> Any:
        """The engine or responder, the renderer, and what to say beside the progress.

        Args:
            folder: where paid replies are kept, unless a file was named for them.
        """
        if self.endpoint is None:
            assert self.local is not None
            return *load_engine(self.local, self.options), str
        from assay.endpoints import Replies, Tally
        from assay.endpoints.client import EndpointClient

        replies = Replies(self.replies or folder / REPLIES)
        asked = (self.endpoint.url, self.endpoint.model)
        self.tally = Tally(self.endpoint, replies.tokens(*asked), replies.unknown_tokens(*asked))
        return EndpointClient(self.endpoint, replies, tally=self.tally), None, self.tally.line


def print_judges(verifiers: Mapping[str, Verifier], seconds: float, console: Console) -> None:
    """Print what was asked of each judge among the verifiers."""
    from assay.verifiers.judge_endpoint import judges_in

    for reading, verifier in verifiers.items():
        for judge in judges_in(verifier):
            print_tally(judge.tally, seconds, console, f"asked of the judge {judge.model} ({reading})")
