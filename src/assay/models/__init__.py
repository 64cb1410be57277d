"""Models by the names that users give them, resolved once: `open_model` gives one value that makes policies, engines
and renderers.

Families (our decoder, any causal language model of transformers) register what they can read and how it is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import exports

if TYPE_CHECKING:
    from assay.models.decoder import DecoderFamily
    from assay.models.family import Family, register_family
    from assay.models.hf import HFFamily
    from assay.models.known import KnownModel, known_models
    from assay.models.model import Model, open_model
    from assay.models.source import resolve_source

__getattr__ = exports(
    __name__,
    {
        "decoder": ("DecoderFamily",),
        "family": ("Family", "register_family"),
        "hf": ("HFFamily",),
        "known": ("KnownModel", "known_models"),
        "model": ("Model", "open_model"),
        "source": ("resolve_source",),
    },
)

__all__ = [
    "DecoderFamily",
    "Family",
    "HFFamily",
    "KnownModel",
    "Model",
    "known_models",
    "open_model",
    "register_family",
    "resolve_source",
]
