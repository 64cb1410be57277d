"""Policies, which are trained: a compact decoder of the Llama family over packed batches, or any causal language model
that transformers opens. Both are read from and written to Hugging Face folders, with fp32 parameters under their own
names.
"""

from __future__ import annotations

from assay.policies.config import DecoderConfig
from assay.policies.hf import HFPolicy
from assay.policies.model import DecoderPolicy
from assay.policies.policy import Policy, PolicyOutput

AnyPolicy = DecoderPolicy | HFPolicy
"""A policy that a model of this machine makes."""

__all__ = ["AnyPolicy", "DecoderConfig", "DecoderPolicy", "HFPolicy", "Policy", "PolicyOutput"]
