"""Algorithms, from rewards to a gradient: each is one small file of frozen settings with a credit and a loss."""

from __future__ import annotations

from assay.algorithms.algorithm import Algorithm, AnyAlgorithm, LossInputs, LossOutput
from assay.algorithms.cispo import CISPO
from assay.algorithms.dapo import DAPO
from assay.algorithms.distillation import Distillation
from assay.algorithms.dpo import DPO
from assay.algorithms.dppo import DPPO
from assay.algorithms.expert_iteration import ExpertIteration
from assay.algorithms.gigpo import GiGPO
from assay.algorithms.grpo import GRPO
from assay.algorithms.gspo import GSPO
from assay.algorithms.ipo import IPO
from assay.algorithms.kto import KTO
from assay.algorithms.needs import Needs
from assay.algorithms.orpo import ORPO
from assay.algorithms.ppo import PPO
from assay.algorithms.preference import Preference
from assay.algorithms.reinforce import Reinforce
from assay.algorithms.reinforce_pp import ReinforcePP
from assay.algorithms.reward_model import RewardModelFit
from assay.algorithms.rloo import RLOO
from assay.algorithms.sapo import SAPO
from assay.algorithms.sft import SFT
from assay.algorithms.simpo import SimPO

__all__ = [
    "CISPO",
    "DAPO",
    "DPO",
    "DPPO",
    "GRPO",
    "GSPO",
    "IPO",
    "KTO",
    "ORPO",
    "PPO",
    "RLOO",
    "SAPO",
    "SFT",
    "Algorithm",
    "AnyAlgorithm",
    "Distillation",
    "ExpertIteration",
    "GiGPO",
    "LossInputs",
    "LossOutput",
    "Needs",
    "Preference",
    "Reinforce",
    "ReinforcePP",
    "RewardModelFit",
    "SimPO",
]
