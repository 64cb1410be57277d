"""Audits of rewards: what a reward pays for, found out before a model is trained on it."""

from assay.audit.attacks import Attack, Guilt, Target, attacks_on
from assay.audit.audit import Audit, Finding, audit_environment
from assay.audit.mutants import Mutant, mutants_of

__all__ = ["Attack", "Audit", "Finding", "Guilt", "Mutant", "Target", "attacks_on", "audit_environment", "mutants_of"]
