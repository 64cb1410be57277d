"""An adapter: pairs of low-rank factors, one for each product that it changes.

Shape letters: R rank, I inputs and O outputs of a product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.errors import ConfigError, ModelError
from assay.policies.config import DecoderConfig
from assay.policies.layers import weight_shapes
from assay.policies.lora.settings import ALL_LINEAR, LoraSettings
from assay.policies.shards import copy_into
from assay.seeds import derive_seed

PREFIX = "base_model.model."
"""Prefix that PEFT writes before the name of a module."""
FACTOR_NAMES = ("lora_A.weight", "lora_B.weight")


class LinearShape(NamedTuple):
    """Sizes of one product that may have an adapter."""

    outputs: int
    inputs: int
    transposed: bool = False
    """True where the weight is stored as [inputs, outputs]."""


def linear_shapes(config: DecoderConfig) -> dict[str, LinearShape]:
    """Every weight of our decoder that can have an adapter, by name: the products of attention and MLP."""
    return {
        name: LinearShape(shape[0], shape[1])
        for name, shape in weight_shapes(config).items()
        if name.endswith("_proj.weight")
    }


@dataclass(frozen=True, eq=False)
class LowRank:
    """The low-rank term that is added to one weight: scale * B A."""

    a: nn.Parameter
    """[R, I] fp32"""
    b: nn.Parameter
    """[O, R] fp32"""
    scale: float
    transposed: bool = False
    """True where the weight is stored as [I, O] (GPT-2's Conv1D)."""


class Adapter:
    """The factors that are trained in place of a model's weights, and what adapter_config.json says of them."""

    def __init__(self, config: Mapping[str, Any], pairs: Mapping[str, LowRank], fingerprint: str) -> None:
        """
        Args:
            config: contents of adapter_config.json.
            pairs: by the name of the weight that each changes, such as "model.layers.0.mlp.down_proj.weight".
            fingerprint: of the model that it is trained on.
        """
        self.config = dict(config)
        self.pairs = dict(pairs)
        self.fingerprint = fingerprint

    def merged(self, name: str, weight: Tensor, get: Callable[[str], Tensor] | None = None) -> Tensor:
        """W + scale * B A in the dtype of W, differentiable in A and B; `weight` itself where there is no pair.

        Args:
            get: the factor of a name, where a sharded one is whole for a moment; None for the adapter's own.
        """
        pair = self.pairs.get(name)
        if pair is None:
            return weight
        a, b = (pair.a, pair.b) if get is None else (get(factor_name(name, factor)) for factor in FACTOR_NAMES)
        left, right = (a.T, b.T) if pair.transposed else (b, a)
        return torch.addmm(weight, left, right, alpha=pair.scale)

    @torch.no_grad()
    def merge_into(self, weights: dict[str, Tensor]) -> None:
        """Replaces each weight that it changes."""
        for name in self.pairs:
            weights[name] = self.merged(name, weights[name])

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Each factor under the name that PEFT stores it by."""
        for name, pair in self.pairs.items():
            for factor, parameter in zip(FACTOR_NAMES, (pair.a, pair.b), strict=True):
                yield factor_name(name, factor), parameter

    def load(self, factors: Iterable[tuple[str, Tensor]]) -> None:
        """Copies values into the factors, in place.

        Raises:
            ModelError: names are missing or unknown.
        """
        own, given = dict(self.named_parameters()), dict(factors)
        if given.keys() != own.keys():
            raise ModelError(f"weights do not fit the adapter: {sorted(given.keys() ^ own.keys())[:5]}")
        with torch.no_grad():
            for name, parameter in own.items():
                copy_into(parameter, given[name])

    def load_parameters(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Takes over others in place of its own, by the names that PEFT gives them."""
        self.pairs = {name: replace(pair, **_factors(name, parameters)) for name, pair in self.pairs.items()}

    def holding(self, values: Mapping[str, Tensor]) -> Adapter:
        """An adapter like this one with these values of its factors, by the names that PEFT gives them."""
        parameters = {name: nn.Parameter(value, requires_grad=False) for name, value in values.items()}
        pairs = {name: replace(pair, **_factors(name, parameters)) for name, pair in self.pairs.items()}
        return Adapter(self.config, pairs, self.fingerprint)

    @property
    def is_zero(self) -> bool:
        """True where the adapter changes nothing, as at the start of training."""
        return not any(bool(pair.b.any()) for pair in self.pairs.values())

    def to(self, device: torch.device | str) -> None:
        """Moves the factors."""
        for _, parameter in self.named_parameters():
            parameter.data = parameter.data.to(device)

    def copy(self) -> Adapter:
        """An adapter with the same values and parameters of its own."""
        pairs = {
            name: replace(pair, a=nn.Parameter(pair.a.detach().clone()), b=nn.Parameter(pair.b.detach().clone()))
            for name, pair in self.pairs.items()
        }
        return Adapter(self.config, pairs, self.fingerprint)

    @classmethod
    def new(
        cls,
        settings: LoraSettings,
        linear: Mapping[str, LinearShape],
        *,
        model: str,
        seed: int,
        base: Mapping[str, Any],
        fingerprint: str,
    ) -> Adapter:
        """An untrained adapter: A random, B zero, as PEFT begins.

        Args:
            linear: every weight that may have one, by name.
            model: what errors call it.
            seed: of the run; each A is drawn from it and from its name.
            base: `base_model_name_or_path` and `revision` of the model, for adapter_config.json.
            fingerprint: of the model's weights.

        Raises:
            ConfigError: a target module that the model has not, or that cannot have an adapter.
        """
        pairs = {}
        for name, (outputs, inputs, transposed) in target_shapes(settings, linear, model).items():
            generator = torch.Generator().manual_seed(derive_seed(seed, "lora", name))
            a = torch.empty(settings.rank, inputs)
            if settings.init == "gaussian":
                a.normal_(std=1 / settings.rank, generator=generator)
            else:
                bound = 1 / math.sqrt(inputs)
                a.uniform_(-bound, bound, generator=generator)
            b = torch.zeros(outputs, settings.rank)
            pairs[name] = LowRank(nn.Parameter(a), nn.Parameter(b), settings.scale, transposed)
        all_linear = settings.target_modules == ALL_LINEAR
        targets = last_parts(linear) if all_linear else list(settings.target_modules)
        document = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            **base,
            "inference_mode": True,
            "r": settings.rank,
            "lora_alpha": int(settings.alpha) if settings.alpha.is_integer() else settings.alpha,
            "lora_dropout": 0.0,
            "use_rslora": settings.rslora,
            "target_modules": targets,
            "bias": "none",
            "fan_in_fan_out": any(shape.transposed for shape in linear.values()),
            "init_lora_weights": True if settings.init == "kaiming" else "gaussian",
            "modules_to_save": None,
            "rank_pattern": {},
            "alpha_pattern": {},
        }
        return cls(document, pairs, fingerprint)


