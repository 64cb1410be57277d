"""The engine that commands sample with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.engines import BatchingEngine
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


def load_engine(model: Model, local: EngineOptions, num_slots: int = 64) -> tuple[BatchingEngine, ChatRenderer]:
    """The engine and renderer of a model; an adapter is merged into its base.

    Raises:
        ConfigError: a device that this machine has not, no such template, or no such form of calls.
        ModelError: weights or a tokenizer that cannot be used.
    """
    import torch

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
    engine = model.engine(
        stop_token_ids=renderer.stop_token_ids,
        decode=renderer.decode,
        dtype=torch.bfloat16 if local.dtype is Precision.BF16 else torch.float32,
        device=device,
        num_slots=num_slots,
    )
    return engine, renderer
