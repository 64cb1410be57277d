"""The engine that `assay chat` and `assay eval` sample with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.engines import BatchingEngine
    from assay.models import Model
    from assay.render import ChatRenderer


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


def load_engine(
    model: Model,
    device: str,
    dtype: Precision,
    num_slots: int = 64,
    chat_template: str | None = None,
    tools: ToolOption = ToolOption.AUTO,
) -> tuple[BatchingEngine, ChatRenderer]:
    """The engine and renderer of a model; an adapter is merged into its base.

    Args:
        chat_template: "chatml", "plain" or a file, in place of the tokenizer's own.
        tools: how the model is told of tools.

    Raises:
        ConfigError: a device that this machine has not, or no such template.
        ModelError: weights or a tokenizer that cannot be used.
    """
    import torch

    from assay.render import read_chat_template

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {device} cannot be used ({error}); leave it out or use cpu") from None
    for caution in model.cautions:
        typer.echo(f"caution: {caution}", err=True)
    renderer = model.renderer(read_chat_template(chat_template), tools=tools.value)
    engine = model.engine(
        stop_token_ids=renderer.stop_token_ids,
        decode=renderer.decode,
        dtype=torch.bfloat16 if dtype is Precision.BF16 else torch.float32,
        device=device,
        num_slots=num_slots,
    )
    return engine, renderer
