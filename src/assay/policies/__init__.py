"""What is trained: a compact decoder of the Llama family over packed batches, or any causal language model that
transformers opens; both read from and written to Hugging Face folders, with fp32 parameters under their own names.
"""

from __future__ import annotations

from assay.policies.config import DecoderConfig
from assay.policies.load import load_policy, policy_kind
from assay.policies.model import DecoderPolicy
from assay.policies.policy import Policy, PolicyOutput

__all__ = ["DecoderConfig", "DecoderPolicy", "Policy", "PolicyOutput", "load_policy", "policy_kind"]
