"""Policies, which are trained: a compact decoder of the Llama family over packed batches, or any causal language model
that transformers opens. Both are read from and written to Hugging Face folders, with fp32 parameters under their own
names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import exports
from assay.policies.config import DecoderConfig

if TYPE_CHECKING:
    from assay.policies.any_policy import AnyPolicy
    from assay.policies.hf import HFPolicy
    from assay.policies.model import DecoderPolicy
    from assay.policies.policy import Policy, PolicyOutput

__getattr__ = exports(
    __name__,
    {
        "any_policy": ("AnyPolicy",),
        "hf": ("HFPolicy",),
        "model": ("DecoderPolicy",),
        "policy": ("Policy", "PolicyOutput"),
    },
)

__all__ = ["AnyPolicy", "DecoderConfig", "DecoderPolicy", "HFPolicy", "Policy", "PolicyOutput"]
