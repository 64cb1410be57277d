"""The type of a policy that a model of this machine makes."""

from __future__ import annotations

from assay.policies.hf import HFPolicy
from assay.policies.model import DecoderPolicy

AnyPolicy = DecoderPolicy | HFPolicy
"""A policy that a model of this machine makes."""
