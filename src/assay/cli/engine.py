"""The engine that commands sample with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.config import parse_overrides
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.engines import Engine, EngineSettings
    from assay.models import Model
    from assay.render import CallForm, ChatRenderer


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"


class ToolOption(StrEnum):
    AUTO = "auto"
    TEMPLATE = "template"
    TEXT = "text"


@dataclass(frozen=True)
class EngineOptions:
    """Options for opening a model on this machine and sampling from it."""

    base: Annotated[
        str | None,
        typer.Option(help="Of an adapter: the model it is put on. Default: the one it names.", show_default=False),
    ] = None
    device: Annotated[str, typer.Option(help='"auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".')] = "auto"
    dtype: Annotated[Precision, typer.Option(help="fp32 is exact; bf16 is faster where the machine has it.")] = (
        Precision.FP32
    )
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="In place of the tokenizer's own: plain (for a base model), chatml, or a Jinja file.",
            show_default=False,
        ),
    ] = None
    tools: Annotated[
        ToolOption,
        typer.Option(help="How the model is told of tools: by its chat template, or as text in the system message."),
    ] = ToolOption.AUTO
    call_forms: Annotated[
        str | None,
        typer.Option(
            help="Forms of tool calls that are read, with commas between: tagged, xml, fenced, json. Default: all.",
            show_default=False,
        ),
    ] = None

    engine: Annotated[
        str | None,
        typer.Option(
            help='The engine that samples, such as "vllm", or your own as path.py:Class. Default: the one in this '
            "process.",
            show_default=False,
        ),
    ] = None
    engine_set: Annotated[
        list[str] | None,
        typer.Option(help="An option of --engine, such as cache_gib=8; repeatable.", show_default=False),
    ] = None

    @property
    def about_engine(self) -> Mapping[str, Any]:
        """The engine that was chosen, with its options."""
        if self.engine is None:
            return {}
        return {"engine": {"name": self.engine, **parse_overrides(self.engine_set or [])}}

    def chosen_engine(self) -> EngineSettings | None:
        """Return the settings of the engine that was chosen; None for the one in this process.

        Raises:
            ConfigError: there is no such engine or option.
        """
        from assay.components import make_component
        from assay.engines import EngineSettings

        if self.engine is None:
            if self.engine_set:
                raise ConfigError("--engine-set has no effect without --engine: name the engine, such as vllm")
            return None
        return make_component(EngineSettings, self.engine, parse_overrides(self.engine_set or []))

    @property
    def about_tools(self) -> Mapping[str, str]:
        """What was chosen about tools and is not the default, by option."""
        tools = {} if self.tools is ToolOption.AUTO else {"tools": self.tools.value}
        return tools if self.call_forms is None else {**tools, "call_forms": ",".join(self.forms())}

    def forms(self) -> tuple[CallForm, ...]:
        """Return the forms of tool calls that are read, in one order however they were given.

        Raises:
            ConfigError: there is no such form.
        """
        from assay.render import CALL_FORMS, chosen_forms

        if self.call_forms is None:
            return CALL_FORMS
        return chosen_forms([name.strip() for name in self.call_forms.split(",")])

    def renderer(self, model: Model) -> ChatRenderer:
        """Return the renderer of a model with the chat template and the forms of tools and calls that were chosen.

        Raises:
            ConfigError: no such template or form.
            ModelError: a tokenizer that cannot be used.
        """
        from assay.render import read_chat_template

        return model.renderer(read_chat_template(self.chat_template), tools=self.tools.value, call_forms=self.forms())


def load_engine(model: Model, local: EngineOptions, num_slots: int = 64) -> tuple[Engine, ChatRenderer]:
    """The engine and renderer of a model; an adapter is merged into its base.

    Raises:
        ConfigError: a device that this machine has not, no such template, or no such form of calls.
        ModelError: weights or a tokenizer that cannot be used.
    """
    import torch

    from assay.batching.proven import open_engine

    device = local.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {device} cannot be used ({error}); leave it out or use cpu") from None
    for caution in model.cautions:
        typer.echo(f"caution: {caution}", err=True)
    renderer = local.renderer(model)
    dtype = torch.bfloat16 if local.dtype is Precision.BF16 else torch.float32
    return open_engine(
        model, renderer, local.chosen_engine(), dtype=dtype, device=device, num_slots=num_slots
    ), renderer
