"""A family of models: which configurations it reads, and what computes them. Families register; "auto" is the first
that reads a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from assay.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from assay.engines import BatchingEngine
    from assay.models.model import Model
    from assay.policies import AnyPolicy
    from assay.policies.lora import LinearShape, LoraSettings
    from assay.policies.shape import ModelShape

AUTO = "auto"
NOT_TIED = (
    "config.json says tie_word_embeddings, but the files hold an output matrix (lm_head.weight) that differs from the "
    "embedding: the two are not tied, as in transformers 5, and what is saved says tie_word_embeddings=false"
)
_FAMILIES: dict[str, Family] = {}


class Family(ABC):
    """Models that are read and computed the same way. Holds no state: all methods take the model."""

    name: ClassVar[str]
    """The family's name, as `model.policy` in a recipe states it."""

    @abstractmethod
    def configuration(self, folder: Path) -> Any:
        """The configuration of the whole model in a folder; has a `model_type`.

        Raises:
            ModelError: the folder holds none that this family computes.
        """

    def cautions(self, model: Model) -> tuple[str, ...]:
        """Warnings about the files of a model, a sentence each."""
        return ()

    @abstractmethod
    def shape(self, model: Model) -> ModelShape:
        """The sizes that memory depends on; no weight is read."""

    @abstractmethod
    def linear_shapes(self, model: Model) -> dict[str, LinearShape]:
        """Every weight that can have an adapter, by name; no weight is read."""

    @abstractmethod
    def weights(self, model: Model) -> Mapping[str, Tensor]:
        """Every weight and saved buffer in fp32 on the CPU, an adapter merged, as an engine takes them.

        Raises:
            ModelError: weights that are missing or do not fit, or an adapter of another base.
        """

    @abstractmethod
    def policy(
        self,
        model: Model,
        *,
        lora: LoraSettings | None,
        seed: int,
        device: torch.device | str,
        compute_dtype: torch.dtype,
        gradient_checkpointing: bool,
    ) -> AnyPolicy:
        """Make the policy that is trained; see `Model.policy`."""

    @abstractmethod
    def engine(
        self,
        model: Model,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        device: torch.device | str,
        num_slots: int,
    ) -> BatchingEngine:
        """Make the engine that samples from the model in its folder; see `Model.engine`."""

    @abstractmethod
    def engine_for(
        self,
        policy: Any,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> BatchingEngine:
        """Make the engine that samples from a policy of this family; see `Model.engine_for`."""


def register_family(family: Family) -> None:
    """Make a family known under its name; "auto" asks families in the order in which they were registered.

    Raises:
        ConfigError: the name is taken.
    """
    if family.name in _known() or family.name == AUTO:
        raise ConfigError(f"a family of models called {family.name!r} is registered already: choose another name")
    _FAMILIES[family.name] = family


def _known() -> dict[str, Family]:
    """Return the families by name; ours are registered when somebody first asks, for torch comes with them."""
    if not _FAMILIES:
        from assay.models.decoder import DecoderFamily
        from assay.models.hf import HFFamily

        _FAMILIES.update({family.name: family for family in (DecoderFamily(), HFFamily())})
    return _FAMILIES


def check_family(name: str) -> str:
    """The name itself, once it is sure that there is such a family.

    Raises:
        ConfigError: there is none; names those that there are.
    """
    if name != AUTO and name not in _known():
        known = ", ".join(map(repr, (AUTO, *_known())))
        raise ConfigError(f"policy {name!r} is unknown; use one of {known}")
    return name


def read_family(folder: Path, name: str = AUTO) -> tuple[Family, Any]:
    """The family that computes the whole model in a folder, and the configuration that it reads there.

    Args:
        name: of a family; "auto" for the first that reads the model.

    Raises:
        ConfigError: no family has this name.
        ModelError: the folder holds no model, or none that the family computes.
    """
    if check_family(name) != AUTO:
        try:
            return _FAMILIES[name], _FAMILIES[name].configuration(folder)
        except ModelError as error:
            if name == "decoder" and (folder / "config.json").is_file():
                raise ModelError(f"{error}; any causal language model is opened by model.policy='hf'") from None
            raise
    *firsts, last = _known().values()
    for family in firsts:
        try:
            return family, family.configuration(folder)
        except ModelError:
            continue
    return last, last.configuration(folder)