def _factors(weight_name: str, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    return {key: parameters[factor_name(weight_name, name)] for key, name in zip("ab", FACTOR_NAMES, strict=True)}


def factor_name(weight_name: str, factor: str) -> str:
    """PEFT's name of a factor: "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"."""
    return f"{PREFIX}{weight_name.removesuffix('weight')}{factor}"


def last_parts(names: Iterable[str]) -> list[str]:
    """Last parts of the names of modules, sorted: "down_proj" and so on."""
    return sorted({name.split(".")[-2] for name in names})


def target_shapes(settings: LoraSettings, linear: Mapping[str, LinearShape], model: str) -> dict[str, LinearShape]:
    """Return the shapes of the weights that the settings give an adapter.

    Args:
        linear, model: as in `Adapter.new`.

    Raises:
        ConfigError: a target that names none.
    """
    if settings.target_modules == ALL_LINEAR:
        return dict(linear)
    for target in settings.target_modules:
        if not any(targets(target, name) for name in linear):
            raise ConfigError(
                f"model.lora.target_modules: {target!r} names no product of attention or MLP in this {model} model; "
                f'use "all-linear" or some of {", ".join(last_parts(linear))} (embeddings and the output matrix cannot '
                "have an adapter)"
            )
    return {n: shape for n, shape in linear.items() if any(targets(target, n) for target in settings.target_modules)}


def targets(target: str, weight_name: str) -> bool:
    """PEFT's rule for a list of targets: the module's whole name, or its last parts."""
    module = weight_name.removesuffix(".weight")
    return module == target or module.endswith(f".{target}")


def num_adapter_parameters(settings: LoraSettings, linear: Mapping[str, LinearShape], model: str) -> int:
    """Return the number of trained parameters; arguments as of `target_shapes`."""
    shapes = target_shapes(settings, linear, model).values()
    return sum(settings.rank * (shape.outputs + shape.inputs) for shape in shapes)
