"""Audits of rewards: what a reward pays for, found out before a model is trained on it."""

from assay.audit.attacks import Guilt, Target, Trick, attacks_on
from assay.audit.audit import Audit, Finding, audit_environment
from assay.audit.mutants import Mutant, mutants_of

__all__ = ["Audit", "Finding", "Guilt", "Mutant", "Target", "Trick", "attacks_on", "audit_environment", "mutants_of"]
