"""Assay trains language models from rewards that can be checked, and measures what the training bought.

Everything here is the public face: a name of it changes only with a line in the changelog. It is imported when it is
first used, so that `import assay` takes no time and loads no torch.

    import assay

    result = assay.train("recipes/arithmetic_rlvr/demo.toml", max_seconds=300)
    scores = assay.evaluate(result.model, "arithmetic", num_tasks=100)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "assay.algorithms": ("Algorithm", "LossInputs", "LossOutput", "Needs"),
    "assay.components": ("Component",),
    "assay.config": ("Settings",),
    "assay.curriculum": ("Curriculum", "CurriculumSettings"),
    "assay.engines": ("Engine", "EngineCapabilities", "EngineSettings"),
    "assay.models": ("open_model",),
    "assay.environments": (
        "Environment",
        "Episode",
        "EpisodeStep",
        "Proposals",
        "RefusedProposalError",
        "Script",
        "SingleTurn",
        "ToolEpisode",
        "ToolFailure",
        "check_environment",
        "check_episode",
        "make_environment",
    ),
    "assay.evaluation": ("Evaluation",),
    "assay.errors": ("AssayError", "ConfigError", "DataError", "InfrastructureError", "VerifierError"),
    "assay.host": ("Host", "current_host"),
    "assay.observe.tracker": ("Tracker", "TrackerSettings"),
    "assay.public": ("evaluate", "load_recipe", "train"),
    "assay.recipe": ("RunConfig",),
    "assay.run": ("StepDone", "Subscriber", "TrainResult"),
    "assay.scaffolds": ("Scaffold", "Scaffolded"),
    "assay.seeds": ("derive_seed",),
    "assay.suite": ("Suite",),
    "assay.types": (
        "CreditedSample",
        "Ending",
        "EndingKind",
        "Group",
        "Message",
        "Rollout",
        "Sample",
        "Score",
        "Split",
        "Task",
        "Tool",
        "ToolCall",
        "Turn",
        "Verdict",
    ),
    "assay.verifiers": ("EpisodeScore", "EpisodeValue", "Verifier", "check_verifier", "make_verifier"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


if TYPE_CHECKING:
    from assay.algorithms import Algorithm, LossInputs, LossOutput, Needs
    from assay.components import Component
    from assay.config import Settings
    from assay.curriculum import Curriculum, CurriculumSettings
    from assay.engines import Engine, EngineCapabilities, EngineSettings
    from assay.environments import (
        Environment,
        Episode,
        EpisodeStep,
        Proposals,
        RefusedProposalError,
        Script,
        SingleTurn,
        ToolEpisode,
        ToolFailure,
        check_environment,
        check_episode,
        make_environment,
    )
    from assay.errors import AssayError, ConfigError, DataError, InfrastructureError, VerifierError
    from assay.evaluation import Evaluation
    from assay.host import Host, current_host
    from assay.models import open_model
    from assay.observe.tracker import Tracker, TrackerSettings
    from assay.public import evaluate, load_recipe, train
    from assay.recipe import RunConfig
    from assay.run import StepDone, Subscriber, TrainResult
    from assay.scaffolds import Scaffold, Scaffolded
    from assay.seeds import derive_seed
    from assay.suite import Suite
    from assay.types import (
        CreditedSample,
        Ending,
        EndingKind,
        Group,
        Message,
        Rollout,
        Sample,
        Score,
        Split,
        Task,
        Tool,
        ToolCall,
        Turn,
        Verdict,
    )
    from assay.verifiers import EpisodeScore, EpisodeValue, Verifier, check_verifier, make_verifier


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'assay' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "Algorithm",
    "AssayError",
    "Component",
    "ConfigError",
    "CreditedSample",
    "Curriculum",
    "CurriculumSettings",
    "DataError",
    "Ending",
    "EndingKind",
    "Engine",
    "EngineCapabilities",
    "EngineSettings",
    "Environment",
    "Episode",
    "EpisodeScore",
    "EpisodeStep",
    "EpisodeValue",
    "Evaluation",
    "Group",
    "Host",
    "InfrastructureError",
    "LossInputs",
    "LossOutput",
    "Message",
    "Needs",
    "Proposals",
    "RefusedProposalError",
    "Rollout",
    "RunConfig",
    "Sample",
    "Scaffold",
    "Scaffolded",
    "Score",
    "Script",
    "Settings",
    "SingleTurn",
    "Split",
    "StepDone",
    "Subscriber",
    "Suite",
    "Task",
    "Tool",
    "ToolCall",
    "ToolEpisode",
    "ToolFailure",
    "Tracker",
    "TrackerSettings",
    "TrainResult",
    "Turn",
    "Verdict",
    "Verifier",
    "VerifierError",
    "__version__",
    "check_environment",
    "check_episode",
    "check_verifier",
    "current_host",
    "derive_seed",
    "evaluate",
    "load_recipe",
    "make_environment",
    "make_verifier",
    "open_model",
    "train",
]
