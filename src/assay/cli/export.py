"""`assay export RUN OUTPUT`: a run's model as a folder for other tools, with a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    from assay.policies import DecoderPolicy
    from assay.policies.hf import HFPolicy


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
    from assay.policies import load_policy
    from assay.policies.registry import base_of, resolve_model

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunFolderError(f"{output} exists and is not empty; choose another folder")
    model, summary = _find(source)
    whole = base_of(model, None if base is None else resolve_model(base))
    on = None if whole == model else whole
    if merged:
        stored = dtype or StoredPrecision.BF16
        _save_merged(load_policy(model, base=on), output, stored)
        card = model_card(summary, model, stored.value, base=on)
    elif on is None:
        raise ConfigError(f"--adapter: {model} is a whole model without an adapter; leave --adapter out")
    elif dtype is not None:
        raise ConfigError(f"--dtype {dtype.value} has no effect with --adapter, which is kept as it was trained")
    else:
        load_policy(model, base=on).save(output)
        card = adapter_card(summary, model, on)
    (output / "README.md").write_text(card, encoding="utf-8")
    typer.echo(f"model: {output}\ntalk to it: assay chat {output}")


def _save_merged(policy: DecoderPolicy | HFPolicy, output: Path, dtype: StoredPrecision) -> None:
    import torch

    stored = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype.value]
    if stored == torch.float16:
        large = max(float(tensor.abs().max()) for _, tensor in policy.weights())
        if large > torch.finfo(torch.float16).max:
            raise RunFolderError(f"a weight of {large:g} does not fit fp16; use --dtype bf16")
    policy.save_merged(output, stored)


def _find(source: str) -> tuple[Path, dict[str, Any]]:
    """The model's folder, and the summary of the run it is of; empty where it is of none."""
    from assay.home import assay_home
    from assay.observe.folder import find_run, read_json
    from assay.policies.lora.document import is_adapter
    from assay.policies.registry import resolve_model

    folder = Path(source).expanduser()
    if is_adapter(folder) or ((folder / "config.json").is_file() and not (folder / "run.sqlite").exists()):
        return resolve_model(folder), {}
    run = find_run(source, assay_home() / "runs")
    summary = read_json(run / "summary.json")
    named = summary.get("model")
    if not isinstance(named, str):
        raise RunFolderError(f"{run} has no summary yet: its model is written when it ends; resume it first")
    # The run may have moved since: its checkpoints are found from where it lies now.
    for model in (
        run / "checkpoints" / Path(named).name,
        run / "checkpoints" / Path(named).parent.name / "model",
        Path(named),
    ):
        if (model / "config.json").is_file() or is_adapter(model):
            return model, summary
    raise RunFolderError(f"{run} names {named} as its model, which is not there any more")


def model_card(summary: Mapping[str, Any], model: Path, dtype: str, base: Path | None = None) -> str:
    """README.md of an exported model.

    Args:
        base: of an adapter that was merged into it; None where there was none.
    """
    lines = ["---", "library_name: transformers", "tags: [reinforcement-learning, assay]", "---", ""]
    weights = f"weights in {dtype}"
    if base is not None:
        weights = f"its LoRA adapter is merged into the weights of `{_model_name(base)}`, in {dtype}"
    return "\n".join([*lines, *_card_body(summary, model, weights)])


def adapter_card(summary: Mapping[str, Any], model: Path, base: Path) -> str:
    """README.md of an exported adapter."""
    from assay.policies.lora.document import read_adapter_config

    settings, name = read_adapter_config(model), _model_name(base)
    lines = ["---", "library_name: peft", f"base_model: {json.dumps(name)}"]
    lines += ["tags: [reinforcement-learning, lora, assay]", "---", ""]
    weights = (
        f"this folder holds a LoRA adapter of rank {settings['r']} and alpha {settings['lora_alpha']:g}, to be put on "
        f"`{name}`"
    )
    return "\n".join([*lines, *_card_body(summary, model, weights)])


def _model_name(folder: Path) -> str:
    """A hub id; else the folder's own name, since its path says nothing elsewhere."""
    from assay.policies.lora.document import reference_to

    reference = reference_to(folder)
    name, revision = reference["base_model_name_or_path"], reference["revision"]
    return folder.name if revision is None or name is None else name


def _card_body(summary: Mapping[str, Any], model: Path, weights: str) -> list[str]:
    settings = summary.get("settings", {})
    if not settings:
        return ["# Model", "", f"Exported with Assay from {model.name}; {weights}.", ""]
    base = settings["model"]["source"]
    lines = [
        f"# {summary.get('name', model.name)}",
        "",
        f"{'SmolLM2-135M-Instruct' if base == 'default' else base}, trained with Assay by "
        f"{settings['algorithm']['name']} on the domain {settings['domain']['name']} for {summary['num_steps']} steps; "
        f"{weights}.",
        "",
    ]
    gain = summary.get("gain")
    if gain:
        before, after = summary["before"], summary["after"]
        lines += [
            "## Scores",
            "",
            f"{before['num_tasks']} held-out tasks of level {summary['level']}, 95 % intervals over tasks:",
            "",
            "| decoding | reading | before | after | gain, points |",
            "|---|---|---|---|---|",
            *(
                f"| {r['decoding']} | {r['reading']} | {_percent(r['before'])} | {_percent(r['after'])} | "
                f"{100 * r['gain']['value']:+.1f} |"
                for r in summary["readings"]
            ),
            "",
            f"The claimed gain is the smallest of these: {100 * gain['value']:+.1f} points "
            f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}] ({gain['decoding']}, {gain['reading']}); after: "
            f"{_percent(after)}.",
            "",
            *(f"Caution: {caution}.\n" for caution in summary.get("cautions", [])),
        ]
    return [*lines, "## Settings", "", "```json", json.dumps(settings, indent=2), "```", ""]


def _percent(entry: Mapping[str, float]) -> str:
    return f"{100 * entry['accuracy']:.1f} % [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
