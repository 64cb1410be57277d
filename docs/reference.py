"""Prints docs/reference.md: every public name of Assay with its signature and what it says of itself.

python docs/reference.py > docs/reference.md
"""

from __future__ import annotations

import inspect
import textwrap

import assay

SECTIONS = {
    "Training and measuring": (
        "train",
        "evaluate",
        "load_recipe",
        "RunConfig",
        "TrainResult",
        "Evaluation",
        "open_model",
    ),
    "Environments": (
        "Environment",
        "Episode",
        "EpisodeStep",
        "SingleTurn",
        "ToolEpisode",
        "ToolFailure",
        "Script",
        "make_environment",
        "check_environment",
        "check_episode",
        "Proposals",
        "RefusedProposalError",
    ),
    "Verifiers": ("Verifier", "EpisodeScore", "EpisodeValue", "make_verifier", "check_verifier"),
    "Algorithms": ("Algorithm", "Needs", "LossInputs", "LossOutput"),
    "Other components": (
        "Component",
        "Settings",
        "Scaffold",
        "Scaffolded",
        "Curriculum",
        "CurriculumSettings",
        "Engine",
        "EngineCapabilities",
        "EngineSettings",
        "Tracker",
        "TrackerSettings",
    ),
    "Runs": ("StepDone", "Subscriber", "Host", "current_host", "derive_seed"),
    "Types": (
        "Task",
        "Suite",
        "Message",
        "Tool",
        "ToolCall",
        "Split",
        "Turn",
        "Rollout",
        "Ending",
        "EndingKind",
        "Score",
        "Verdict",
        "Group",
        "Sample",
        "CreditedSample",
    ),
    "Errors": ("AssayError", "ConfigError", "DataError", "InfrastructureError", "VerifierError"),
}


def main() -> None:
    listed = {name for names in SECTIONS.values() for name in names}
    missing = set(assay.__all__) - listed - {"__version__"}
    assert not missing, f"in no section: {missing}"
    print("# Reference\n")
    print(
        "What `import assay` offers. This page is made from the code: `python docs/reference.py > docs/reference.md`."
    )
    for title, names in SECTIONS.items():
        print(f"\n## {title}")
        for name in names:
            print(f"\n### `assay.{name}`\n")
            print("\n".join(_described(name, getattr(assay, name))))


def _described(name: str, value: object) -> list[str]:
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return [f"`{value}`".replace("typing.", "")]
    lines = [] if inspect.isclass(value) else ["```python", f"{name}{_signature(value)}", "```", ""]
    lines += ["```text", inspect.cleandoc(value.__doc__ or "").strip(), "```"]
    if inspect.isclass(value):
        for method, found in vars(value).items():
            function = found.fget if isinstance(found, property) else found
            if method.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
                continue
            call = method if isinstance(found, property) else f"{method}{_signature(function)}"
            prefix = "async " if inspect.iscoroutinefunction(function) else ""
            said = textwrap.indent(inspect.cleandoc(function.__doc__), "    ")
            lines += ["", "```text", f"{prefix}{call}", said, "```"]
    return lines


def _signature(function: object) -> str:
    """The signature as it is written in the code."""
    assert callable(function)
    signature = inspect.signature(function)
    parts, star = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        text = ("**" if parameter.kind is parameter.VAR_KEYWORD else "") + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {parameter.annotation}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        parts.append(text)
    back = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    return f"({', '.join(parts)}){back}"


if __name__ == "__main__":
    main()
