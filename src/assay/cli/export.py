"""`assay export RUN OUTPUT`: a run's model as a folder for other tools, with a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.errors import ConfigError, RunFolderError
from assay.types import NO_DIALS

if TYPE_CHECKING:
    from assay.models import Model
    from assay.policies import AnyPolicy


class StoredPrecision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def export(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help='A run folder, its name, "latest", or the folder of a model.')
    ],
    output: Annotated[Path, typer.Argument(help="Folder to write; it must not exist, or be empty.")],
    dtype: Annotated[
        StoredPrecision | None, typer.Option(help="Of the stored weights. Default: bf16.", show_default=False)
    ] = None,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged/--adapter", help="Of a model with an adapter: whole weights, or the adapter alone, for PEFT."
        ),
    ] = True,
    base: Annotated[
        str | None,
        typer.Option(help="Of an adapter: the model it is put on. Default: the one it names.", show_default=False),
    ] = None,
) -> None:
    """Write a run's best model as a Hugging Face folder: weights, tokenizer and a card with its settings and scores.

    transformers and vLLM open the folder; llama.cpp's converter reads it.
    """
    from assay.models import open_model

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunFolderError(f"{output} exists and is not empty; choose another folder")
    model, summary = open_model(source, base), _summary_of(source)
    for caution in model.cautions:
        typer.echo(f"caution: {caution}", err=True)
    if merged:
        stored = dtype or StoredPrecision.BF16
        _save_merged(model.policy(), output, stored)
        card = model_card(summary, model, stored.value)
    elif model.adapter is None:
        raise ConfigError(f"--adapter: {model.folder} is a whole model without an adapter; leave --adapter out")
    elif dtype is not None:
        raise ConfigError(f"--dtype {dtype.value} has no effect with --adapter, which is kept as it was trained")
    else:
        model.policy().save(output)
        card = adapter_card(summary, model)
    (output / "README.md").write_text(card, encoding="utf-8")
    typer.echo(f"model: {output}\ntalk to it: assay chat {output}")


def _save_merged(policy: AnyPolicy, output: Path, dtype: StoredPrecision) -> None:
    import torch

    stored = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype.value]
    if stored == torch.float16:
        large = max(float(tensor.abs().max()) for _, tensor in policy.weights())
        if large > torch.finfo(torch.float16).max:
            raise RunFolderError(f"a weight of {large:g} does not fit fp16; use --dtype bf16")
    policy.save_merged(output, stored)


def _summary_of(source: str) -> dict[str, Any]:
    """The summary of the run that is exported; empty where what was named is none."""
    from assay.home import assay_home
    from assay.observe.folder import find_run, read_json

    try:
        run = find_run(source, assay_home() / "runs")
    except RunFolderError:
        return {}
    return read_json(run / "summary.json")


def model_card(summary: Mapping[str, Any], model: Model, dtype: str) -> str:
    """README.md of an exported model, an adapter merged into it."""
    lines = ["---", "library_name: transformers", "tags: [reinforcement-learning, assay]", "---", ""]
    weights = f"weights in {dtype}"
    if model.adapter is not None:
        weights = f"its LoRA adapter is merged into the weights of `{_model_name(model.base)}`, in {dtype}"
    return "\n".join([*lines, *_card_body(summary, model.folder, weights)])


def adapter_card(summary: Mapping[str, Any], model: Model) -> str:
    """README.md of an exported adapter."""
    settings, name = model.adapter or {}, _model_name(model.base)
    lines = ["---", "library_name: peft", f"base_model: {json.dumps(name)}"]
    lines += ["tags: [reinforcement-learning, lora, assay]", "---", ""]
    weights = (
        f"this folder holds a LoRA adapter of rank {settings['r']} and alpha {settings['lora_alpha']:g}, to be put on "
        f"`{name}`"
    )
    return "\n".join([*lines, *_card_body(summary, model.folder, weights)])


def _model_name(folder: Path) -> str:
    """A hub id; else the folder's own name, since its path says nothing elsewhere."""
    from assay.policies.lora.document import reference_to

    reference = reference_to(folder)
    name, revision = reference["base_model_name_or_path"], reference["revision"]
    return folder.name if revision is None or name is None else name


def _card_body(summary: Mapping[str, Any], model: Path, weights: str) -> list[str]:
    from assay.observe.summary_text import gain_text, score_text

    settings = summary.get("settings", {})
    if not settings:
        return ["# Model", "", f"Exported with Assay from {model.name}; {weights}.", ""]
    base = settings["model"]["source"]
    world = settings.get("environment") or settings["domain"]  # runs of before environments
    lines = [
        f"# {summary.get('name', model.name)}",
        "",
        f"{'SmolLM2-135M-Instruct' if base == 'default' else base}, trained with Assay by "
        f"{settings['algorithm']['name']} on {world['name']} for {summary['num_steps']} steps; "
        f"{weights}.",
        "",
    ]
    if summary.get("readings"):
        of_level = "" if summary["level"] == NO_DIALS else f" of level {summary['level']}"
        lines += [
            "## Scores",
            "",
            f"{summary['before']['num_tasks']} held-out tasks{of_level}, 95 % intervals over tasks; "
            "accuracies in per cent, or mean rewards where the reward is a number without a verdict:",
            "",
            "| decoding | reading | before | after | gain |",
            "|---|---|---|---|---|",
            *(
                f"| {r['decoding']} | {r['reading']} | {score_text(r['before'])} | {score_text(r['after'])} | "
                f"{gain_text(r['gain'])} |"
                for r in summary["readings"]
            ),
            "",
            *(
                f"The claimed {name} is the smallest of these: {gain_text(gain)} "
                f"({gain['decoding']}, {gain['reading']}).\n"
                for name, key in (("gain", "gain"), ("gain in mean reward", "reward_gain"))
                if (gain := summary.get(key))
            ),
            *(f"Caution: {caution}.\n" for caution in summary.get("cautions", [])),
        ]
    return [*lines, "## Settings", "", "```json", json.dumps(settings, indent=2), "```", ""]
