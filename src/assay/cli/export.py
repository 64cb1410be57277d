"""`assay export RUN OUTPUT`: a run's model as a folder for other tools, with a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.errors import RunFolderError


class StoredPrecision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def export(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help='A run folder, its name, "latest", or the folder of a model.')
    ],
    output: Annotated[Path, typer.Argument(help="Folder to write; it must not exist, or be empty.")],
    dtype: Annotated[StoredPrecision, typer.Option(help="Of the stored weights.")] = StoredPrecision.BF16,
) -> None:
    """Write a run's best model as a Hugging Face folder: weights, tokenizer and a card with its settings and scores.

    transformers and vLLM open the folder; llama.cpp's converter reads it.
    """
    import torch

    from assay.policies import load_policy

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunFolderError(f"{output} exists and is not empty; choose another folder")
    model, summary = _find(source)
    policy = load_policy(model)
    stored = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype.value]
    if stored == torch.float16:
        large = max(float(tensor.abs().max()) for _, tensor in policy.weights())
        if large > torch.finfo(torch.float16).max:
            raise RunFolderError(f"a weight of {large:g} does not fit fp16; use --dtype bf16")
    policy.save(output, dtype=stored)
    (output / "README.md").write_text(model_card(summary, model, dtype.value), encoding="utf-8")
    typer.echo(f"model: {output}\ntalk to it: assay chat {output}")


def _find(source: str) -> tuple[Path, dict[str, Any]]:
    """The model's folder, and the summary of the run it is of; empty where it is of none."""
    from assay.home import assay_home
    from assay.observe.folder import find_run, read_json
    from assay.policies.registry import resolve_model

    folder = Path(source).expanduser()
    if (folder / "config.json").is_file() and not (folder / "run.sqlite").exists():
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
        if (model / "config.json").is_file():
            return model, summary
    raise RunFolderError(f"{run} names {named} as its model, which is not there any more")


def model_card(summary: Mapping[str, Any], model: Path, dtype: str) -> str:
    """README.md of an exported folder."""
    lines = ["---", "library_name: transformers", "tags: [reinforcement-learning, assay]", "---", ""]
    settings = summary.get("settings", {})
    if not settings:
        return "\n".join([*lines, "# Model", "", f"Exported with Assay from {model.name}, in {dtype}.", ""])
    base = settings["model"]["source"]
    lines += [
        f"# {summary.get('name', model.name)}",
        "",
        f"{'SmolLM2-135M-Instruct' if base == 'default' else base}, trained with Assay by "
        f"{settings['algorithm']['name']} on the domain {settings['domain']['name']} for {summary['num_steps']} steps; "
        f"weights in {dtype}.",
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
        ]
    lines += ["## Settings", "", "```json", json.dumps(settings, indent=2), "```", ""]
    return "\n".join(lines)


def _percent(entry: Mapping[str, float]) -> str:
    return f"{100 * entry['accuracy']:.1f} % [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
