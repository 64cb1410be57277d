"""What is trained: a compact decoder of the Llama family over packed batches, read from and written to Hugging Face
folders, with fp32 parameters under their Hugging Face names.
"""

from __future__ import annotations

from assay.policies.config import DecoderConfig
from assay.policies.model import DecoderPolicy, load_policy, read_merged
from assay.policies.policy import Policy, PolicyOutput

__all__ = ["DecoderConfig", "DecoderPolicy", "Policy", "PolicyOutput", "load_policy", "read_merged"]
